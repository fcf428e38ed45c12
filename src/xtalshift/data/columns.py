"""The roles of columns (formula, target, id), and the data set made of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.chem.formulas import Notation
from xtalshift.data.classes import TaskChoice, number_finding, read_classes
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import ID_NAMES, find_formula_column, list_names, no_column
from xtalshift.data.formula_findings import contradictions
from xtalshift.data.formula_texts import FormulaColumns, find_formulas
from xtalshift.data.frames import RawTable
from xtalshift.data.intake import Finding, Reading
from xtalshift.data.materials import Materials
from xtalshift.data.number_style import AMBIGUOUS
from xtalshift.data.numbers import read_numbers
from xtalshift.data.row_findings import id_findings, same_rows, unused_structures
from xtalshift.data.settings import BY_DEFAULT, SEPARATORS, ReadingOptions
from xtalshift.data.units import name_with_unit
from xtalshift.errors import DataError
from xtalshift.structure.symmetry import find_structure_column

_MOST_LISTED = 12
"""Columns of numbers that a line lists."""
_ROW_NUMBERS = ("index", "unnamed: 0")
_OPTIONS = frozenset(ReadingOptions.model_fields)
_TARGET_NAMES = ("target", "y")
_CLASS_NAMES = (*_TARGET_NAMES, "class", "label", "category")
"""Names of a column that may have words."""


def numeric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the numeric columns that can be a target (no ids, no row numbers)."""
    excluded = {*ID_NAMES, *_ROW_NUMBERS}
    return [
        str(name)
        for name in frame.columns
        if pd.api.types.is_numeric_dtype(frame[name]) and str(name).casefold() not in excluded
    ]


def target_candidates(frame: pd.DataFrame) -> list[str]:
    """Return the columns that may be the target if none is named."""
    numeric = numeric_columns(frame)
    named = [name for name in numeric if name.casefold() in _TARGET_NAMES]
    words = [str(name) for name in frame.columns if str(name).casefold() in _CLASS_NAMES]
    return named or numeric or words


def guess_target(frame: pd.DataFrame) -> str:
    """Return the column named ``target``, the only numeric one, or one of words named ``class``.

    Raises
    ------
    DataError
        If there is no candidate or more than one; the message lists them.
    """
    candidates = target_candidates(frame)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(
            "no column of plain numbers to use as the target; name it, also one of words "
            f"(--target). Columns: {list_names(frame.columns)}"
        )
    raise DataError(
        f"more than one column can be the target, name one (--target): {list_names(candidates)}"
    )


def table_from_frame(
    rows: RawTable | pd.DataFrame,
    *,
    target: str | None,
    reading: ReadingOptions = BY_DEFAULT,
    id_col: str | None = None,
    unit: str = "",
    source: str = "",
    conditions: str = "",
    task: TaskChoice = "auto",
    class_order: Sequence[str] = (),
    materials: Materials | None = None,
) -> Dataset:
    """Sort the columns of a frame into a `Dataset`.

    Parameters
    ----------
    rows : RawTable or pandas.DataFrame
        As `xtalshift.data.frames.read_raw` returns it; not changed.
    target : str or None
        Column to predict; None for rows without one.
    reading : ReadingOptions
        Where the formulas are; by default in a column with a usual name.
    id_col : str, optional
        By default a column with a usual name, if none is blank or repeated; without an id column
        the ids are row numbers from 1.
    unit, source, conditions : str
        As in `Dataset`. Without a unit, that in the cells of the target is taken.
    task, class_order
        Whether the target is a number or a class, see `xtalshift.data.classes.read_classes`.
    materials : Materials, optional
        Those of the rows, if they were read for another target.

    Returns
    -------
    Dataset
        Nested columns (lists, dictionaries) are left out.

    Raises
    ------
    DataError
        If a column does not exist, or the target column has no usable number and no class.
    """
    raw = RawTable.of(rows)
    frame = raw.frame
    names = [str(column) for column in frame.columns]
    found = find_formulas(names, reading)
    formulas = found.names
    if id_col is not None and id_col not in names:
        raise DataError(no_column("id column", id_col, names))
    findings = id_findings(frame[id_col], id_col, used=True) if id_col is not None else ()
    if id_col is None:
        id_col = next((name for name in names if _is_id(name, frame[name])), None)
        if id_col is None and found.folder is not None:  # the names of the files
            id_col = formulas[0]
        named = next((name for name in names if name.casefold() in ID_NAMES), None)
        if id_col is None and named is not None and not _is_nested(frame[named]):
            findings = id_findings(frame[named], named, used=False)
    ids = frame[id_col] if id_col else pd.Series(range(1, len(frame) + 1))
    found_target = _NO_TARGET
    if target is not None:
        found_target = _read_target(raw, target, formulas, unit, task, class_order)
        findings += found_target.findings
    said = ""
    if not unit and found_target.unit:
        unit, said = found_target.unit, ", as its cells say"
    others = [
        name
        for name in names
        if name not in {*formulas, id_col, target} and not _is_nested(frame[name])
    ]
    materials = materials or raw.formulas(reading).materials(reading.notation, ids=ids.tolist())
    findings += _beside(raw, reading, found, materials)
    return Dataset(
        materials,
        targets=found_target.values,
        columns=frame[others].copy(),
        target_name=target or "",
        unit=unit,
        source=source,
        conditions=conditions,
        problems=found_target.problems,
        bounds=found_target.bounds,
        classes=found_target.classes,
        ordered=found_target.ordered,
        style=raw.style,
        reading=replace(
            reading_of(raw, reading, materials.notation, source),
            target=_describe_target(frame, target, unit + said, {*formulas, id_col}),
            ids=id_col or "row numbers from 1",
            findings=(*raw.findings, *findings, *same_rows(frame, materials.formulas.tolist())),
        ),
    )


