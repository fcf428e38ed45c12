"""Bounds in the loss of regressors."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from reference import tobit
from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    CALRegressor,
    HeteroscedasticRegressor,
    IRNetRegressor,
    LightGBMRegressor,
    MultiTaskRegressor,
    RidgeRegressor,
    RobustRegressor,
    TargetBounds,
)
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.bounds import find_spread, log_likelihood
from xtalshift.estimators.tobit_trees import tobit_gradients, tobit_losses
from xtalshift.nn import losses

INF = np.inf
BOUNDS = TargetBounds(
    np.array([0.3, -INF, 0.5, -1.0, 2.0, -INF, 4.0]),
    np.array([0.3, 0.5, INF, 0.5, 2.5, -3.0, INF]),
    np.array([0.5, 0.5, 0.5, 0.5, 0.7, 0.7, 0.2]),
)
OUTPUTS = np.array([0.1, 0.9, -0.2, 1.0, 0.4, 0.0, 2.5])


class TestGradients:
    def test_losses_are_those_of_a_slow_reference(self):
        expected = tobit.losses(OUTPUTS, *BOUNDS.stacked().T)
        assert tobit_losses(OUTPUTS, BOUNDS) == pytest.approx(expected, rel=1e-10)

    def test_they_are_those_of_finite_differences(self):
        first, second = tobit_gradients(OUTPUTS, BOUNDS)
        step = 1e-5
        up, down = (tobit_losses(OUTPUTS + side * step, BOUNDS) for side in (1, -1))
        assert first == pytest.approx((up - down) / (2 * step), rel=1e-7, abs=1e-9)
        up, down = (tobit_gradients(OUTPUTS + side * step, BOUNDS)[0] for side in (1, -1))
        assert second == pytest.approx((up - down) / (2 * step), rel=1e-7, abs=1e-9)

    def test_they_are_those_of_networks(self):
        outputs = torch.tensor(OUTPUTS, requires_grad=True)
        found = losses.tobit_losses(outputs, torch.tensor(BOUNDS.stacked()))
        (first,) = torch.autograd.grad(found.sum(), outputs)
        assert tobit_gradients(OUTPUTS, BOUNDS)[0] == pytest.approx(first.numpy(), rel=1e-10)


class TestSpread:
    def test_the_likelihood_is_that_of_scipy(self):
        found = log_likelihood(OUTPUTS[:4], BOUNDS.take(slice(4)), np.array([1.0, 2.0, 1.0, 1.0]))
        laws = [norm(center, 0.5) for center in OUTPUTS[:4]]
        expected = laws[0].logpdf(0.3) + 2 * laws[1].logcdf(0.5) + laws[2].logsf(0.5)
        expected += np.log(laws[3].cdf(0.5) - laws[3].cdf(-1.0))
        assert found == pytest.approx(expected)

    def test_it_is_found_under_a_limit(self):
        rng = np.random.default_rng(0)
        truth = rng.uniform(-2, 2, 4000)
        y = truth + 0.5 * rng.normal(size=4000)
        limit = np.quantile(y, 0.3)
        seen = np.maximum(y, limit)
        asked = []

        def predict(bounds):
            asked.append(bounds.spread[0])
            return truth

        found = find_spread(np.where(y < limit, -INF, seen), seen, predict)
        assert found.spread == pytest.approx(0.5, rel=0.03)
        assert len(asked) == 2  # the second cross-fit changed nothing
        assert asked[1] == found.spread[0]

    def test_rows_may_lie_farther_from_their_predictions_than_others(self):
        rng = np.random.default_rng(0)
        share = np.where(np.arange(4000) < 2000, 1.0, 4.0)
        y = 0.5 * share * rng.normal(size=4000)
        found = find_spread(y, y, lambda bounds: np.zeros(4000), relative=share)
        assert found.spread[[0, -1]] == pytest.approx([0.5, 2.0], rel=0.04)

    def test_narrow_ranges_are_values(self):
        found = TargetBounds.of(np.array([1.0, 1.0]), np.array([1.004, 2.0]), np.ones(2))
        assert found.lower.tolist() == [1.002, 1.0]
        assert found.bounded.tolist() == [False, True]


@pytest.fixture(scope="module")
def limited():
    """Rows of a plane, of which 30 % are below a limit; the slopes are 2 and 0.5."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (1500, 2))
    y = 2 * X[:, 0] + 0.5 * X[:, 1] + rng.normal(size=1500)
    limit = np.quantile(y, 0.3)
    seen = np.maximum(y, limit)
    return X, y, TargetBounds(np.where(y < limit, -INF, seen), seen, np.ones(1500))


def slope(regressor, X):
    """Return the slope of the plane through the predictions along the first feature."""
    design = np.column_stack([np.ones(len(X)), X])
    return np.linalg.lstsq(design, regressor.predict(X), rcond=None)[0][1]


def fit(regressor, X, y, bounds, rows=slice(None)):
    known = None if bounds is None else bounds.take(rows)
    return regressor.fit(
        X[rows], y[rows], X_val=X[rows], y_val=y[rows], bounds=known, val_bounds=known
    )


NETWORK = {"architecture": [16], "random_state": 0, "device": "cpu"}
TREES = {"n_estimators": 150, "num_leaves": 8, "random_state": 0}


