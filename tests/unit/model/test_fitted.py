"""The fitted model: it never changes, and its predictions do not depend on each other."""

import dataclasses
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset, Materials
from xtalshift.errors import DataError, FormulaError, NotConformalizedError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.model import fit
from xtalshift.model.predictions import PREDICTED_COLUMNS
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
FORMULAS = [metal + anion for metal in METALS for anion in ("O", "S", "F", "Cl", "N")]
GAPS = np.linspace(1.0, 3.0, len(FORMULAS)) ** 2
ASKED = ["GaP", "NaCl", "Xx2", "BaTiO3", "", None, "U", "LiO"]


@pytest.fixture(scope="module")
def model():
    data = Dataset.of(FORMULAS, GAPS, target_name="gap", unit="eV", source="gaps.csv")
    return fit(data, "ridge", features="fractions", seed=1)


@pytest.mark.parametrize("explain", [True, False])
@pytest.mark.parametrize("by_family", [True, False])
def test_a_row_is_predicted_alike_alone_and_among_others(explain, by_family):
    data = Dataset.of(FORMULAS, GAPS)
    model = fit(data, "ridge", seed=1)  # with these features no two neighbours are equally near
    options = {"explain": explain, "by_family": by_family, "level": 0.6}
    together = model.predict(ASKED, **options).frame
    alone = [model.predict([formula], **options).frame for formula in ASKED]
    joined = pd.concat(alone, ignore_index=True)
    pd.testing.assert_frame_equal(together, joined, rtol=1e-12, atol=0)
    assert together["status"].tolist() == ["ok", "ok", "error", "ok", "error", "error", "ok", "ok"]


def test_the_frame_has_the_columns_of_predict(model):
    found = model.predict(ASKED)
    assert found.frame.columns.tolist() == ["formula", *PREDICTED_COLUMNS]
    explained = model.predict(ASKED, explain=True)
    assert explained.frame.columns.tolist() == ["formula", *PREDICTED_COLUMNS, "explanation"]
    bad = found.reason != ""
    assert bad.tolist() == [False, False, True, False, True, True, False, False]
    numbers = found.frame[["prediction", "lower", "upper", "std", "ood_score", "nearest_distance"]]
    assert numbers.notna().all(axis=1).tolist() == (~bad).tolist()
    assert not found.in_domain[bad].any()
    assert found.frame["formula"].tolist() == ["GaP", "NaCl", "Xx2", "BaTiO3", "", "None", "U",
                                               "LiO"]  # fmt: skip


def test_a_training_material_is_its_own_neighbour_and_new_elements_are_outside(model):
    seen = model.domain.formulas_[0]
    found = model.predict([seen, "BaTiO3", "U"])
    assert found.nearest_formula[0] == seen
    assert found.nearest_distance[0] == 0.0
    assert found.nearest_target[0] == GAPS[FORMULAS.index(seen)]
    assert found.unseen_elements.tolist() == ["", "Ba", "U"]
    assert found.in_domain.tolist() == [True, False, False]
    X = model.features_of([seen, "BaTiO3"])
    assert model.was_trained_on(X).tolist() == [True, False]


def test_people_see_the_nearest_material_without_long_numbers():
    formulas = [f"Fe{70.1234 + k}Cr{19.5432 - k}Ni{10.3334}" for k in range(12)]
    model = fit(Dataset.of(formulas, np.arange(12.0)), "ridge")
    assert re.search("[0-9]{6}", model.domain.formulas_[0])  # the key
    found = model.predict(formulas[:1], explain=True)
    assert found.nearest_formula[0] == "Cr19.5432Fe70.1234Ni10.3334"
    assert "Cr19.5432Fe70.1234Ni10.3334 (distance 0" in found.explanation[0]


def test_intervals_of_a_higher_level_contain_those_of_a_lower(model):
    narrow, wide = (model.predict(FORMULAS, level=level) for level in (0.5, 0.9))
    assert (wide.lower < narrow.lower).all()
    assert (wide.upper > narrow.upper).all()
    np.testing.assert_array_equal(narrow.prediction, wide.prediction)


def test_materials_and_formulas_give_the_same(model):
    materials = Materials.parse(ASKED)
    pd.testing.assert_frame_equal(model.predict(materials).frame, model.predict(ASKED).frame)


def test_nothing_of_a_model_can_be_set(model):
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.calibration = None
    card = model.card
    assert (card.target_name, card.unit, card.source) == ("gap", "eV", "gaps.csv")
    assert card.provenance["method"] == "ridge"
    assert card.provenance["data"]["rows"] == 40


def test_hydrates_can_be_read_in_another_way(model):
    hydrate = "MgCl2*6H2O"
    assert "hydrate" in model.predict([hydrate]).reason[0]
    expanded = replace(model, featurizer=replace(model.featurizer, hydrates="expand"))
    assert expanded.predict([hydrate]).reason[0] == ""
    whole = model.predict(["MgCl2H12O6"]).prediction
    np.testing.assert_allclose(expanded.predict([hydrate]).prediction, whole)
    assert model.featurizer.hydrates == "refuse"
    assert expanded.featurizer.blocks == "fractions"


def test_features_name_the_first_bad_row_and_the_extra_columns(model):
    with pytest.raises(FormulaError, match=r"row 2, Xx2: .*Xx.*\(2 bad rows in total\)"):
        model.features_of(["LiO", "Xx2", "Qq"])
    with pytest.raises(DataError, match=r"needs 0 extra feature columns \(none\), got 1"):
        model.predict(["LiO"], [[300.0]])
    X = model.features_of(["LiO", "GaP"])
    np.testing.assert_array_equal(X, CompositionFeaturizer("fractions").transform(["LiO", "GaP"]))
    assert X.shape[1] == len(model.feature_names)
    values = model.predict_features(X)
    np.testing.assert_array_equal(values, model.predict(["LiO", "GaP"]).prediction)


def test_a_model_without_intervals_and_domain_predicts_values_alone():
    bare = fit(
        Dataset.of(FORMULAS, GAPS), "ridge", features="fractions",
        intervals=IntervalConfig(method="none"), domain=False,
    )  # fmt: skip
    found = bare.predict(FORMULAS)
    assert np.isfinite(found.prediction).all()
    assert np.isnan([found.lower, found.upper, found.std, found.ood_score]).all()
    assert not bare.was_trained_on(bare.features_of(FORMULAS)).any()
    with pytest.raises(NotConformalizedError, match="the model has no intervals"):
        bare.weigh_shift(bare.features_of(FORMULAS))
