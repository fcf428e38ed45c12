"""Models of several targets: the same as one by one, joint intervals, and their folder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from integration.tables import make_rows
from xtalshift.data import Dataset, clean_table, read_targets
from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.estimators import (
    IRNetRegressor,
    NeighborsRegressor,
    RidgeRegressor,
    StackRegressor,
)
from xtalshift.estimators.stack import Member
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import MethodSettings, build_method
from xtalshift.model import FittedModels, fit, fit_several, load_model, load_models
from xtalshift.model.several import SeveralPredictions
from xtalshift.model.several_folder import MODELS_FILE
from xtalshift.model.several_inputs import features_once
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.settings import IntervalConfig

NEW = ["CaO", "Fe2O3", "GaAs", "no formula"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Return two targets of 90 rows, of which every third lacks the second."""
    path = tmp_path_factory.mktemp("several") / "table.csv"
    lines = ["formula,gap,bulk"]
    for number, (_, formula, gap, _) in enumerate(make_rows(90)):
        bulk = "" if number % 3 == 0 else f"{200 - 20 * gap + number % 7:g}"
        lines.append(f"{formula},{gap},{bulk}")
    path.write_text("\n".join(lines) + "\n")
    return read_targets(path, ["gap", "bulk"], units={"gap": "eV", "bulk": "GPa"})


@pytest.fixture(scope="module")
def models(tables):
    return fit_several(tables, "ridge", seed=2)


def test_each_model_is_the_one_of_its_target_alone(tables, models):
    assert models.targets == ("gap", "bulk")
    for name, table in tables.items():
        alone = fit(table, "ridge", seed=2)
        state, other = (
            {**one.regressor._get_state(), **one.calibration.get_state(), **one.domain.get_state()}
            for one in (alone, models[name])
        )
        assert state.keys() == other.keys()
        for key, values in state.items():
            np.testing.assert_array_equal(values, other[key], err_msg=key)
        assert alone.card == models[name].card


def test_features_are_computed_once_for_all_targets(tables):
    seen = []

    class Counting(CompositionFeaturizer):
        def featurize(self, materials):
            seen.extend(materials.formulas.tolist())
            return super().featurize(materials)

    clean = {name: clean_table(one) for name, one in tables.items()}
    found = features_once(clean, Counting())
    assert len(seen) == len(set(seen)) == 90
    for name, table in clean.items():
        expected = CompositionFeaturizer().featurize(table.materials)
        np.testing.assert_array_equal(found[name].values, expected.values)


def test_joint_rows_are_those_that_calibrate_all_targets(tables, models):
    # with cross-fitted intervals all rows are calibration rows
    assert len(models.joint) == 60
    known = [fit(table, "ridge", seed=2).calibration.scores for table in tables.values()]
    clean = [clean_table(table) for table in tables.values()]
    both = [
        (first, clean[1].groups.tolist().index(group))
        for first, group in enumerate(clean[0].groups)
        if group in clean[1].groups
    ]
    expected = [[known[0][a], known[1][b]] for a, b in both]
    np.testing.assert_array_equal(models.joint.scores, expected)


def test_joint_intervals_are_those_of_the_joint_bounds(models):
    found = models.predict(NEW, level=0.8)
    for (name, model), bound in zip(models.models.items(), models.joint.bounds(0.8), strict=True):
        part = model.predict(NEW, level=0.8)
        np.testing.assert_array_equal(found[name].prediction, part.prediction)
        np.testing.assert_array_equal(found[name].lower, part.lower)
        low, high = found.joint[name]
        np.testing.assert_allclose(low[:3], part.prediction[:3] - bound)
        np.testing.assert_allclose(high[:3], part.prediction[:3] + bound)
        assert np.isnan(low[3])
        assert (low[:3] < part.lower[:3]).all()
    levels = models.joint_levels(0.8)
    assert all(0.8 < level < 1 for level in levels.values())


