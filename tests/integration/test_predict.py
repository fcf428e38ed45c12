"""`xtalshift predict`: files of any length, and formulas at the prompt."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from integration.conftest import train_model
from integration.tables import make_rows, write_rows
from xtalshift.model import load_model
from xtalshift.model.predictions import PREDICTED_COLUMNS

ROWS = [
    ("007", "NaN", "sodium, nitride", "1e3"),
    ("008", "Xx2", "", " 1 "),
    ("009", "Ga0.5In0.5N", 'say "alloy"', "None"),
    ("010", "", "NA", "0.10"),
    ("011", "LiFePO4", "über", "1,5"),
]
HEADER = ["id", "formula", "note", "value"]


@pytest.fixture
def cells(tmp_path):
    """Return a CSV whose text must come back as it was."""
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([HEADER, *ROWS])
    return path


def read_cells(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_csv_keeps_every_cell_and_row(cells, tmp_path, model, xtalshift):
    out = tmp_path / "out.csv"
    outcome = xtalshift("predict", model, cells, "-o", out)
    assert outcome.code == 0, outcome.err
    assert "3 of 5 rows predicted; 2 with an error. row 2 (id 008): " in outcome.out
    assert "\n  row 4 (id " in outcome.out
    lines = read_cells(out)
    assert lines[0] == [*HEADER, *PREDICTED_COLUMNS]
    assert [tuple(line[:4]) for line in lines[1:]] == ROWS
    added = [dict(zip(PREDICTED_COLUMNS, line[4:], strict=True)) for line in lines[1:]]
    assert [line["status"] for line in added] == ["ok", "error", "ok", "error", "ok"]
    known = load_model(model)
    expected = known.predict(["NaN", "Ga0.5In0.5N", "LiFePO4"])
    for name in ("prediction", "lower", "upper", "std", "ood_score", "nearest_distance"):
        values = [float(added[row][name]) for row in (0, 2, 4)]
        assert values == getattr(expected, name).tolist()
        assert added[1][name] == ""
    assert [added[row]["in_domain"] for row in (0, 1)] == [str(expected.in_domain[0]), "False"]
    unseen = [added[row]["unseen_elements"] for row in (0, 2, 4)]
    assert unseen == expected.unseen_elements.tolist()
    assert [added[row]["nearest_formula"] for row in (0, 2)] == (
        expected.nearest_formula[:2].tolist()
    )
    assert "Xx" in added[1]["reason"]
    assert added[3]["reason"] != ""
    assert added[0]["reason"] == ""


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "json", "csv.gz"])
@pytest.mark.parametrize("written", ["csv", "parquet"])
def test_other_file_types_predict_the_same(kind, written, tmp_path, model, xtalshift):
    frame = pd.DataFrame({"formula": ["GaN", "Xx", "NaCl"], "n": [1, 2, 3], "x": [0.5, None, 2.0]})
    source, out = tmp_path / f"in.{kind}", tmp_path / f"out.{written}"
    match kind:
        case "parquet":
            frame.to_parquet(source)
        case "jsonl":
            frame.to_json(source, orient="records", lines=True)
        case "json":
            frame.to_json(source, orient="records")
        case _:
            frame.to_csv(source, index=False)
    outcome = xtalshift("predict", model, source, "-o", out)
    assert outcome.code == 0, outcome.err
    result = pd.read_csv(out) if written == "csv" else pd.read_parquet(out)
    assert result["n"].astype(int).tolist() == [1, 2, 3]
    assert result["status"].tolist() == ["ok", "error", "ok"]
    expected = load_model(model).predict(["GaN", "NaCl"]).prediction
    assert result["prediction"][[0, 2]].tolist() == expected.tolist()
    assert np.isnan(result["prediction"][1])


@pytest.mark.parametrize("written", ["csv", "parquet"])
def test_pieces_do_not_matter(written, tmp_path, model, xtalshift, monkeypatch):
    source = write_rows(tmp_path / "in.csv", [*make_rows(37), ("x", "Xx", "", 1)])
    whole, pieces = tmp_path / f"a.{written}", tmp_path / f"b.{written}"
    assert xtalshift("predict", model, source, "-o", whole).code == 0
    monkeypatch.setattr("xtalshift.jobs.predict.CHUNK_ROWS", 5)
    assert xtalshift("predict", model, source, "-o", pieces).code == 0
    read = pd.read_csv if written == "csv" else pd.read_parquet
    a, b = read(whole), read(pieces)
    assert len(a) == 38
    pd.testing.assert_frame_equal(a, b, check_exact=False, rtol=1e-13)


def test_the_prompt_prints_a_table_that_a_pipe_can_read(model, xtalshift):
    outcome = xtalshift("predict", model, "GaN", "Xx", "LiFePO4")
    assert outcome.code == 0
    assert outcome.err == ""
    table = pd.read_csv(io.StringIO(outcome.out))
    assert table["formula"].tolist() == ["GaN", "Xx", "LiFePO4"]
    expected = load_model(model).predict(["GaN", "LiFePO4"]).prediction
    assert table["prediction"][[0, 2]].tolist() == expected.tolist()
    assert table["status"].tolist() == ["ok", "error", "ok"]


def test_the_prompt_prints_what_a_file_of_the_same_formulas_gets(model, tmp_path, xtalshift):
    asked = ["GaN", "Na,Cl", 'Fe"2', "LiFePO4", "CsI"]
    options = ("--explain", "--level", 0.999)  # so high that the bounds are infinite
    outcome = xtalshift("predict", model, *asked, *options)
    out = tmp_path / "out.csv"
    assert xtalshift("predict", model, *asked, *options, "-o", out).code == 0
    assert outcome.out == out.read_text()
    assert ",-inf,inf," in outcome.out


def test_the_prompt_on_a_terminal_is_for_the_eye(model, xtalshift, monkeypatch):
    monkeypatch.setattr("xtalshift.cli.predict._on_terminal", lambda: True)
    outcome = xtalshift("predict", model, "GaN", "Xx")
    head, good, bad = outcome.out.splitlines()
    assert head == "formula  gap (eV)"
    value = load_model(model).predict(["GaN"]).prediction[0]
    assert good.startswith(f"GaN      {value:.6g}")
    assert bad.startswith("Xx       formula 'Xx': unknown element")


def test_one_prediction_equals_the_one_in_a_batch(model, xtalshift):
    many = pd.read_csv(io.StringIO(xtalshift("predict", model, "GaN", "NaCl", "TiO2").out))
    one = pd.read_csv(io.StringIO(xtalshift("predict", model, "NaCl").out))
    assert one["prediction"][0] == pytest.approx(many["prediction"][1], rel=1e-14)


def test_the_prompt_to_a_file(model, tmp_path, xtalshift):
    out = tmp_path / "p.parquet"
    assert xtalshift("predict", model, "GaN", "-o", out).out == f"Predictions: {out}\n"
    assert (
        pd.read_parquet(out)["prediction"].tolist()
        == load_model(model).predict(["GaN"]).prediction.tolist()
    )


def test_what_the_prompt_refuses(model, table, tmp_path, xtalshift):
    cases = [
        (("Xx",), "no formula could be predicted; Xx"),
        (("GaN", "Xx", "--strict"), "Xx"),
        (("nowhere.csv",), "nowhere.csv is neither a file nor a formula"),
        (("known.cvs",), "known.cvs is neither a file nor a formula"),
        (("nowhere.csv", "-o", tmp_path / "o.csv"), "nowhere.csv does not exist"),
        ((tmp_path, "-o", tmp_path / "o.csv"), "has no structure file"),
        ((table,), "-o OUT.csv"),
        ((table, "GaN", "-o", tmp_path / "o.csv"), "one file alone"),
        ((table, "-o", tmp_path / "o.xlsx"), ".csv or .parquet"),
        ((table, "-o", table), "is the input"),
        (("GaN", "--with", "temperature=3"), "no such feature column"),
        (("GaN", "--formula-col", "name"), "--formula-col is for a file"),
        ((table, "--with", "temperature=3", "-o", tmp_path / "o.csv"), "--with"),
    ]
    before = table.read_bytes()
    for arguments, words in cases:
        outcome = xtalshift("predict", model, *arguments)
        assert outcome.code == 1, arguments
        assert words in outcome.err.splitlines()[-1]
        assert not list(tmp_path.iterdir())
    assert table.read_bytes() == before


def test_a_name_that_is_taken_is_refused(model, tmp_path, xtalshift):
    source = tmp_path / "in.csv"
    source.write_text("formula,prediction\nGaN,1\n")
    outcome = xtalshift("predict", model, source, "-o", tmp_path / "o.csv")
    assert outcome.code == 1
    assert "already has a column 'prediction'; rename it" in outcome.err
    assert not (tmp_path / "o.csv").exists()


def test_strict_names_the_row_and_leaves_an_earlier_output(model, cells, tmp_path, xtalshift):
    out = tmp_path / "o.csv"
    out.write_text("prediction\nearlier\n")
    outcome = xtalshift("predict", model, cells, "-o", out, "--strict")
    assert outcome.code == 1
    assert "row 2 (id 008): " in outcome.err
    assert out.read_text() == "prediction\nearlier\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "o.csv"]


def test_a_table_that_is_no_earlier_output_is_kept(model, cells, table, tmp_path, xtalshift):
    other = tmp_path / "known.csv"
    other.write_bytes(table.read_bytes())
    for inputs in ((cells,), ("GaN", "AlN")):
        done = xtalshift("predict", model, *inputs, "-o", other)
        assert done.code == 1
        assert "is not known to be an earlier output of this command" in done.err
    assert other.read_bytes() == table.read_bytes()
    out = tmp_path / "out.csv"
    for _ in range(2):
        assert xtalshift("predict", model, "GaN", "-o", out).code == 0


def test_a_file_without_any_good_row_is_an_error_that_keeps_the_reasons(model, tmp_path, xtalshift):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("formula,gap\nGaN,1.5\nAlN,2.5\n")
    done = xtalshift("predict", model, source, "-o", out, "--formula-col", "gap")
    assert done.code == 1
    assert f"no row of {source} could be predicted; row 1: " in done.err
    assert pd.read_csv(out)["status"].tolist() == ["error", "error"]


def test_an_empty_argument_is_a_bad_formula_like_any_other(model, xtalshift):
    done = xtalshift("predict", model, "GaN", "")
    assert done.code == 0
    found = pd.read_csv(io.StringIO(done.out))
    assert found["status"].tolist() == ["ok", "error"]


def test_feature_columns_from_training_to_prompt(warm_model, tmp_path, xtalshift):
    expected = load_model(warm_model).predict(["GaN", "GaN"], [[300.0], [400.0]]).prediction
    assert expected[1] - expected[0] > 0.1  # the gap of the table grows with temperature
    at_prompt = [
        pd.read_csv(
            io.StringIO(xtalshift("predict", warm_model, "GaN", "--with", f"temperature={t}").out)
        )["prediction"][0]
        for t in (300, 400)
    ]
    assert at_prompt == pytest.approx(expected.tolist(), rel=1e-13)
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("formula,temperature\nGaN,300\nGaN,400\nGaN,\nGaN,warm\n")
    assert xtalshift("predict", warm_model, source, "-o", out).code == 0
    result = pd.read_csv(out)
    assert result["prediction"][:2].tolist() == pytest.approx(expected.tolist(), rel=1e-14)
    assert result["status"].tolist() == ["ok", "ok", "error", "error"]
    assert all("'temperature'" in reason for reason in result["reason"][2:])


def test_feature_columns_that_are_missing(warm_model, tmp_path, xtalshift):
    source = tmp_path / "in.csv"
    source.write_text("formula,Temperatur\nGaN,300\n")
    outcome = xtalshift("predict", warm_model, source, "-o", tmp_path / "o.csv")
    assert "needs a column 'temperature'" in outcome.err
    assert "did you mean 'Temperatur'" in outcome.err
    assert "--with temperature=VALUE" in xtalshift("predict", warm_model, "GaN").err
    wrong = xtalshift("predict", warm_model, "GaN", "--with", "temperature=warm")
    assert "--with temperature=warm: expected a number" in wrong.err


def test_a_european_table_means_the_same(table, warm_model, tmp_path, xtalshift, quick):
    rows = make_rows(60)
    comma = [(i, f, str(gap).replace(".", ","), f"{t},0") for i, f, gap, t in rows]
    source = write_rows(tmp_path / "eu.csv", comma, separator=";")
    folder = tmp_path / "eu.model"
    trained = xtalshift("train", source, "--target", "gap", "--method", "ridge", "-o", folder,
                        "--feature-cols", "temperature", *quick)  # fmt: skip
    assert trained.code == 0, trained.err
    out, reference = tmp_path / "eu.out.csv", tmp_path / "out.csv"
    assert xtalshift("predict", folder, source, "-o", out).code == 0
    assert xtalshift("predict", warm_model, table, "-o", reference).code == 0
    result = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert result["temperature"].tolist() == [row[3] for row in comma]
    assert result["prediction"].tolist() == (
        pd.read_csv(reference, dtype=str, keep_default_na=False)["prediction"].tolist()
    )


MEMORY = """
import resource, sys
from xtalshift.cli.main import main
try: main(sys.argv[1:])
except SystemExit as stop: assert stop.code == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_file(model, tmp_path):
    peaks = []
    for repeats in (400, 5000):
        source = write_rows(tmp_path / "in.csv", make_rows(60) * repeats)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, "predict", model, source, "-o", tmp_path / "out.csv"],
            capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert f"{60 * repeats:,} of {60 * repeats:,} rows predicted" in done.stdout
        peaks.append(int(done.stderr.splitlines()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 60, json.dumps(peaks)


@pytest.fixture(scope="module")
def named(table, tmp_path_factory):
    """Return a model whose formulas were in the column 'sample name', and its table."""
    folder = tmp_path_factory.mktemp("named")
    frame = pd.read_csv(table, dtype={"id": str}, keep_default_na=False).rename(
        columns={"formula": "sample name"}
    )
    frame.to_csv(folder / "gaps.csv", index=False)
    train_model(folder / "gaps.csv", folder / "model", "--formula-col", "sample name")
    return folder / "model", folder / "gaps.csv"


def test_the_column_of_formulas_is_that_of_training(named, table, tmp_path, xtalshift):
    model, source = named
    assert load_model(model).card.formula_col == "sample name"
    out = tmp_path / "out.csv"
    found = xtalshift("predict", model, source, "-o", out)
    assert found.code == 0, found.err
    assert found.err.splitlines()[:2] == [
        f"Reading {source}",
        "  text table, utf-8; separator comma; decimal point; formulas in column 'sample name'",
    ]
    values = pd.read_csv(out)["prediction"].tolist()
    # also where another column has a usual name
    both = tmp_path / "both.csv"
    pd.read_csv(source, keep_default_na=False).assign(formula="NaCl").to_csv(both, index=False)
    assert "formulas in column 'sample name'" in xtalshift("predict", model, both, "-o", out).err
    assert pd.read_csv(out)["prediction"].tolist() == values
    screened = xtalshift("screen", model, both, "-o", tmp_path / "screen", "--workers", 1)
    assert screened.code == 0, screened.err
    (part,) = (tmp_path / "screen" / "parts").glob("*.parquet")
    assert pd.read_parquet(part)["prediction"].tolist() == pytest.approx(values)
    chosen = xtalshift("suggest", model, both, "-n", "1", "--rule", "diversity")
    assert "in the training set, " in chosen.err
    # an option wins, and a table without the column is read as ever
    other = "formulas in column 'formula' (in training: 'sample name')"
    option = xtalshift("predict", model, both, "-o", out, "--formula-col", "formula")
    assert other in option.err
    assert len(set(pd.read_csv(out)["prediction"])) == 1
    assert other in xtalshift("predict", model, table, "-o", out).err
    assert pd.read_csv(out)["prediction"].tolist() == values


def test_what_was_read_as_what_is_shown(tmp_path, model, xtalshift):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes("Größe;formula\n1,5;NaCl\n2,5;KCl\n".encode("cp1252"))
    assert (
        "  text table, cp1252; separator semicolon; decimal comma; formulas in column 'formula'"
        in (xtalshift("predict", model, source, "-o", out).err.splitlines())
    )
