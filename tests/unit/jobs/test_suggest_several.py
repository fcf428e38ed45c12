"""Suggestions for several goals: what is left out, what is chosen, and from what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset
from xtalshift.errors import ConfigError, DataError, NotConformalizedError
from xtalshift.jobs.suggest_several import SeveralRequest, suggest_several
from xtalshift.model import fit_several
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn")
ANIONS = ("O", "S", "Se", "F", "Cl", "Br")
FORMULAS = [metal + anion for metal in METALS for anion in ANIONS]
BOTH = ("max", "min")


@pytest.fixture(scope="module")
def data():
    """Return two properties of 60 binaries: one grows with the metal, one with the anion."""
    metal = np.repeat(np.arange(10.0), 6)
    anion = np.tile(np.arange(6.0), 10)
    noise = np.random.default_rng(0).normal(size=(2, 60))
    return {"a": 10 + metal + 0.2 * noise[0], "b": 50 + 5 * anion + 0.5 * noise[1]}


@pytest.fixture(scope="module")
def models(data):
    tables = {
        name: Dataset.of(FORMULAS, values, target_name=name, unit="eV")
        for name, values in data.items()
    }
    return fit_several(tables, "ridge")


def test_known_materials_are_left_out_and_the_order_is_that_of_utility(models, data):
    candidates = ["BaO", "Ba2O3", "ZnF2", "Zn2O", "oops", "Ba2O3", "CsBr2"]
    said = []
    found = suggest_several(models, candidates, SeveralRequest(3, BOTH), progress=_Listening(said))
    assert "BaO" not in found.frame["formula"].tolist() or "BaO" not in trained(models)
    assert found.frame["rank"].tolist() == [1, 2, 3]
    assert (np.diff(found.frame["utility"]) <= 1e-12).all()
    assert {"prediction_a", "lower_b", "score"} <= set(found.frame)
    assert any("1 repeated, 1 unreadable" in text for text in said)


def trained(models):
    return set(models["a"].domain.formulas_) & set(models["b"].domain.formulas_)


class _Listening:
    def __init__(self, said):
        self.said = said

    def say(self, text):
        self.said.append(text)

    def task(self, *args):
        from xtalshift.progress import NO_PROGRESS

        return NO_PROGRESS.task(*args)


def test_the_front_is_that_of_the_known_materials(models, data):
    found = suggest_several(models, ["Ba2O3"], SeveralRequest(1, BOTH))
    rows = [row for row, name in enumerate(FORMULAS) if name in trained(models)]
    assert found.known == len(rows)
    a, b = data["a"][rows], data["b"][rows]
    expected = {
        FORMULAS[rows[k]]
        for k in range(len(rows))
        if not ((a >= a[k]) & (b <= b[k]) & ((a > a[k]) | (b < b[k]))).any()
    }
    assert set(found.front["formula"]) == expected
    best = found.front
    low, span = best["a"].min(), np.ptp(best["a"])
    assert found.reference["a"] == pytest.approx(low - 0.1 * span)
    high, span = best["b"].max(), np.ptp(best["b"])
    assert found.reference["b"] == pytest.approx(high + 0.1 * span)


def test_a_reference_and_a_file_of_measurements_count(models, tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text("formula,a,b\nBa2O3,99,1\nZn2O,5,\n")
    request = SeveralRequest(2, BOTH, reference=(10.0, 90.0))
    found = suggest_several(models, ["Ba2O3", "Zn2O", "CsBr2"], request, measured=[path])
    # nothing beats the measured one, which is no candidate any more; the other lacks b
    assert found.front["formula"].tolist() == ["Ba2O3"]
    assert set(found.frame["formula"]) == {"Zn2O", "CsBr2"}
    assert found.reference == {"a": 10.0, "b": 90.0}
    np.testing.assert_allclose(found.frame["score"], 0.0, atol=1e-9)


def test_many_candidates_are_kept_by_their_improvement(models, monkeypatch):
    from xtalshift.jobs import suggest_several as module

    many = [f"Ba{m}O{n}" for m in range(1, 9) for n in range(1, 9)]
    whole = suggest_several(models, many, SeveralRequest(1, BOTH)).frame
    monkeypatch.setattr(module, "KEPT", 5)
    few = suggest_several(models, many, SeveralRequest(1, BOTH)).frame
    pd.testing.assert_frame_equal(whole, few)


def test_what_cannot_be_suggested_says_why(models, data):
    with pytest.raises(DataError, match="no candidate to choose from"):
        suggest_several(models, ["oops"], SeveralRequest(1, BOTH))
    with pytest.raises(ConfigError, match="3 values for 2 goals"):
        suggest_several(models, ["BaO2"], SeveralRequest(1, BOTH, reference=(1, 2, 3)))
    tables = {name: Dataset.of(FORMULAS, values) for name, values in data.items()}
    bare = fit_several(tables, "ridge", intervals=IntervalConfig(method="none"))
    with pytest.raises(NotConformalizedError, match="model of 'a' has no intervals"):
        suggest_several(bare, ["BaO2"], SeveralRequest(1, BOTH))
