"""Relation shifts that are found: groups whose residuals under a model of the others differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError
from xtalshift.splits import FoundRelationSplit, find_relations
from xtalshift.splits.relation import correct_holm

METALS = (3, 11, 19, 37, 55, 4, 12, 20, 38, 56, *range(21, 31), *range(39, 47))
CATIONS = [SYMBOLS[z] for z in METALS]
GROUPS = np.array([f"{a}{n}{b}" for a in CATIONS for b in ("F", "O", "S", "Cl") for n in ("", "3")])
FAMILY = np.array([name.rstrip("0123456789")[-1] for name in GROUPS])  # "l" for Cl
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(len(GROUPS), 2))  # says nothing of the family
Y = X[:, 0] + 0.1 * GENERATOR.normal(size=len(GROUPS))
SHIFTED = np.where(FAMILY == "S", Y + 2.0, Y)


def test_the_family_with_another_relation_is_found_and_no_other():
    (fold,) = FoundRelationSplit(shift=1.0).folds(X, SHIFTED, GROUPS)
    assert fold.name == "family chalcogenide"
    assert set(fold.test) == set(np.flatnonzero(FAMILY == "S"))
    assert fold.note.startswith("shift +")
    assert "rows compared" in fold.note


def test_every_group_has_its_test():
    tests = find_relations(X, SHIFTED, GROUPS)
    assert [test.name for test in tests] == ["fluoride", "oxide", "halide", "chalcogenide"]
    chalcogenide = tests[3]
    assert chalcogenide.rows.tolist() == (FAMILY == "S").tolist()
    assert chalcogenide.result.shift > 2
    assert chalcogenide.p_holm < 1e-6
    for test in tests[:3]:  # their source models learn the shifted family, a third of their rows
        assert -1.0 < test.result.shift < 0


def test_where_nothing_differs_the_tests_are_told():
    with pytest.raises(SplitError, match=r"no group follows another relation .*oxide: shift") as e:
        list(FoundRelationSplit().folds(X, Y, GROUPS))
    assert str(e.value).count(" rows compared") == 4


def test_groups_of_ones_own_and_limits():
    own = np.where(FAMILY == "S", "odd", "usual")
    names = [test.name for test in find_relations(X, SHIFTED, GROUPS, by=own)]
    assert names == ["odd", "usual"]
    assert len(find_relations(X, SHIFTED, GROUPS, max_groups=2)) == 2
    with pytest.raises(SplitError, match=r"no group has at least min_rows = 200.*largest of 4"):
        find_relations(X, Y, GROUPS, min_rows=200)
    with pytest.raises(SplitError, match="looks at the targets"):
        list(FoundRelationSplit().folds(X, None, GROUPS))


def test_holm_by_hand():
    # ordered 0.01 0.02 0.03 times 3 2 1 is 0.03 0.04 0.03, never falling: 0.03 0.04 0.04
    found = correct_holm(np.array([0.03, np.nan, 0.01, 0.02]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.03, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_smaller_and_keeps_the_order(values):
    p = np.array(values)
    found = correct_holm(p)
    assert (found >= p).all()
    assert (found <= 1).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()