@pytest.mark.parametrize(
    "make",
    [
        lambda: IRNetRegressor(epochs=15, learning_rate=1e-2, **NETWORK),
        lambda: LightGBMRegressor(loss="squared", **TREES),
    ],
    ids=["erm", "lightgbm"],
)
def test_a_truth_with_30_percent_below_a_limit_is_recovered(limited, make):
    X, y, bounds = limited
    whole = slope(fit(make(), X, y, None), X)
    assert slope(fit(make(), X, bounds.upper, bounds), X) == pytest.approx(whole, rel=0.05)
    dropped = slope(fit(make(), X, y, None, ~bounds.bounded), X)
    assert abs(dropped / whole - 1) > 0.15


@pytest.mark.parametrize(
    "make",
    [
        lambda: HeteroscedasticRegressor(epochs=15, learning_rate=1e-2, **NETWORK),
        lambda: RobustRegressor("cvar", 1.0, epochs=15, learning_rate=1e-2, **NETWORK),
        lambda: CALRegressor(settings={"epochs": 15, "warmup_epochs": 5}, **NETWORK),
    ],
    ids=["heteroscedastic", "cvar", "cal"],
)
def test_other_networks_have_them_in_their_loss_too(limited, make):
    X, _, bounds = limited
    found = fit(make(), X, bounds.upper, bounds)
    assert slope(found, X) == pytest.approx(2.0, rel=0.1)
    # the limits as values would make the slope far too small
    assert slope(fit(make(), X, bounds.upper, None), X) < 1.7


def test_two_groups_of_materials_have_their_most_likely_means():
    rng = np.random.default_rng(0)
    group = np.repeat([0.0, 1.0], 100)
    y = np.where(group == 0, 1.0, 3.0) + rng.normal(size=200)
    seen = np.maximum(y, 1.0)
    bounds = TargetBounds(np.where(y < 1.0, -INF, seen), seen, np.ones(200))
    trees = LightGBMRegressor(n_estimators=300, random_state=0)
    found = fit(trees, group[:, None], seen, bounds).predict(np.array([[0.0], [1.0]]))
    for number in (0, 1):
        own = bounds.take(group == number)
        expected = minimize_scalar(
            lambda center, own=own: -log_likelihood(np.full(100, center), own)
        ).x
        assert found[number] == pytest.approx(expected, abs=0.02)


class TestTrees:
    def test_of_values_alone_they_are_those_of_squared_errors(self, limited):
        X, y, _ = limited
        values = TargetBounds(y, y, np.ones(1500))
        few, x = TREES | {"n_estimators": 3}, X[:, :1]  # without a draw of features
        found = fit(LightGBMRegressor(**few), x, y, values).predict(x)
        plain = fit(LightGBMRegressor(loss="squared", **few), x, y, None).predict(x)
        assert np.max(np.abs(found - plain)) < 1e-4

    def test_they_are_saved_as_all_trees(self, limited):
        X, _, bounds = limited
        found = fit(LightGBMRegressor(**TREES), X, bounds.upper, bounds)
        again = LightGBMRegressor(**TREES)
        again._set_state(found._get_state())
        assert again.predict(X).tolist() == found.predict(X).tolist()

    def test_rows_of_more_weight_move_them_more(self, limited):
        X, y, _ = limited
        high = y > 0
        weights = np.where(high, 100.0, 1.0)
        values = TargetBounds(y, y, np.ones(1500))
        x = X.round()  # few different rows
        found = LightGBMRegressor(**TREES).fit(
            x, y, sample_weight=weights, X_val=x, y_val=y, bounds=values, val_bounds=values
        )
        group = (x == 0).all(axis=1)
        expected = np.average(y[group], weights=weights[group])
        assert found.predict(np.zeros((1, 2))) == pytest.approx([expected], abs=0.15)
        assert expected > y[group].mean() + 0.3

    def test_folds_choose_together_and_what_they_chose_is_fitted(self, limited):
        X, _, bounds = limited
        rows = Labelled(X, bounds.upper, bounds=bounds)
        data = FitData(rows, rows, None, np.random.default_rng(0))
        found = LightGBMRegressor(loss="squared", **TREES).cross_fit(data, np.arange(1500) % 3)
        errors = found.predictions - (2 * X[:, 0] + 0.5 * X[:, 1])
        assert abs(errors.mean()) < 0.05
        whole = found.fit_all()
        assert slope(whole, X) == pytest.approx(2.0, rel=0.1)


def test_what_takes_none_says_so(limited):
    X, _, bounds = limited
    with pytest.raises(ValueError, match="RidgeRegressor does not use bounds"):
        RidgeRegressor().fit(X, bounds.upper, bounds=bounds)
    with pytest.raises(ValueError, match="give both bounds and val_bounds, or neither"):
        LightGBMRegressor().fit(X, bounds.upper, X_val=X, y_val=bounds.upper, bounds=bounds)
    with pytest.raises(ValueError, match="val_bounds needs X_val and y_val"):
        LightGBMRegressor().fit(X, bounds.upper, bounds=bounds, val_bounds=bounds)
    with pytest.raises(ValueError, match="bounds has 5 rows, X has 1500"):
        LightGBMRegressor().fit(X, bounds.upper, bounds=bounds.take(slice(5)))
    with pytest.raises(ConfigError, match="bounds cannot be mixed"):
        RobustRegressor("c-mixup", epochs=1, **NETWORK).fit(X, bounds.upper, bounds=bounds)
    with pytest.raises(ConfigError, match="several targets are learned by their values"):
        MultiTaskRegressor(epochs=1, **NETWORK).fit(
            X, np.column_stack([bounds.upper] * 2), bounds=bounds
        )