def test_too_high_a_level_has_infinite_joint_intervals(models):
    low, high = models.predict(NEW, level=0.999).joint["gap"]
    assert low[0] == -np.inf
    assert high[0] == np.inf
    assert models.joint_levels(0.999) == {"gap": 1.0, "bulk": 1.0}


def test_the_frame_has_the_columns_of_each_target(models):
    frame = models.predict(NEW).frame
    assert tuple(frame.columns) == ("formula", *models.predicted_columns)
    assert {"prediction_gap", "lower_bulk", "ood_score_gap", "joint_upper_bulk"} <= set(frame)
    assert frame["status"].tolist() == ["ok", "ok", "ok", "error"]
    assert frame["reason"].iloc[0] == ""
    assert models.column_units["joint_lower_bulk"] == "GPa"
    assert models.column_units["prediction_gap"] == "eV"


def test_a_reason_of_one_target_names_it(models):
    parts = dict(models.predict(NEW).parts)
    parts["bulk"].reason[1] = "the prediction overflows"
    found = SeveralPredictions(parts)
    assert found.reason[1] == "bulk: the prediction overflows"
    assert found.reason[3] == parts["gap"].reason[3] != ""


def test_families_have_no_joint_intervals(models):
    assert models.predict(NEW, by_family=True).joint == {}


def test_a_held_out_calibration_with_holes_has_no_joint_intervals(tables):
    said = []

    class Listening:
        def say(self, text):
            said.append(text)

        def __getattr__(self, name):
            from xtalshift.progress import NO_PROGRESS

            return getattr(NO_PROGRESS, name)

    own = IntervalConfig(method="held-out", share=0.3)
    found = fit_several(tables, "ridge", intervals=own, progress=Listening())
    assert found.joint is None
    assert found.joint_levels() == {}
    assert "joint_lower_gap" not in found.predict(NEW).frame
    assert any("--intervals cross" in text for text in said)


def test_saved_models_give_the_same_bits(models, tmp_path):
    models.save(tmp_path / "models")
    names = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert names == ["1-gap", "2-bulk", MODELS_FILE]
    again = load_models(tmp_path / "models")
    first, second = (one.predict(NEW).frame for one in (models, again))
    assert first.equals(second)
    # each is a model of its own
    alone = load_model(tmp_path / "models" / "2-bulk").predict(NEW)
    np.testing.assert_array_equal(alone.prediction, first["prediction_bulk"])


def test_saving_again_replaces_all(models, tmp_path):
    folder = tmp_path / "models"
    models.save(folder)
    FittedModels({"p/q": models["bulk"]}).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["1", MODELS_FILE]
    assert load_models(folder).targets == ("p/q",)


def test_damage_is_found(models, tmp_path):
    folder = models.save(tmp_path / "models")
    path = folder / MODELS_FILE
    good = path.read_text()
    path.write_text(good.replace('"gap"', '"cap"'))
    with pytest.raises(ModelFormatError, match="was altered"):
        load_models(folder)
    path.write_text(json.dumps({**json.loads(good), "format_version": 9}))
    with pytest.raises(ModelFormatError, match="format version 9"):
        load_models(folder)
    path.write_text(good)
    models["gap"].save(folder / "2-bulk")
    with pytest.raises(ModelFormatError, match="is not the model of 'bulk'"):
        load_models(folder)
    with pytest.raises(ModelFormatError, match="read them with load_models"):
        load_model(folder)
    with pytest.raises(ModelFormatError, match="no models of several targets"):
        load_models(tmp_path)


def test_models_do_not_replace_other_things(models, tmp_path):
    models["gap"].save(tmp_path / "one")
    with pytest.raises(ModelFormatError, match="a model of one target"):
        models.save(tmp_path / "one")
    folder = models.save(tmp_path / "models")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ModelFormatError, match=r"'notes\.txt' besides models"):
        models.save(folder)


