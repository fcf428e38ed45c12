"""Intervals: by hand, against a slow twin, and of a normal distribution."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import IntervalScores, interval_scores

numbers = st.floats(-1e6, 1e6)
levels = st.floats(0.01, 0.99)


def test_by_hand():
    # widths 2 2 4; the second target is 1 above, the third 0.5 below; 2 / (1 - 0.75) is 8
    found = interval_scores([0.0, 3.0, -0.5], [-1, 0, 0], [1, 2, 4], level=0.75)
    assert found == IntervalScores(1 / 3, pytest.approx(8 / 3), pytest.approx((8 + 8 + 4) / 3))


def test_bounds_belong_to_the_interval():
    assert interval_scores([1.0, 2.0], [1, 1], [2, 2], level=0.9) == (1.0, 1.0, 1.0)
    assert interval_scores([1.0], [1.0], [1.0], level=0.9) == (1.0, 0.0, 0.0)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=20), levels)
def test_against_a_loop(rows, level):
    y = [row[0] for row in rows]
    low, high = [min(row[1:]) for row in rows], [max(row[1:]) for row in rows]
    scores, inside = [], []
    for target, a, b in zip(y, low, high, strict=True):
        score = b - a
        if target < a:
            score += 2 / (1 - level) * (a - target)
        if target > b:
            score += 2 / (1 - level) * (target - b)
        scores.append(score)
        inside.append(a <= target <= b)
    found = interval_scores(y, low, high, level=level)
    assert found.coverage == pytest.approx(np.mean(inside))
    assert found.mean_width == pytest.approx(np.mean(np.subtract(high, low)))
    assert found.interval_score == pytest.approx(np.mean(scores))


def test_sides_without_bound():
    found = interval_scores([0.0, 5.0], [-math.inf, 0.0], [1.0, 2.0], level=0.5)
    assert found == (0.5, math.inf, math.inf)
    assert interval_scores([0.0], [-math.inf], [math.inf], level=0.5).coverage == 1.0


def test_the_true_quantiles_score_best():
    y = np.random.default_rng(0).normal(size=20_000)

    def score(width):
        low, high = (np.full(len(y), width * bound) for bound in norm.interval(0.8))
        return interval_scores(y, low, high, level=0.8)

    assert score(1.0).coverage == pytest.approx(0.8, abs=0.01)
    assert score(1.0).interval_score < min(score(0.8).interval_score, score(1.2).interval_score)


@pytest.mark.parametrize(
    ("targets", "lower", "upper", "message"),
    [
        ([], [], [], "expected equal lengths above 0"),
        ([1.0], [1.0, 2.0], [3.0], r"low\.shape=\(2,\) and high\.shape=\(1,\): expected equal"),
        ([[1.0]], [1.0], [3.0], r"targets has shape \(1, 1\)"),
        ([math.inf], [1.0], [3.0], r"targets\[0\] is inf; expected a finite number"),
        ([1.0, 1.0], [1.0, math.nan], [3.0, 3.0], r"lower\[1\] is nan; expected a number"),
        ([1.0], [1.0], [math.nan], r"upper\[0\] is nan"),
        ([1.0, 1.0], [0.0, 3.0], [1.0, 2.0], r"lower\[1\] = 3.0 and upper\[1\] = 2.0: .* sort"),
        ([1.0], [math.inf], [math.inf], r"lower\[0\] = inf"),
        ([1.0], [-math.inf], [-math.inf], r"upper\[0\] = -inf"),
    ],
)
def test_what_is_no_interval_is_refused(targets, lower, upper, message):
    with pytest.raises(DataError, match=message):
        interval_scores(targets, lower, upper, level=0.9)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, math.nan])
def test_levels_are_between_0_and_1(level):
    with pytest.raises(ConfigError, match=r"level=.*: expected a share between 0 and 1"):
        interval_scores([1.0], [0.0], [2.0], level=level)
