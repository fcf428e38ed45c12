"""`xtalshift explain`: from the command line to tables that sum to the prediction."""

import csv
import io
import json

import pandas as pd
import pytest

from xtalshift.model import load_model


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_formulas_at_the_prompt_sum_to_their_predictions(model, xtalshift):
    outcome = xtalshift("explain", model, "NaCl", "GaN", "--substitutions", "1")
    assert outcome.code == 0, outcome.err
    rows = read(outcome.out)
    predicted = load_model(model).predict(["NaCl", "GaN"])
    for formula, prediction in zip(("NaCl", "GaN"), predicted.prediction.tolist(), strict=True):
        own = [row for row in rows if row["formula"] == formula]
        base = next(row for row in own if row["kind"] == "base")
        assert float(base["prediction"]) == prediction
        for kinds in ({"element", "proportions"}, {"family"}, {"feature"}):
            parts = [float(row["contribution"]) for row in own if row["kind"] in kinds]
            total = float(base["contribution"]) + sum(parts)
            assert total == pytest.approx(prediction, abs=1e-6)


def test_a_file_to_a_file(warm_model, table, tmp_path, xtalshift):
    few = tmp_path / "few.csv"
    pd.read_csv(table).head(3).drop(columns="gap").to_csv(few, index=False)
    out = tmp_path / "why.parquet"
    for again in (False, True):  # an earlier output is replaced
        outcome = xtalshift("explain", warm_model, few, "-o", out, "--substitutions", "0")
        assert outcome.code == 0, (again, outcome.err)
        assert outcome.out == f"Explanations: {out}\n"
    found = pd.read_parquet(out)
    assert found["formula"].nunique() == 3
    columns = found[found["kind"] == "column"]
    assert columns["name"].tolist() == ["temperature"] * 3
    assert columns["value"].tolist() == pd.read_csv(few)["temperature"].tolist()
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    outcome = xtalshift("explain", warm_model, few, "-o", other)
    assert outcome.code == 1
    assert other.read_text() == "a\n1\n"


def test_json_has_no_nan_and_says_what_is_bad(model, xtalshift):
    outcome = xtalshift("explain", model, "NaCl", "Xx", "--json")
    assert outcome.code == 0, outcome.err
    good, bad = json.loads(outcome.out, parse_constant=pytest.fail)
    assert good["formula"] == "NaCl"
    assert bad["value"] is None
    assert "unknown element" in bad["reason"]


def test_people_see_tables(model, xtalshift, monkeypatch):
    monkeypatch.setattr("xtalshift.cli.explain._on_terminal", lambda: True)
    outcome = xtalshift("explain", model, "NaCl", "--top", "2")
    assert outcome.code == 0, outcome.err
    for word in ("NaCl", "training materials", "Elements", "Kinds of features", "all others",
                 "Another element", "proportions"):  # fmt: skip
        assert word in outcome.out


def test_careless_uses_are_told_what_to_do(model, warm_model, table, tmp_path, xtalshift):
    told = {
        ("explain", model, "Xx"): "formula 'Xx': unknown element 'Xx'",
        ("explain", model, "NaCl", "Xx", "--strict"): "Error: formula 'Xx': unknown element",
        ("explain", model, "NaCl", "--class", "metal"): "the model predicts numbers",
        ("explain", model, "gone.csv"): "gone.csv is neither a file nor a formula",
        ("explain", model, table, "NaCl"): "give one file alone, or formulas only",
        ("explain", warm_model, "NaCl"): "give --with temperature=VALUE",
        ("explain", model, table, "--with", "a=1"): "put the column into",
        ("explain", model, "NaCl", "--sheet", "1"): "--sheet is for a file",
        ("explain", "seebek", "NaCl"): "did you mean 'seebeck'",
        ("explain", model, "NaCl", "-o", "out.txt"): "must end in .csv or .parquet",
    }
    for arguments, words in told.items():
        outcome = xtalshift(*arguments)
        assert outcome.code == 1, arguments
        assert words in outcome.err, arguments
    blank = tmp_path / "blank.csv"
    blank.write_text("formula\n")
    assert "blank.csv has no rows" in xtalshift("explain", model, blank).err
    many = tmp_path / "many.csv"
    many.write_text("formula\n" + "NaCl\n" * 1001)
    outcome = xtalshift("explain", model, many)
    assert "more than 1,000 rows, and each takes about a second" in outcome.err
    assert xtalshift("explain", model, "NaCl", "--substitutions", "-1").code == 2
