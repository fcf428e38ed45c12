"""The stack of classes, thresholds of ordered classes, and trees of several classes as text."""

import lightgbm
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone

from estimator_toys import CLASSIFIERS, class_data
from xtalshift.errors import ModelFormatError
from xtalshift.estimators import ConstantClassifier, LogisticClassifier, OrdinalClassifier
from xtalshift.estimators.lightgbm_text import read_trees, split_classes
from xtalshift.estimators.ordinal import between, with_thresholds
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.estimators.stack import mixture_weights
from xtalshift.estimators.tree_sum import TreeSum
from xtalshift.rowwise import softmax


def test_the_weights_have_the_smallest_log_loss():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200).astype(float)
    members = rng.dirichlet([1, 1, 1], size=(4, 200))
    members[1, np.arange(200), y.astype(int)] += 0.6
    members[2, np.arange(200), y.astype(int)] += 0.4 * (np.arange(200) % 2)
    members /= members.sum(axis=2, keepdims=True)
    share = rng.random(200)
    own = members[:, np.arange(200), y.astype(int)]
    for weights in (None, share):
        s = np.full(200, 1 / 200) if weights is None else share / share.sum()

        def loss(z, s=s):
            w = np.exp(z) / np.exp(z).sum()
            return -s @ np.log(w @ own)

        slow = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 20_000})
        found = mixture_weights(members, y, weights)
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()
        assert -s @ np.log(found @ own) <= slow.fun + 1e-6


def test_the_stack_is_no_worse_than_its_members_and_keeps_its_folds():
    X, y = class_data(300)
    groups = np.repeat(np.arange(150), 2).astype(str)
    stack = clone(CLASSIFIERS["class-stack"]).fit(X, y, groups=groups)
    own = stack.out_of_fold_
    assert own.center.shape == (300, 3)
    assert own.members.shape == (4, 300, 3)
    np.testing.assert_allclose(own.center.sum(axis=1), 1, atol=1e-12)
    assert own.std.shape == (300,)
    pairs = own.folds[np.argsort(own.rows)].reshape(-1, 2)
    rows = stack.describe_members()
    assert [one["weight"] for one in rows] == sorted((one["weight"] for one in rows), reverse=True)
    labels = np.concatenate([y])[own.rows] if len(own.rows) == len(y) else None
    assert labels is not None
    told = np.argsort(own.rows)
    assert pairs.shape == (150, 2)
    losses = stack.row_errors(own.center[told], y.astype(float)[np.sort(own.rows)])
    # rows of validation follow those of training: compare with the errors of the members
    assert min(stack.errors_.values()) < np.log(3)
    assert losses.shape == (300,)
    held = own.without_own_weights(y.astype(float)[own.rows], groups[own.rows])
    assert held.shape == own.center.shape
    alone = stack.predict_members(X)
    assert alone.shape == (len(stack.members_), 300, 3)


def test_a_stack_with_members_of_numbers_is_refused():
    X, y = class_data(80)
    stack = clone(CLASSIFIERS["class-stack"]).fit(X, y)
    state = stack._get_state()
    weights = np.zeros(len(stack.members_))
    with pytest.raises(ModelFormatError, match="weights with the sum"):
        SavedRegressor.of(stack).make(None)._set_state({**state, "weights": weights})
    fewer = {**state, "n_classes": np.array([4]), "present": np.arange(4)}
    with pytest.raises(ModelFormatError, match="a member has 3 classes, the stack 4"):
        SavedRegressor.of(stack).make(None)._set_state(fewer)


def test_thresholds_give_probabilities_that_fall_in_order():
    above = np.array([[0.9, 0.4], [0.2, 0.6], [1.0, 1.0]])
    expected = [[0.1, 0.5, 0.4], [0.8, 0.0, 0.2], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(between(above), expected, atol=1e-12)
    X, y = class_data(200, 4)
    fitted = OrdinalClassifier(LogisticClassifier(), random_state=0).fit(X, y)
    assert len(fitted.above_) == 3
    P = fitted.predict_proba(X)
    plain = LogisticClassifier(random_state=0).fit(X, y)
    error = np.abs(P @ np.arange(4) - y).mean()
    assert error < 0.8
    assert error < np.abs(plain.predict_proba(X) @ np.arange(4) - y).mean() + 0.1
    # the first threshold is a classifier of class 0 against the others
    np.testing.assert_allclose(1 - P[:, 0], fitted.above_[0].predict_proba(X)[:, 1], atol=1e-12)


def test_what_gets_thresholds():
    shares = ConstantClassifier()
    assert with_thresholds(shares) is shares
    found = with_thresholds(LogisticClassifier(random_state=3))
    assert isinstance(found, OrdinalClassifier)
    assert found.random_state == 3
    stack = with_thresholds(clone(CLASSIFIERS["class-stack"]))
    kinds = {type(one.regressor).__name__ for one in stack.members}
    assert kinds == {"OrdinalClassifier"}


@pytest.mark.parametrize("k", [2, 4])
def test_trees_of_each_class_sum_to_the_raw_scores_of_lightgbm(k):
    X, y = class_data(200, k)
    X[::7, 2] = np.nan
    loss = {"objective": "binary"} if k == 2 else {"objective": "multiclass", "num_class": k}
    booster = lightgbm.train(
        {**loss, "verbosity": -1, "min_data_in_leaf": 5, "num_threads": 1},
        lightgbm.Dataset(X, y), 7,
    )  # fmt: skip
    texts = split_classes(booster.model_to_string())
    assert len(texts) == (1 if k == 2 else k)
    for text in texts:
        assert len(read_trees(text, "regression").n_leaves) == 7
    sums = np.column_stack([TreeSum(text).predict(X, 1) for text in texts])
    raw = booster.predict(X, raw_score=True).reshape(200, -1)
    np.testing.assert_allclose(sums, raw, rtol=1e-12, atol=1e-12)
    if k > 2:
        np.testing.assert_allclose(softmax(sums), booster.predict(X), rtol=1e-9)
    with pytest.raises(ModelFormatError, match="header"):
        split_classes("tree\nversion=v9\n")
