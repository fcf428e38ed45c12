"""Worth and cost of labels: by hand, and what must hold of any curve."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.errors import DataError
from xtalshift.metrics import forgetting, label_efficiency

BUDGETS, ERRORS = [10, 40, 160], [1.0, 0.5, 0.25]
curves = st.lists(
    st.tuples(st.integers(1, 1000), st.floats(0.0, 10.0)),
    min_size=1,
    max_size=8,
    unique_by=lambda point: point[0],
)


def test_by_hand():
    # at a point, and half way between two in the error: the geometric mean of their budgets
    found = label_efficiency([10, 10, 20, 40], [0.5, 0.75, 0.25, 0.5], BUDGETS, ERRORS)
    assert found == pytest.approx([4.0, 2.0, 8.0, 1.0])
    assert all(type(value) is float for value in found)
    (found,) = label_efficiency([10], [0.375], BUDGETS, ERRORS)
    assert found == pytest.approx(8.0)


def test_beyond_the_ends_of_the_reference():
    # no better than at the smallest budget, worse, and better than ever
    assert label_efficiency([20, 20, 20], [1.0, 3.0, 0.2], BUDGETS, ERRORS) == [0.5, 0.5, math.inf]


def test_a_rise_of_the_reference_is_no_need_for_fewer_labels():
    # made monotone: 1 at 10 and 20, so that the way to 0.5 begins at 20
    found = label_efficiency([1, 1, 1], [1.0, 0.75, 0.5], [10, 20, 80], [1.0, 1.5, 0.5])
    assert found == pytest.approx([10.0, 40.0, 80.0])
    # worse with more labels: the best error counts, at the budget that first has it
    assert label_efficiency([5], [0.5], [10, 20, 40], [1.0, 0.5, 0.9]) == [4.0]


def test_the_order_of_the_reference_does_not_matter():
    shuffled = label_efficiency([10], [0.6], [160, 10, 40], [0.25, 1.0, 0.5])
    assert shuffled == label_efficiency([10], [0.6], BUDGETS, ERRORS)


def test_one_reference_budget_and_no_budget():
    assert label_efficiency([5, 5], [0.5, 0.4], [10], [0.5]) == [2.0, math.inf]
    assert label_efficiency([], [], [10], [0.5]) == []


@given(curves)
def test_a_falling_curve_is_as_efficient_as_itself(points):
    n = sorted(budget for budget, _ in points)
    e = sorted({error for _, error in points}, reverse=True)
    n = n[: len(e)]
    assert label_efficiency(n, e, n, e) == [1.0] * len(n)


@given(curves, st.lists(st.floats(0.0, 12.0), min_size=2, max_size=6))
def test_smaller_errors_need_more_labels(points, errors):
    n, e = zip(*points, strict=True)
    errors = sorted(errors, reverse=True)
    found = label_efficiency([1] * len(errors), errors, n, e)
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(found))
    for error, needed in zip(errors, found, strict=True):
        assert min(n) <= needed
        assert (needed == math.inf) == (error < min(e))
        assert needed == math.inf or needed <= max(n) * (1 + 1e-12)


def test_inputs_are_left_alone():
    n, e = np.array([40.0, 10.0, 160.0]), np.array([0.5, 1.0, 0.7])
    label_efficiency([10.0], [0.6], n, e)
    assert n.tolist() == [40.0, 10.0, 160.0]
    assert e.tolist() == [0.5, 1.0, 0.7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1.0], [1], [1.0]), "2 budgets and 1 errors: expected one error per budget"),
        (([1], [1.0], [1], []), "1 reference_budgets and 0 reference_errors"),
        (([1], [1.0], [], []), "reference_budgets is empty"),
        (([1], [1.0], [5, 0], [1.0, 1.0]), r"reference_budgets\[1\] is 0; .* above 0"),
        (([-1], [1.0], [5], [1.0]), r"budgets\[0\] is -1; expected a number of labels above 0"),
        (([1], [math.nan], [5], [1.0]), r"errors\[0\] is nan"),
        (([1], [1.0], [5], [math.inf]), r"reference_errors\[0\] is inf"),
        (([1], [1.0], [5, 2, 5], [1.0, 2.0, 3.0]), "has 5 more than once; average the errors"),
    ],
)
def test_what_is_no_curve_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        label_efficiency(*arguments)


def test_forgetting():
    assert forgetting(1.5, 1.0) == 0.5
    assert forgetting(0.5, 2.0) == -0.75
    assert forgetting(0.0, 2.0) == -1.0
    assert math.isnan(forgetting(1.0, 0.0))


@pytest.mark.parametrize(
    ("after", "before", "message"),
    [
        (math.nan, 1.0, "error_after is nan; expected a finite error of at least 0"),
        (1.0, math.inf, "error_before is inf"),
        (-1.0, 1.0, "error_after is -1.0"),
    ],
)
def test_what_is_no_error_is_refused(after, before, message):
    with pytest.raises(DataError, match=message):
        forgetting(after, before)
