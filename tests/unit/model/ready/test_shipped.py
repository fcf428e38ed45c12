"""What the package ships: small, within its recipe, with honest cards."""

import math
import runpy
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import xtalshift as xs
from xtalshift.model.ready import get_recipe, is_shipped, list_recipes
from xtalshift.model.ready.evaluation import read_evaluation
from xtalshift.model.ready.recipe import _FOLDER

SHIPPED = [name for name in list_recipes() if is_shipped(get_recipe(name))]
TOOL = Path(__file__).parents[4] / "tools" / "ready_table.py"
MOST = 12_000_000
"""Bytes that all models together may take in a wheel, which is a ZIP file."""


def test_every_recipe_is_shipped_or_says_why_not():
    for name in list_recipes():
        recipe = get_recipe(name)
        assert is_shipped(recipe) == (not recipe.not_shipped)
        assert recipe.licence
        assert recipe.attribution
        assert recipe.citation
        assert any("polymorphs" in text for text in recipe.caveats)


def test_models_are_small_in_a_wheel():
    files = [path for path in (_FOLDER / "shipped").rglob("*") if path.is_file()]
    assert sum(len(zlib.compress(path.read_bytes(), 9)) for path in files) < MOST


def test_only_data_with_a_licence_are_shipped():
    for name in SHIPPED:
        assert "CC BY 4.0" in get_recipe(name).licence
    notice = (_FOLDER / "LICENSES.txt").read_text("utf-8")
    for name in SHIPPED:
        assert name in notice
        assert get_recipe(name).citation in notice


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_is_that_of_its_recipe(name):
    recipe, model = get_recipe(name), xs.load_model(name)
    card = model.card
    assert (card.target_name, card.unit, card.conditions, card.source) == (
        recipe.target_name,
        recipe.unit,
        recipe.conditions,
        recipe.table,
    )
    assert card.provenance["method"] == recipe.method
    assert card.provenance["ready"] == {
        "name": name,
        "licence": recipe.licence,
        "attribution": recipe.attribution,
        "citation": recipe.citation,
    }
    assert model.featurizer.blocks == recipe.features
    assert sorted(getattr(model, "classes", ())) == sorted(recipe.classes)
    assert recipe.classes or model.scale.name == recipe.transform
    settings = recipe.settings["lightgbm"]
    assert model.learned.n_estimators == settings["n_estimators"]
    assert model.learned.learning_rate == settings["learning_rate"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_evaluation_is_that_of_the_recipe_and_of_the_same_table(name):
    recipe, model = get_recipe(name), xs.load_model(name)
    found = read_evaluation(recipe.folder)
    assert found.model == name
    assert found.table_sha256 == model.card.provenance["data"]["sha256"]
    assert {one.split for one in found.held_out} == set(recipe.splits)
    for one in found.held_out:
        assert one.scheme == recipe.splits[one.split]["scheme"]
        assert one.role == ("id" if one.scheme == "random" else "ood")
    for split in recipe.splits:  # on one cluster a model may be worse than the mean
        folds = found.of(split)
        assert sum(one.error for one in folds) < sum(one.dummy_error for one in folds)
    (random,) = found.of("random")
    assert abs(random.coverage - 0.9) < 0.02
    assert random.n_train + random.n_test == found.materials
    assert len(found.of("cluster")) == recipe.splits["cluster"]["params"]["n_clusters"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_answers_with_interval_domain_and_nearest_material(name):
    model = xs.load_model(name)
    found = model.predict(["GaN", "Xx2", "Cs2AgBiBr6", "XePu2"])
    assert found.reason.tolist()[1] != ""
    good = [0, 2, 3]
    if get_recipe(name).classes:
        np.testing.assert_allclose(found.probabilities[good].sum(axis=1), 1)
        assert set(found.prediction[good]) <= set(model.classes)
        assert not np.isnan(found.in_set[good].astype(float)).any()
    else:
        assert (found.lower[good] <= found.prediction[good]).all()
        assert (found.prediction[good] <= found.upper[good]).all()
        assert np.isfinite(found.upper[good]).all()
    assert (found.nearest_formula[good] != "").all()
    assert not found.in_domain[3]


@pytest.mark.parametrize("name", SHIPPED)
def test_training_materials_are_known_with_their_values(name):
    model = xs.load_model(name)
    domain = model.domain
    some = np.arange(0, len(domain.formulas_), 997)
    found = model.predict(domain.formulas_[some].tolist())
    np.testing.assert_allclose(found.nearest_distance, 0, atol=1e-4)
    np.testing.assert_array_equal(found.ood_score, 0)
    # materials with the same features are one
    first = domain.targets_[some][0]
    if get_recipe(name).classes:
        assert found.nearest_target[0] == model.classes[int(first)]
    else:
        assert math.isclose(found.nearest_target[0], first)


def test_few_formulas_need_no_large_library(tmp_path):
    code = (
        "import sys, xtalshift as xs; xs.load_model('seebeck').predict(['GaN']); "
        "print([n for n in ('lightgbm', 'sklearn', 'torch', 'pandas', 'scipy.optimize') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"


def test_the_table_in_the_documentation_is_up_to_date():
    tool = runpy.run_path(str(TOOL))
    page = tool["PAGE"].read_text(encoding="utf-8")
    assert page.count(tool["BEGIN"]) == page.count(tool["END"]) == 1
    assert tool["replace_table"](page) == page, "run python tools/ready_table.py"
