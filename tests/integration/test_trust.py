"""Intervals and domain on the command line: where they come from, what is said, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from integration.conftest import train_model
from integration.tables import make_rows, write_rows
from xtalshift.data.settings import DataConfig
from xtalshift.estimators import RidgeRegressor
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jobs.train import train
from xtalshift.model import load_model
from xtalshift.uncertainty.settings import IntervalConfig

INTERVALS = {
    "held-out": "Intervals: calibrated on 15 rows held out from training "
    "(absolute errors, mean {})",
    "cross": "Intervals: calibrated on 150 rows, each predicted by a model trained without it "
    "(absolute errors, mean {})",
    "none": "Intervals: none",
}


@pytest.fixture(scope="session")
def long_table(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("long") / "gaps.csv", make_rows(150))


def read(path):
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("how", INTERVALS)
def test_where_intervals_come_from(how, long_table, tmp_path, xtalshift):
    folder = tmp_path / "model"
    outcome = xtalshift("train", long_table, "--target", "gap", "--method", "ridge", "-o", folder,
                        "--intervals", how)  # fmt: skip
    assert outcome.code == 0, outcome.err
    model = load_model(folder)
    mean = None if how == "none" else f"{model.calibration.scores.mean():.4g}"
    assert INTERVALS[how].format(mean) in outcome.out.splitlines()
    rows = model.predict(["GaN"])
    if how == "none":
        assert model.calibration is None
        assert np.isnan([rows.lower[0], rows.upper[0], rows.std[0]]).all()
    else:
        assert rows.lower[0] < rows.prediction[0] < rows.upper[0]
        assert rows.upper[0] - rows.lower[0] >= 2 * rows.std[0]
    # validation and calibration rows are no training materials
    expected = {"held-out": 150 - 15 - 13, "cross": 135, "none": 135}[how]
    assert len(model.domain.formulas_) == expected


def test_levels_nest_and_reach_what_they_say(model, table, tmp_path, xtalshift):
    widths = []
    for level in ("0.5", "0.8", "0.95"):
        out = tmp_path / f"{level}.csv"
        assert xtalshift("predict", model, table, "-o", out, "--level", level).code == 0
        found = read(out)
        held = (found["lower"] <= found["gap"]) & (found["gap"] <= found["upper"])
        # the model was fitted to these rows, so that at least as many are held
        assert held.mean() >= float(level)
        widths.append((found["upper"] - found["lower"]).iloc[0])
    assert widths == sorted(widths)
    assert len(set(widths)) == 3


def test_units_stand_in_the_columns_of_parquet(model, table, tmp_path, xtalshift):
    out = tmp_path / "out.parquet"
    assert xtalshift("predict", model, table, "-o", out).code == 0
    schema = pq.read_schema(out)
    units = {field.name: (field.metadata or {}).get(b"unit") for field in schema}
    with_unit = {name for name, unit in units.items() if unit == b"eV"}
    assert with_unit == {"prediction", "lower", "upper", "std", "nearest_target"}


def test_weighted_intervals_say_how_much_there_is_to_weigh(model, tmp_path, xtalshift, monkeypatch):
    # of one anion, each many times: the other rows count for little
    fluorides = [row for row in make_rows(60) if row[1].endswith("F")]
    candidates = write_rows(tmp_path / "in.csv", (fluorides * 20)[:60])
    plain, weighted = tmp_path / "plain.csv", tmp_path / "weighted.csv"
    assert xtalshift("predict", model, candidates, "-o", plain).code == 0
    outcome = xtalshift("predict", model, candidates, "-o", weighted, "--intervals", "weighted")
    assert outcome.code == 0, outcome.err
    first = outcome.out.splitlines()[0]
    assert first.startswith("Weighted intervals: the 60 calibration rows count as ")
    size = float(first.split(" count as ")[1].split()[0])
    assert size < 30
    assert "such rows are too few (at least 100 are needed)" in outcome.err
    same = write_rows(tmp_path / "same.csv", make_rows(60))
    quiet = xtalshift("predict", model, same, "-o", tmp_path / "s.csv", "--intervals", "weighted")
    assert "count as 60 rows of this region" in quiet.out
    assert "warning" not in quiet.err
    assert (read(weighted)["prediction"] == read(plain)["prediction"]).all()
    assert (read(weighted)["upper"] != read(plain)["upper"]).any()
    # the ratio is learned from the whole file, so pieces do not matter
    monkeypatch.setattr("xtalshift.jobs.predict.CHUNK_ROWS", 7)
    pieces = tmp_path / "pieces.csv"
    again = xtalshift("predict", model, candidates, "-o", pieces, "--intervals", "weighted")
    assert again.code == 0
    np.testing.assert_allclose(read(pieces)["upper"], read(weighted)["upper"], rtol=1e-9)


def test_reasons_are_a_column(model, tmp_path, xtalshift):
    source = tmp_path / "in.csv"
    source.write_text("formula\nPuB6\nXx\n")
    out = tmp_path / "out.csv"
    outcome = xtalshift("predict", model, source, "-o", out, "--explain")
    assert outcome.code == 0
    found = read(out)
    assert found["unseen_elements"][0] == "Pu B"
    assert not found["in_domain"][0]
    assert "(training: " in found["explanation"][0]
    assert found["nearest_formula"][0] in found["explanation"][0]
    assert found["explanation"].isna().tolist() == [False, True]
    assert "1 row is outside the domain of the model" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GaN", "--level", "90"), "expected a share between 0 and 1, such as 0.95"),
        (("GaN", "--intervals", "wide"), "expected plain, family, weighted"),
        (("GaN", "--intervals", "weighted"), "need a file of at least 50 rows"),
        (("{file}", "-o", "{out}", "--intervals", "weighted"), "3 usable rows; weighted intervals"),
    ],
)
def test_what_is_refused(arguments, words, model, tmp_path, xtalshift):
    source = tmp_path / "in.csv"
    source.write_text("formula\nGaN\nNaCl\nZnO\nXx\n")
    named = [text.format(file=source, out=tmp_path / "out.csv") for text in arguments]
    outcome = xtalshift("predict", model, *named)
    assert outcome.code == (2 if "--level" in arguments else 1)
    assert words in outcome.err.splitlines()[-1]
    assert not (tmp_path / "out.csv").exists()


def test_a_model_without_intervals_cannot_weigh_them(table, tmp_path, xtalshift):
    folder = train_model(table, tmp_path / "model", "--intervals", "none")
    outcome = xtalshift("predict", folder, table, "-o", tmp_path / "o.csv", "--intervals", "family")
    assert outcome.code == 1
    assert "the model was saved without calibration; train it again" in outcome.err


def test_training_validation_and_calibration_rows_share_no_formula(tmp_path, monkeypatch):
    rows = [(f"{row[0]}{copy}", *row[1:]) for row in make_rows(60) for copy in range(3)]
    data = DataConfig(
        dataset=str(write_rows(tmp_path / "gaps.csv", rows)), target="gap", duplicates="keep"
    )
    config = RunConfig(data=data, intervals=IntervalConfig(method="held-out"))
    seen = {}

    def fit(self, X, y, X_val, y_val, **how):
        seen["train"], seen["val"] = X, X_val
        return original(self, X, y, X_val=X_val, y_val=y_val, **how)

    original = RidgeRegressor.fit
    monkeypatch.setattr(RidgeRegressor, "fit", fit)
    model = train(config, "ridge").model
    seen["calibration"] = model.calibration.X
    known = set(model.domain.formulas_)
    assert len(seen["train"]) == 3 * len(known)
    assert len(model.calibration) == 3 * 6
    # the calibration keeps its features in single precision
    sides = [{tuple(row) for row in np.float32(seen[name])} for name in seen]
    assert [len(side) for side in sides] == [len(known), 60 - 6 - len(known), 6]
    assert len(set.union(*sides)) == 60
