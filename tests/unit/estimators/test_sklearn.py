"""Every regressor is scikit-learn to the letter."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from xtalshift.errors import ConfigError, NotFoundError
from xtalshift.estimators import (
    CALRegressor,
    ConstantRegressor,
    HeteroscedasticRegressor,
    IRNetRegressor,
    LightGBMRegressor,
    MCDropoutRegressor,
    QuantileLightGBMRegressor,
    RidgeRegressor,
    TargetedCALRegressor,
)
from xtalshift.methods import MethodSettings, build_method, saved_methods
from xtalshift.splits import FamilySplit

QUICK = {"architecture": (32, 16), "random_state": 0, "device": "cpu"}
REGRESSORS = [
    ConstantRegressor(random_state=0),
    RidgeRegressor(random_state=0),
    LightGBMRegressor(n_estimators=60, random_state=0),
    QuantileLightGBMRegressor(n_estimators=60, random_state=0),
    IRNetRegressor(epochs=60, batch_size=32, learning_rate=1e-2, **QUICK),
    CALRegressor(settings={"epochs": 40, "batch_size": 32, "learning_rate": 1e-2}, **QUICK),
    CALRegressor(
        "paper",
        {"epochs": 25, "warmup_epochs": 20, "batch_size": 32, "learning_rate": 1e-2},
        **QUICK,
    ),
    IRNetRegressor(
        epochs=60, batch_size=32, learning_rate=1e-2, n_members=2, bootstrap=True, **QUICK
    ),
    HeteroscedasticRegressor(epochs=60, batch_size=32, learning_rate=1e-2, **QUICK),
    MCDropoutRegressor(epochs=60, batch_size=32, learning_rate=1e-2, dropout=0.1, **QUICK),
    TargetedCALRegressor(
        source={"epochs": 60, "batch_size": 32, "learning_rate": 1e-2},
        **{**QUICK, "validation_fraction": 0.1},
    ),
]
REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


def expected(estimator):
    failures = dict(EXPECTED_FAILURES)
    if isinstance(estimator, ConstantRegressor):
        failures["check_regressors_train"] = "a constant does not reach the score asked for"
    return failures


@parametrize_with_checks(REGRESSORS, expected_failed_checks=expected)
def test_check_estimator(estimator, check):
    check(estimator)


def data(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, 50 + 10 * (X[:, 0] + 0.5 * np.abs(X[:, 1]))


@pytest.mark.parametrize("regressor", REGRESSORS[1:], ids=lambda r: type(r).__name__)
def test_learns_in_the_unit_of_the_target(regressor):
    X, y = data()
    fitted = clone(regressor).fit(X[:80], y[:80])
    error = np.abs(fitted.predict(X[80:]) - y[80:]).mean()
    assert error < 0.6 * np.abs(y[80:] - y[:80].mean()).mean()


@pytest.mark.parametrize("regressor", REGRESSORS, ids=lambda r: type(r).__name__)
def test_same_seed_same_bits_and_inputs_are_not_changed(regressor):
    X, y = data(40)
    X[3, 2] = np.nan
    before = X.copy(), y.copy()
    first = clone(regressor).fit(X, y).predict(X)
    np.testing.assert_array_equal(first, clone(regressor).fit(X, y).predict(X))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert np.isfinite(first).all()


@pytest.mark.parametrize("regressor", REGRESSORS, ids=lambda r: type(r).__name__)
def test_one_row_predicts_as_in_a_batch(regressor):
    X, y = data(40)
    fitted = clone(regressor).fit(X, y)
    alone = np.array([fitted.predict(X[i : i + 1])[0] for i in range(5)])
    np.testing.assert_allclose(alone, fitted.predict(X)[:5], rtol=1e-9)


def test_cross_validate_and_grid_search_with_an_ood_split():
    X, y = data(60)
    formulas = np.array([f"Na{i + 1}{'F' if i % 4 == 0 else 'Cl'}" for i in range(60)])
    model = make_pipeline(StandardScaler(), RidgeRegressor(random_state=0))
    scores = cross_validate(model, X, y, groups=formulas, cv=FamilySplit("F"))
    assert scores["test_score"][0] > 0.5
    search = GridSearchCV(
        IRNetRegressor(epochs=3, **QUICK), {"learning_rate": [1e-3, 1e-2]}, cv=FamilySplit("F")
    ).fit(X, y, groups=formulas)
    assert search.best_params_["learning_rate"] == 1e-2


def test_given_validation_rows_choose_the_parameters():
    X, y = data()
    near = IRNetRegressor(epochs=30, **QUICK).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    errors = [record["val_mae"] for record in near.history_]
    assert near.best_epoch_ == int(np.argmin(errors))
    found = np.abs(near.predict(X[60:]) - y[60:]).mean()
    assert found == pytest.approx(min(errors), rel=1e-4)  # in the unit of the target


def test_variants_are_the_other_parameters_of_one_training():
    X, y = data(50)
    model = IRNetRegressor(epochs=4, **QUICK).fit(X, y)
    variants = model.predict_variants(X)
    assert list(variants) == ["", "last", "ema"]
    for name in ("last", "ema"):
        model.weights = name
        np.testing.assert_array_equal(variants[name], model.predict(X))


def test_sample_weights_move_the_fit():
    X = np.zeros((40, 1))
    X[:, 0] = np.arange(40) % 2
    y = np.where(np.arange(40) < 20, 0.0, 1.0)
    weights = np.where(np.arange(40) < 20, 1.0, 9.0)
    held = {"X_val": X, "y_val": y}
    for regressor in (ConstantRegressor(), RidgeRegressor(alphas=(1e-3,))):
        mean = regressor.fit(X, y, sample_weight=weights, **held).predict(X).mean()
        assert mean == pytest.approx(0.9, abs=0.01)


def test_features_far_outside_training_are_clipped_and_counted():
    X, y = data()
    model = RidgeRegressor(clip=5.0, random_state=0).fit(X, y)
    far = X[:2].copy()
    far[1, 0], far[1, 3] = 1e6, -1e6
    assert model.n_clipped(far).tolist() == [0, 2]
    assert abs(model.predict(far)[1] - 50) < 500


def test_wrong_settings_are_named():
    X, y = data(20)
    with pytest.raises(ConfigError, match="expected best, last or ema"):
        IRNetRegressor(weights="first", **QUICK).fit(X, y)
    with pytest.raises(ConfigError, match="dropout"):
        IRNetRegressor(dropout=1.5, **QUICK).fit(X, y)
    with pytest.raises(ConfigError, match="device 'gpu7'"):
        IRNetRegressor(device="gpu7").fit(X, y)
    with pytest.raises(NotFoundError, match="did you mean 'ridge'"):
        build_method("rigde", MethodSettings(), seed=0)
    assert set(saved_methods()) == {
        "dummy", "ridge", "lightgbm", "lightgbm-quantile", "erm", "ensemble", "heteroscedastic",
        "mc-dropout", "cal", "cal-eps0",
    }  # fmt: skip


def test_a_row_of_weight_0_is_no_row():
    X, y = data(60)
    held = {"X_val": X, "y_val": y}
    spoiled = y.copy()
    spoiled[50:] = 1e6
    weights = np.where(np.arange(60) < 50, 1.0, 0.0)
    for regressor in REGRESSORS:
        weighted = clone(regressor).fit(X, spoiled, sample_weight=weights, **held)
        without = clone(regressor).fit(X[:50], y[:50], sample_weight=weights[:50], **held)
        np.testing.assert_array_equal(weighted.predict(X), without.predict(X))


def test_cal_by_name_is_the_default_preset_and_its_control_does_not_attack():
    settings = MethodSettings.from_dict({"cal": {"alpha": 0.3}})
    assert (settings.cal.preset, settings.cal.epochs, settings.cal.alpha) == ("cal", 80, 0.3)
    assert build_method("cal", settings, seed=0).settings["epsilon"] == 0.1
    control = build_method("cal-eps0", settings, seed=0)
    assert control.settings["epsilon"] == 0
    assert control.settings["alpha"] == 0.3
    with pytest.raises(ConfigError, match=r"erm\.epochs"):
        MethodSettings.from_dict({"erm": {"epochs": 0}})
    with pytest.raises(ConfigError, match="did you mean 'irnet3'"):
        MethodSettings.from_dict({"network": {"architecture": "irnet33"}})
