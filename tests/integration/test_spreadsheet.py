"""Formulas of strangers in the CSV files of all commands."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

ATTACK = '=HYPERLINK("http://x")'


@pytest.fixture
def hostile(table, tmp_path):
    """Return the table with a note that a spreadsheet would run, and a formula that it would."""
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame["note"] = ATTACK
    frame.loc[3, "formula"] = "@SUM(1)"
    frame.to_csv(tmp_path / "hostile.csv", index=False)
    return tmp_path / "hostile.csv"


def cells(path):
    with path.open(newline="") as stream:
        return [cell for row in csv.reader(stream) for cell in row]


def harmless(path):
    found = [cell for cell in cells(path) if cell[:1] in {"=", "+", "@", "\t", "\r"}]
    return not found and f"'{ATTACK}" in cells(path)


def test_outputs_are_marked_and_can_be_inputs(xtalshift, model, hostile, tmp_path):
    out = tmp_path / "p.csv"
    assert xtalshift("predict", model, hostile, "-o", out).code == 0
    assert harmless(out)
    again = tmp_path / "q.csv"
    assert xtalshift("suggest", model, hostile, "-n", "3", "-o", again).code == 0
    assert harmless(again)
    shown = xtalshift("suggest", model, hostile, "-n", "3")
    assert f"'{ATTACK[:10]}" in shown.out.replace('"', "")
    folder = tmp_path / "s"
    assert (
        xtalshift("screen", model, hostile, "-o", folder, "--top", "3", "--workers", "1").code == 0
    )
    assert harmless(folder / "top.csv")
    parts = pd.read_parquet(folder / "parts")
    assert parts["note"].tolist() == [ATTACK] * len(parts)
    source = pd.read_csv(out, dtype=str, keep_default_na=False)  # as a spreadsheet reads it
    source[["formula", "note"]].to_csv(tmp_path / "marked.csv", index=False)
    screen = ("screen", model, tmp_path / "marked.csv", "--workers", "1")
    assert xtalshift(*screen, "-o", tmp_path / "s2").code == 0
    parts = pd.read_parquet(tmp_path / "s2" / "parts")
    assert parts["note"].tolist() == [ATTACK] * len(parts)


def test_features_splits_and_the_prompt(xtalshift, model, hostile, tmp_path):
    for command in (("featurize",), ("split", "--scheme", "random", "--target", "gap")):
        for option, marked in (("--spreadsheet-safe", True), ("--no-spreadsheet-safe", False)):
            name, *rest = command
            out = tmp_path / f"{name}.csv"
            assert xtalshift(name, hostile, *rest, "-o", out, option).code == 0
            assert ("'@SUM(1)" in cells(out)) == marked
            assert ("@SUM(1)" in cells(out)) != marked
    line = xtalshift("predict", model, "@SUM(1)", "GaN").out.splitlines()[1]
    assert line.startswith("'@SUM(1),")
    line = xtalshift("--no-spreadsheet-safe", "predict", model, "@SUM(1)", "GaN").out.splitlines()[
        1
    ]
    assert line.startswith("@SUM(1),")
