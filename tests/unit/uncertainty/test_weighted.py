"""Density ratios for intervals: known ratios, and what is refused."""

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from xtalshift.errors import ConfigError, DataError
from xtalshift.importance.density_ratio import (
    effective_sample_size,
    fit_classifier,
    fit_ulsif,
)
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.weighted import shift_weights


def rng(seed=0):
    return np.random.default_rng(seed)


def calibration(X):
    return Calibration(np.ones(len(X)), X=X.astype(np.float32))


@pytest.mark.parametrize(("fit", "least"), [(fit_classifier, 0.999), (fit_ulsif, 0.95)])
def test_the_ratio_of_two_normal_distributions_is_found_also_for_new_rows(fit, least):
    source, target = rng().normal(0, 1, (3000, 1)), rng(1).normal(1, 1, (3000, 1))
    ratio = fit(source, target, rng=rng())
    new = np.linspace(-2, 2.5, 200)[:, None]
    true = norm.pdf(new[:, 0] - 1) / norm.pdf(new[:, 0])
    assert spearmanr(ratio(new), true).statistic > least
    logs = np.log(ratio(new[100:])), np.log(true[100:])  # where the target is dense
    slope = np.polyfit(logs[1], logs[0], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("method", ["classifier", "ulsif"])
def test_weights_of_the_same_distribution_are_about_equal(method):
    X = rng().normal(size=(2000, 5))
    found = shift_weights(calibration(X[:1000]), X[1000:], method=method, random_state=0)
    assert found.known.shape == (1000,)
    assert found.effective_sample_size > 700
    np.testing.assert_allclose(found(X[:1000].astype(np.float32)), found.known, rtol=1e-4)


def test_a_far_domain_leaves_few_effective_rows():
    X = rng().normal(size=(1000, 3))
    found = shift_weights(calibration(X), X + 4.0, random_state=0)
    assert found.effective_sample_size < 50
    assert (found(X + 4.0) > np.quantile(found.known, 0.9)).mean() > 0.95


def test_a_smooth_ratio_that_overlooks_the_shift_does_not_seem_to_have_many_rows():
    # ten broad directions, and a narrow one in which the domains are apart
    X = np.repeat(rng().normal(size=(1000, 10)), 5, axis=1)
    apart = rng(1).normal(size=(1000, 1)) + np.repeat([0.0, 8.0], 500)[:, None]
    X = np.hstack([X, apart])
    found = {
        method: shift_weights(calibration(X[:500]), X[500:], method=method, random_state=0)
        for method in ("classifier", "ulsif")
    }
    assert effective_sample_size(found["ulsif"].known) > 250
    assert found["ulsif"].effective_sample_size < 50
    assert found["classifier"].effective_sample_size < 50


def test_missing_features_and_constant_columns_do_no_harm():
    X = rng().normal(size=(300, 3))
    X[::7, 1] = np.nan
    X[:, 2] = 1.0
    found = shift_weights(calibration(X), X[:100] + np.array([1.0, 0.0, 0.0]), random_state=0)
    assert np.isfinite(found.known).all()
    assert found.effective_sample_size > 20


def test_the_same_seed_gives_the_same_weights():
    X = rng().normal(size=(400, 3))
    first, second = (shift_weights(calibration(X), X + 0.5, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first.known, second.known)


def test_bad_input_is_refused():
    X = rng().normal(size=(100, 3))
    with pytest.raises(DataError, match="12 rows of the target domain"):
        shift_weights(calibration(X), X[:12])
    with pytest.raises(DataError, match="no features"):
        shift_weights(Calibration(np.ones(5)), X)
    with pytest.raises(ConfigError, match="expected classifier, ulsif"):
        shift_weights(calibration(X), X, method="kde")
