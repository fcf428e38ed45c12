"""What formulas give again is left out of a saved model, and comes back with the same bits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import xtalshift as xs
from xtalshift.domain.reasons import encode_texts
from xtalshift.errors import ModelFormatError
from xtalshift.methods import MethodSettings
from xtalshift.model.from_formulas import put_back, with_left_out
from xtalshift.saved_arrays import Unread
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Mg", "Ca", "Zn", "Ga", "Al", "Fe", "Cu")
FORMULAS = [
    f"{a}{b}{n}" for a in METALS for b in ("O", "S", "F", "Cl", "N") for n in ("", "2", "3")
]
VALUES = np.sin(np.arange(len(FORMULAS))) + 2
SETTINGS = MethodSettings.from_dict({"threads": 1, "lightgbm": {"n_estimators": 5}})
LEFT_OUT = {"domain.index.points", "calibration.X"}


def fit(method="lightgbm", how="held-out", extra=None, values=VALUES, **options):
    data = xs.Dataset.of(FORMULAS, values, **({} if extra is None else {"extra": extra}))
    return xs.fit(data, method, settings=SETTINGS, intervals=IntervalConfig(method=how), **options)


def arrays_of(folder):
    (path,) = folder.glob("arrays-*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("values", [VALUES, np.where(VALUES > 2, "high", "low").astype(object)])
@pytest.mark.parametrize("how", ["held-out", "cross"])
def test_features_are_left_out_and_come_back(how, values, tmp_path):
    model = fit(how=how, values=values)
    assert len(model.calibration.formulas) == len(model.calibration)
    folder = model.save(tmp_path / "model")
    assert not LEFT_OUT & arrays_of(folder).keys()
    again = xs.load_model(folder)
    np.testing.assert_array_equal(
        again.domain.novelty_.reference.index.unsorted(),
        model.domain.novelty_.reference.index.unsorted(),
    )
    np.testing.assert_array_equal(again.calibration.X, model.calibration.X)
    np.testing.assert_array_equal(again.calibration.formulas, model.calibration.formulas)
    asked = [*FORMULAS, "XeU", "GaN"]
    pd.testing.assert_frame_equal(
        model.predict(asked).frame, again.predict(asked).frame, check_exact=True
    )
    other = again.save(tmp_path / "other")
    assert arrays_of(other).keys() == arrays_of(folder).keys()
    assert [p.read_bytes() for p in other.glob("arrays*")] == [
        p.read_bytes() for p in folder.glob("arrays*")
    ]


def test_other_rows_than_the_formulas_give_are_kept(tmp_path):
    model = fit()
    moved = replace(model.calibration, X=model.calibration.X + 1)
    formulas = model.domain.formulas_.copy()
    model.domain.formulas_[:2] = formulas[1::-1]  # each is the other now
    folder = replace(model, calibration=moved).save(tmp_path / "model")
    assert arrays_of(folder).keys() >= LEFT_OUT
    np.testing.assert_array_equal(xs.load_model(folder).calibration.X, moved.X)


def test_extra_columns_and_encoders_keep_their_features(tmp_path):
    extra = np.linspace(0, 1, len(FORMULAS))[:, None]
    assert arrays_of(fit(extra=extra).save(tmp_path / "extra")).keys() >= LEFT_OUT
    learned = fit(features="magpie+pretrained").save(tmp_path / "learned")
    assert arrays_of(learned).keys() >= LEFT_OUT


def test_features_of_another_version_are_refused(tmp_path, monkeypatch):
    folder = fit().save(tmp_path / "model")
    from xtalshift.featurize import CompositionFeatures

    compute = CompositionFeatures.featurize

    def other(self, X):
        found = compute(self, X)
        found.values[:, 5] *= 1.01
        return found

    monkeypatch.setattr(CompositionFeatures, "featurize", other)
    with pytest.raises(ModelFormatError, match="this version computes others"):
        xs.load_model(folder)


def test_formulas_that_cannot_be_read_are_refused(tmp_path):
    model = fit()
    state = arrays_of(model.save(tmp_path / "model"))
    names = [*model.domain.formulas_[:-1], "Xx9"]
    with pytest.raises(ModelFormatError, match="cannot be read"):
        put_back(model.featurizer, {**state, "domain.formulas": encode_texts(names)})


def test_what_stands_for_left_out_arrays_is_checked():
    means = Unread(np.dtype(np.float64), (3,))
    rows = Unread(np.dtype(np.float64), (7,))
    found = with_left_out({"left_out.points": means, "domain.targets": rows})
    assert found["domain.index.points"] == Unread(np.dtype(np.float32), (7, 3))
    assert "left_out.points" not in found
    with pytest.raises(ModelFormatError, match=r"'left_out.points' is float32"):
        with_left_out({"left_out.points": Unread(np.dtype(np.float32), (3,))})
    with pytest.raises(ModelFormatError, match=r"'left_out.formulas' is missing"):
        with_left_out({"left_out.rows": means})
