"""Batches of candidates: what is chosen, in which order, under which limits."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from xtalshift.acquisition import batch_selection
from xtalshift.acquisition.batch_selection import select_batch
from xtalshift.errors import ConfigError, DataError

LINE = np.array([[0.0], [0.1], [1.0], [3.0]])


@st.composite
def tasks(draw):
    n = draw(st.integers(1, 12))
    few = st.sampled_from([0.0, 0.5, 1.0, 2.0, math.inf])  # so that there are ties
    scores = draw(st.lists(few, min_size=n, max_size=n))
    places = draw(st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=n, max_size=n))
    costs = draw(st.lists(st.sampled_from([0.1, 0.3, 1.0]), min_size=n, max_size=n))
    return np.array(scores), np.array(places, dtype=float), np.array(costs)


def slow_batch(scores, points, n, *, diversity, radius, costs, budget):
    """Choose as `select_batch` says it does, one candidate and one distance at a time."""
    top = 2 * max((s for s in scores if s < math.inf), default=0) or 1.0
    chosen = []
    while len(chosen) < n:
        best = None
        for i in range(len(scores)):
            total = sum(costs[j] for j in chosen) + costs[i]
            if i in chosen or total > budget + 1e-7:
                continue
            worth = min(scores[i], top) / costs[i]
            near = min((math.dist(points[i], points[j]) for j in chosen), default=math.inf)
            utility = worth * min(1, near / radius) ** diversity
            # of candidates without utility the one of largest worth
            key = (round(utility, 9), round(worth, 9) if utility == 0 else 0)
            if best is None or key > best[0]:
                best = (key, i)
        if best is None:
            break
        chosen.append(best[1])
    return chosen


@given(tasks(), st.integers(1, 14), st.sampled_from([0.0, 1.0, 2.0]), st.floats(0.2, 4))
def test_greedy_choice_equals_the_slow_one(task, n, diversity, budget):
    scores, points, costs = task
    settings = {"diversity": diversity, "radius": 1.7, "costs": costs, "budget": budget}
    found = select_batch(scores, points, n, **settings)
    expected = slow_batch(scores, points, n, **settings)
    assert found.rows.tolist() == expected


@given(tasks(), st.integers(1, 14))
def test_as_many_as_there_are_each_once_the_same_each_time(task, n):
    scores, points, costs = task
    found = select_batch(scores, points, n, costs=costs)
    assert len(set(found.rows.tolist())) == len(found.rows) == min(n, len(scores))
    assert found.score.tolist() == scores[found.rows].tolist()
    again = select_batch(scores, points, n, costs=costs)
    assert [a.tolist() for a in again] == [a.tolist() for a in found]
    # more of them begin with the same ones
    more = select_batch(scores, points, n + 1, costs=costs)
    assert more.rows[:n].tolist() == found.rows.tolist()


@given(tasks(), st.floats(0.05, 5))
def test_the_budget_is_kept_and_nothing_affordable_is_left(task, budget):
    scores, points, costs = task
    rows = select_batch(scores, points, 99, costs=costs, budget=budget).rows
    spent = math.fsum(costs[rows])
    assert spent <= budget * (1 + 1e-8)
    left = np.ones(len(scores), dtype=bool)
    left[rows] = False
    assert not (costs[left] <= budget - spent - 1e-7).any()


def test_a_budget_of_rounded_costs_is_spent_in_full():
    assert len(select_batch([1] * 4, None, 9, diversity=0, costs=[0.1] * 4, budget=0.3).rows) == 3


def test_near_ones_are_passed_over():
    found = select_batch([4.0, 3.9, 3.0, 2.0], LINE, 3, radius=2.0)
    # after 0: 3.9 * 0.05, 3 * 0.5, 2 * 1; after 3: 3.9 * 0.05, 3 * 0.5
    assert found.rows.tolist() == [0, 3, 2]
    assert found.utility.tolist() == pytest.approx([4.0, 2.0, 1.5])
    assert found.distance.tolist() == [math.inf, 3.0, 1.0]
    assert select_batch([4.0, 3.9, 3.0, 2.0], LINE, 3, diversity=0).rows.tolist() == [0, 1, 2]


def test_the_exponent_sharpens():
    # after 0: 3 * 0.5^p against 1
    rows = [
        select_batch([4, 0, 3, 1], LINE, 2, radius=2.0, diversity=p).rows[1] for p in (1.0, 2.0)
    ]
    assert rows == [2, 3]


def test_equal_scores_and_infinite_radius_are_farthest_first():
    points = np.random.default_rng(3).normal(size=(60, 3))
    known = points[:2] + 0.01
    found = select_batch(np.ones(60), points, 10, radius=math.inf, known=known)
    centres = list(known)
    for row, distance in zip(found.rows, found.distance, strict=True):
        away = [min(math.dist(p, c) for c in centres) for p in points]
        assert distance == pytest.approx(max(away))
        assert int(np.argmax(away)) == row
        centres.append(points[row])


def test_farthest_first_covers_within_twice_the_optimum():
    points = np.random.default_rng(5).normal(size=(12, 2))

    def cover(rows):
        return cdist(points, points[list(rows)]).min(axis=1).max()

    found = select_batch(np.ones(12), points, 3, radius=math.inf).rows
    assert cover(found) <= 2 * min(cover(rows) for rows in itertools.combinations(range(12), 3))


def test_score_per_cost():
    # 3 / 3, 2 / 1, 1 / 0.25
    found = select_batch([3, 2, 1], None, 3, diversity=0, costs=[3.0, 1.0, 0.25])
    assert found.rows.tolist() == [2, 1, 0]
    assert found.utility.tolist() == [4.0, 2.0, 1.0]
    within = select_batch([3, 2, 1], None, 3, diversity=0, costs=[3.0, 1.0, 0.25], budget=3.3)
    assert within.rows.tolist() == [2, 1]


def test_infinite_scores_come_first_but_not_side_by_side():
    found = select_batch([math.inf, math.inf, 3.0, math.inf], LINE, 4, radius=1.0)
    assert found.rows.tolist() == [0, 3, 2, 1]
    assert found.utility.tolist() == pytest.approx([6.0, 6.0, 3.0, 0.6])


def test_doubles_come_last_by_score():
    found = select_batch([1.0, 2.0, 3.0], np.zeros((3, 2)), 3)
    assert found.rows.tolist() == [2, 1, 0]
    assert found.utility.tolist() == [3.0, 0.0, 0.0]
    mixed = select_batch([5.0, 4.0, 0.5], np.array([[0.0], [0.0], [9.0]]), 3)
    assert mixed.rows.tolist() == [0, 2, 1]


def test_the_fallback_decides_where_no_score_does():
    found = select_batch([0.0, 3.0, 0.0, 0.0], LINE, 4, fallback=[2.0, 0.0, 1.0, 9.0], radius=1.0)
    # after 0.1 and 3.0: 2 * 0.1 against 1 * 0.9, then 2 * 0.1
    assert found.rows.tolist() == [1, 3, 2, 0]
    assert found.utility.tolist() == pytest.approx([3.0, 9.0, 0.9, 0.2])
    assert found.decisive.tolist() == [True, False, False, False]
    assert select_batch([0.0, 1.0], None, 2, diversity=0).decisive.tolist() == [True, True]
    per_cost = select_batch([0, 0], None, 2, fallback=[3, 2], diversity=0, costs=[3.0, 1.0])
    assert per_cost.rows.tolist() == [1, 0]
    # a duplicate of what is chosen comes after the fallback, by its score
    double = select_batch([2.0, 1.0, 0.0], [[0.0], [0.0], [9.0]], 3, fallback=[0.0, 0.0, 0.1])
    assert double.rows.tolist() == [0, 2, 1]
    assert double.decisive.tolist() == [True, False, True]


def test_float32_points_give_the_same_batch_and_are_not_copied_as_a_whole():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20_000, 8)).astype(np.float32)
    scores = rng.random(20_000)
    before = points.copy()
    found = select_batch(scores, points, 20, radius=3.0, known=points[:50] + 1)
    exact = select_batch(scores, points.astype(float), 20, radius=3.0, known=points[:50] + 1)
    assert found.rows.tolist() == exact.rows.tolist()
    assert np.array_equal(points, before)


def test_distances_of_doubles_are_zero_far_from_the_origin():
    points = np.random.default_rng(0).normal(size=(40, 5)) + 1e6
    found = select_batch(np.ones(40), points, 1, known=points[::-1])
    assert found.distance.tolist() == [0.0]
    assert not batch_selection._nearest(points, points[::-1]).any()
    found = select_batch([1.0], [[0.0, 0.0]], 1, known=[[3.0, 4.0], [6.0, 8.0]])
    assert found.distance.tolist() == [5.0]


def test_typical_distance_is_the_median_of_pairs_that_differ():
    def typical(points, rng=0):
        return batch_selection._typical_distance(points, rng)

    # pairs: 0.1 1 3 0.9 2.9 2
    assert typical(LINE) == pytest.approx(1.5)
    assert typical(np.array([[1], [1], [4]])) == 3.0
    assert typical(np.array([[1.0], [1.0]])) == math.inf
    many = np.random.default_rng(0).random((5000, 1))
    # the median distance of two uniform numbers is 1 - sqrt(1/2)
    assert typical(many, 1) == pytest.approx(1 - math.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [1, -2, 1, 1]}, r"scores\[1\] is -2\.0; expected at least 0: shift all"),
        ({"scores": [1, 2, math.nan, 1]}, r"scores\[2\] is nan"),
        ({"scores": [[1, 2]]}, r"scores have shape \(1, 2\)"),
        ({"fallback": [1, 2]}, r"fallback has shape \(2,\); expected \(4,\)"),
        ({"points": LINE[:3]}, r"points has shape \(3, 1\); expected \(4, d\)"),
        (
            {"points": [[0, 0], [0, math.nan], [1, 1], [2, 2]]},
            r"points\[1, 1\] is nan; expected a finite",
        ),
        ({"known": [[0.0, 1.0]]}, r"points has shape \(4, 1\) and known \(1, 2\)"),
        ({"known": [[math.inf]]}, r"known\[0, 0\] is inf"),
        ({"costs": [1, 1, 0, 1]}, r"costs\[2\] is 0\.0; expected a finite cost above 0"),
        ({"costs": [1, 1]}, r"costs has shape \(2,\); expected \(4,\)"),
        ({"scores": []}, r"scores have shape \(0,\); expected \(n,\) with n above 0"),
    ],
)
def test_bad_rows_are_named(change, message):
    arguments = {"scores": [1, 2, 3, 4], "points": LINE, "n": 2, **change}
    with pytest.raises(DataError, match=message):
        select_batch(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n=0: expected at least 1"),
        ({"diversity": -1.0}, r"diversity=-1\.0: expected a finite number of at least 0"),
        ({"radius": 0.0}, r"radius=0\.0: expected a distance above 0"),
        ({"points": None}, "needs points; give them, or diversity=0"),
        ({"budget": 3.0}, r"budget=3\.0 needs costs"),
        ({"budget": -3.0, "costs": [1] * 4}, r"budget=-3\.0: expected a finite total"),
    ],
)
def test_bad_settings_are_named(change, message):
    arguments = {"scores": [1, 2, 3, 4], "points": LINE, "n": 2, **change}
    with pytest.raises(ConfigError, match=message):
        select_batch(**arguments)


def test_known_points_may_be_none():
    assert select_batch([1, 2, 3, 4], LINE, 1, known=np.zeros((0, 1))).rows.tolist() == [3]
