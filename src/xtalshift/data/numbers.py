"""Read columns of cells as numbers, with a reason for each cell that is not a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from numbers import Number
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.number_texts import POINT, NumberStyle, NumberText, read_number_text
from xtalshift.data.ranges import LARGEST, SMALLEST, in_range
from xtalshift.data.units import known_unit

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]

BLANKS = frozenset(
    {"", "nan", "na", "n/a", "#n/a", "<na>", "n.a.", "null", "none", "-", "--", "\u2013", "\u2014"}
    | {"?", "unknown"}
)
"""Cell texts (lower case) that mean "no value" in a numeric column."""

_KEPT = ("missing", "infinite", "out of range")


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A column read as numbers, n cells; all arrays have the shape (n,)."""

    values: FloatArray
    """NaN if a cell is not a number."""
    problems: ObjectArray
    """``""``, or why a value cannot be used, such as ``"a bound: '<4.2'"``; see `cause_of`."""
    notes: ObjectArray
    """``""``, or what was left out in reading a number, such as ``"an uncertainty: '1.2(1)'"``."""
    lower: FloatArray
    upper: FloatArray
    """What is known of the value: equal to it for a number, ``-inf`` and 4.2 for ``<4.2``, 19 and
    21 for ``19-21``, ``-inf`` and ``inf`` for a cell that says nothing."""
    unit: str = ""
    """Unit in the cells that were read, see `xtalshift.data.units.known_unit`; ``""`` if none."""

    @classmethod
    def of(cls, values: FloatArray, problems: ObjectArray) -> Self:
        """Return a column of which only values and problems are known."""
        known = np.isfinite(values)
        return cls(
            values,
            problems,
            np.full(len(values), "", dtype=object),
            np.where(known, values, -np.inf),
            np.where(known, values, np.inf),
        )

    @property
    def complete(self) -> bool:
        """Whether the values say all that the cells say (a blank cell says nothing)."""
        return not self.notes.any() and all(
            cause_of(problem) in _KEPT for problem in self.problems[self.problems != ""]
        )


def cause_of(problem: str) -> str:
    """Return the cause in a problem or note: the words before the first colon."""
    return problem.partition(":")[0]


def parse_numbers(
    cells: pd.Series | npt.NDArray[np.generic], style: NumberStyle = POINT
) -> tuple[FloatArray, ObjectArray]:
    """Return the `values` and `problems` of `read_numbers`."""
    column = read_numbers(cells, style)
    return column.values, column.problems


def read_numbers(
    cells: pd.Series | npt.NDArray[np.generic],
    style: NumberStyle = POINT,
    *,
    unit: str = "",
) -> NumberColumn:
    """Read one column as numbers.

    Parameters
    ----------
    cells : pandas.Series or numpy.ndarray of shape (n,)
        Numbers, booleans, or text such as ``" 1.5 "``.
    style : NumberStyle
        What point and comma mean in text.
    unit : str
        Unit of the column, if it is known; cells may repeat it. Otherwise a unit is accepted where
        most numbers of the column have the same one. It never changes a value.

    Returns
    -------
    NumberColumn
        Text is rounded to the nearest float, as in Python. The problem is ``""`` for a number that
        `in_range` accepts, else ``"missing"``, ``"infinite"``, ``"out of range: 1e+160 ..."``, or a
        cause and the text: ``a bound`` (``<4.2``), ``a range`` (``19-21``), ``a reversed range``
        (``21-19``), ``several values``, ``a date``, ``ambiguous`` (``1,708`` where the marks are
        not settled), ``another decimal mark``, ``another unit``, ``not a number``.
    """
    series = pd.Series(cells).reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_complex_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        problems = np.full(len(series), "", dtype=object)
        problems[np.isnan(values)] = "missing"
        column = NumberColumn.of(values, problems)
    else:
        column = _from_cells(series, style, known_unit(unit) or "")
    values, problems = column.values, column.problems
    problems[np.isinf(values)] = "infinite"
    outside = np.isfinite(values) & ~in_range(values)
    problems[outside] = [
        f"out of range: {value:g} (0, or {SMALLEST:g} to {LARGEST:g} in size; use another unit)"
        for value in values[outside].tolist()
    ]
    return column


