"""Scores of candidates against quadrature and Monte Carlo, and what they refuse."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from xtalshift.acquisition.acquisition_functions import (
    confidence_bound,
    expected_improvement,
    probability_beyond,
    probability_within,
    target_improvement,
)
from xtalshift.errors import ConfigError, DataError

values = st.floats(-5, 5)
spreads = st.floats(0.01, 5)


def expectation(gain, mean, std, kinks):
    """Return ``E[gain(y)]`` by quadrature between the kinks."""
    edges = sorted({mean - 12 * std, *kinks, mean + 12 * std})
    parts = [
        quad(lambda y: gain(y) * norm.pdf(y, mean, std), low, high, epsabs=1e-14, limit=200)[0]
        for low, high in itertools.pairwise(edges)
        if high > low
    ]
    return math.fsum(parts)


@settings(deadline=None)
@given(values, spreads, values)
def test_expected_improvement_is_the_integral(mean, std, best):
    high = expectation(lambda y: max(0, y - best), mean, std, [best])
    low = expectation(lambda y: max(0, best - y), mean, std, [best])
    assert expected_improvement([mean], [std], best)[0] == pytest.approx(high, abs=1e-9)
    assert expected_improvement([mean], [std], best, "low")[0] == pytest.approx(low, abs=1e-9)


def test_expected_improvement_known_answers():
    # at the best value itself it is std / sqrt(2 pi)
    found = expected_improvement([3.0, 3.0, 5.0, 1.0], [2.0, 0.0, 0.0, 0.0], best=3.0)
    assert found.tolist() == pytest.approx([2 / math.sqrt(2 * math.pi), 0.0, 2.0, 0.0])


@pytest.mark.parametrize("z", [-1.5, -5.0, -15.0, -30.0])
def test_expected_improvement_keeps_its_digits_far_below_the_best(z):
    # it is the integral of the distribution function; scaled by the density nothing underflows
    scaled, _ = quad(lambda t: t * math.exp(z * t - t**2 / 2), 0, np.inf, epsabs=0, epsrel=1e-12)
    expected = scaled * norm.pdf(z)
    assert expected_improvement([z], [1.0], 0.0)[0] == pytest.approx(expected, rel=1e-10, abs=0)


def test_expected_improvement_of_the_impossible_is_zero():
    found = expected_improvement([-1e9, -1.0, 1e9], [1.0, 1e-320, 1e-320], best=0.0)
    assert found.tolist() == [0.0, 0.0, 1e9]


@settings(deadline=None)
@given(values, spreads, values, values)
def test_target_improvement_is_the_integral(mean, std, target, best):
    reach = abs(best - target)
    expected = expectation(
        lambda y: max(0, reach - abs(y - target)),
        mean,
        std,
        [target - reach, target, target + reach],
    )
    found = target_improvement([mean], [std], target, best)[0]
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0 <= found <= reach


def test_target_improvement_is_the_mean_of_draws():
    draws = np.random.default_rng(0).normal(1.4, 0.3, 400_000)
    expected = np.maximum(0, 0.25 - np.abs(draws - 1.5))
    found = target_improvement([1.4], [0.3], target=1.5, best=1.75)[0]
    assert found == pytest.approx(expected.mean(), abs=4 * expected.std() / 400_000**0.5)


@pytest.mark.parametrize("off", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("reach", [1e-8, 1e-3, 0.0099, 0.0101, 0.1])
def test_target_improvement_keeps_its_digits_for_a_narrow_gap(off, reach):
    # with y = reach * u both halves of the tent are one smooth integral without a small number
    def tent(u):
        return (1 - u) * 2 * math.cosh(off * reach * u) * math.exp(-((reach * u) ** 2) / 2)

    integral, _ = quad(tent, 0, 1, epsabs=0, epsrel=1e-12)
    expected = reach**2 * norm.pdf(off) * integral
    found = target_improvement([off], [1.0], target=0.0, best=reach)[0]
    assert found == pytest.approx(expected, rel=1e-8, abs=0)


def test_target_improvement_of_the_certain_is_how_much_nearer_they_are():
    found = target_improvement([1.0, 2.0, 2.5, 9.0], [0.0] * 4, target=2.0, best=3.0)
    assert found.tolist() == [0.0, 1.0, 0.5, 0.0]
    assert target_improvement([2.0], [1.0], target=2.0, best=2.0).tolist() == [0.0]


@given(values, spreads, values, values, st.floats(0.5, 2))
def test_scores_follow_shift_mirror_and_unit(mean, std, best, shift, unit):
    score = expected_improvement([mean], [std], best)[0]
    mirrored = expected_improvement([-mean], [std], -best, "low")[0]
    moved = expected_improvement([unit * mean + shift], [unit * std], unit * best + shift)[0]
    assert mirrored == pytest.approx(score, rel=1e-9)
    assert moved == pytest.approx(unit * score, rel=1e-6, abs=1e-9)
    wanted = target_improvement([mean], [std], shift, best)[0]
    assert target_improvement([-mean], [std], -shift, -best)[0] == pytest.approx(wanted, abs=1e-12)


@given(values, spreads, values, st.floats(0.01, 5))
def test_probabilities_are_those_of_the_normal(mean, std, edge, width):
    beyond = probability_beyond([mean], [std], edge)[0]
    assert beyond == pytest.approx(norm.sf(edge, mean, std), rel=1e-9, abs=1e-300)
    assert beyond + probability_beyond([mean], [std], edge, "low")[0] == pytest.approx(1.0)
    within = probability_within([mean], [std], edge, edge + width)[0]
    expected = norm.cdf(edge + width, mean, std) - norm.cdf(edge, mean, std)
    assert within == pytest.approx(expected, abs=1e-12)


def test_a_window_far_away_keeps_its_digits_on_both_sides():
    expected = norm.sf(9.0) - norm.sf(10.0)
    found = probability_within([0.0, 19.0], [1.0, 1.0], 9.0, 10.0)
    assert found.tolist() == pytest.approx([expected, expected], rel=1e-12, abs=0)


def test_certain_predictions_are_inside_or_not():
    means, certain = [1.0, 2.0, 3.0, 3.5], [0.0] * 4
    assert probability_beyond(means, certain, 2.0).tolist() == [0, 1, 1, 1]
    assert probability_beyond(means, certain, 2.0, "low").tolist() == [1, 1, 0, 0]
    assert probability_within(means, certain, 2.0, 3.0).tolist() == [0, 1, 1, 0]


def test_bounds_and_widths_by_hand():
    assert confidence_bound([1.0, 2.0], [0.5, 0.0], kappa=3).tolist() == [2.5, 2.0]
    assert confidence_bound([1.0, 2.0], [0.5, 0.0], 3, "low").tolist() == [0.5, -2.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_improvement([0, np.nan], [1, 1], 0), r"mean\[1\] is nan.*leave out"),
        (lambda: expected_improvement([0, 1], [1, -2], 0), r"std\[1\] is -2\.0.*at least 0"),
        (lambda: target_improvement([0, 1], [np.inf, 1], 0, 1), r"std\[0\] is inf"),
        (lambda: probability_beyond([0, 1], [1], 0), r"mean has shape \(2,\) and std \(1,\)"),
        (lambda: confidence_bound([[0]], [[1]]), r"expected one number of each per candidate"),
    ],
)
def test_bad_rows_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_improvement([0], [1], np.nan), "best = nan: expected a finite"),
        (lambda: expected_improvement([0], [1], 0, "up"), "direction='up': expected \"high\""),
        (lambda: target_improvement([0], [1], np.inf, 0), "target = inf"),
        (lambda: probability_within([0], [1], 2, 2), "expected a window with lower < upper"),
        (lambda: probability_within([0], [1], -np.inf, 2), "lower = -inf"),
        (lambda: confidence_bound([0], [1], -1), "kappa=-1: expected at least 0"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
