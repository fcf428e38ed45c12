"""Read cells as numbers, with a reason for each cell that is not a number."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.ranges import LARGEST, SMALLEST, in_range

BLANKS = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "-", "?"})
"""Cell texts (lower case) that mean "no value" in a numeric column."""

_COMMA = re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*")


def parse_numbers(
    cells: pd.Series | npt.NDArray[np.generic],
    *,
    decimal_comma: bool = False,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """Read one column as numbers.

    Parameters
    ----------
    cells : pandas.Series or numpy.ndarray of shape (n,)
        Numbers, booleans, or text such as ``" 1.5 "``.
    decimal_comma : bool
        Whether the text ``"1,5"`` means 1.5, as in files with semicolons between the cells.

    Returns
    -------
    values : numpy.ndarray of shape (n,)
        float64; NaN if a cell is not a number. Text is rounded to the nearest float, as in Python.
    problems : numpy.ndarray of shape (n,)
        ``""`` for a number that `in_range` accepts, else ``"missing"``,
        ``"infinite"``, ``"out of range: 1e+160 ..."`` or ``"not a number: 'text'"``.
    """
    series = pd.Series(cells).reset_index(drop=True)
    problems = np.full(len(series), "", dtype=object)
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_complex_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        problems[np.isnan(values)] = "missing"
    else:
        if decimal_comma:
            series = series.astype(object).map(_with_point)
        values = _from_text(series, problems)
    problems[np.isinf(values)] = "infinite"
    outside = np.isfinite(values) & ~in_range(values)
    problems[outside] = [
        f"out of range: {value:g} (0, or {SMALLEST:g} to {LARGEST:g} in size; use another unit)"
        for value in values[outside].tolist()
    ]
    return values, problems


def _with_point(cell: object) -> object:
    return cell.replace(",", ".") if isinstance(cell, str) and _COMMA.fullmatch(cell) else cell


def _from_text(series: pd.Series, problems: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    text = series.astype(object).where(series.notna(), "").astype(str).str.strip()
    missing = (series.isna() | text.str.lower().isin(BLANKS)).to_numpy(dtype=bool)
    readable = pd.to_numeric(text, errors="coerce").notna().to_numpy(dtype=bool) & ~missing
    values = np.full(len(series), np.nan)
    # Python's float() rounds exactly; the parser of pandas may be off by one unit in the last place
    values[readable] = text[readable].to_numpy(dtype=object).astype(np.float64)
    problems[missing] = "missing"
    wrong = ~readable & ~missing
    problems[wrong] = [f"not a number: {str(cell)[:40]!r}" for cell in series[wrong]]
    return values
