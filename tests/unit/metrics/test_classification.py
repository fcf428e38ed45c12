import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import (
    abstention_curve,
    class_number_error,
    classification_scores,
    confusion_matrix,
    reliability,
)

EXACT = {"rel": 1e-12, "abs": 1e-12}


@st.composite
def labelled(draw):
    """Return labels and probabilities of 2 to 5 classes, many of them equal."""
    k = draw(st.integers(2, 5))
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    p = rng.dirichlet(np.full(k, draw(st.sampled_from([0.1, 1.0, 10.0]))), n)
    if draw(st.booleans()):
        p = np.round(p, 1) + 0.01
        p /= p.sum(axis=1, keepdims=True)
    return rng.integers(0, k, n), p, rng.dirichlet(np.ones(k))


@given(labelled())
def test_scores_are_those_of_scikit_learn(case):
    y, p, shares = case
    k = p.shape[1]
    scores = classification_scores(y, p, train_shares=shares)
    own = np.eye(k)[y]
    assert scores.n == len(y)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(y, p.argmax(1)), **EXACT)
    every = list(range(k))
    assert scores.log_loss == pytest.approx(metrics.log_loss(y, p, labels=every), **EXACT)
    brier = sum(metrics.brier_score_loss(own[:, i], p[:, i], pos_label=1) for i in every) / 2
    assert scores.brier == pytest.approx(brier, **EXACT)
    dummy = np.tile(shares, (len(y), 1))
    loss = metrics.log_loss(y, dummy, labels=every)
    assert scores.log_loss_over_dummy == pytest.approx(scores.log_loss / loss, **EXACT)
    assert scores.brier_over_dummy == pytest.approx(
        brier / (np.mean(np.sum((dummy - own) ** 2, axis=1)) / 2), **EXACT
    )
    held = np.unique(y)
    if len(held) == 1:
        assert math.isnan(scores.balanced_accuracy)
        assert math.isnan(scores.roc_auc)
        assert math.isnan(scores.average_precision)
        return
    balanced = metrics.recall_score(y, p.argmax(1), labels=held, average="macro")
    assert scores.balanced_accuracy == pytest.approx(balanced, **EXACT)
    most = np.full(len(y), shares.argmax())
    expected = metrics.recall_score(y, most, labels=held, average="macro")
    assert scores.balanced_accuracy_dummy == pytest.approx(expected, **EXACT)
    areas = [metrics.roc_auc_score(own[:, i], p[:, i]) for i in held]
    assert scores.roc_auc == pytest.approx(np.mean(areas), **EXACT)
    precisions = [metrics.average_precision_score(own[:, i], p[:, i]) for i in held]
    assert scores.average_precision == pytest.approx(np.mean(precisions), **EXACT)
    if len(held) == k > 2:
        area = metrics.roc_auc_score(y, p, multi_class="ovr", average="macro")
        assert scores.roc_auc == pytest.approx(area, **EXACT)


