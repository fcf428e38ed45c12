"""Attention between the elements of a composition."""

import numpy as np
import pytest

from estimator_toys import ATTENTION, data
from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    AttentionRegressor,
)
from xtalshift.featurize import CompositionFeaturizer

FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
TARGETS = np.linspace(1, 4, len(FORMULAS)) ** 2


def test_attention_sees_fractions_as_they_are():
    featurizer = CompositionFeaturizer("fractions")
    X = featurizer.transform(FORMULAS)
    model = AttentionRegressor(**ATTENTION).fit(X, TARGETS)
    assert model.n_features_in_ == 118
    np.testing.assert_array_equal(model.scaler_.transform(X), X)
    # elements without a training row are told apart by their properties
    cs, rb = model.predict(featurizer.transform(["CsCl", "RbCl"]))
    assert cs != rb
    missing = X.copy()
    missing[missing == 0] = np.nan
    np.testing.assert_array_equal(model.predict(missing), model.predict(X))
    far = X.copy()
    far[0, 5], far[1, 5] = 1e6, -11.0
    assert model.n_clipped(far)[:3].tolist() == [1, 1, 0]
    assert np.isfinite(model.predict(far)).all()
    assert model.embed(X).shape == (len(X), 16)
    assert model.predict_std(X) is None
    empty = model.predict(np.zeros((2, 118)))
    assert np.isfinite(empty).all()
    assert empty[0] == pytest.approx(empty[1], rel=1e-12)


def test_attention_works_where_every_column_is_constant_or_empty():
    model = AttentionRegressor(**ATTENTION).set_params(epochs=2)
    found = model.fit(np.zeros((12, 3)), np.arange(12.0)).predict(np.zeros((2, 3)))
    assert np.isfinite(found).all()


def test_wrong_settings_are_named():
    X, y = data(20)
    for regressor, message in (
        (AttentionRegressor(width=30, n_heads=4), "width = 30"),
        (AttentionRegressor(dropout=1.0), r"dropout = 1\.0"),
        (AttentionRegressor(weights="first"), "expected best, last or ema"),
    ):
        with pytest.raises(ConfigError, match=message):
            regressor.fit(X, y)
