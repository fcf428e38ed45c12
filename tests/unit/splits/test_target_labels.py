"""Target labels of several budgets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.errors import SplitError
from xtalshift.splits import (
    Fold,
    add_targets,
)

FORMULAS = np.array([f"{a}{b}" for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")], object)
X = np.zeros((12, 1))


@settings(max_examples=100)
@given(st.data(), st.integers(0, 99))
def test_larger_budgets_contain_smaller_ones(data, seed):
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=6, max_size=20))
    groups = np.repeat([f"g{number:02}" for number in range(len(sizes))], sizes)
    test = np.arange(len(groups))[1:]
    fold = Fold(train=np.array([0]), test=test)
    budgets = data.draw(st.lists(st.integers(1, len(test) - 3), min_size=1, max_size=4))
    try:
        more = add_targets(fold, groups, budgets, seed)
    except SplitError as refusal:
        reason = str(refusal)
    else:
        reason = ""
    if reason:
        assert "cannot be met by whole formulas" in reason
        return
    assert len(more.target) == max(budgets)
    assert sorted([*more.target, *more.test]) == test.tolist()
    before = set()
    for budget in sorted(set(budgets)):
        labels = more.target[:budget].tolist()
        assert len(labels) == budget
        assert before <= set(labels)
        others = np.setdiff1d(test, labels)
        assert not set(groups[labels]) & set(groups[others])
        before = set(labels)


def test_target_labels_are_drawn_in_random_order():
    fold = Fold(train=np.array([0]), test=np.arange(1, 12))
    numbers = np.random.default_rng(4).permutation(11)
    names = np.unique(FORMULAS[1:])
    chosen = [int(np.flatnonzero(names[number] == FORMULAS)[0]) for number in numbers[:3]]
    assert add_targets(fold, FORMULAS, [1, 3], 4).target.tolist() == chosen


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([4], r"budget of 4 target labels, but only 4 rows are held out in fold 'a'; at most 3"),
        ([0, 2], r"at least 1, got \[0, 2\]"),
        ([], r"at least 1, got \[\]"),
    ],
)
def test_impossible_budgets_say_what_is_possible(budgets, message):
    fold = Fold(train=np.arange(8), test=np.arange(8, 12), name="a")
    with pytest.raises(SplitError, match=message):
        add_targets(fold, FORMULAS, budgets)


def test_budgets_that_whole_formulas_cannot_meet():
    groups = np.repeat(["a", "b", "c"], 2)
    fold = Fold(train=np.array([0, 1]), test=np.arange(2, 6))
    with pytest.raises(SplitError, match="1 target labels cannot be met by whole formulas: 0 are"):
        add_targets(fold, groups, [1], 0)


def test_budgets_are_met_exactly_wherever_whole_formulas_can():
    groups = np.repeat(["a", "b", "c", "d"], [3, 2, 2, 3])
    fold = Fold(train=np.zeros(0, int), test=np.arange(10))
    for seed in range(10):
        assert sorted(add_targets(fold, groups, [4], seed).target) == [3, 4, 5, 6]


def test_target_labels_are_not_taken_twice():
    fold = Fold(train=np.arange(4), test=np.arange(4, 8), target=np.array([9, 8]))
    with pytest.raises(SplitError, match="has 2 target labels already; leave out the budgets"):
        add_targets(fold, FORMULAS, [2], 0)
