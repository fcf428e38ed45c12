"""Cells that a spreadsheet would run."""

from __future__ import annotations

import contextvars

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.data import iter_raw, read_frame
from xtalshift.data.formula_texts import iter_formulas
from xtalshift.data.settings import BY_DEFAULT
from xtalshift.data.spreadsheet import SAFE, mark, rows_as_csv, unmark
from xtalshift.data.writers import write_frame


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "--1", "-1+2", "'=1"],
)
def test_formulas_are_marked(cell):
    assert mark(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell", ["", "GaN", "-1.5", "+3", "-1e-5", "-.5", "-1,5", "-inf", "-", "'", "it's", "a=b"]
)
def test_numbers_and_other_texts_are_not(cell):
    assert mark(cell) == cell


@pytest.mark.parametrize("safe", [True, False])
@given(cell=st.text("'=+-@\t\r1a.", max_size=5))
def test_what_is_written_is_read_back(cell, safe):
    def there_and_back():
        SAFE.set(safe)
        return unmark(mark(cell))

    assert contextvars.copy_context().run(there_and_back) == cell


NOTES = ["=1+1", "'=x", "''+x", "-1.5", "@a", "\tb", "-", "plain"]


@pytest.mark.parametrize("safe", [True, False])
def test_a_table_comes_back_as_it_was(tmp_path, safe):
    frame = pd.DataFrame({"formula": ["=1+1", "GaN"] * 4, "=name": NOTES, "x": [-1.5, 2.0] * 4})
    path = tmp_path / "t.csv"

    def write():
        SAFE.set(safe)
        write_frame(frame, path)

    contextvars.copy_context().run(write)
    text = path.read_text()
    assert ("'=1+1" in text) == safe
    assert ("'=name" in text) == safe
    assert ",-1.5," in text
    again = read_frame(path)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False)
    piece = next(iter_raw(path, 100)).frame
    assert piece["=name"].tolist() == NOTES
    assert next(iter_formulas(path, 100, BY_DEFAULT)).texts == frame["formula"].tolist()
    write_frame(frame, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["=name"].tolist() == NOTES


def test_the_header_of_rows_is_marked_and_no_rows_are_no_error():
    assert rows_as_csv([{"=a": "=b"}]) == "'=a\n'=b\n"
    assert rows_as_csv([]) == "\n"