def plain_numbers(cells: pd.Series, style: NumberStyle) -> FloatArray | None:
    """Return the numbers of a column of text if every cell is blank or only a number, else None.

    A column of blank cells is None, too. The first other cell ends the search, so that a column of
    text costs little.

    Returns
    -------
    numpy.ndarray of shape (n,) or None
        NaN for blank cells.
    """
    text, missing, plain = _sort_cells(pd.Series(cells), style)
    if missing.all():
        return None
    values = np.full(len(text), np.nan)
    values[plain] = text[plain].astype(np.float64)
    rest = np.flatnonzero(~missing & ~plain)
    codes, distinct = pd.factorize(text[rest])
    found = np.empty(len(distinct))
    for place, cell in enumerate(distinct):
        number = read_number_text(str(cell), style)
        if number.note or number.unit or number.problem not in ("", "infinite"):
            return None
        found[place] = number.value
    values[rest] = found[codes]
    return values


def _sort_cells(
    series: pd.Series, style: NumberStyle
) -> tuple[ObjectArray, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the texts, which cells are blank, and which texts `float` reads as they are.

    The latter have a decimal point, whatever the style.
    """
    text = series.astype(object).where(series.notna(), "").astype(str).str.strip()
    missing = (series.isna() | text.str.lower().isin(BLANKS)).to_numpy(dtype=bool)
    if style.decimal == ",":
        pointed = text.str.contains(".", regex=False) | text.str.endswith(",")
        plain = text.where(~pointed, "").str.replace(",", ".")
        if pd.api.types.infer_dtype(series) not in ("string", "empty"):
            numbers = series.map(_is_number)  # as spreadsheets have them beside text
            plain = plain.where(~numbers, text)
    else:
        plain = text
    readable = pd.to_numeric(plain, errors="coerce").notna().to_numpy(dtype=bool) & ~missing
    return np.where(readable, plain, text).astype(object), missing, readable


def _is_number(cell: object) -> bool:
    return isinstance(cell, Number) and not isinstance(cell, bool)


def _from_cells(series: pd.Series, style: NumberStyle, unit: str) -> NumberColumn:
    text, missing, plain = _sort_cells(series, style)
    values, problems = np.full(len(series), np.nan), np.full(len(series), "", dtype=object)
    # Python's float() rounds exactly; the parser of pandas may be off by one unit in the last place
    values[plain] = text[plain].astype(np.float64)
    problems[missing] = "missing"
    column = NumberColumn.of(values, problems)
    rest = np.flatnonzero(~plain & ~missing)
    if not rest.size:
        return column
    codes, distinct = pd.factorize(text[rest])
    found = [read_number_text(str(cell), style) for cell in distinct]
    counts = np.bincount(codes)
    found = _settle_units(found, distinct.tolist(), counts.tolist(), int(plain.sum()), unit)
    for name in ("value", "problem", "note", "lower", "upper"):
        of_distinct = np.array([getattr(number, name) for number in found])
        target = getattr(column, name if name in ("lower", "upper") else f"{name}s")
        target[rest] = of_distinct[codes]
    units = {number.unit for number in found if number.unit and not number.problem}
    if units:
        _note_bare(column, text, plain)
    return replace(column, unit=units.pop()) if units else column


def _settle_units(
    found: list[NumberText], texts: list[str], counts: list[int], bare: int, unit: str
) -> list[NumberText]:
    """Refuse the numbers whose unit is not that of the column."""
    used: Counter[str] = Counter()
    for number, count in zip(found, counts, strict=True):
        if not number.problem:
            used[number.unit] += count
    bare += used.pop("", 0)
    if not used:
        return found
    common, times = used.most_common(1)[0]
    if unit:
        common, why = unit, f"the column is in {unit}"
    elif 2 * times <= used.total():
        common, why = "", f"there are {', '.join(sorted(used))}"
    elif bare > times:
        common, why = "", "most cells have no unit"
    else:
        why = f"most cells have {common}"
    settled = []
    for number, text in zip(found, texts, strict=True):
        if number.problem or not number.unit:
            settled.append(number)
        elif number.unit == common:
            note = number.note or f"a unit: {text[:40]!r}"
            settled.append(replace(number, note=note))
        else:
            problem = f"another unit: {text[:40]!r}; {why}"
            settled.append(NumberText(problem=problem, unit=number.unit))
    return settled


def _note_bare(column: NumberColumn, text: ObjectArray, plain: npt.NDArray[np.bool_]) -> None:
    """Note the numbers without a unit in a column whose other cells have one."""
    for row in np.flatnonzero(plain):
        column.notes[row] = f"no unit: {text[row]!r} where others have one"
