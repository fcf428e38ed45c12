"""Pareto fronts and hypervolumes that are known by hand, and by the library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moocore import hypervolume as reference_hypervolume

from xtalshift.errors import ConfigError, DataError, UsageError
from xtalshift.metrics.pareto import (
    Front,
    choose_by_hypervolume,
    hypervolume,
    nondominated,
    read_goals,
    reference_point,
    upward,
)


def test_goals_are_one_for_each_target():
    assert read_goals("max, min,-", ["a", "b", "c"]) == ("max", "min", "-")
    with pytest.raises(UsageError, match="expected 3 of max, min and -"):
        read_goals("max,min", ["a", "b", "c"])
    with pytest.raises(UsageError, match="expected 2 of max"):
        read_goals("max,low", ["a", "b"])
    with pytest.raises(UsageError, match="two targets or more"):
        read_goals("max,-", ["a", "b"])


def test_goals_choose_columns_and_signs():
    values = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert upward(values, ("max", "-", "min")).tolist() == [[1, -3], [4, -6]]
    with pytest.raises(DataError, match="3 values for 2 goals"):
        upward(values, ("max", "min"))


def test_a_front_by_hand():
    values = np.array([[1, 5], [3, 3], [3, 3], [2, 2], [5, 1], [5, 0], [np.nan, 9]], dtype=float)
    assert np.flatnonzero(nondominated(values)).tolist() == [0, 1, 4]
    assert not nondominated(np.full((2, 2), np.nan)).any()
    assert nondominated(np.empty((0, 2))).shape == (0,)


def test_hypervolumes_by_hand():
    steps = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    # 3 + 2 + 1 unit squares
    assert hypervolume(steps, np.zeros(2)) == pytest.approx(6.0)
    assert hypervolume(steps, np.array([1.0, 1.0])) == pytest.approx(1.0)
    assert hypervolume(steps, np.array([9.0, 9.0])) == 0.0
    cube = np.array([[2.0, 2.0, 2.0], [1.0, 1.0, 3.0]])
    assert hypervolume(cube, np.zeros(3)) == pytest.approx(9.0)


def test_the_reference_point_is_a_tenth_below_the_front():
    values = np.array([[1.0, 50.0], [3.0, 30.0], [0.0, 0.0], [np.nan, 1.0]])
    np.testing.assert_allclose(reference_point(values), [0.8, 28.0])
    # a front of one row: the range of all rows
    np.testing.assert_allclose(reference_point(np.array([[3.0, 40], [1, 20]])), [2.8, 38.0])
    with pytest.raises(DataError, match="no row has all values"):
        reference_point(np.full((2, 2), np.nan))


def test_improvements_by_hand():
    front = Front(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0]]), np.zeros(2))
    points = np.array([[2.0, 2.0], [3.0, 3.0], [4.0, 0.5], [0.5, 4.0], [-1.0, 9.0], [9.0, 0.0]])
    np.testing.assert_allclose(front.improvement(points), [0.0, 3.0, 0.5, 0.5, 0.0, 0.0])
    nothing = Front(np.empty((0, 2)), np.array([1.0, 1.0]))
    np.testing.assert_allclose(nothing.improvement(np.array([[3.0, 4.0]])), [6.0])
    np.testing.assert_allclose(front.plus(points[1]).improvement(points), [0, 0, 0.5, 0.5, 0, 0])


numbers = st.integers(-6, 6).map(float)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.data())
def test_an_improvement_is_the_difference_of_two_hypervolumes(g, data):
    rows = st.lists(st.lists(numbers, min_size=g, max_size=g), max_size=8)
    known = np.array(data.draw(rows), dtype=float).reshape(-1, g)
    points = np.array(data.draw(rows), dtype=float).reshape(-1, g)
    low = np.array(data.draw(st.lists(numbers, min_size=g, max_size=g)))

    def volume(values):
        above = values[(values > low).all(axis=1)]
        return reference_hypervolume(above, ref=low, maximise=True) if len(above) else 0.0

    expected = [volume(np.vstack([known, one])) - volume(known) for one in points]
    np.testing.assert_allclose(Front(known, low).improvement(points), expected, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_lazy_choice_is_the_greedy_one(data):
    rows = st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=9)
    values = np.array(data.draw(rows), dtype=float)
    low = np.full(2, -7.0)
    k = data.draw(st.integers(1, 9))
    chosen: list[int] = []
    for _ in range(min(k, len(values))):
        gains = [
            -1.0 if row in chosen else round(hypervolume(values[[*chosen, row]], low), 9)
            for row in range(len(values))
        ]
        chosen.append(int(np.argmax(gains)))
    found = choose_by_hypervolume(values, k, low)
    assert len(set(found.tolist())) == len(chosen)
    assert hypervolume(values[found], low) == pytest.approx(hypervolume(values[chosen], low))


def test_more_than_three_goals_are_refused():
    with pytest.raises(ConfigError, match="at most 3"):
        Front(np.zeros((1, 4)), np.zeros(4))