@given(labelled(), st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(case, random):
    y, p, shares = case
    order = list(range(len(y)))
    random.shuffle(order)
    scores = classification_scores(y, p, train_shares=shares)
    again = classification_scores(y[order], p[order], train_shares=shares)
    np.testing.assert_allclose(again, scores, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        abstention_curve(y, p), abstention_curve(y[order], p[order]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@given(labelled())
def test_the_confusion_matrix_is_that_of_scikit_learn(case):
    y, p, _ = case
    k = p.shape[1]
    found = confusion_matrix(y, p.argmax(1), k)
    expected = metrics.confusion_matrix(y, p.argmax(1), labels=list(range(k)))
    np.testing.assert_array_equal(found, expected)


@given(labelled())
def test_the_abstention_curve_answers_the_most_certain_first(case):
    y, p, _ = case
    curve = abstention_curve(y, p)
    right = p.argmax(1) == y
    for answered, error, threshold in zip(*curve, strict=True):
        used = p.max(1) >= threshold
        assert answered == pytest.approx(used.mean())
        assert error == pytest.approx(1 - right[used].mean(), abs=1e-12)
    assert curve.answered[-1] == 1
    assert curve.error_at(1.0) == pytest.approx(1 - right.mean(), abs=1e-12)


def test_bins_have_equal_mass_and_equal_probabilities_share_one():
    p = np.column_stack([np.linspace(0.5, 0.99, 60), 1 - np.linspace(0.5, 0.99, 60)])
    found = reliability(np.zeros(60), p)
    assert found.n.tolist() == [4] * 15
    np.testing.assert_allclose(found.confidence, p[:, 0].reshape(15, 4).mean(1))
    assert (found.accuracy == 1).all()
    assert found.ece == pytest.approx(1 - p[:, 0].mean())
    same = reliability([0, 1, 1, 1], [[0.75, 0.25]] * 4)
    assert same.n.tolist() == [4]
    assert same.ece == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="n_bins=0"):
        reliability([0], [[1.0, 0.0]], n_bins=0)


def test_true_probabilities_are_reliable():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 50_000)
    y = (rng.random(50_000)[:, None] > np.cumsum(p, axis=1)).sum(1)
    assert reliability(y, p).ece < 0.01
    assert reliability(y, p**3 / (p**3).sum(1, keepdims=True)).ece > 0.1


def test_the_dummy_itself_scores_one():
    shares = [0.6, 0.4]
    scores = classification_scores([0, 1, 1], [shares] * 3, train_shares=shares)
    assert scores.log_loss_over_dummy == scores.brier_over_dummy == 1.0
    assert scores.balanced_accuracy == scores.balanced_accuracy_dummy == 0.5
    assert scores.roc_auc == 0.5
    assert scores.average_precision == pytest.approx(0.5)  # the mean of the two shares


def test_a_dummy_without_error_leaves_no_ratio():
    scores = classification_scores([0, 0], [[0.9, 0.1]] * 2, train_shares=[1.0, 0.0])
    assert math.isnan(scores.log_loss_over_dummy)
    assert math.isnan(scores.brier_over_dummy)
    assert scores.accuracy == 1.0


def test_a_certain_mistake_is_finite():
    scores = classification_scores([1], [[1.0, 0.0]], train_shares=[0.5, 0.5])
    assert scores.log_loss == pytest.approx(-math.log(2.220446049250313e-16))


def test_the_distance_of_ordered_classes():
    assert class_number_error([0, 2, 1], np.eye(3)[[0, 0, 2]]) == 1.0


@pytest.mark.parametrize(
    ("labels", "probabilities", "text"),
    [
        ([0, 2], [[0.5, 0.5]] * 2, r"labels\[1\] is 2; expected the number of a class, 0 to 1"),
        ([0, math.nan], [[0.5, 0.5]] * 2, r"labels\[1\] is nan"),
        ([0, 0.5], [[0.5, 0.5]] * 2, r"labels\[1\] is 0.5"),
        ([0], [[0.5, 0.6]], r"probabilities\[0\] is \[0.5, 0.6\]; expected numbers from 0 on"),
        ([0], [[1.5, -0.5]], r"probabilities\[0\]"),
        ([0], [[math.nan, 1.0]], r"probabilities\[0\]"),
        ([0], [[1.0]], r"shape \(1, 1\); expected \(n, k\)"),
        ([[0]], [[0.5, 0.5]], r"labels has shape \(1, 1\)"),
        ([0, 1], [[0.5, 0.5]], "expected equal lengths above 0"),
        ([], np.zeros((0, 2)), "expected equal lengths above 0"),
    ],
)
def test_what_is_no_classification_is_refused(labels, probabilities, text):
    with pytest.raises(DataError, match=text):
        classification_scores(labels, probabilities, train_shares=[0.5, 0.5])


def test_shares_and_lengths_are_checked():
    with pytest.raises(DataError, match="one share per class"):
        classification_scores([0], [[0.5, 0.5]], train_shares=[1.0])
    with pytest.raises(DataError, match="expected equal lengths"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ConfigError, match="share=0"):
        abstention_curve([0], [[0.5, 0.5]]).error_at(0)
