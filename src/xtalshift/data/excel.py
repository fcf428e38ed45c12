"""Read a sheet of an Excel file as the text of a CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xtalshift.data.files import FORMULA_NAMES, no_column
from xtalshift.errors import DataError

_TITLE_ROWS = 30
_HEAD_ROWS = 100


def sheet_text(
    path: Path, sheet: str | None, formula_col: str | None
) -> tuple[bytes, str, tuple[str, ...]]:
    """Return a sheet as UTF-8 CSV, one line for each row, its name, and others it could have been.

    Numbers are written with a decimal point and as many digits as they have, dates as ISO 8601,
    errors as Excel shows them (``#N/A``), line breaks within a cell as spaces.

    Parameters
    ----------
    path : Path
        An .xlsx file.
    sheet : str, optional
        Name of the sheet; by default the first one with a column of formulas, else the first one
        with any cell.
    formula_col : str, optional
        Name of the column of formulas.

    Raises
    ------
    DataError
        If the file is no Excel file, there is no such sheet or no cell, or a cell is a formula of
        Excel without a stored value.
    """
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        typed = openpyxl.load_workbook(path, read_only=True)
    except Exception as error:  # the parser raises errors of many kinds for a damaged file
        raise DataError(f"it is no Excel file (.xlsx), or damaged: {error}") from error
    try:
        names = [one.title for one in book.worksheets]
        if sheet is not None:
            if sheet not in names:
                raise DataError(no_column("sheet", sheet, names, f"Sheets: {', '.join(names)}"))
            names = [sheet]
        for name in names:
            _check_stored(book[name], typed[name])
        found = [(name, rows) for name in names if (rows := list(_rows(book[name])))]
    finally:
        book.close()
        typed.close()
    if not found:
        raise DataError(f"its sheets have no cells: {', '.join(names)}")
    known = {formula_col.casefold()} if formula_col else set(FORMULA_NAMES)
    named = [item for item in found if _has_formulas(item[1], known)]
    (name, rows), *others = named or found[:1]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode("utf-8", "replace"), name, tuple(name for name, _ in others)


def _check_stored(values: Any, typed: Any) -> None:
    """Raise if a cell of the first rows is a formula of Excel whose value is not stored."""
    rows = zip(*(sheet.iter_rows(max_row=_HEAD_ROWS) for sheet in (values, typed)), strict=False)
    for shown, written in rows:
        for value, cell in zip(shown, written, strict=False):
            if value.value is None and cell.data_type == "f":
                raise DataError(
                    f"cell {cell.coordinate} of sheet {typed.title!r} is a formula of Excel "
                    "without its value, as programs write it; open the file in Excel and save it"
                )


def _rows(sheet: Any) -> Iterator[list[str]]:
    """Yield the rows of a sheet as text, blank ones at the end left out."""
    blank = 0
    for row in sheet.iter_rows(values_only=True):
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            blank += 1
            continue
        for _ in range(blank):
            yield []
        blank = 0
        yield cells


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
    return " ".join(str(value).split("\n")).replace("\r", "")


def _has_formulas(rows: list[list[str]], known: set[str]) -> bool:
    return any(cell.strip().casefold() in known for row in rows[:_TITLE_ROWS] for cell in row)
