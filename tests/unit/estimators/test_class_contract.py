"""What every classifier keeps: scikit-learn's contract, probabilities, classes, persistence."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from estimator_toys import CLASSIFIERS, class_data, shorten
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators import IRNetClassifier, LogisticClassifier, RobustClassifier
from xtalshift.estimators.base import FitData, Labelled, deal_classes, keep_classes
from xtalshift.estimators.predictors import NEVER_SAVED
from xtalshift.estimators.saved import SavedRegressor

REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
CHECKED = ("shares", "logistic", "boosted", "class-neighbors", "class-irnet")
every = pytest.mark.parametrize("name", CLASSIFIERS)


def expected(estimator):
    failures = {
        "check_sample_weight_equivalence_on_dense_data": REASON,
        "check_sample_weight_equivalence_on_sparse_data": REASON,
    }
    if type(estimator).__name__ == "ConstantClassifier":
        failures["check_classifiers_train"] = "a constant does not reach the score asked for"
    return failures


def target(classifier, X):
    return {"X_target": X + 0.5} if "X_target" in classifier.uses else {}


@parametrize_with_checks([CLASSIFIERS[name] for name in CHECKED], expected_failed_checks=expected)
def test_check_estimator(estimator, check):
    check(estimator)


@every
def test_probabilities_are_those_of_the_classes_and_the_same_bits(name):
    X, codes = class_data(90)
    names = np.array(["high", "low", "mid"])[codes]
    short, rng = shorten(CLASSIFIERS[name]), np.random.default_rng(3)
    before = copy.deepcopy((X, names))
    fitted = clone(short).fit(X, names, **target(short, X))
    P = fitted.predict_proba(X)
    assert fitted.classes_.tolist() == ["high", "low", "mid"]
    assert P.shape == (90, 3)
    assert P.dtype == np.float64
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (P >= 0).all()
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[P.argmax(axis=1)])
    again = clone(short).fit(X, names, **target(short, X))
    np.testing.assert_array_equal(again.predict_proba(X), P)
    np.testing.assert_equal((X, names), before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), P)
    alone = np.concatenate([fitted.predict_proba(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, P[:5], rtol=1e-9, atol=1e-12)
    assert fitted.n_clipped(X).shape == (90,)
    assert list(fitted.predict_variants(X))[0] == ""  # noqa: RUF015 - the order matters
    shuffled = rng.permutation(90)
    np.testing.assert_array_equal(fitted.predict_proba(X[shuffled]), P[shuffled])


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - {"shares"}))
@pytest.mark.parametrize("k", [2, 3])
def test_learns_better_than_the_shares(name, k):
    X, y = class_data(300, k)
    fitted = clone(CLASSIFIERS[name]).fit(X[:240], y[:240], **target(CLASSIFIERS[name], X))
    P = fitted.predict_proba(X[240:])
    losses = fitted.row_errors(P, y[240:].astype(float))
    # 24 rows choose the parameters of a network
    assert losses.mean() < (1.1 if hasattr(fitted, "history_") else 0.85) * np.log(k)
    assert (fitted.predict(X[240:]) == y[240:]).mean() > 0.55


@every
def test_a_row_of_weight_0_does_not_count_and_weights_do(name):
    X, y = class_data(80)
    held = {"X_val": X[-20:], "y_val": y[-20:]}
    short = shorten(CLASSIFIERS[name], 3)
    weights = np.linspace(1, 3, 80)
    weights[60:] = 0.0
    spoiled = y.copy()
    spoiled[60:] = (y[60:] + 1) % 3
    given = {**held, **target(short, X)}
    weighted = clone(short).fit(X, spoiled, weights, **given)
    without = clone(short).fit(X[:60], y[:60], weights[:60], **given)
    np.testing.assert_array_equal(weighted.predict_proba(X), without.predict_proba(X))
    equal = clone(short).fit(X[:60], y[:60], **given)
    assert not np.allclose(equal.predict_proba(X), without.predict_proba(X), rtol=1e-8)


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - {"class-stack"}))
def test_classes_without_rows_get_no_probability(name):
    X, y = class_data(90)
    short = shorten(CLASSIFIERS[name], 3)
    codes = np.where(y == 1, 3, y)  # 1 and 4 have no row
    fitted = clone(short).fit(X, codes, classes=np.arange(5), **target(short, X))
    P = fitted.predict_proba(X)
    assert P.shape == (90, 5)
    assert fitted.present_.tolist() == [0, 2, 3]
    assert (P[:, [1, 4]] == 0).all()
    fewer = clone(short).fit(X, np.searchsorted([0, 2, 3], codes), **target(short, X))
    np.testing.assert_array_equal(fewer.predict_proba(X), P[:, [0, 2, 3]])


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - {"class-coral", "class-stack"}))
def test_cross_fit_predicts_each_row_by_a_model_that_has_not_seen_it(name):
    X, y = class_data(60)
    folds = np.arange(60) % 3
    short = shorten(CLASSIFIERS[name], 3)
    short.n_features_in_ = 6
    rows = Labelled(X, y.astype(float))

    def cross_fit(labels):
        own = Labelled(X, labels)
        return short.cross_fit(FitData(own, own, None, np.random.default_rng(0), classes=3), folds)

    found = cross_fit(rows.y)
    assert found.predictions.shape == (60, 3)
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1, atol=1e-12)
    whole = found.fit_all()
    assert whole.predict_proba(X).shape == (60, 3)
    np.testing.assert_array_equal(cross_fit(rows.y).predictions, found.predictions)
    if name in {"logistic", "boosted"}:  # what they choose depends on all folds
        return
    changed = rows.y.copy()
    changed[folds == 1] = (changed[folds == 1] + 1) % 3
    again = cross_fit(changed).predictions
    np.testing.assert_array_equal(again[folds == 1], found.predictions[folds == 1])


@every
@pytest.mark.parametrize("k", [2, 3])
def test_what_is_saved_comes_back_with_the_same_bits(name, k):
    X, y = class_data(80, k)
    fitted = shorten(CLASSIFIERS[name], 2).fit(X, y, **target(CLASSIFIERS[name], X))
    if type(fitted).__name__ in NEVER_SAVED:
        assert "cannot be saved" in fitted.unsaved
        return
    assert fitted.unsaved == ""
    saved = SavedRegressor.of(fitted)
    loaded = saved.make(None)
    assert isinstance(fitted, type(loaded))
    assert loaded.regressor_name == type(fitted).__name__
    state = {array: value.copy() for array, value in fitted._get_state().items()}
    assert all(isinstance(value, np.ndarray) for value in state.values())
    loaded._set_state(dict(state))
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(loaded.n_clipped(X), fitted.n_clipped(X))
    assert SavedRegressor.of(loaded) == saved
    for wrong in (
        {"present": np.array([0])},
        {"present": np.array([1, 0])},
        {"n_classes": np.array([1])},
    ):
        with pytest.raises(ModelFormatError):
            saved.make(None)._set_state({**state, **wrong})


def test_names_are_not_saved_with_a_classifier():
    X, y = class_data(40, 2)
    fitted = LogisticClassifier().fit(X, np.array(["a", "b"])[y])
    with pytest.raises(ModelFormatError, match=r"xtalshift\.fit makes a model that keeps names"):
        fitted._get_state()


def test_wrong_classes_are_refused():
    X, y = class_data(40, 2)
    with pytest.raises(ValueError, match="one class, 0; a classifier needs 2 or more"):
        LogisticClassifier().fit(X, np.zeros(40, dtype=int))
    with pytest.raises(ValueError, match="the class 7 is unknown"):
        LogisticClassifier().fit(X, y, X_val=X, y_val=np.full(40, 7))
    with pytest.raises(ValueError, match="all training rows have the class 0"):
        LogisticClassifier().fit(X, np.zeros(40, dtype=int), classes=[0, 1])
    with pytest.raises(ConfigError, match="c-mixup"):
        RobustClassifier("c-mixup").fit(X, y)
    with pytest.raises(ConfigError, match="is for numbers"):
        clone(CLASSIFIERS["class-cal"]).set_params(settings={"attack": "composition"}).fit(X, y)


def test_each_class_keeps_training_rows_and_is_in_many_folds():
    y = np.array([0.0, 0, 0, 0, 1, 1, 2])
    held = np.array([True, False, False, False, True, True, True])
    assert keep_classes(held, y).tolist() == [True, False, False, False, False, False, False]
    labels = np.repeat([0.0, 1.0], [20, 5])
    names = np.arange(25)
    for seed in range(5):
        folds = deal_classes(names, labels, 5, np.random.default_rng(seed))
        assert sorted(folds[labels == 1].tolist()) == [0, 1, 2, 3, 4]
        assert np.bincount(folds).tolist() == [5] * 5
    repeated = deal_classes(
        np.array(["a", "a", "b"]), np.array([0.0, 0, 1]), 2, np.random.default_rng(0)
    )
    assert repeated[0] == repeated[1] != repeated[2]


def test_an_ensemble_predicts_the_mean_of_its_probabilities():
    X, y = class_data(60)
    fitted = clone(CLASSIFIERS["class-ensemble"]).set_params(epochs=3).fit(X, y)
    members = fitted.predict_members(X)
    assert members.shape == (2, 60, 3)
    np.testing.assert_allclose(members.mean(axis=0), fitted.predict_proba(X), atol=1e-12)
    assert isinstance(fitted, IRNetClassifier)
    assert fitted.history_[0].keys() >= {"train_loss", "val_log_loss"}
    best = [record["val_log_loss"] for record in fitted.history_]
    assert len(best) == 3
