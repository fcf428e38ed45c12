"""Predicted formation energies against the hull of what a model or a table knows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from xtalshift.data import Materials
from xtalshift.errors import ConfigError, DataError
from xtalshift.model import FormulaRegressor, save_model
from xtalshift.model.stability import STABILITY_KINDS, StabilityProxy

FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
ENERGIES = -np.linspace(1, 4, len(FORMULAS))


@pytest.fixture(scope="module")
def fitted():
    fitted = FormulaRegressor("ridge", random_state=0).fit(FORMULAS[:18], ENERGIES[:18])
    return fitted.conformalize(FORMULAS[18:], ENERGIES[18:]).model_


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    return save_model(fitted, tmp_path_factory.mktemp("energies") / "model")


def test_columns_are_the_prediction_minus_the_hull(fitted, folder):
    known = fitted.domain.formulas_[0]
    energy = fitted.domain.targets_[0]
    metal, anion = re.findall("[A-Z][a-z]?", known)
    asked = Materials.parse([f"{metal}2{anion}", known, "x?", "CsI"])
    found = StabilityProxy.load(folder, level=0.8).columns(asked)
    assert tuple(found) == tuple(STABILITY_KINDS)
    predicted = fitted.predict(asked, level=0.8)
    np.testing.assert_array_equal(found["formation_energy"], predicted.prediction)
    np.testing.assert_array_equal(found["formation_energy_lower"], predicted.lower)
    for name in ("", "_lower", "_upper"):
        values = found[f"energy_above_known_hull{name}"]
        gap = found[f"formation_energy{name}"] - [energy * 2 / 3, energy, np.nan, 0.0]
        np.testing.assert_allclose(values, gap, rtol=1e-9)
    mixture = f"0.67 {known} + 0.33 {metal}"
    assert found["known_hull_phases"].tolist() == [mixture, known, "", "0.5 Cs + 0.5 I"]
    assert found["n_known_in_system"].tolist() == [1, 1, 0, 0]
    assert found["formation_energy_in_domain"].tolist() == predicted.in_domain.tolist()


def test_extra_columns_of_the_materials_do_not_count(folder):
    plain, warm = (
        StabilityProxy.load(folder).columns(Materials.parse(["Li2O"], extra=extra))
        for extra in (None, [[300.0]])
    )
    assert plain["formation_energy"] == warm["formation_energy"]


def test_of_a_table_the_lowest_energy_counts(folder, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text("formula,target\nLi2O,-1.0\nLi4O2,-2.5\nNaO,-9\n")
    found = StabilityProxy.load(folder, table).columns(Materials.parse(["LiO2"]))
    difference = found["formation_energy"] - found["energy_above_known_hull"]
    assert difference == pytest.approx([-2.5 / 2])


def test_a_table_with_another_column_is_refused(folder, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text("formula,energy\nLi2O,-1.0\n")
    with pytest.raises(DataError, match=r"no target column 'target'.* energies in a column with"):
        StabilityProxy.load(folder, table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "eV", "target_name": "gap"}, "predicts gap in eV; give one of formation"),
        ({"feature_cols": ("t",)}, "needs the columns t besides the formula"),
        (None, "keeps no training materials; name a table"),
    ],
)
def test_models_that_cannot_tell(fitted, tmp_path, change, message):
    if change is None:
        model = replace(fitted, domain=None)
    elif "feature_cols" in change:
        warm = FormulaRegressor("ridge", random_state=0)
        warm = warm.fit(FORMULAS, ENERGIES, extra=np.arange(30.0)[:, None]).model_
        model = replace(warm, card=replace(warm.card, **change))
    else:
        model = replace(fitted, card=replace(fitted.card, **change))
    with pytest.raises(ConfigError, match=message):
        StabilityProxy.load(save_model(model, tmp_path / "model"))
