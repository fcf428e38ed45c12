"""Adapted stacks of classes: corrections of probabilities, their weights, and what is kept."""

import numpy as np
import pytest

from xtalshift.errors import ModelFormatError
from xtalshift.estimators import (
    AdaptedStackClassifier,
    ConstantClassifier,
    ForestClassifier,
    LogisticClassifier,
    RecalibrationClassifier,
)
from xtalshift.estimators.adapted_stack import SOURCE, Correction, adaptation_weights
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.uncertainty.probabilities import ProbabilityCalibration, fit_probabilities

LINE = LogisticClassifier(alphas=(0.1,))


def rows(n, seed, k=3, turned=0):
    """Return features and classes; `turned` gives each class the number of another."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    y = np.digitize(X[:, 0], [-0.5, 0.5]) if k == 3 else (X[:, 0] > 0).astype(int)
    return X, (y + turned) % k


def start(k=3):
    return LogisticClassifier(alphas=(1.0,), random_state=0).fit(*rows(80, 0, k))


def corrections():
    shares = RecalibrationClassifier("temperature-bias")
    return [
        Correction("temperature and shares", shares, "start", "targets"),
        Correction("both", ForestClassifier(n_estimators=20), "both", "targets"),
        Correction("alone", LINE, "features", "targets"),
        Correction("shares", ConstantClassifier(), "features", "targets"),
        Correction("joint", LINE, "features", "targets", replays=True),
    ]


def fitted(turned=1, k=3, n=60, members=None, **settings):
    stack = AdaptedStackClassifier(
        members=corrections() if members is None else members, random_state=0, **settings
    )
    return stack.adapt(start(k), *rows(n, 1, k, turned))


def losses(P, y):
    return -np.log(P[np.arange(len(y)), y])


@pytest.mark.parametrize("k", [2, 3])
def test_other_classes_for_the_same_features_are_learned(k):
    stack = fitted(k=k)
    X, y = rows(200, 2, k, 1)
    before, after = start(k).predict_proba(X), stack.predict_proba(X)
    assert losses(before, y).mean() > 2
    assert losses(after, y).mean() < 0.3
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-12)
    assert stack.start_error_ == pytest.approx(
        losses(start(k).predict_proba(rows(60, 1, k)[0]), rows(60, 1, k, 1)[1]).mean()
    )
    assert stack.error_ < stack.constant_error_ < stack.start_error_
    np.testing.assert_allclose(
        after, np.tensordot(stack.weights_, stack.predict_members(X), 1), atol=1e-12
    )
    said = {one["name"]: one for one in stack.describe_members()}
    assert said["joint"]["left_out"] == "there are no source rows"
    assert said[SOURCE]["log_loss"] == stack.start_error_
    assert said[SOURCE]["weight"] == 0
    assert stack.out_of_fold_.center.shape == (60, k)
    assert stack.error_ == pytest.approx(
        losses(stack.out_of_fold_.center, rows(60, 1, k, 1)[1]).mean()
    )


def test_a_model_that_nothing_improves_stays_as_it_is():
    X = rows(200, 3)[0]
    P = start().predict_proba(X)
    y = (P.cumsum(axis=1) < np.random.default_rng(0).random((200, 1))).sum(axis=1)
    stack = AdaptedStackClassifier(members=corrections()[2:4], random_state=0)
    stack.adapt(start(), X, y)  # labels as the model says
    assert stack.members_ == ()
    assert stack.out_of_fold_ is None
    np.testing.assert_array_equal(stack.predict_proba(X), P)


def test_the_model_counts_as_it_is_calibrated():
    hot = ProbabilityCalibration("temperature", 0.1)
    stack = fitted(turned=0, calibration=hot, members=corrections()[:1])
    X, y = rows(60, 1)
    cool = hot.apply(start().predict_proba(X))
    assert stack.start_error_ == pytest.approx(losses(cool, y).mean())
    # the calibration is undone by the correction, which is fitted to all labels in the end
    expected = fit_probabilities(cool, y, "temperature-bias").apply(cool)
    np.testing.assert_allclose(stack.predict_members(X)[1], expected)
    assert stack.error_ < stack.start_error_


def test_a_class_without_labels_keeps_its_probability_in_a_recalibration():
    P = np.random.default_rng(0).dirichlet([1, 1, 1], size=30)
    y = np.arange(30) % 2
    found = RecalibrationClassifier("temperature").fit(P, y, classes=np.arange(3), X_val=P, y_val=y)
    expected = fit_probabilities(P, y, "temperature").apply(P)
    np.testing.assert_array_equal(found.predict_proba(P), expected)
    assert (expected[:, 2] > 0).all()


def test_weights_are_by_log_loss_and_few_labels_count_each_member_alone():
    y = np.array([0.0, 1.0] * 30)
    good = np.full((60, 2), 0.2)
    good[np.arange(60), y.astype(int)] = 0.8
    found = adaptation_weights(np.stack([good, 1 - good]), y)
    assert found[0] > 0.999
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("k", [2, 3])
def test_saved_and_restored(k):
    members = corrections()
    stack = AdaptedStackClassifier(
        members=members, calibration=ProbabilityCalibration("temperature", 0.7), random_state=0
    )
    stack.adapt(start(k), *rows(40, 1, k, 1), *rows(50, 5, k))
    assert len(stack.members_) > 0
    saved = SavedRegressor.of(stack)
    state = stack._get_state()
    again = saved.make("cpu")
    again._set_state(state)
    X = rows(20, 4)[0]
    np.testing.assert_array_equal(again.predict_proba(X), stack.predict_proba(X))
    assert again.calibration == "temperature"
    wrong = {**state, "weights": state["weights"] * 0.5}
    with pytest.raises(ModelFormatError, match=r"weights with the sum 0\.5"):
        saved.make("cpu")._set_state(wrong)


def test_fit_trains_the_model_and_adapts_it():
    stack = AdaptedStackClassifier(LINE, members=corrections(), random_state=0)
    X, y = rows(80, 0)
    near, labels = rows(60, 1, turned=1)
    names = np.array(["a", "b", "c"])
    stack.fit(X, names[y], X_target=near, y_target=names[labels])
    X, y = rows(200, 2, turned=1)
    assert (stack.predict(X) == names[y]).mean() > 0.9
    kept = AdaptedStackClassifier(LINE, members=corrections(), random_state=0)
    kept.fit(*rows(80, 0))
    assert kept.members_ == ()
    assert (kept.predict(X) == (y + 2) % 3).mean() > 0.9
