"""The rows of one label, cluster or rule, and whole labels dealt into folds."""

import numpy as np
import pytest

from split_toys import CLUMPS, FORMULAS, TARGETS, X, clump_folds, rows_by_fold, rows_of
from xtalshift.errors import SplitError
from xtalshift.splits import (
    FamilySplit,
    GroupedSplit,
    LeaveOutSplit,
    LOCOSplit,
)


class TestFamily:
    @pytest.mark.parametrize(
        ("contains", "expected"),
        [
            ("F", [2, 5]),  # not Fe
            ("Li", [1, 2, 4, 6]),
            ("Li+O", [1, 4, 6]),
            (" Li + Fe ", [6]),
        ],
    )
    def test_rows(self, contains, expected):
        assert rows_of(FamilySplit(contains)) == expected

    @pytest.mark.parametrize(
        ("contains", "message"),
        [
            ("Fl0", r"rule 'Fl0': unknown element or class 'Fl0' \(did you mean 'Fl'"),
            ("li", r"unknown element or class 'li' \(did you mean 'Li'"),
            ("O+", r"rule 'O\+' cannot be read to its end"),
            ("", "rule '' is empty"),
            ("U", "all materials that contain U holds out 0 of 8 rows.* some but not all"),
        ],
    )
    def test_wrong_families(self, contains, message):
        with pytest.raises(SplitError, match=message):
            FamilySplit(contains).held_out(X, None, FORMULAS)

    def test_a_family_of_all_leaves_no_training_rows(self):
        with pytest.raises(SplitError, match="holds out 2 of 2 rows; both sides need rows"):
            FamilySplit("O").held_out(X[:2], None, ["MgO", "Li2O"])

    def test_groups_must_be_formulas(self):
        with pytest.raises(SplitError, match="pass groups=reduced formulas"):
            FamilySplit("O").held_out(X)
        with pytest.raises(SplitError, match=r"groups\[1\] is not a formula: "):
            FamilySplit("O").held_out(X[:2], None, ["MgO", "Xx2"])


class TestLeaveOut:
    @pytest.mark.parametrize(
        ("by", "values", "expected"),
        [
            ("element", "F,Fe", {"element F": [2, 5], "element Fe": [3, 6]}),
            ("period", ["4"], {"period 4": [3, 5, 6]}),  # Fe and K
            ("group", "2, 17", {"group 2": [7], "group 17": [0, 2, 5]}),
            ("block", "d", {"block d": [3, 6]}),
            ("chemsys", "Li-O,F-K", {"chemsys Li-O": [1, 4], "chemsys F-K": [5]}),
            ("anonymous", "AB2", {"anonymous AB2": [1, 4]}),
            ("n_elements", "3", {"n_elements 3": [6]}),
            ("family", "fluoride", {"family fluoride": [2, 5]}),
        ],
    )
    def test_named_labels(self, by, values, expected):
        assert rows_by_fold(LeaveOutSplit(by, values)) == expected

    def test_all_labels_that_enough_but_not_all_rows_have(self):
        # O is on five rows, Li on four; the others are on fewer
        expected = {"element Li": [1, 2, 4, 6], "element O": [1, 3, 4, 6, 7]}
        assert rows_by_fold(LeaveOutSplit(min_rows=4)) == expected
        assert list(rows_by_fold(LeaveOutSplit(min_rows=2, max_folds=1))) == ["element O"]
        assert LeaveOutSplit(min_rows=4).get_n_splits(X, None, FORMULAS) == 2

    def test_labels_of_ones_own_take_formulas_along(self):
        labels = np.array(["a", "b", None, "a", "", "b", np.nan, "a"], object)
        assert rows_by_fold(LeaveOutSplit(labels, min_rows=1)) == {"a": [0, 3, 7], "b": [1, 4, 5]}

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (LeaveOutSplit("element", "U"), r"no row has element = 'U'.*there are: O \(5 rows\)"),
            (LeaveOutSplit("elements"), r"unknown labelling 'elements' \(did you mean 'element'"),
            (LeaveOutSplit(min_rows=6), r"at least min_rows = 6 .*most frequent: 5"),
            (LeaveOutSplit("element", ""), "values = '' names no label"),
            (LeaveOutSplit(["a"]), r"labels have the shape \(1,\); expected \(8,\)"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(X, TARGETS, FORMULAS))

    def test_a_label_of_all_rows_leaves_nothing(self):
        oxides = np.array(["MgO", "Li2O"], object)
        with pytest.raises(SplitError, match=r"\(element O\) holds out 2 of 2 rows"):
            list(LeaveOutSplit("element", "O").folds(X[:2], None, oxides))


class TestGrouped:
    def test_grouped_deals_the_largest_groups_first(self):
        # families: oxide 1 3 4 6 7, fluoride 2 5, halide 0
        expected = {"fold 0": [1, 3, 4, 6, 7], "fold 1": [0, 2, 5]}
        assert rows_by_fold(GroupedSplit("family", 2)) == expected

    def test_groups_that_share_a_formula_stay_together(self):
        crystal = ["c", "c", "h", "h", "t", "t", "m", "m"]  # Li2O is cubic and tetragonal
        expected = {"fold 0": [0, 1, 4, 5], "fold 1": [2, 3], "fold 2": [6, 7]}
        assert rows_by_fold(GroupedSplit(crystal, 3)) == expected
        with pytest.raises(SplitError, match="4 folds of 3 groups that share no formula"):
            list(GroupedSplit(crystal, 4).folds(X, None, FORMULAS))

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (GroupedSplit("element"), "more than one element; choose a labelling with one"),
            (GroupedSplit(["a"] * 8), "all rows are linked; choose another grouping"),
            (
                GroupedSplit(["a"] * 7 + [None]),
                "is blank, 1 of 8 are; every row needs one, fill",
            ),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(X, TARGETS, FORMULAS))


class TestLOCO:
    @pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
    def test_the_clumps_largest_first(self, method):
        assert clump_folds(LOCOSplit(4, method)) == [
            ("cluster 0", [0, 1, 2, 3, 4, 5]),
            ("cluster 1", [6, 7, 8, 9, 10]),
            ("cluster 2", [11, 12, 13]),
            ("cluster 3", [14]),
        ]

    def test_a_formula_is_one_point(self):
        # the second row of "far" lies with the first clump, their mean between the clumps
        groups = [f"g{row:02}" for row in range(14)] + ["far"]
        X = np.vstack([CLUMPS, [[89, 91]]])
        names = [*groups, "far"]
        assert clump_folds(LOCOSplit(4), X, None, names)[3] == ("cluster 3", [14, 15])

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (LOCOSplit(16), "16 clusters of formulas in 15 different places; choose at most 15"),
            (LOCOSplit(1), "n_clusters = 1; expected at least 2"),
            (LOCOSplit(3, "dbscan"), "method = 'dbscan'; expected one of kmeans, agglomerative"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(CLUMPS))

    def test_no_features(self):
        with pytest.raises(SplitError, match=r"pass X of shape \(n, d\)"):
            list(LOCOSplit(2).folds(np.zeros(5)))
