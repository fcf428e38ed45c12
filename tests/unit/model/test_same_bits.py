"""A prediction does not depend on the other rows of a batch, bit for bit, on a CPU."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator_toys import FORMULA_METHODS
from xtalshift.estimators import tree_sum
from xtalshift.jobs import predict as job
from xtalshift.methods import MethodSettings, build_method
from xtalshift.model import FormulaRegressor
from xtalshift.model.fitted import FittedModel
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.stream import screen

SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 1,
        "network": {"architecture": [24, 16, 8], "dropout": 0.1},
        "erm": {"epochs": 2},
        "cal": {"epochs": 2, "warmup_epochs": 1, "partial_batches": 1, "attack_steps": 2},
        "lightgbm": {"n_estimators": 20},
    }
)
METALS = ["Li", "Na", "K", "Mg", "Ca", "Ba", "Al", "Ga", "In", "Ti", "Fe", "Zn"]
ANIONS = ["O", "S", "F", "Cl", "N", "P"]
LONG = "Li1.1Na0.3K0.7Mg0.2Ca0.9Al1.3Fe0.1Zn0.4O4.7S0.3"
"""With so many elements, the order of sums matters."""
ASKED = [
    *(f"{a}{i % 4 + 1}{b}{x}{i % 3 + 1}" for i, a in enumerate(METALS)
      for b in METALS[i + 1 : i + 3] for x in ANIONS),
    LONG, LONG.replace("Li", "Pu"), "GaAs", "Xx", "UPu3", "Fe",
]  # fmt: skip


@cache
def fitted(method: str, transform: str = "none") -> FittedModel:
    formulas = [f"{a}{number}{b}" for a in METALS for b in ANIONS for number in (2, 1)]
    targets = np.linspace(1, 4, len(formulas)) ** 2
    regressor = build_method(method, SETTINGS, seed=3)
    model = FormulaRegressor(regressor, transform=transform, random_state=0)
    model.fit(formulas[::2], targets[::2]).conformalize(formulas[1::2], targets[1::2])
    return model.model_


def frame_of(model: FittedModel, formulas: list[str], **how) -> pd.DataFrame:
    return model.predict(formulas, **how).frame


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
    )


@pytest.mark.parametrize("method", FORMULA_METHODS)
@pytest.mark.parametrize("transform", ["none", "log"])
def test_all_rows_each_row_and_rows_in_another_order(method, transform):
    model = fitted(method, transform)
    how = {"explain": True}
    together = frame_of(model, ASKED, **how)
    assert (together["status"] == "ok").sum() == len(ASKED) - 1
    assert_same(pd.concat([frame_of(model, [one], **how) for one in ASKED]), together)
    order = np.random.default_rng(0).permutation(len(ASKED))
    assert_same(frame_of(model, [ASKED[i] for i in order], **how), together.iloc[order])


@pytest.mark.parametrize("method", ["lightgbm", "lightgbm-quantile", "trend-lightgbm", "auto"])
def test_many_rows_pass_trees_as_few_do(method, monkeypatch):
    model = fitted(method)
    few = frame_of(model, ASKED)
    monkeypatch.setattr(tree_sum, "MANY_ROWS", 2)
    assert_same(frame_of(model, ASKED), few)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_rows_in_any_order(data):
    method = data.draw(st.sampled_from(FORMULA_METHODS))
    rows = data.draw(st.lists(st.integers(0, len(ASKED) - 1), min_size=1, max_size=140))
    model = fitted(method)
    assert_same(frame_of(model, [ASKED[i] for i in rows]), frame_of(model, ASKED).iloc[rows])


@pytest.mark.parametrize("ratio", ["classifier", "ulsif"])
@pytest.mark.parametrize("method", ["ridge", "ensemble"])
def test_weighted_intervals_with_given_weights(method, ratio):
    model = fitted(method)
    readable = [formula for formula in ASKED if formula != "Xx"]
    shift = model.weigh_shift(model.features_of(readable), method=ratio)
    together = frame_of(model, ASKED, shift=shift)
    assert_same(pd.concat([frame_of(model, [one], shift=shift) for one in ASKED]), together)


@pytest.mark.parametrize("kind", ["plain", "family"])
@pytest.mark.parametrize("method", ["ridge", "lightgbm-quantile", "ensemble", "heteroscedastic"])
def test_a_file_in_pieces_of_any_size(method, kind, tmp_path, monkeypatch):
    source = tmp_path / "in.csv"
    pd.DataFrame({"formula": ASKED}).to_csv(source, index=False)
    written = []
    for rows in (1000, 50, 7):
        monkeypatch.setattr(job, "CHUNK_ROWS", rows)
        out = tmp_path / f"{rows}.csv"
        job.predict_file(TablePredictor(fitted(method), intervals=kind), source, out)
        written.append(out.read_bytes())
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("method", ["ridge", "mc-dropout"])
def test_a_screening_in_blocks_of_any_size(method, tmp_path):
    source = tmp_path / "in.csv"
    pd.DataFrame({"formula": ASKED}).to_csv(source, index=False)
    model = fitted(method).save(tmp_path / "model")
    found = []
    for rows in (1000, 50, 7):
        out = tmp_path / f"{rows}"
        screen(model, [source], out, ScreenSettings(chunk_rows=rows, device="cpu"))
        parts = sorted((out / "parts").iterdir())
        found.append(pd.concat([pd.read_parquet(part) for part in parts]))
    for other in found[1:]:
        assert_same(other, found[0])
    expected = frame_of(fitted(method), ASKED)
    for name in ("prediction", "lower", "upper", "std", "ood_score", "nearest_distance"):
        assert np.array_equal(found[0][name], expected[name], equal_nan=True)
