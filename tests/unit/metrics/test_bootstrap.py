"""The bootstrap: against a loop, its coverage, and the effect of groups."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import Interval, bootstrap, bootstrap_mean

X = np.random.default_rng(0).normal(3.0, 2.0, size=101)
GROUPS = np.random.default_rng(1).integers(0, 17, size=101)


def slow(values, groups, level, n_resamples, seed):
    """Draw the same groups one resample at a time and join their rows."""
    generator = np.random.default_rng(seed)
    rows = [values[groups == name] for name in np.unique(groups)]
    means = []
    for _ in range(n_resamples):
        drawn = generator.integers(0, len(rows), size=len(rows))
        means.append(np.concatenate([rows[i] for i in drawn]).mean())
    return np.percentile(means, [50 * (1 - level), 50 * (1 + level)])


@pytest.mark.parametrize("groups", [GROUPS, np.arange(101)])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_against_a_loop(groups, level):
    found = bootstrap_mean(X, groups=groups, level=level, n_resamples=300, seed=7)
    np.testing.assert_allclose(found, slow(X, groups, level, 300, 7), rtol=1e-12)


def test_rows_are_groups_of_their_own():
    assert bootstrap_mean(X) == bootstrap_mean(X, groups=np.arange(101))
    # an order of names that is that of the rows
    assert bootstrap_mean(X) == bootstrap_mean(X, groups=[f"{i:03d}" for i in range(101)])


def test_the_size_of_the_parts_does_not_matter(monkeypatch):
    whole = bootstrap_mean(X), bootstrap_mean(X, groups=GROUPS)
    monkeypatch.setattr(bootstrap, "_CHUNK", 250)
    assert (bootstrap_mean(X), bootstrap_mean(X, groups=GROUPS)) == whole


def test_it_is_near_the_normal_interval():
    low, high = bootstrap_mean(X, n_resamples=4000)
    half = 1.96 * X.std() / math.sqrt(len(X))
    assert low == pytest.approx(X.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(X.mean() + half, abs=0.1 * half)


def test_the_interval_holds_the_mean_as_often_as_promised():
    generator, held = np.random.default_rng(0), 0
    for seed in range(300):
        low, high = bootstrap_mean(generator.normal(size=60), level=0.8, n_resamples=300, seed=seed)
        held += low <= 0 <= high
    assert held / 300 == pytest.approx(0.8, abs=0.07)  # three standard errors


def test_rows_that_repeat_each_other_tell_nothing_new():
    groups = np.repeat(np.arange(101), 9)
    apart = bootstrap_mean(np.repeat(X, 9))
    together = bootstrap_mean(np.repeat(X, 9), groups=groups)
    np.testing.assert_allclose(together, bootstrap_mean(X), rtol=1e-12)
    assert apart.high - apart.low == pytest.approx((together.high - together.low) / 3, rel=0.1)


def test_seeds():
    assert bootstrap_mean(X) == bootstrap_mean(X, seed=0) != bootstrap_mean(X, seed=1)
    assert bootstrap_mean(X, seed=np.random.default_rng(0)) == bootstrap_mean(X)


@pytest.mark.parametrize(
    ("values", "groups"), [([], None), ([1.0], None), ([1.0, 2.0], ["a", "a"]), ([], [])]
)
def test_one_group_is_too_little(values, groups):
    found = bootstrap_mean(values, groups=groups)
    assert isinstance(found, Interval)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@given(st.floats(-1e6, 1e6), st.integers(2, 20))
def test_equal_values_have_no_spread(value, n):
    assert bootstrap_mean([value] * n, n_resamples=10) == (value, value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(0.01, 0.99))
def test_the_bounds_are_in_order_and_within_the_values(values, level):
    low, high = bootstrap_mean(values, level=level, n_resamples=20)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= high <= max(values) + slack


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match=r"values\[1\] is nan"):
        bootstrap_mean([1.0, math.nan])
    with pytest.raises(DataError, match=r"groups has shape \(3,\); expected .* \(2,\)"):
        bootstrap_mean([1.0, 2.0], groups=["a", "b", "c"])
    with pytest.raises(DataError, match=r"groups cannot be sorted .* none missing"):
        bootstrap_mean([1.0, 2.0], groups=np.array(["NaCl", None], dtype=object))
    with pytest.raises(ConfigError, match=r"level=1\.0"):
        bootstrap_mean([1.0, 2.0], level=1.0)
    with pytest.raises(ConfigError, match="n_resamples=0: expected at least 1"):
        bootstrap_mean([1.0, 2.0], n_resamples=0)