def test_models_of_other_columns_or_tables_are_refused(models, tables):
    with pytest.raises(DataError, match="there is no model"):
        FittedModels({})
    with pytest.raises(DataError, match="row 99 of the 90"):
        FittedModels(models.models, np.array([[99, 0]]))
    with pytest.raises(ConfigError, match="at least one target"):
        fit_several({})
    other = Dataset.of(["KCl"] * 20, np.arange(20.0))
    with pytest.raises(DataError, match="not of one table"):
        fit_several({"gap": tables["gap"], "other": other}, "ridge")


QUICK = {
    "device": "cpu", "threads": 1, "network": {"architecture": [8], "dropout": 0.0},
    "erm": {"epochs": 3},
}  # fmt: skip


def test_a_joint_method_is_fitted_once_and_saved_as_one_model_each(tables, tmp_path):
    settings = MethodSettings.from_dict(QUICK)
    models = fit_several(tables, "multi-task", settings=settings, seed=1)
    bulk, gap = models["bulk"].regressor, models["gap"].regressor
    assert type(bulk) is type(gap) is IRNetRegressor
    for name, value in bulk.states_["best"].items():
        same = torch.equal(value, gap.states_["best"][name])
        assert same != name.startswith("head.")
    assert bulk.scaler_ is gap.scaler_
    # all rows of each target calibrate, and those with both calibrate both
    assert [len(one.calibration) for one in models.models.values()] == [90, 60]
    assert len(models.joint) == 60
    assert models["bulk"].card.provenance["method"] == "multi-task"
    found, again = (one.predict(NEW).frame for one in (models, load_models(models.save(tmp_path))))
    assert found.equals(again)


