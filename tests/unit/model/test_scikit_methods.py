"""Regressors of scikit-learn in `fit`, `FormulaRegressor`, `adapt` and `calibrate`."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import xtalshift as xs
from integration.tables import make_rows
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators.scikit import name_of
from xtalshift.uncertainty.settings import IntervalConfig

ROWS = make_rows(120)
FORMULAS, GAPS = [row[1] for row in ROWS], np.array([row[2] for row in ROWS])
DATA = xs.Dataset.of(FORMULAS[:90], GAPS[:90], unit="eV", target_name="gap")
FOREST = RandomForestRegressor(20)


class Mean:
    """No estimator of scikit-learn."""

    def fit(self, X, y, origin=None):
        self.mean, self.formulas = y.mean(), origin.compositions.reduced_formulas()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean)


@pytest.mark.parametrize(
    "method",
    [FOREST, make_pipeline(StandardScaler(), SVR(C=10)), HistGradientBoostingRegressor(),
     KNeighborsRegressor(), Mean()],
    ids=name_of,
)  # fmt: skip
@pytest.mark.parametrize("how", ["cross", "held-out"])
def test_intervals_domain_card_and_predictions_are_as_for_our_own(method, how):
    intervals = IntervalConfig(method=how, share=0.2)
    model = xs.fit(DATA, method, features="fractions", intervals=intervals)
    ours = xs.fit(DATA, "ridge", features="fractions", intervals=intervals)
    found = model.predict([*FORMULAS[90:], "XeF2", "Xx"])
    expected = ours.predict([*FORMULAS[90:], "XeF2", "Xx"])
    for name in ("ood_score", "in_domain", "unseen_elements", "nearest_formula", "reason"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert len(model.calibration) == len(ours.calibration)
    assert model.calibration.kind == "absolute"
    assert model.calibration.origin == ours.calibration.origin
    held = (found.lower[:30] <= GAPS[90:]) & (GAPS[90:] <= found.upper[:30])
    assert held.mean() >= 0.75  # 30 rows at 90 %: at most 7 outside
    card = model.card
    assert (card.provenance["method"], card.target_name, card.unit) == (
        name_of(method),
        "gap",
        "eV",
    )
    again = xs.fit(DATA, clone(method, safe=False), features="fractions", intervals=intervals)
    np.testing.assert_array_equal(
        again.predict(FORMULAS).prediction, model.predict(FORMULAS).prediction
    )
    with pytest.raises(ModelFormatError, match="cannot be saved"):
        model.save("nowhere")


def test_a_forest_learns_and_the_seed_counts():
    model = xs.fit(DATA, FOREST, features="magpie", seed=0)
    error = np.abs(model.predict(FORMULAS[90:]).prediction - GAPS[90:]).mean()
    assert error < 0.6 * np.abs(GAPS[90:] - GAPS[:90].mean()).mean()
    other = xs.fit(DATA, FOREST, features="magpie", seed=1)
    assert not np.array_equal(
        model.predict(FORMULAS).prediction, other.predict(FORMULAS).prediction
    )


def test_the_formulas_of_the_training_rows_are_given():
    model = xs.fit(DATA, Mean(), features="fractions")
    fitted = model.regressor.estimator_
    assert len(fitted.formulas) == 81  # a tenth is held out
    assert set(fitted.formulas) < set(DATA.materials.compositions.reduced_formulas())


def test_scikit_learn_treats_a_formula_regressor_as_its_own():
    regressor = xs.FormulaRegressor(FOREST, features="fractions", random_state=0)
    assert clone(regressor).get_params()["method__n_estimators"] == 20
    scores = cross_validate(regressor, FORMULAS, GAPS, cv=3, return_train_score=True)
    assert (scores["train_score"] > scores["test_score"]).all()
    assert scores["test_score"].mean() > 0.3
    search = GridSearchCV(regressor, {"method__n_estimators": [1, 20]}, cv=3)
    assert search.fit(np.array(FORMULAS), GAPS).best_params_ == {"method__n_estimators": 20}
    low, high = regressor.fit_conformalize(FORMULAS, GAPS).predict_interval(["GaN"])
    assert low < regressor.predict(["GaN"]) < high
    apart = regressor.fit(FORMULAS[:80], GAPS[:80]).conformalize(FORMULAS[80:], GAPS[80:])
    assert apart.model_.calibration.origin == "held-out"


def test_missing_features_of_formulas():
    regressor = xs.FormulaRegressor(HistGradientBoostingRegressor(), impute_nan=False)
    X = regressor.fit(FORMULAS, GAPS).model_.features_of(["RnF2", "GaN"])
    assert np.isnan(X).any()
    assert np.isfinite(regressor.predict(["RnF2", "GaN"])).all()


def test_a_forest_can_be_adapted():
    model = xs.fit(DATA, FOREST, features="fractions")
    labels = xs.Dataset.of(FORMULAS[90:], GAPS[90:] + 5, unit="eV", target_name="gap")
    adapted = xs.adapt(model, labels)
    before, after = (
        np.abs(one.predict(FORMULAS[90:]).prediction - GAPS[90:] - 5).mean()
        for one in (model, adapted)
    )
    assert after < 0.3 * before
    with pytest.raises(ModelFormatError, match="RandomForestRegressor cannot be saved"):
        adapted.save("nowhere")


@pytest.mark.parametrize(
    ("method", "words"),
    [(RandomForestRegressor, "method is the class RandomForestRegressor; give an object"),
     (RandomForestClassifier(), "method is a classifier"),
     (StandardScaler(), "method is a transformer")],
)  # fmt: skip
def test_what_is_no_regressor_is_named(method, words):
    with pytest.raises(ConfigError, match=words):
        xs.fit(DATA, method)
    with pytest.raises(ConfigError, match=words):
        xs.FormulaRegressor(method).fit(FORMULAS, GAPS)


def test_minutes_are_for_stacks():
    with pytest.raises(ConfigError, match="RandomForestRegressor keeps no budget of minutes"):
        xs.fit(DATA, FOREST, minutes=1)
