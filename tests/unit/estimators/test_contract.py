"""What every regressor keeps: scikit-learn's contract, seeds, weights, units, persistence."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_dont_overwrite_parameters,
    check_get_params_invariance,
    check_n_features_in_after_fitting,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    parametrize_with_checks,
)

from estimator_toys import (
    CLASSIFIERS,
    MECHANISMS,
    NETWORKS,
    REGRESSORS,
    data,
    held_out,
    shorten,
    target_rows,
)
from xtalshift.errors import ModelFormatError
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.mixture import MixturePredictor
from xtalshift.estimators.predictors import PREDICTORS, Learned, Predictor
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.estimators.wrapped import WrappedRegressor

TARGET_ONLY = {"target-only", "weighted", "joint", "residual-gp", "coral", "mmd", "targeted"}
CHOOSES_TOGETHER = {"ridge", "kernel-ridge", "svr", "lightgbm", "squared", "huber", "quantile"}
"""Their settings, or numbers of trees, depend on the rows of all folds."""
REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}
every = pytest.mark.parametrize("regressor", REGRESSORS.values(), ids=REGRESSORS)


def expected(estimator):
    failures = dict(EXPECTED_FAILURES)
    if estimator is MECHANISMS["constant"] or type(estimator).__name__ == "ConstantRegressor":
        failures["check_regressors_train"] = "a constant does not reach the score asked for"
    return failures


@parametrize_with_checks(list(MECHANISMS.values()), expected_failed_checks=expected)
def test_check_estimator(estimator, check):
    check(estimator)


@every
def test_parameters_are_those_of_scikit_learn(regressor):
    name = type(regressor).__name__
    for check in (
        check_no_attributes_set_in_init, check_get_params_invariance, check_set_params,
    ):  # fmt: skip
        check(name, clone(regressor))
    if not isinstance(regressor, WrappedRegressor | MixturePredictor):  # need inner ones
        check_parameters_default_constructible(name, type(regressor)())
    params = regressor.get_params(deep=False)
    inner = {"estimator", "start", "members"} & params.keys()
    assert params == clone(regressor).get_params(deep=False) or inner
    for argument in inspect.signature(type(regressor)).parameters:
        assert params[argument] is getattr(regressor, argument)
    assert repr(regressor).startswith(f"{name}(")


@every
def test_fitting_follows_scikit_learn(regressor):
    name, short = type(regressor).__name__, shorten(regressor)
    check_dont_overwrite_parameters(name, clone(short))
    check_n_features_in_after_fitting(name, clone(short))
    with pytest.raises(NotFittedError):
        short.predict(np.ones((3, 6)))
    X, y = data(40)
    assert short.fit(X, y, **target_rows(short)) is short
    assert short.n_features_in_ == 6
    with pytest.raises(ValueError, match="infinity"):
        clone(short).fit(np.where(X > 2, np.inf, X), y)
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(short).fit(X, np.where(y > 60, np.nan, y))
    found = short.predict(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(short)).predict(X), found)
    np.testing.assert_array_equal(copy.deepcopy(short).predict(X), found)
    assert list(short.predict_variants(X))[0] == ""  # noqa: RUF015 - the order matters
    np.testing.assert_array_equal(short.predict_variants(X)[""], found)
    assert short.n_clipped(X).shape == (40,)


@pytest.mark.parametrize(
    "name", sorted(set(REGRESSORS) - {"constant", "median", "target-only", "weighted"})
)
def test_learns_in_the_unit_of_the_target(name):
    X, y = data(120 if name in {*NETWORKS, "ridge", "residual-gp"} else 240)
    regressor, n = REGRESSORS[name], len(y) - 40
    given = target_rows(regressor) if name in {"coral", "mmd"} else {}
    fitted = clone(regressor).fit(X[:n], y[:n], **given)
    error = np.abs(fitted.predict(X[n:]) - y[n:]).mean()
    least = 0.9 if name in {"nearest", "neighbors", "forest"} else 0.6
    assert error < least * np.abs(y[n:] - y[:n].mean()).mean()
    if hasattr(fitted, "history_") and name != "ensemble":  # its members choose apart
        errors = [record["val_mae"] for record in fitted.history_]
        # V-REx and CAL choose among the epochs of their full objective
        first = {"v-rex": 6, "cal": 5, "cal-paper": 20}.get(name, 0)
        assert fitted.best_epoch_ == first + int(np.argmin(errors[first:]))


@every
def test_same_seed_same_bits_and_nothing_is_changed(regressor):
    X, y = data(40)
    X[3, 2] = np.nan
    weights = np.linspace(0.5, 2, 40)
    short, given = shorten(regressor), target_rows(regressor)
    before = copy.deepcopy((X, y, weights, given))
    # words and position
    state = torch.random.get_rng_state(), *copy.deepcopy(np.random.get_state()[1:3])  # noqa: NPY002
    first = clone(short).fit(X, y, weights, **given)
    found = first.predict(X)
    np.testing.assert_array_equal(found, clone(short).fit(X, y, weights, **given).predict(X))
    np.testing.assert_equal((X, y, weights, given), before)
    assert torch.equal(torch.random.get_rng_state(), state[0])
    words, position = np.random.get_state()[1:3]  # noqa: NPY002
    np.testing.assert_array_equal(words, state[1])
    assert position == state[2]
    assert np.isfinite(found).all()
    alone = np.array([first.predict(X[i : i + 1])[0] for i in range(5)])
    np.testing.assert_allclose(alone, found[:5], rtol=1e-9)


@every
def test_a_row_of_weight_0_does_not_count_and_weights_do(regressor):
    X, y = data(60)
    held, short = held_out(X, y), shorten(regressor, 3)
    given = target_rows(regressor)
    spoiled = y.copy()
    spoiled[50:] = 1e6
    weights = np.linspace(1, 3, 60)
    weights[50:] = 0.0
    if isinstance(regressor, type(MECHANISMS["weighted"]) | type(MECHANISMS["target-only"])):
        return  # their target rows are the source rows
    weighted = clone(short).fit(X, spoiled, weights, **held, **given)
    without = clone(short).fit(X[:50], y[:50], weights[:50], **held, **given)
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))
    equal = clone(short).fit(X[:50], y[:50], **held, **given)
    if type(regressor).__name__ != "NeighborsRegressor" or regressor.n_neighbors > 1:
        # more than the rounding of a weighted mean and standard deviation
        assert not np.allclose(equal.predict(X), without.predict(X), rtol=1e-8), "ignores weights"


@pytest.mark.parametrize("name", sorted(set(REGRESSORS) - {*TARGET_ONLY}))
def test_cross_fit_predicts_each_row_by_a_model_that_has_not_seen_it(name):
    X, y = data(60)
    folds = np.arange(60) % 3
    short = shorten(REGRESSORS[name], 3)
    short.n_features_in_ = 6

    def cross_fit(targets):
        rows = Labelled(X, targets)
        return short.cross_fit(FitData(rows, rows, None, np.random.default_rng(0)), folds)

    found = cross_fit(y)
    assert np.isfinite(found.predictions).all()
    whole = found.fit_all()
    assert whole.predict(X).shape == (60,)
    np.testing.assert_array_equal(cross_fit(y).predictions, found.predictions)
    np.testing.assert_array_equal(cross_fit(y).fit_all().predict(X), whole.predict(X))
    if name in CHOOSES_TOGETHER:
        return
    changed = y.copy()
    changed[folds == 1] = -y[folds == 1]
    again = cross_fit(changed).predictions
    np.testing.assert_array_equal(again[folds == 1], found.predictions[folds == 1])
    assert not np.array_equal(again[folds == 0], found.predictions[folds == 0])


@every
def test_what_is_saved_comes_back_with_the_same_bits(regressor):
    X, y = data(40)
    fitted = shorten(regressor, 2).fit(X, y, **target_rows(regressor))
    if type(fitted)._get_state is Predictor._get_state:
        with pytest.raises(ModelFormatError, match="cannot be saved"):
            fitted._get_state()
        with pytest.raises(ModelFormatError, match="cannot be read"):
            fitted._set_state({})
        return
    # the fitted class, or the part of it that predicts
    saved = SavedRegressor.of(fitted)
    loaded = saved.make(None)
    assert isinstance(fitted, type(loaded))
    assert loaded.regressor_name == type(fitted).__name__
    state = fitted._get_state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    loaded._set_state({name: value.copy() for name, value in state.items()})
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert SavedRegressor.of(loaded) == saved
    np.testing.assert_array_equal(loaded.n_clipped(X), fitted.n_clipped(X))
    for wrong in (X[:, 1:], X[0], np.where(X > 2, np.inf, X)):
        with pytest.raises(ValueError, match=r"shape|features|infinity|1D"):
            loaded.predict(wrong)
    spread, quantiles = fitted.predict_std(X), fitted.predict_quantiles(X)
    if spread is not None:
        np.testing.assert_array_equal(loaded.predict_std(X), spread)
    if quantiles is not None:
        np.testing.assert_array_equal(loaded.predict_quantiles(X), quantiles)


def test_every_class_is_found_by_name():
    for name in PREDICTORS:
        found = PREDICTORS[name]
        parts = {name.replace("Regressor", "Predictor")}
        parts.add(name.replace("Classifier", "ClassPredictor"))
        assert found.__name__ in {name, *parts}
        assert issubclass(found, Learned)
    own = {"OwnWeights": "ImportanceWeightedRegressor", "OwnTarget": "TargetOnlyRegressor"}
    shown = {type(one).__name__ for one in (*REGRESSORS.values(), *CLASSIFIERS.values())}
    # test_finetuned.py: not every row is a crystal; test_adapted_class_stack.py: nor probabilities
    apart = {"FineTunedCHGNetRegressor", "RecalibrationClassifier", "AdaptedStackClassifier"}
    without = set(PREDICTORS) - apart - {own.get(name, name) for name in shown}
    assert not without, (
        f"give REGRESSORS or CLASSIFIERS of tests/estimator_toys.py an example of {without}"
    )
