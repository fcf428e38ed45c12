"""How each feature moves a prediction: sums, exact values, and who cannot say it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from estimator_toys import CLASSIFIERS, REGRESSORS, class_data, data, shorten, target_rows
from reference.shapley import feature_shapley, shapley_by_orders
from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    ForestRegressor,
    LightGBMRegressor,
    LogisticClassifier,
    RidgeRegressor,
    StackRegressor,
    TrendLightGBMRegressor,
)
from xtalshift.estimators.line_shares import line_shares
from xtalshift.estimators.shapley import MOST_PLAYERS, chain, coalitions, exact_shapley, follow
from xtalshift.estimators.stack import Member
from xtalshift.estimators.tree_shares import tree_shares

CANNOT = {"neighbors", "nearest", "gp", "bilinear", "weighted", "target-only", "joint",
          "residual-gp", "class-neighbors"}  # fmt: skip
ALONG_LINES = {"irnet", "ensemble", "heteroscedastic", "mc-dropout", "multi-task", "cal",
               "cal-paper", "targeted-cal", "cvar", "group-dro", "v-rex", "c-mixup", "chi2", "kl",
               "coral", "mmd", "stack"}  # fmt: skip
"""Whose gradient jumps, so that a sum is right to within the error of the integral."""


def ends(fitted, x, baselines):
    """Return by how much the predictions differ, shape (m,) or (k, m)."""
    predict = getattr(fitted, "predict_proba", fitted.predict)
    return (predict(x[None]) - predict(baselines)).T


# the toy rows are no fractions of elements, for which alone attention is smooth
@pytest.mark.parametrize(
    "name", [name for name in (*REGRESSORS, *CLASSIFIERS) if name != "attention"]
)
def test_contributions_sum_to_the_difference_of_two_predictions(name):
    numbers = name in REGRESSORS
    X, y = data(60) if numbers else class_data(60)
    short = shorten((REGRESSORS if numbers else CLASSIFIERS)[name])
    fitted = short.fit(X, y, **target_rows(short))
    x, baselines = X[0], X[30:37]
    if name in CANNOT:
        with pytest.raises(ConfigError, match="does not say how its features move a prediction"):
            fitted.contributions(x, baselines)
        return
    found, wanted = fitted.contributions(x, baselines), ends(fitted, x, baselines)
    assert found.shape == (*wanted.shape, 6)
    rough = name in ALONG_LINES or (not numbers and hasattr(fitted, "states_"))
    close = 0.08 * np.abs(wanted).max() if rough else 1e-9
    np.testing.assert_allclose(found.sum(axis=-1), wanted, rtol=0, atol=close)
    if rough:  # errors of several baselines cancel
        mean = (found.sum(axis=-1) - wanted).mean(axis=-1)
        assert np.abs(mean).max() < 0.03 * np.abs(wanted).max()
    np.testing.assert_array_equal(fitted.contributions(x, x[None]), 0.0)
    with pytest.raises(ValueError, match=r"features|shape"):
        fitted.contributions(x[:5], baselines[:, :5])


def test_a_linear_model_by_hand():
    X = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 7.0], [6.0, 7.0]])
    fitted = RidgeRegressor().fit(X, [0.0, 1.0, 2.0, 3.0])
    fitted.scaler_.mean_, fitted.scaler_.scale_ = np.array([3.0, 4.0]), np.array([2.0, 5.0])
    fitted.coef_, fitted.intercept_ = np.array([10.0, -2.5]), 1.0
    # per unit of each feature: 10 / 2 and -2.5 / 5
    found = fitted.contributions([5.0, 9.0], [[1.0, 4.0], [5.0, -1.0]])
    np.testing.assert_allclose(found, [[20.0, -2.5], [0.0, -5.0]], rtol=1e-12)


def test_features_beyond_the_clip_count_as_the_model_sees_them():
    X = np.arange(20.0)[:, None]
    fitted = RidgeRegressor(clip=2.0).fit(X, X[:, 0])
    edge = fitted.scaler_.mean_[0] + 2 * fitted.scaler_.scale_[0]
    found = fitted.contributions([1e6], X[:1])
    np.testing.assert_allclose(found, fitted.contributions([edge], X[:1]), rtol=1e-12)


@pytest.mark.parametrize("kind", [LightGBMRegressor, ForestRegressor, TrendLightGBMRegressor])
def test_trees_have_the_shapley_values_of_all_orders(kind):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 5))
    y = X[:, 0] * X[:, 1] + X[:, 2] ** 2 + X[:, 3]
    X[rng.random(X.shape) < 0.1] = np.nan
    fitted = kind(n_estimators=12, random_state=0).fit(X, y)
    for x, baseline in zip(X[:2], X[50:52], strict=True):
        wanted = feature_shapley(fitted.predict, x, baseline)
        np.testing.assert_allclose(fitted.contributions(x, baseline[None])[0], wanted, atol=1e-12)


@pytest.mark.long
def test_a_tree_that_is_too_deep_to_share_is_refused(monkeypatch):
    X, y = data(60)
    trees = ForestRegressor(n_estimators=1, random_state=0).fit(X, y).trees_.trees
    monkeypatch.setattr("xtalshift.estimators.tree_shares._MOST", 1)
    with pytest.raises(ConfigError, match="more than 1 features that differ"):
        tree_shares(trees, X[0], X[1:20])


def test_trees_agree_with_the_package_that_has_them_too():
    shap = pytest.importorskip("shap")
    X, y = data(120)
    fitted = LightGBMRegressor(n_estimators=20, num_leaves=8, random_state=0).fit(X, y)
    explainer = shap.TreeExplainer(fitted.trees_.booster, X[30:50])
    found = fitted.contributions(X[0], X[30:50]).mean(axis=0)
    np.testing.assert_allclose(found, explainer.shap_values(X[:1])[0], atol=1e-5)


def test_a_stack_hands_on_what_its_members_say():
    X, y = data(80)
    y = np.exp(y / 20)
    members = [Member("ridge", RidgeRegressor(), "asinh"), Member("trees", LightGBMRegressor())]
    fitted = StackRegressor(members, random_state=0).fit(X, y)
    x, baselines = X[0], X[20:30]
    rows, parts = np.vstack([baselines, x]), []
    for one in fitted.members_:
        own = one.predictor.contributions(x, baselines)
        raw = one.predictor.predict(rows)
        restored = one.restore(raw, fitted.bounds_)
        slope = (restored[-1] - restored[:-1]) / (raw[-1] - raw[:-1])
        parts.append(one.weight * own * slope[:, None])
    np.testing.assert_allclose(fitted.contributions(x, baselines), sum(parts), rtol=1e-9)


def test_two_classes_move_against_each_other():
    X, y = class_data(60, k=2)
    fitted = LogisticClassifier(random_state=0).fit(X, y)
    found = fitted.contributions(X[0], X[20:30])
    np.testing.assert_allclose(found[0], -found[1], atol=1e-12)


def test_more_classes_than_can_be_enumerated_are_refused():
    k = MOST_PLAYERS + 1
    with pytest.raises(ConfigError, match="at most 12 classes, and there are 13"):
        chain(np.zeros((k, 2, 3)), np.zeros((2, k)), np.ones(k), lambda rows: rows)


@given(st.lists(st.floats(-1e3, 1e3), min_size=16, max_size=16))
def test_the_enumeration_is_the_mean_over_all_orders(values):
    numbers = {
        frozenset(np.flatnonzero(one).tolist()): value
        for one, value in zip(coalitions(4), values, strict=True)
    }
    found = exact_shapley(np.array(values))
    np.testing.assert_allclose(found, shapley_by_orders(numbers.get, 4), rtol=1e-9, atol=1e-9)
    assert abs(found.sum() - (values[-1] - values[0])) <= 1e-9 * max(1.0, np.abs(values).max())


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3))
def test_what_is_handed_on_sums_to_the_difference_behind_the_step(seed, k, m):
    rng = np.random.default_rng(seed)
    shares = rng.normal(size=(k, m, 5))
    end = rng.normal(size=k)
    start = end - shares.sum(axis=-1).T

    def step(rows):
        return np.column_stack([np.tanh(rows).sum(axis=1), np.prod(rows, axis=1)])

    found = chain(shares, start, end, step)
    np.testing.assert_allclose(
        found.sum(axis=-1), (step(end[None]) - step(start)).T, rtol=1e-7, atol=1e-9
    )


def test_no_difference_is_shared_as_nothing():
    shares = np.array([[1.0, -1.0], [2.0, 0.0]])
    found = follow(shares, np.array([0.0, 2.0]), np.array([0.0, 6.0]))
    np.testing.assert_array_equal(found, [[0.0, 0.0], [6.0, 0.0]])


def test_gradients_along_a_line_by_hand():
    # f = x0^2 x1 from (0, 0) to (1, 3): df/dx0 = 2 x0 x1 = 6 t^2, df/dx1 = t^2
    def gradient(rows):
        return np.column_stack([2 * rows[:, 0] * rows[:, 1], rows[:, 0] ** 2])

    found = line_shares(gradient, np.array([1.0, 3.0]), np.zeros((1, 2)), steps=2)
    np.testing.assert_allclose(found, [[2.0, 1.0]], rtol=1e-12)


def test_a_clone_is_not_needed_to_ask_again():
    X, y = data(40)
    fitted = clone(REGRESSORS["forest"]).fit(X, y)
    first = fitted.contributions(X[0], X[1:5])
    np.testing.assert_array_equal(fitted.contributions(X[0], X[1:5]), first)
