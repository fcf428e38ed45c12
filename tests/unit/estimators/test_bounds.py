"""Targets of which only bounds are known."""

import numpy as np
import pytest
from scipy.stats import truncnorm

from xtalshift.estimators.bounds import settle, truncated_moments


@pytest.mark.parametrize("center", [-3.0, 0.0, 2.0, 6.0])
@pytest.mark.parametrize(("lower", "upper"), [(-np.inf, 0.5), (0.5, np.inf), (-1.0, 0.5)])
def test_moments_are_those_of_a_truncated_normal_law(center, lower, upper):
    found = truncated_moments(np.array([center]), 2.0, np.array([lower]), np.array([upper]))
    law = truncnorm((lower - center) / 2, (upper - center) / 2, loc=center, scale=2)
    assert found[0] == pytest.approx([law.mean()], rel=1e-6)
    assert found[1] == pytest.approx([law.var()], rel=1e-4)


def test_means_stay_between_bounds_that_are_far_away():
    lower, upper = np.array([-np.inf, 50.0, -np.inf]), np.array([-50.0, np.inf, 1e6])
    means, variances = truncated_moments(np.zeros(3), 1.0, lower, upper)
    assert -51 < means[0] < -50
    assert 50 < means[1] < 51
    assert means[2] == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(variances).all()


def line(X):
    design = np.column_stack([np.ones(len(X)), X])
    return lambda y: design @ np.linalg.lstsq(design, y, rcond=None)[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("below", [True, False])
def test_a_truth_with_30_percent_beyond_a_limit_is_recovered(seed, below):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, 2000)
    y = 1.0 + 2.0 * x + rng.normal(0, 1.0, 2000)
    limit = np.quantile(y, 0.3 if below else 0.7)
    beyond = y < limit if below else y > limit
    seen = np.where(beyond, limit, y)
    lower = np.where(beyond & below, -np.inf, seen)
    upper = np.where(beyond & (not below), np.inf, seen)
    found = settle(seen, lower, upper, line(x))

    def slope(x, y):
        return np.polyfit(x, y, 1)[0]

    whole = slope(x, y)
    assert slope(x, found) == pytest.approx(whole, rel=0.05)
    assert abs(slope(x[~beyond], y[~beyond]) / whole - 1) > 0.15
    assert found[~beyond].tolist() == y[~beyond].tolist()
    assert ((found[beyond] < limit) == below).all()


def test_values_are_left_as_they_are():
    y = np.arange(3.0)
    assert settle(y, y, y, None).tolist() == y.tolist()


def test_predictions_without_error_keep_the_bounds():
    y = np.array([0.0, 1.0, 1.0])
    found = settle(y, np.array([0.0, 1.0, -np.inf]), y, lambda z: z)
    assert found.tolist() == y.tolist()
