"""Relation shifts: stated ones, and groups whose residuals under a model of the others differ."""

import numpy as np
import pytest

from split_toys import FORMULAS, TARGETS, X, rows_of
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError
from xtalshift.splits import (
    FoundRelationSplit,
    RelationSplit,
)


class TestStated:
    def test_one_flagged_row_takes_its_formula_along(self):
        flags = np.array([0, 0, 0, 0, 1, 0, 0, 1])
        for given_flags in (flags, flags.astype(bool), flags.astype(float).tolist()):
            assert rows_of(RelationSplit(flags=given_flags)) == [1, 4, 7]

    def test_listed_formulas(self):
        assert rows_of(RelationSplit(formulas=["MgO", "Li2O", "UO2"])) == [1, 4, 7]

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (RelationSplit(), "by a flag column or a list of formulas"),
            (
                RelationSplit(np.ones(8), ["MgO"]),
                "by a flag column or a list",
            ),
            (RelationSplit(flags=[True]), r"flags has shape \(1,\); expected \(8,\)"),
            (RelationSplit(flags=["False"] * 8), "values other than true and false"),
            (RelationSplit(flags=np.array(["no"] * 8, object)), "values other than true"),
            (RelationSplit(flags=[0, 1, 0, 1, 0, 1, 0, np.nan]), "values other than true"),
            (RelationSplit(flags=np.zeros(8)), "holds out 0 of 8 rows; .* Check the flags"),
            (RelationSplit(formulas=["UO2"]), "holds out 0 of 8 rows; .*listed formulas occur"),
            (RelationSplit(formulas=[1, 2]), "a relation is a property of formulas"),
        ],
    )
    def test_errors(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            splitter.held_out(X, TARGETS, FORMULAS)


METALS = (3, 11, 19, 37, 55, 4, 12, 20, 38, 56, *range(21, 31), *range(39, 47))
CATIONS = [SYMBOLS[z] for z in METALS]
NAMES = np.array([f"{a}{n}{b}" for a in CATIONS for b in ("F", "O", "S", "Cl") for n in ("", "3")])
GENERATOR = np.random.default_rng(0)
LAB = GENERATOR.choice(["a", "b", "c", "d"], len(NAMES))  # all labs have all elements
FEATURES = GENERATOR.normal(size=(len(NAMES), 2))  # says nothing of the lab
Y = FEATURES[:, 0] + 0.1 * GENERATOR.normal(size=len(NAMES))
SHIFTED = np.where(LAB == "d", Y + 2.0, Y)


def test_the_group_with_another_relation_is_found_and_no_other():
    (fold,) = FoundRelationSplit(LAB, min_rows=40).folds(FEATURES, SHIFTED, NAMES)
    assert fold.name == "d"
    assert fold.test.tolist() == np.flatnonzero(LAB == "d").tolist()
    assert fold.note.startswith("shift +")
    assert "rows compared" in fold.note


def test_every_group_has_its_test():
    tests = FoundRelationSplit(by=LAB, min_rows=40).tests(FEATURES, SHIFTED, NAMES)
    assert [test.name for test in tests] == ["a", "b", "c", "d"]
    assert tests[3].rows.tolist() == (LAB == "d").tolist()
    assert tests[3].result.shift > 2
    assert tests[3].p_holm < 1e-6
    # the shifted lab leaves the source, so that the others do not seem to differ from it
    assert [test.found for test in tests] == [False, False, False, True]
    for test in tests[:3]:
        assert abs(test.result.shift) < 0.3


def test_a_polymorph_in_another_group_is_on_neither_side():
    groups, double = np.repeat(NAMES, 2), np.repeat(FEATURES, 2, axis=0)
    labels = np.tile(["a", "b"], len(NAMES))
    labels[np.isin(groups, NAMES[::2])] = "a"  # half of the formulas are in one group only
    y = np.where(labels == "b", 5.0, 0.0) + double[:, 0]
    a, b = FoundRelationSplit(by=labels).tests(double, y, groups)
    assert not a.result.tested  # all rows outside the group are of its formulas
    assert "0 training" in a.result.reason
    assert b.result.tested
    assert b.result.shift > 2
    order = np.random.default_rng(1).permutation(len(groups))
    again = FoundRelationSplit(by=labels[order]).tests(double[order], y[order], groups[order])
    assert again[1].result.shift > 2


def test_elements_that_the_others_lack_are_not_compared():
    tests = FoundRelationSplit(by="element", min_rows=40).tests(FEATURES, Y, NAMES)
    assert [test.name for test in tests] == ["O", "F", "S", "Cl"]
    for test in tests:
        assert not test.result.tested
        assert "168 training and 0 test formulas" in test.result.reason


def test_where_nothing_differs_the_tests_are_told():
    with pytest.raises(SplitError, match=r"no group follows another relation .*b: shift") as e:
        list(FoundRelationSplit(LAB, min_rows=40).folds(FEATURES, Y, NAMES))
    assert str(e.value).count(" rows compared") == 4


def test_groups_of_ones_own_and_limits():
    own = np.where(LAB == "d", "odd", "usual")
    names = [
        test.name
        for test in FoundRelationSplit(by=own, min_rows=40).tests(FEATURES, SHIFTED, NAMES)
    ]
    assert names == ["odd", "usual"]
    assert (
        len(FoundRelationSplit(by=LAB, min_rows=40, max_groups=2).tests(FEATURES, SHIFTED, NAMES))
        == 2
    )
    with pytest.raises(SplitError, match=r"no group has at least min_rows = 200.*largest of 4"):
        FoundRelationSplit(min_rows=200).tests(FEATURES, Y, NAMES)
    with pytest.raises(SplitError, match="uses the targets"):
        list(FoundRelationSplit().folds(FEATURES, None, NAMES))
