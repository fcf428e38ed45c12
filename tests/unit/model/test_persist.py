"""Saved models: the same bits back, and every kind of damage found."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from estimator_toys import FORMULA_METHODS
from xtalshift.errors import DataError, ModelFormatError
from xtalshift.methods import MethodSettings, build_method
from xtalshift.metrics import rank_evidence
from xtalshift.model import FormulaRegressor, ModelCard, load_model, save_model
from xtalshift.model.description import saved_ranking
from xtalshift.model.fitted import FittedModel
from xtalshift.model.signed_json import hash_described

FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
TARGETS = np.linspace(1, 4, len(FORMULAS)) ** 2
UNSEEN = ["CaO", "Fe2O3", "GaAs", "UPu3"]
SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 1,
        "network": {"architecture": [8, 8, 8], "dropout": 0.1},
        "erm": {"epochs": 2},
        "cal": {"epochs": 2, "warmup_epochs": 1, "partial_batches": 1, "attack_steps": 2},
        "lightgbm": {"n_estimators": 5},
    }
)


def fit(method: str, **options) -> FittedModel:
    regressor = build_method(method, SETTINGS, seed=3)
    return FormulaRegressor(regressor, random_state=0, **options).fit(FORMULAS, TARGETS).model_


def values_of(model, *formulas):
    return model.predict(formulas).prediction


@pytest.fixture
def saved(tmp_path):
    return save_model(fit("ridge"), tmp_path / "model")


def arrays_of(folder):
    (path,) = folder.glob("arrays-*.safetensors")
    return path


def rewrite(folder, change):
    """Change the description and give it the checksum of its new content."""
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    description.pop("sha256")
    description["sha256"] = hash_described(description)
    path.write_text(json.dumps(description))


@pytest.mark.parametrize("method", FORMULA_METHODS)
@pytest.mark.parametrize("transform", ["none", "log"])
def test_every_method_comes_back_with_the_same_bits(method, transform, tmp_path):
    model = fit(method, transform=transform)
    folder = save_model(model, tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == {arrays_of(folder).name, "model.json"}
    again = load_model(folder, device="cpu")
    assert again.regressor.regressor_name == type(model.regressor).__name__
    asked = [*FORMULAS, *UNSEEN, "Xx"]
    before, after = model.predict(asked), again.predict(asked)
    assert np.isfinite(before.prediction[:-1]).all()
    pd.testing.assert_frame_equal(before.frame, after.frame, check_exact=True)
    variants = again.regressor.predict_variants(again.features_of(UNSEEN))
    for name, values in model.regressor.predict_variants(model.features_of(UNSEEN)).items():
        assert np.array_equal(variants[name], values)
    # a loaded model is saved as the same bytes
    copy = save_model(again, tmp_path / "copy")
    assert arrays_of(copy).read_bytes() == arrays_of(folder).read_bytes()


def test_all_settings_and_the_card_come_back(tmp_path):
    model = FormulaRegressor(
        "ridge", features="magpie+fractions", transform="asinh", impute_nan=False,
        hydrates="expand", amounts="wt", random_state=1,
    ).fit([*FORMULAS, "CuSO4*5H2O"], [*TARGETS, 2.0], extra=np.ones((31, 2))).model_  # fmt: skip
    card = ModelCard("gap", "eV", "300 K", "gaps.csv", ("t", "p"), {"version": "0.1.0"})
    again = load_model(save_model(replace(model, card=card), tmp_path / "model"))
    assert again.card == card
    for name in ("blocks", "impute_nan", "hydrates", "amounts"):
        assert getattr(again.featurizer, name) == getattr(model.featurizer, name)
    assert again.scale.name == "asinh"
    assert again.feature_names == (*model.featurizer.get_feature_names_out(), "t", "p")
    extra = [[1.0, 2.0]]
    found = again.predict(["CuSO4*5H2O"], extra).prediction
    assert np.isfinite(found).all()
    assert np.array_equal(found, model.predict(["CuSO4*5H2O"], extra).prediction)


def test_how_well_a_model_ranks_comes_back(tmp_path):
    fitted = FormulaRegressor("ridge", transform="log", random_state=0)
    fitted.fit(FORMULAS[:15], TARGETS[:15]).conformalize(FORMULAS[15:], TARGETS[15:])
    known = fitted.model_.calibration.ranking
    # ranks are those in the unit of the target
    assert known == rank_evidence(TARGETS[15:], fitted.predict(FORMULAS[15:]))
    folder = save_model(fitted.model_, tmp_path / "model")
    assert saved_ranking(folder) == known
    assert load_model(folder).calibration.ranking == known
    rewrite(folder, lambda description: description["calibration"].pop("ranking"))
    assert saved_ranking(folder) is None  # a model of an earlier version
    assert load_model(folder).calibration.ranking is None
    assert saved_ranking(save_model(fit("ridge"), tmp_path / "other")) is None
    assert saved_ranking(tmp_path / "no folder") is None


def test_nothing_is_unpickled(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    for module in ("pickle.load", "pickle.loads", "torch.load", "numpy.load", "joblib.load"):
        monkeypatch.setattr(module, refuse)
    assert np.isfinite(values_of(load_model(saved), "NaCl")).all()


def truncate_arrays(folder):
    path = arrays_of(folder)
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(folder):
    path = arrays_of(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def edit_the_text(folder):
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"transform": "none"', '"transform": "log"'))


def truncate_the_text(folder):
    path = folder / "model.json"
    path.write_text(path.read_text()[:100])


def rewrite_arrays(folder, change):
    """Change the arrays and give them the checksum of their new content."""
    path = arrays_of(folder)
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name(f"arrays-{digest[:16]}.safetensors"))
    rewrite(folder, lambda d: d.update(arrays_sha256=digest))


def forged(name, **changes):
    """Return a damage that puts numbers into an array, checksums included."""

    def change(arrays):
        for place, number in changes.items():
            arrays[name][int(place[1:])] = number

    return lambda folder: rewrite_arrays(folder, change)


def parameters(**changes):
    return lambda folder: rewrite(folder, lambda d: d["regressor"]["parameters"].update(changes))


DAMAGE = {
    "arrays cut": (truncate_arrays, "truncated or was altered"),
    "arrays altered": (flip_a_bit, "truncated or was altered"),
    "arrays gone": (lambda f: arrays_of(f).unlink(), "incomplete"),
    "array gone": (lambda f: rewrite_arrays(f, lambda a: a.pop("coef")), "coef"),
    "text altered": (edit_the_text, "was altered"),
    "text cut": (truncate_the_text, "is damaged"),
    "text gone": (lambda f: (f / "model.json").unlink(), "no model.json"),
    "all gone": (shutil.rmtree, "not a saved model"),
    "no text": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"), "damaged"),
    "other JSON": (lambda f: (f / "model.json").write_text("[1]"), "does not describe"),
    "unknown class": (
        lambda f: rewrite(f, lambda d: d["regressor"].update({"class": "RidgeRegresor"})),
        "did you mean 'RidgeRegressor'",
    ),
    "wrong class": (
        lambda f: rewrite(f, lambda d: d["regressor"].update({"class": "IRNetRegressor"})),
        "cannot be restored",
    ),
    "unknown setting": (
        lambda f: rewrite(f, lambda d: d["pipeline"].update({"colour": "red"})),
        "'pipeline.colour': Extra inputs",
    ),
    "NaN scaler": (forged("scaler.scale", _0=np.nan), "'scaler.scale'"),
    "scale 0": (forged("scaler.scale", _0=0.0), "'scaler.scale'"),
    "clip without bound": (forged("domain.scaler.clip", _0=1e308), "'domain.scaler.clip' has"),
    "fewer counts": (forged("domain.rarity.counts", _0=0), "does not count all"),
    "other domain": (
        lambda f: rewrite(f, lambda d: d.update(has_domain=False)),
        "'domain.elements' is unknown",
    ),
    "clip below 0": (parameters(clip=-1.0), "clip = -1.0"),
    "a text for a number": (parameters(clip="10"), "'clip'"),
    "no number": (parameters(clip=float("inf")), "clip.float': Input should be a finite number"),
    "unknown parameter": (parameters(klip=10.0), "'klip'"),
    "a parameter less": (
        lambda f: rewrite(f, lambda d: d["regressor"]["parameters"].pop("clip")),
        "'clip'",
    ),
    "another file": (
        lambda f: rewrite(f, lambda d: d.update(arrays_sha256="../../../../etc/")),
        "arrays_sha256",
    ),
    "huge text": (
        lambda f: (f / "model.json").write_bytes(b" " * (2**24 + 1)),
        "larger than any description",
    ),
    "newer": (
        lambda f: rewrite(f, lambda d: d.update(format_version=99)),
        "format version 99",
    ),
    "other features": (
        lambda f: rewrite(f, lambda d: d["feature_names"].reverse()),
        "features that this version does not compute",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_and_named(damage, words, saved):
    damage(saved)
    with pytest.raises(ModelFormatError) as error:
        load_model(saved)
    assert words in str(error.value)
    assert str(saved) in str(error.value)


def test_a_foreign_folder_is_neither_read_nor_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelFormatError, match=r"no model\.json"):
        load_model(tmp_path)
    model = fit("dummy")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ModelFormatError, match="not a saved model"):
            save_model(model, place)
    with pytest.raises(ModelFormatError, match="is not a writable folder"):
        save_model(model, tmp_path / "notes.txt" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_saving_over_a_model_replaces_it_whole_or_not_at_all(saved, tmp_path, monkeypatch):
    ridge = values_of(load_model(saved), *UNSEEN)
    dummy = fit("dummy")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(DataError, match=r"cannot write .*arrays-.*: No space left on device"):
            save_model(dummy, saved)
    assert np.array_equal(values_of(load_model(saved), *UNSEEN), ridge)
    save_model(dummy, saved)
    found = values_of(load_model(saved), *UNSEEN)
    assert found == pytest.approx(np.full(4, values_of(dummy, "CaO")[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_save_is_a_method_too(saved, tmp_path):
    copy = load_model(saved).save(tmp_path / "deep" / "copy")
    assert (copy / "model.json").read_bytes() == (saved / "model.json").read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o755  # others may read it
