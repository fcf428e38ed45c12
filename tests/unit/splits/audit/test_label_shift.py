import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from xtalshift.errors import ConfigError, DataError
from xtalshift.splits.audit.label_shift import bbse_shares, em_shares, estimate_shares

BEFORE, AFTER = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.2, 0.6])


def rows(rng, shares, n):
    """Return true probabilities, for a classifier of rows with the shares BEFORE, and classes."""
    y = rng.choice(3, n, p=shares)
    x = rng.normal(np.array([[0, 0], [1.5, 0], [0, 1.5]])[y])
    logits = np.column_stack([0 * x[:, 0], 1.5 * x[:, 0] - 1.125, 1.5 * x[:, 1] - 1.125])
    p = np.exp(logits + np.log(BEFORE))
    return p / p.sum(1, keepdims=True), y


@pytest.mark.parametrize("method", ["em", "bbse"])
def test_shares_are_found_within_their_interval(method):
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        (p, y), (new, _) = rows(rng, BEFORE, 800), rows(rng, AFTER, 800)
        found = estimate_shares(p, y, new, method=method, n_resamples=100, random_state=seed)
        assert found.shares.sum() == pytest.approx(1)
        # of the new rows as drawn, or of their source: the interval is for the latter
        inside.append((found.low <= AFTER) & (found.high >= AFTER))
        assert np.abs(found.shares - AFTER).max() < 0.2
        known = np.bincount(y) / 800
        np.testing.assert_allclose(found.ratios, found.shares / known)
    assert 0.88 <= np.mean(inside) <= 0.99


def test_certain_predictions_are_counted():
    new = np.eye(3)[[0, 1, 1, 2]]
    np.testing.assert_allclose(em_shares(new, [0.2, 0.2, 0.6]), [0.25, 0.5, 0.25])
    np.testing.assert_allclose(bbse_shares(np.eye(3), [0, 1, 2], new), [0.25, 0.5, 0.25])


@given(st.integers(0, 10**6))
def test_em_of_two_classes_is_the_maximum_of_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 1, 30)
    s = rng.uniform(0.2, 0.8)

    def loss(q):
        return -np.sum(np.log((1 - p) * (1 - q) / (1 - s) + p * q / s))

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9}).x
    found = em_shares(np.column_stack([1 - p, p]), [1 - s, s])[1]
    assert found == pytest.approx(best, abs=2e-3)
    assert loss(min(max(found, 1e-12), 1 - 1e-12)) <= loss(best) + 1e-5


def test_bbse_needs_no_calibrated_probabilities_and_em_does():
    rng = np.random.default_rng(1)
    (p, y), (new, _) = rows(rng, BEFORE, 20_000), rows(rng, AFTER, 20_000)
    sharp = [q**3 / (q**3).sum(1, keepdims=True) for q in (p, new)]
    assert np.abs(bbse_shares(sharp[0], y, sharp[1]) - AFTER).max() < 0.02
    assert np.abs(em_shares(new, BEFORE) - AFTER).max() < 0.02
    assert np.abs(em_shares(sharp[1], BEFORE) - AFTER).max() > 0.02


@pytest.mark.parametrize("method", ["em", "bbse"])
def test_the_same_rows_have_the_same_shares(method):
    rng = np.random.default_rng(2)
    (p, y), (new, _) = rows(rng, BEFORE, 3000), rows(rng, BEFORE, 3000)
    found = estimate_shares(p, y, new, method=method, n_resamples=50)
    np.testing.assert_allclose(found.ratios, 1.0, atol=0.3)
    again = estimate_shares(p, y, new, method=method, n_resamples=50)
    np.testing.assert_array_equal(again.low, found.low)


def test_a_class_that_no_known_row_has_keeps_the_share_0():
    p = [[0.7, 0.3, 0.0]] * 10 + [[0.2, 0.8, 0.0]] * 10
    for method in ("em", "bbse"):
        found = estimate_shares(p, [0] * 10 + [1] * 10, [[0.4, 0.4, 0.2]], method=method)
        assert found.shares[2] == 0
        assert np.isnan(found.ratios[2])
        assert found.shares.sum() == pytest.approx(1)
    assert em_shares([[0.0, 0.0, 1.0]], [0.5, 0.5, 0.0]).tolist() == [0.5, 0.5, 0.0]


def test_what_has_no_shares_is_refused():
    p, new = [[0.5, 0.5]] * 4, [[0.5, 0.5]]
    with pytest.raises(ConfigError, match="method = 'rlls'; expected em, bbse"):
        estimate_shares(p, [0, 1, 0, 1], new, method="rlls")
    with pytest.raises(ConfigError, match="level=2"):
        estimate_shares(p, [0, 1, 0, 1], new, level=2)
    with pytest.raises(DataError, match="rows of the same classes"):
        bbse_shares(p, [0, 1, 0, 1], [[0.2, 0.3, 0.5]])
    with pytest.raises(DataError, match="rows of the same classes"):
        bbse_shares(p, [0, 1, 0, 1], np.zeros((0, 2)))
    with pytest.raises(DataError, match="one share per class"):
        em_shares(new, [0.2, 0.3, 0.5])
    with pytest.raises(DataError, match="one share per class"):
        em_shares(np.zeros((0, 2)), [0.5, 0.5])