def test_scores_of_a_joint_method_are_those_of_fits_without_the_row(tables):
    """The folds by hand: every row is predicted by a network that saw neither of its targets."""
    settings = MethodSettings.from_dict(QUICK)
    models = fit_several(tables, "multi-task", settings=settings, seed=1)
    clean = {name: clean_table(table) for name, table in tables.items()}
    gap, bulk = clean["gap"], clean["bulk"]
    X = CompositionFeaturizer().transform(gap.materials)
    place = {key: row for row, key in enumerate(gap.groups.tolist())}
    Y = np.column_stack([gap.y, np.full(90, np.nan)])
    rows = [place[key] for key in bulk.groups.tolist()]
    Y[rows, 1] = bulk.y
    expected = np.full((90, 2), np.nan)
    split = KFoldSplit(5, random_state=derive_seed(1, "folds"))
    for train, out in split.split(X, Y[:, 0], gap.groups):
        network = build_method("multi-task", settings, seed=derive_seed(1, "method"))
        network.fit(X[train], Y[train], groups=gap.groups[train])
        expected[out] = np.abs(network.predict(X[out]) - Y[out])
    np.testing.assert_allclose(models["gap"].calibration.scores, expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(models["bulk"].calibration.scores, expected[rows, 1], rtol=1e-9)


def test_a_joint_method_holds_the_same_materials_out_for_all_targets(tables):
    settings = MethodSettings.from_dict(QUICK)
    own = IntervalConfig(method="held-out", share=0.4)
    models = fit_several(tables, "multi-task", settings=settings, intervals=own)
    numbers = [len(one.calibration) for one in models.models.values()]
    assert numbers[0] == 36
    # as many as have the second target
    assert len(models.joint) == numbers[1] > 15


def test_a_joint_method_refuses_weights(tables):
    weighted = {name: replace(table, weights=np.ones(len(table))) for name, table in tables.items()}
    with pytest.raises(ConfigError, match="counts all known values the same"):
        fit_several(weighted, "multi-task", settings=MethodSettings.from_dict(QUICK))


@pytest.mark.parametrize(
    "method",
    [
        "ridge",
        "multi-task",
        StackRegressor(
            [Member("ridge", RidgeRegressor()), Member("near", NeighborsRegressor())],
            random_state=0,
        ),
    ],
    ids=["ridge", "multi-task", "stack"],
)
def test_joint_rows_are_of_the_same_materials(tables, method):
    models = fit_several(tables, method, settings=MethodSettings.from_dict(QUICK))
    gap, bulk = models.joint_rows.T
    assert len(gap) >= 40
    assert len(set(gap)) == len(set(bulk)) == len(gap)
    np.testing.assert_array_equal(
        models["gap"].calibration.X[gap], models["bulk"].calibration.X[bulk]
    )


def test_rows_of_one_material_that_are_kept_are_told_apart_by_their_numbers():
    formulas = [f"{name}{n}" for name in ("Fe2O", "NaCl", "MgO") for n in range(1, 9)] * 2
    values = np.arange(48.0)
    whole = Dataset.of(formulas, values), Dataset.of(formulas, values**2)
    own = {
        name: clean_table(table, duplicates="keep")
        for name, table in zip(("a", "b"), whole, strict=True)
    }
    own["b"] = own["b"].take(np.arange(48) % 4 != 1)
    models = fit_several(own, "ridge")
    a, b = models.joint_rows.T
    assert len(a) == 36
    np.testing.assert_array_equal(
        own["a"].row_numbers[np.sort(a)], own["b"].row_numbers[np.sort(b)]
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return two numbers and a class of 60 rows; the class lacks every fourth."""
    path = tmp_path_factory.mktemp("mixed") / "table.csv"
    lines = ["formula,gap,kind,bulk"]
    for number, (_, formula, gap, _) in enumerate(make_rows(60)):
        kind = "" if number % 4 == 0 else ("wide" if gap > 7 else "narrow")
        lines.append(f"{formula},{gap},{kind},{200 - 20 * gap + number % 7:g}")
    path.write_text("\n".join(lines) + "\n")
    return read_targets(path, ["gap", "kind", "bulk"], units={"gap": "eV"})


@pytest.fixture(scope="module")
def both_kinds(mixed):
    return fit_several(mixed, "ridge", transform="log1p", seed=2)


def test_a_class_among_numbers_has_the_model_of_that_class_alone(mixed, both_kinds):
    assert mixed["kind"].classes == ("narrow", "wide")
    alone = fit(mixed["kind"], "ridge", seed=2).predict(NEW)
    found = both_kinds.predict(NEW, level=0.9)
    np.testing.assert_array_equal(found["kind"].probabilities, alone.probabilities)
    np.testing.assert_array_equal(found["kind"].in_set, alone.in_set)
    assert both_kinds["gap"].scale.name == "log1p"  # that of the numbers
    assert tuple(both_kinds.numbers) == ("gap", "bulk")
    # intervals of all at once are of the numbers, of all rows that have both
    assert len(both_kinds.joint) == 60
    assert set(found.joint) == {"gap", "bulk"}
    assert tuple(found.frame.columns) == ("formula", *both_kinds.predicted_columns)
    assert {"probability_wide_kind", "prediction_set_kind", "joint_upper_bulk"} <= set(found.frame)
    assert "joint_upper_kind" not in found.frame
    assert found.frame["prediction_kind"].tolist()[3] == ""
    assert both_kinds.column_units["prediction_gap"] == "eV"


def test_models_with_a_class_are_saved_and_what_they_refuse(mixed, both_kinds, tmp_path):
    again = load_models(both_kinds.save(tmp_path / "models"))
    assert again.predict(NEW).frame.equals(both_kinds.predict(NEW).frame)
    with pytest.raises(ConfigError, match="intervals by family are for numbers"):
        again.predict(NEW, by_family=True)
    with pytest.raises(ConfigError, match="kind is a class, and 'multi-task' learns numbers"):
        fit_several(mixed, "multi-task", settings=MethodSettings.from_dict(QUICK))
    with pytest.raises(ConfigError, match="svr is for regression; for classes use"):
        fit_several(mixed, "svr")
    alone = FittedModels({"kind": again["kind"], "gap": again["gap"]})
    assert alone.joint is None
