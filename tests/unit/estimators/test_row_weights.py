"""A weight of 2 is the row twice, where validation rows are given and nothing is drawn."""

import numpy as np
import pytest

from xtalshift.estimators import (
    ConstantRegressor,
    JointRegressor,
    LightGBMRegressor,
    RidgeRegressor,
    StackRegressor,
)
from xtalshift.estimators.adapted_stack import AdaptedStackRegressor, Correction, adaptation_weights
from xtalshift.estimators.kernels import KernelRidgeRegressor, SVRegressor
from xtalshift.estimators.stack import Member


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, X @ [1.0, -2.0, 0.5] + np.sin(3 * X[:, 0]) + rng.normal(0, 0.3, n)


CASES = {
    "mean": (ConstantRegressor(), 1e-12),
    "median": (ConstantRegressor("median"), 1e-12),
    "ridge": (RidgeRegressor(alphas=(0.1,)), 1e-9),
    "kernel-ridge": (KernelRidgeRegressor(kernel="rbf", alphas=(0.1,), gammas=(1.0,)), 1e-9),
    "svr": (SVRegressor(kernel="rbf", penalties=(1.0,), gammas=(1.0,)), 1e-2),
}


@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_2_is_the_row_twice(name):
    regressor, off = CASES[name]
    # features are standardised without weights: the same ones three times do not change that
    X, y = np.tile(rows(10)[0], (4, 1)), rows()[1]
    held = {"X_val": X[30:], "y_val": y[30:]}
    times = np.where(np.arange(30) < 10, 2, 1)
    again = np.repeat(np.arange(30), times)
    weighted = regressor.fit(X[:30], y[:30], times.astype(float), **held).predict(X)
    repeated = regressor.fit(X[again], y[again], **held).predict(X)
    equal = regressor.fit(X[:30], y[:30], **held).predict(X)
    assert np.abs(weighted - repeated).max() <= off
    assert np.abs(weighted - equal).max() > 10 * off


def test_trees_count_a_weight_of_2_twice(monkeypatch):
    # the sampling of rows and the smallest leaf of the usual settings count rows, not weights
    def parameters(self, n, seed, loss):
        return {
            **loss, "learning_rate": 0.5, "num_leaves": 4, "min_data_in_leaf": 1, "seed": seed,
            "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        }  # fmt: skip

    monkeypatch.setattr(LightGBMRegressor, "_parameters", parameters)
    X, y = (rows(200)[0] > 0).astype(float), rows(200)[1]
    held = {"X_val": X[150:], "y_val": y[150:]}
    times = np.where(np.arange(150) < 50, 2, 1)
    again = np.repeat(np.arange(150), times)
    regressor = LightGBMRegressor(n_estimators=5, loss="squared", random_state=0)
    weighted = regressor.fit(X[:150], y[:150], times.astype(float), **held).predict(X)
    repeated = regressor.fit(X[again], y[again], **held).predict(X)
    equal = regressor.fit(X[:150], y[:150], **held).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6, atol=1e-6)
    assert np.abs(weighted - equal).max() > 1e-3


@pytest.mark.parametrize("replays", [False, True])
def test_labels_of_an_adaptation_count_by_their_weight(replays):
    X, y = rows(60)
    model = RidgeRegressor(random_state=0).fit(X, y)
    X_new, labels = rows(40, seed=1)
    labels = labels + np.where(np.arange(40) < 20, 5.0, -5.0)
    shift = Correction("shift", ConstantRegressor(), "features", "errors")
    if replays:
        shift = Correction("ridge", RidgeRegressor(), "features", "targets", replays=True)
    means = []
    for heavy in (slice(20), slice(20, None)):
        weights = np.full(40, 1e-3)
        weights[heavy] = 1.0
        stack = AdaptedStackRegressor(members=[shift], random_state=0)
        stack.adapt(model, X_new, labels, X, y, sample_weight=weights)
        means.append(stack.predict(X_new).mean() - model.predict(X_new).mean())
    assert means[0] > 1
    assert means[1] < -1


def test_weights_choose_among_corrections():
    y = np.zeros(4)
    predictions = np.array([[0.0, 0.0, 9.0, 9.0], [9.0, 9.0, 0.0, 0.0]])
    weights = np.array([1.0, 1.0, 1e-9, 1e-9])
    assert adaptation_weights(predictions, y, weights) == pytest.approx([1, 0], abs=1e-6)
    assert adaptation_weights(predictions, y, weights[::-1]) == pytest.approx([0, 1], abs=1e-6)


def test_target_labels_keep_their_share_and_differ_by_weight():
    X, y = np.zeros((20, 1)), np.zeros(20)
    labels = np.array([1.0, 3.0])
    joint = JointRegressor(ConstantRegressor(), target_share=0.5)
    joint.fit(X, y, X_target=X[:2], y_target=labels, target_weight=[3.0, 1.0])
    # half of the weight has the weighted mean of the labels, 1.5
    assert joint.predict(X[:1]) == pytest.approx([0.75])
    with pytest.raises(ValueError, match="target_weight needs y_target"):
        joint.fit(X, y, X_target=X[:2], target_weight=[3.0, 1.0])


def test_the_members_of_a_stack_are_weighed_by_the_rows_that_count():
    X, y = rows(80)
    y = np.where(np.arange(80) < 40, y, 10.0)  # half of the rows are a line, half a constant
    members = [Member("ridge", RidgeRegressor()), Member("ten", ConstantRegressor("max"))]
    errors = []
    for heavy in (slice(40), slice(40, None)):
        weights = np.full(80, 1e-6)
        weights[heavy] = 1.0
        held = {"X_val": X[::8], "y_val": y[::8], "val_weight": weights[::8]}
        rest = np.arange(80) % 8 > 0
        stack = StackRegressor(members, random_state=0)
        stack.fit(X[rest], y[rest], weights[rest], **held)
        errors.append(np.abs(stack.predict(X) - y)[heavy].mean())
    assert errors[0] < 1
    assert errors[1] < 1e-3
