"""Which marks a table uses: known answers, and options that settle everything."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.number_style import refuse_ambiguous, settle_style
from xtalshift.data.number_texts import NumberStyle
from xtalshift.data.numbers import cause_of, read_numbers
from xtalshift.data.readers import read_table
from xtalshift.errors import ConfigError, DataError

DOUBTFUL = ["1.708", "319", "1.880"]


def settle(separator, *columns, **options):
    named = {f"c{place}": pd.Series(cells) for place, cells in enumerate(columns)}
    return settle_style(named, separator, **options)


@pytest.mark.parametrize(
    ("separator", "cells", "marks"),
    [
        (";", ["0,85", "3"], (",", "")), (";", ["0.85", "3"], (".", "")),
        (",", ["0,85"], (",", "")), (",", ["3.1416", "2"], (".", "")),
        (";", ["1.234,5", "1.708"], (",", ".")), (",", ["1,234.5", "1,708"], (".", ",")),
        (",", ["1.234.567", "12.345"], (",", ".")), (",", ["1,234,567"], (".", ",")),
        ("", ["1 234,5", "12 345"], (",", " ")), ("", ["1\u00a0234,5"], (",", " ")),
        ("", ["12'345.6"], (".", "'")), ("", ["12'345"], (".", "'")),
        (";", ["4,27", "3,496"], (",", "")), (";", ["\u22123,5 eV", "~2"], (",", "")),
        ("\t", ["1.5(2)", "<0.3"], (".", "")), ("\t", ["1,25e3"], (",", "")),
        (",", ["1", "x", ""], (".", "")), (";", ["1", "x", ""], (",", "")), (";", [], (",", "")),
    ],
)  # fmt: skip
def test_numbers_with_one_reading_decide(separator, cells, marks):
    style, findings = settle(separator, cells)
    assert (style.decimal, style.thousands) == marks
    assert findings == ()


@pytest.mark.parametrize("separator", [";", "\t", "|", ""])
def test_a_point_of_two_readings_is_refused_and_named(separator):
    style, (finding,) = settle(separator, DOUBTFUL)
    values, problems = (column := read_numbers(pd.Series(DOUBTFUL), style)).values, column.problems
    assert np.isnan(values[[0, 2]]).all()
    assert values[1] == 319
    assert [cause_of(problem) for problem in problems] == ["ambiguous", "", "ambiguous"]
    assert (finding.kind, finding.count) == ("ambiguous numbers", 2)
    assert [(e.row, e.value) for e in finding.examples] == [(1, "1.708"), (3, "1.880")]
    assert finding.remedy == (
        "Give --decimal '.' if 1.708 is a number with decimals, or --thousands '.' if the mark "
        "separates thousands"
    )
    with pytest.raises(DataError, match="'y' has 2 numbers that can be read in two ways") as error:
        refuse_ambiguous(problems, "y")
    assert "row 1: '1.708' has 1.708 or 1708; row 3: '1.880' has 1.88 or 1880" in str(error.value)
    assert "--decimal" in str(error.value)
    assert "--thousands" in str(error.value)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"decimal": "."}, [1.708, 319, 1.88]), ({"decimal": ","}, [1708, 319, 1880]),
        ({"thousands": "."}, [1708, 319, 1880]), ({"thousands": ","}, [1.708, 319, 1.88]),
        ({"decimal": ",", "thousands": "."}, [1708, 319, 1880]),
        ({"decimal": ".", "thousands": " "}, [1.708, 319, 1.88]),
    ],
)  # fmt: skip
def test_the_options_settle_everything(options, values):
    style, findings = settle(";", DOUBTFUL, ["x"], **options)
    column = read_numbers(pd.Series(DOUBTFUL), style)
    assert column.values.tolist() == values
    assert findings == ()
    refuse_ambiguous(column.problems, "y")


def test_an_option_is_no_license_to_misread():
    style, _ = settle(";", ["1.708", "0.85"], decimal=",")  # 0.85 shows that the point is none
    assert style == NumberStyle(",", "")
    with pytest.raises(ConfigError):
        settle(";", DOUBTFUL, decimal=".", thousands=".")


@pytest.mark.parametrize(
    ("separator", "columns", "style", "kinds"),
    [
        # a comma in a table with semicolons; a point where no integer stands beside it
        (";", [["3,496", "1,786"], ["300", "300"]], (",", ""), ["decimal mark guessed"]),
        (";", [["1.708", "2.319"]], (".", ""), ["decimal mark guessed"]),
        (";", [["1.708", "2.319", "12345"]], (".", ""), ["decimal mark guessed"]),
        (",", [DOUBTFUL], (".", ""), ["decimal mark guessed"]),
        (",", [["1.708", "319", "1.881"]], (".", ""), []),
        (";", [DOUBTFUL, ["0.5"]], (".", ""), ["decimal mark guessed"]),
        (";", [DOUBTFUL, ["0,5"]], (",", ""), ["ambiguous numbers"]),
        (",", [["1,234", "2,345"]], (".", ""), ["ambiguous numbers"]),
        (";", [["3,496", "120"]], (".", ""), ["ambiguous numbers"]),
        ("\t", [["3,496"]], (".", ""), ["ambiguous numbers"]),
        (";", [["1.708", "0"]], (".", ""), ["decimal mark guessed"]),
        (";", [["0,85", "1,7"], ["1.5", "2"]], (",", ""), ["two decimal marks"]),
        (",", [["0,85", "1,7"], ["1.5", "2.5"]], (".", ""), ["two decimal marks"]),
        (";", [DOUBTFUL, ["3,496"]], (",", ""), ["ambiguous numbers", "decimal mark guessed"]),
    ],
)
def test_nothing_is_guessed_silently(separator, columns, style, kinds):
    found, findings = settle(separator, *columns)
    assert (found.decimal, found.thousands) == style
    assert [finding.kind for finding in findings] == kinds
    assert all(finding.remedy and finding.examples for finding in findings)


def test_proof_far_down_the_table_counts():
    cells = ["1.708", "319"] * 5000
    assert settle(";", cells)[1][0].count == 5000
    style, findings = settle(";", [*cells, "0.25"])
    assert style == NumberStyle(".")
    assert findings == ()


def test_refused_numbers_of_the_rarer_mark_have_their_row():
    _, (finding,) = settle(";", ["1,5", "2,5", "3.5"])
    (example,) = finding.examples
    assert (example.row, example.value) == (3, "3.5")
    assert "'c0'" in example.reason


@pytest.mark.shared_data
def test_tables_as_excel_writes_them():
    folder = Path(os.environ["XTALSHIFT_DATA"]) / "intake"
    minus = read_table(folder / "c04_minus.csv", target="Ef")
    assert minus.targets[:2].tolist() == [0.862, -1.568]
    assert minus.problems is None or not minus.problems.any()
    comma = pd.read_csv(folder / "e01_sep_tie.csv", sep=";", dtype=str)
    style, findings = settle(";", comma["gap, eV"], comma["T, K"])
    assert findings == ()
    assert read_numbers(comma["gap, eV"], style).values[:2].tolist() == [3.496, 1.786]
    cells = pd.read_csv(folder / "c05_de_thousands_int.csv", sep=";", dtype=str)["Festigkeit"]
    style, (finding,) = settle(";", cells)
    column = read_numbers(cells, style)
    assert finding.kind == "ambiguous numbers"
    assert np.isnan(column.values[cells.str.contains(".", regex=False)]).all()
    style, _ = settle(";", cells, thousands=".")
    assert read_numbers(cells, style).values.min() > 300
