"""Formulas in, property out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from xtalshift.errors import ConfigError, DataError, FormulaError, NotFoundError
from xtalshift.estimators import ConstantRegressor, RidgeRegressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.model import FormulaRegressor, load_model, save_model

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]


def share_of(element: str) -> np.ndarray:
    """Return a property that a linear model of the fractions can learn."""
    return np.array([3.0 if formula.startswith(element) else 1.0 for formula in FORMULAS])


@pytest.fixture
def model():
    return FormulaRegressor("ridge", features="fractions", random_state=0).fit(
        FORMULAS, share_of("Ga")
    )


def test_it_learns_what_the_features_hold(model):
    high, low = model.predict(["GaP", "KI"])
    assert high > 2.0 > low
    assert model.score(FORMULAS, share_of("Ga")) > 0.9


def test_the_prediction_is_that_of_the_regressor_on_the_features(model):
    features = CompositionFeaturizer("fractions").transform(["GaP", "KI"])
    assert np.array_equal(model.predict(["GaP", "KI"]), model.model_.regressor.predict(features))


def test_a_transform_is_undone():
    y = np.exp(share_of("Ga"))
    plain = FormulaRegressor("ridge", features="fractions", random_state=0).fit(FORMULAS, np.log(y))
    scaled = FormulaRegressor("ridge", features="fractions", transform="log", random_state=0)
    scaled.fit(FORMULAS, y)
    assert scaled.predict(FORMULAS) == pytest.approx(np.exp(plain.predict(FORMULAS)), rel=1e-12)


def test_a_target_outside_the_transform_names_the_row():
    y = share_of("Ga")
    y[4] = 0.0
    with pytest.raises(DataError, match=r"row 5: 0 .*log1p"):
        FormulaRegressor("ridge", transform="log").fit(FORMULAS, y)


def test_clone_and_parameters():
    inner = RidgeRegressor(alphas=(1.0,))
    model = FormulaRegressor(inner, features="fractions", transform="log1p", hydrates="expand")
    twin = clone(model)
    assert twin is not model
    parameters = twin.get_params(deep=False)
    assert parameters.pop("method").alphas == (1.0,)
    assert parameters == {
        "features": "fractions", "transform": "log1p", "impute_nan": True, "hydrates": "expand",
        "amounts": None, "random_state": None,
    }  # fmt: skip
    model.fit(FORMULAS, share_of("Ga"))
    assert model.model_.regressor is not inner
    assert not hasattr(inner, "coef_")
    assert not hasattr(clone(model), "model_")
    assert twin.set_params(method__alphas=(2.0,)).method.alphas == (2.0,)


def test_the_seed_decides():
    fits = [
        FormulaRegressor("lightgbm", random_state=seed)
        .fit(FORMULAS, np.linspace(0, 1, len(FORMULAS)))
        .predict(FORMULAS)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_a_bad_formula_names_the_row(model):
    with pytest.raises(FormulaError, match=r"^row 2: .*Xx2"):
        FormulaRegressor("ridge").fit(["NaCl", "Xx2", "KCl"], [1, 2, 3])
    with pytest.raises(FormulaError, match=r"^row 3, Qq: .*Qq"):
        model.predict(["NaCl", "KCl", "Qq"])


def test_a_prediction_keeps_every_row_and_says_why(model):
    result = model.model_.predict(["GaP", "Qq", None, 3.5, "KI"])
    assert [reason == "" for reason in result.reason] == [True, False, False, False, True]
    assert np.array_equal(result.prediction[[0, 4]], model.predict(["GaP", "KI"]))
    assert np.isnan(result.prediction[[1, 2, 3]]).all()
    assert "Qq" in result.reason[1]
    nothing = model.model_.predict([])
    assert nothing.prediction.shape == nothing.n_clipped.shape == nothing.reason.shape == (0,)


def test_rows_far_outside_the_training_range_are_counted(model):
    result = model.model_.predict(["GaP", "LiO"])
    features = CompositionFeaturizer("fractions").transform(["GaP"])
    assert result.n_clipped[1] == 0
    # the spread of P over the training rows is 0: its column was dropped, so it is not counted
    assert result.n_clipped[0] == model.model_.regressor.n_clipped(features)[0]


def test_extra_features_are_used_and_their_number_is_checked():
    t = np.tile([[300.0], [400.0]], (len(FORMULAS) // 2, 1))
    y = share_of("Ga") + t[:, 0] / 100
    model = FormulaRegressor("ridge", features="fractions", random_state=0).fit(FORMULAS, y, t)
    assert model.model_.card.feature_cols == ("x0",)
    low, high = model.predict(["NaCl", "NaCl"], [[300.0], [400.0]])
    assert high - low == pytest.approx(1.0, abs=0.15)
    with pytest.raises(DataError, match=r"needs 1 extra feature columns \(x0\), got 0"):
        model.predict(["NaCl"])
    with pytest.raises(DataError, match="got 2"):
        model.predict(["NaCl"], [[300.0, 1.0]])
    with pytest.raises(DataError, match=r"shape \(2,\), expected \(2, k\)"):
        model.predict(["NaCl", "KCl"], [300.0, 400.0])
    with pytest.raises(DataError, match=r"shape \(1, 1\), expected \(2, k\)"):
        model.predict(["NaCl", "KCl"], [[300.0]])
    result = model.model_.predict(["NaCl", "NaCl"], np.array([[np.nan], [300.0]]))
    assert result.reason.tolist() == ["column 'x0' is missing or not a number", ""]
    assert result.prediction[1] == low


def test_no_formula_is_in_training_and_validation_rows():
    seen = {}

    class Spy(ConstantRegressor):
        def _fit(self, data):
            seen["train"], seen["validation"] = data.train.X, data.validation.X
            super()._fit(data)

    doubled = ["NaCl", "Na2Cl2", "Cl1Na1"] * 4 + FORMULAS
    FormulaRegressor(Spy(validation_fraction=0.3, random_state=0), features="fractions").fit(
        doubled, np.ones(len(doubled))
    )
    train = {tuple(row) for row in seen["train"]}
    validation = {tuple(row) for row in seen["validation"]}
    assert not train & validation
    assert len(seen["train"]) + len(seen["validation"]) == len(doubled)


def test_what_is_not_possible():
    with pytest.raises(NotFittedError):
        FormulaRegressor("ridge").predict(["NaCl"])
    with pytest.raises(NotFoundError, match="did you mean 'ridge'"):
        FormulaRegressor("rigde").fit(FORMULAS, share_of("Ga"))
    with pytest.raises(ConfigError, match="did you mean 'log'"):
        FormulaRegressor("ridge", transform="logg").fit(FORMULAS, share_of("Ga"))
    with pytest.raises(DataError, match="targets has 39 rows, but there are 40 formulas"):
        FormulaRegressor("ridge").fit(FORMULAS, share_of("Ga")[:-1])


def test_save_and_load(model, tmp_path):
    again = load_model(save_model(model.model_, tmp_path / "model"))
    assert np.array_equal(again.predict(FORMULAS).prediction, model.predict(FORMULAS))
