"""The rows of every fold of the schemes that deal or leave out, on a table small enough to see."""

import numpy as np
import pytest

from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits import (
    ColumnSplit,
    Fold,
    GroupedSplit,
    KFoldSplit,
    LeaveOutSplit,
    MatExSplit,
    PredefinedSplit,
    PriorSplit,
    RelationSplit,
    StratifiedSplit,
    TimeSplit,
)

FORMULAS = np.array(["NaCl", "Li2O", "LiF", "Fe2O3", "Li2O", "KF", "LiFeO2", "MgO"], object)
TARGETS = [5.0, 1.0, 9.0, 2.0, 8.0, 3.0, 4.0, 6.0]
X = np.zeros((8, 2))


def rows_by_fold(splitter, y=TARGETS, groups=FORMULAS):
    """Return name -> test rows, after checking that the rest trains."""
    found = {}
    for fold in splitter.folds(X, y, groups):
        everything = np.sort(np.concatenate(list(fold.parts.values())))
        assert everything.tolist() == list(range(len(X)))
        found[fold.name] = fold.test.tolist()
    return found


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
            (LeaveOutSplit("elements"), "unknown labelling 'elements'; did you mean 'element'"),
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


class TestDealt:
    def test_kfold_deals_whole_formulas_in_random_order_to_the_emptiest_fold(self):
        names = np.unique(FORMULAS)  # Fe2O3 KF Li2O LiF LiFeO2 MgO NaCl
        order = names[np.random.default_rng(3).permutation(7)].tolist()
        assert order == ["MgO", "NaCl", "Li2O", "KF", "LiFeO2", "LiF", "Fe2O3"]
        # MgO | NaCl | Li2O (two rows); then KF to MgO, LiFeO2 to NaCl; all have two: LiF to
        # the first, Fe2O3 to the second
        expected = {"fold 0": [2, 5, 7], "fold 1": [0, 3, 6], "fold 2": [1, 4]}
        assert rows_by_fold(KFoldSplit(3, 3)) == expected

    def test_strata_of_neighbouring_targets_are_spread(self):
        y = np.arange(8.0)
        found = rows_by_fold(StratifiedSplit(4, 0), y, None)
        assert sorted(row for rows in found.values() for row in rows) == list(range(8))
        for rows in found.values():  # one of 0 to 3, one of 4 to 7
            assert [row // 4 for row in rows] == [0, 1]
        assert rows_by_fold(StratifiedSplit(4, 1), y, None) != found

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
            (KFoldSplit(8), "8 folds of 7 formulas; choose n_folds from 2 to 7"),
            (KFoldSplit(1), "1 folds of 7 formulas"),
            (StratifiedSplit(0), "0 folds of 7 formulas"),
            (GroupedSplit("element"), "more than one element; choose a labelling with one"),
            (GroupedSplit(["a"] * 8), "all rows hang together; choose another grouping"),
            (GroupedSplit(["a"] * 7 + [None]), "row 7 has no label; every row needs one"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(X, TARGETS, FORMULAS))


class TestTime:
    years = (2001, 2002, 2003, 2004, 2005, 2006, 2006, 2007)

    def folds(self, *arguments, times=None, **settings):
        splitter = TimeSplit(self.years if times is None else times, *arguments, **settings)
        return {
            fold.name: (fold.train.tolist(), fold.test.tolist())
            for fold in splitter.folds(X, None, FORMULAS)
        }

    def test_the_last_share_of_new_formulas_and_nothing_later_trains(self):
        assert self.folds(0.125) == {"2007 to 2007": ([0, 1, 2, 3, 4, 5, 6], [7])}
        # two rows of 2006 do not fit beside 2007, and rows of one year stay together
        assert self.folds(0.25) == {"2007 to 2007": ([0, 1, 2, 3, 4, 5, 6], [7])}
        assert self.folds(0.375) == {"2006 to 2007": ([0, 1, 2, 3, 4], [5, 6, 7])}
        # Li2O of 2005 was known in 2002: it may neither train nor be new
        assert self.folds(0.5) == {"2004 to 2007": ([0, 1, 2], [3, 5, 6, 7])}

    def test_several_periods_train_on_all_before(self):
        found = self.folds(0.375, 2)
        # three of eight rows each; LiF and Fe2O3 are the formulas new in the earlier period
        assert found == {
            "2003 to 2004": ([0, 1], [2, 3]),
            "2006 to 2007": ([0, 1, 2, 3, 4], [5, 6, 7]),
        }

    def test_dates(self):
        days = np.array([f"{year}-03-01" for year in self.years], dtype="datetime64[D]")
        assert list(self.folds(0.125, times=days)) == ["2007-03-01 to 2007-03-01"]

    @pytest.mark.parametrize(
        ("arguments", "times", "message"),
        [
            ((0.2,), [1.0] * 8, "only 1 different times"),
            ((0.2,), ["a"] * 8, "times holds .*give numbers, or dates as numpy.datetime64"),
            ((0.2,), [1.0] * 7, r"times has shape \(7,\)"),
            ((0.2,), [1.0] * 7 + [np.nan], r"times\[7\] is nan; every row needs a time"),
            ((0.3, 4), years, "4 test periods of 30% leave nothing .* n_folds from 1 to 3"),
            ((1.5,), years, "share of test rows is 1.5"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, arguments, times, message):
        with pytest.raises(SplitError, match=message):
            self.folds(*arguments, times=times)


class TestTails:
    def test_a_conditional_tail_takes_its_share_of_every_family(self):
        # oxides by largest target: Li2O 8 (two rows), MgO 6, LiFeO2 4, Fe2O3 2; fluorides LiF 9, KF
        splitter = PriorSplit("high", 0.5, within="family")
        assert rows_by_fold(splitter) == {"": [1, 2, 4]}  # MgO would be three of five oxides
        assert rows_by_fold(PriorSplit("low", 0.5, within="family")) == {"": [1, 4, 5]}
        assert rows_by_fold(PriorSplit("high", 0.5, within="family", only="fluoride")) == {"": [2]}
        own = ["a", "a", "b", "a", "a", "b", "b", "b"]
        assert rows_by_fold(PriorSplit("high", 0.25, within=own)) == {"": [1, 2, 4]}  # a: Li2O

    def test_its_errors(self):
        with pytest.raises(SplitError, match="no row has family = 'nitride'"):
            list(PriorSplit(within="family", only="nitride").folds(X, TARGETS, FORMULAS))
        with pytest.raises(SplitError, match="only = 'oxide' is one label of within"):
            list(PriorSplit(only="oxide").folds(X, TARGETS, FORMULAS))

    def test_matex_counts_rows_rounded_down(self):
        (fold,) = MatExSplit(0.25, 0.34, random_state=0).folds(X, TARGETS, FORMULAS)
        assert fold.test.tolist() == [2, 4]  # Li2O of row 1 stays: 9 and 8 are the top two rows
        assert len(fold.val) == 2  # 0.34 of six rows
        assert len(fold.train) == 4
        (whole,) = MatExSplit(0.375, 0.3, whole_formulas=True, random_state=0).folds(
            X, TARGETS, FORMULAS
        )
        assert whole.test.tolist() == [1, 2, 4]
        assert len(whole.val) == 1


class TestDeclared:
    def test_a_column_of_parts(self):
        parts = ["train", "Test", "eval", "", "train", "ood", "train", "target"]
        (fold,) = ColumnSplit(parts, whole_formulas=False).folds(X, None, FORMULAS)
        assert {name: rows.tolist() for name, rows in fold.parts.items()} == {
            "train": [0, 4, 6], "val": [2], "target": [7], "test": [1, 5]
        }  # fmt: skip
        (whole,) = ColumnSplit(parts).folds(X, None, FORMULAS)
        assert whole.test.tolist() == [1, 4, 5]  # the other Li2O goes along

    def test_a_column_of_folds(self):
        assert rows_by_fold(ColumnSplit([1, 2, 1, 3, 2, 3, 3, 1])) == {
            "1": [0, 2, 7], "2": [1, 4], "3": [3, 5, 6]
        }  # fmt: skip

    def test_a_column_of_many_labels_or_of_no_test_rows_is_refused(self):
        labels = np.arange(300)
        with pytest.raises(SplitError, match=r"300 different labels, .* at most 200"):
            list(ColumnSplit(labels).folds(np.zeros((300, 1))))
        with pytest.raises(SplitError, match="names the parts train, val, but no row is test"):
            list(ColumnSplit(["train"] * 6 + ["val"] * 2).folds(X, None, FORMULAS))

    def test_a_column_of_both_is_refused(self):
        with pytest.raises(SplitError, match="names parts, but also 'x'"):
            list(ColumnSplit(["test"] * 4 + ["x"] * 4).folds(X, None, FORMULAS))

    def test_folds_made_elsewhere_are_taken_as_they_are_if_asked(self):
        rows = {"train": np.array([0, 4]), "test": np.array([1, 2]), "val": np.array([3])}
        (fold,) = PredefinedSplit([Fold(**rows, name="a")], whole_formulas=False).folds(
            X, None, FORMULAS
        )
        assert {name: values.tolist() for name, values in fold.parts.items()} == {
            "train": [0, 4], "val": [3], "target": [], "test": [1, 2]
        }  # fmt: skip
        with pytest.raises(LeakageError, match="such as Li2O in fold 'a'"):
            list(PredefinedSplit([Fold(**rows, name="a")]).folds(X, None, FORMULAS))

    def test_they_keep_rows_that_they_leave_out_and_the_order_of_target_labels(self):
        given = Fold(np.array([0, 3]), np.array([1]), target=np.array([7, 2, 5]))
        (fold,) = PredefinedSplit([given], whole_formulas=False).folds(X, None, FORMULAS)
        assert fold.test.tolist() == [1]  # not row 4, the other Li2O
        assert fold.target.tolist() == [7, 2, 5]
        (cut,) = PredefinedSplit([given]).restrict(np.array([0, 1, 3, 5])).given
        assert (cut.train.tolist(), cut.test.tolist(), cut.target.tolist()) == ([0, 2], [1], [3])

    @pytest.mark.parametrize(
        ("train", "test", "error", "message"),
        [
            ([0, 9], [1], SplitError, "names row 9, the table has 8 rows"),
            ([0, 1], [1, 2], LeakageError, "has row 1 twice"),
            ([0, 1], [-1], SplitError, "names row -1"),
            ([0, 1], [], SplitError, "has no row in train or none in test"),
        ],
    )
    def test_folds_of_another_table(self, train, test, error, message):
        fold = Fold(np.array(train), np.array(test, dtype=int), name="a")
        with pytest.raises(error, match=message):
            list(PredefinedSplit([fold]).folds(X, None, None))


def test_restrict_cuts_arguments_with_a_value_per_row():
    rows = np.array([0, 2, 5, 6])
    small = RelationSplit(flags=np.arange(8) == 5).restrict(rows)
    assert small.held_out(X[rows], None, FORMULAS[rows]).tolist() == [False, False, True, False]
    assert LeaveOutSplit("family").restrict(rows).by == "family"


def test_stored_folds_can_be_checked_against_their_rule():
    splitter = LeaveOutSplit("element", "F,Fe")
    good = Fold(np.array([0, 1, 4, 7]), np.array([2, 5]), name="element F")
    bad = Fold(np.array([0, 1, 4]), np.array([2]), np.array([3, 6]), name="element Fe")
    rows = [found.tolist() for found in splitter.broken_by([good, bad], X, None, FORMULAS)]
    assert rows == [[], [3, 6]]  # also rows for model selection
    (high,) = PriorSplit("high", 0.25).folds(X, TARGETS, FORMULAS)
    assert PriorSplit("high", 0.25).broken_by([high], X, TARGETS, FORMULAS)[0].tolist() == []
    with pytest.raises(SplitError, match="has no fold 'element O'"):
        splitter.broken_by([Fold(good.train, good.test, name="element O")], X, None, FORMULAS)