@dataclass(frozen=True, eq=False)
class _Target:
    """The target column of n rows."""

    values: NDArray[np.float64] | None = None
    problems: NDArray[np.object_] | None = None
    bounds: NDArray[np.float64] | None = None
    classes: tuple[str, ...] | None = None
    ordered: bool = False
    unit: str = ""
    findings: tuple[Finding, ...] = ()


_NO_TARGET = _Target()


def _read_target(
    raw: RawTable,
    target: str,
    formulas: Sequence[str],
    unit: str,
    task: TaskChoice,
    class_order: Sequence[str],
) -> _Target:
    """Return the target column, as numbers or as classes."""
    frame = raw.frame
    names = [str(column) for column in frame.columns]
    if target not in names:
        raise DataError(no_column("target column", target, names))
    if target in formulas:
        raise DataError(f"column {target!r} has the formulas, so it cannot be the target")
    column = read_numbers(frame[target], raw.style, unit=unit)
    found = read_classes(frame[target], column, target, task, class_order)
    if found is not None:
        return _Target(
            found.codes,
            found.problems,
            classes=found.classes,
            ordered=found.ordered,
            findings=found.findings,
        )
    if len(frame) and (column.problems != "").all():
        numeric = list_names(numeric_columns(frame))
        raise DataError(
            f"target column {target!r} has no usable number (row 1: "
            f"{column.problems[0]}); numeric columns: {numeric}. If its words are classes, use "
            "--task classification"
        )
    few = number_finding(column, target) if task == "auto" else None
    return _Target(
        column.values,
        column.problems,
        np.column_stack([column.lower, column.upper]),
        unit=column.unit,
        findings=() if few is None else (few,),
    )


def reading_of(raw: RawTable, options: ReadingOptions, notation: Notation, source: str) -> Reading:
    """Return what of a table, or of a piece of it, was read as what, without target and ids.

    Parameters
    ----------
    raw : RawTable
        The rows.
    options : ReadingOptions
        What the user says about the table.
    notation : Notation
        How the formulas were read; its amounts are those of columns of elements that neither the
        user nor the header explains.
    source : str
        Name of the table.

    Raises
    ------
    DataError
        If there are no formulas.
    """
    found = find_formulas(raw.frame.columns, options, notation.amounts)
    return Reading(
        source=source,
        layout=raw.layout.describe() if raw.layout else "",
        formulas=found.describe(),
        notation=notation.describe(),
        numbers=_describe_numbers(raw),
        options=_settled(raw, options, found),
        findings=raw.findings,
    )


def _beside(
    raw: RawTable, reading: ReadingOptions, found: FormulaColumns, materials: Materials
) -> tuple[Finding, ...]:
    """Return what is odd about formulas beside structures: contradictions, or structures unused."""
    frame = raw.frame
    if not found.structures:
        name = find_structure_column(frame.columns)
        known = name is None or raw.layout is None  # the catalogue says what its columns are
        return () if known else unused_structures(frame[name].tolist(), str(name))
    with suppress(DataError):  # no column of formulas
        name = find_formula_column(frame.columns, reading.formula_col)
        if name not in found.names:
            return contradictions([str(cell) for cell in frame[name]], materials, name)
    return ()


def _describe_numbers(raw: RawTable) -> str:
    unsettled = any(finding.kind == AMBIGUOUS for finding in raw.findings)
    return raw.style.describe() + (f"; not settled, see {AMBIGUOUS}" if unsettled else "")


def _describe_target(
    frame: pd.DataFrame, target: str | None, unit: str, others: set[str | None]
) -> str:
    if target is not None:
        named = name_with_unit(target, unit or "unit not given")
        return f"column {target!r}{named.removeprefix(target)}"
    candidates = [name for name in numeric_columns(frame) if name not in others]
    more = len(candidates) - _MOST_LISTED
    listed = list_names(candidates[:_MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")
    return f"none named; columns of numbers: {listed}"


def _settled(raw: RawTable, given: ReadingOptions, formulas: FormulaColumns) -> dict[str, str]:
    """Return the options with which the table is read in the same way again."""
    kept = _OPTIONS - {"composition_columns"}
    options = {name: str(value) for name, value in given.to_dict().items() if name in kept}
    options |= {"decimal": raw.style.decimal, "thousands": raw.style.thousands}
    if raw.layout and raw.layout.dialect:
        dialect = raw.layout.dialect
        options["encoding"] = dialect.encoding
        if dialect.separator in SEPARATORS:
            options["separator"] = SEPARATORS[dialect.separator]
    if raw.layout and raw.layout.sheet:
        options["sheet"] = raw.layout.sheet
    if formulas.structures:
        options |= {"structure_col": formulas.names[0]}
    elif formulas.elements:
        options |= {"composition_columns": list_names(formulas.names)}
    else:
        options |= {"formula_col": formulas.names[0]}
    return options


def _is_id(name: str, cells: pd.Series) -> bool:
    if name.casefold() not in ID_NAMES or _is_nested(cells):
        return False
    return cells.is_unique and not (cells.isna() | (cells == "")).any()


def _is_nested(cells: pd.Series) -> bool:
    return cells.dtype == object and any(isinstance(c, dict | list | np.ndarray) for c in cells)
