"""The roles of columns (formula, target, id), and the data set made of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xtalshift.chem.formulas import Hydrates
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import find_formula_column, no_column
from xtalshift.data.materials import Materials
from xtalshift.data.numbers import parse_numbers
from xtalshift.errors import DataError

_ID_NAMES = ("id", "material_id", "mp_id", "mpid", "jid", "task_id")
_ROW_NUMBERS = ("index", "unnamed: 0")
_TARGET_NAMES = ("target", "y")


def numeric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the numeric columns that can be a target (no ids, no row numbers)."""
    excluded = {*_ID_NAMES, *_ROW_NUMBERS}
    return [
        str(name)
        for name in frame.columns
        if pd.api.types.is_numeric_dtype(frame[name]) and str(name).casefold() not in excluded
    ]


def guess_target(frame: pd.DataFrame) -> str:
    """Return the column named ``target``, or the only numeric column.

    Raises
    ------
    DataError
        If there is no candidate or more than one; the message lists them.
    """
    numeric = numeric_columns(frame)
    named = [name for name in numeric if name.casefold() in _TARGET_NAMES]
    candidates = named or numeric
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        columns = ", ".join(str(name) for name in frame.columns)
        raise DataError(f"no numeric column to use as the target. Columns: {columns}")
    raise DataError(f"more than one column can be the target, name one: {', '.join(candidates)}")


def table_from_frame(
    frame: pd.DataFrame,
    *,
    target: str | None,
    formula_col: str | None = None,
    id_col: str | None = None,
    unit: str = "",
    source: str = "",
    conditions: str = "",
    hydrates: Hydrates = "refuse",
) -> Dataset:
    """Sort the columns of a frame into a `Dataset`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `xtalshift.data.frames.read_frame` returns it; not changed.
    target : str or None
        Column to predict; None for rows without one.
    formula_col, id_col : str, optional
        By default columns with the usual names, for ids only if none is blank or repeated; without
        an id column the ids are row numbers from 1.
    unit, source, conditions : str
        As in `Dataset`.
    hydrates : {"refuse", "expand"}
        See `xtalshift.chem.formulas.parse_formula`.

    Returns
    -------
    Dataset
        Nested columns (lists, dictionaries) are left out.

    Raises
    ------
    DataError
        If a column does not exist or the target column has no usable number.
    """
    names = [str(column) for column in frame.columns]
    formula = find_formula_column(names, formula_col)
    if id_col is not None and id_col not in names:
        raise DataError(no_column("id column", id_col, names))
    if id_col is None:
        id_col = next((name for name in names if _is_id(name, frame[name])), None)
    ids = frame[id_col] if id_col else pd.Series(range(1, len(frame) + 1))
    targets = problems = None
    if target is not None:
        if target not in names:
            numeric = ", ".join(numeric_columns(frame)) or "none"
            raise DataError(
                no_column("target column", target, names, f"Columns of numbers: {numeric}")
            )
        if target == formula:
            raise DataError(f"column {target!r} has the formulas, so it cannot be the target")
        targets, problems = parse_numbers(frame[target])
        if len(frame) and (problems != "").all():
            numeric = ", ".join(numeric_columns(frame)) or "none"
            raise DataError(
                f"target column {target!r} has no usable number (row 1: "
                f"{problems[0]}); numeric columns: {numeric}"
            )
    others = [n for n in names if n not in {formula, id_col, target} and not _is_nested(frame[n])]
    return Dataset(
        Materials.parse(frame[formula].tolist(), hydrates=hydrates, ids=ids.tolist()),
        targets=targets,
        columns=frame[others].copy(),
        target_name=target or "",
        unit=unit,
        source=source,
        conditions=conditions,
        problems=problems,
    )


def _is_id(name: str, cells: pd.Series) -> bool:
    if name.casefold() not in _ID_NAMES or _is_nested(cells):
        return False
    return cells.is_unique and not (cells.isna() | (cells == "")).any()


def _is_nested(cells: pd.Series) -> bool:
    return cells.dtype == object and any(isinstance(c, dict | list | np.ndarray) for c in cells)
