"""Screening with a model of classes: ranked by the probability of one."""

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from xtalshift.errors import ConfigError
from xtalshift.screening.settings import ScreenSettings
from xtalshift.uncertainty.settings import IntervalConfig

SALTS = ["NaCl", "KCl", "LiF", "NaF", "KF", "LiCl", "NaBr", "KBr"]
OXIDES = ["MgO", "CaO", "BaO", "ZnO", "TiO2", "Fe2O3", "Al2O3", "SiO2"]
ASKED = ["RbCl", "SrO", "KI", "Xx", "NiO", "CsF"]


@pytest.fixture
def folder(tmp_path):
    data = xs.Dataset.of(SALTS + OXIDES, ["salt"] * 8 + ["oxide"] * 8)
    model = xs.fit(
        data, "ridge", features="magpie", intervals=IntervalConfig(method="none"), domain=False
    )
    model.save(tmp_path / "model")
    pd.DataFrame({"formula": ASKED}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path


def run(folder, **top):
    settings = ScreenSettings.from_dict({"chunk_rows": 2, "top": {"k": 3, **top}})
    out = folder / top.get("of_class", "none")
    return xs.screen(folder / "model", [folder / "in.csv"], out, settings)


@pytest.mark.parametrize("lowest", [False, True])
def test_the_best_rows_have_the_largest_probability_of_the_class(folder, lowest):
    counts = run(folder, by="probability", of_class="oxide", lowest=lowest).counts
    assert (counts["rows"], counts["ok"], counts["errors"]) == (6, 5, 1)
    top = pd.read_csv(folder / "oxide" / "top.csv")
    found = xs.load_model(folder / "model").predict(ASKED)
    likely = found.probability("oxide")
    good = np.flatnonzero(found.reason == "")
    key = 1 - likely if lowest else likely
    best = good[np.argsort(-key[good], kind="stable")][:3]
    assert top["input_row"].tolist() == (best + 1).tolist()
    np.testing.assert_allclose(top["probability"], key[best], rtol=1e-12)
    np.testing.assert_allclose(top["probability_oxide"], likely[best], rtol=1e-12)
    assert top["prediction"].tolist() == found.prediction[best].tolist()


def test_what_cannot_rank_is_refused(folder):
    with pytest.raises(ConfigError, match="rank by the probability of one: --class oxide"):
        run(folder)
    with pytest.raises(ConfigError, match="no class 'salty'"):
        run(folder, by="probability", of_class="salty")
    with pytest.raises(ConfigError, match="needs a threshold"):
        run(folder, by="probability", of_class="salt", threshold=1.0)
