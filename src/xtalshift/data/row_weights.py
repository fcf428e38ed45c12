"""Rows that do not count the same: weights, and uncertainties, from columns of the table."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]


def weigh_rows(table: Dataset, name: str) -> Dataset:
    """Return a data set whose rows have the weights of one of its columns.

    Parameters
    ----------
    table : Dataset
        n rows, not cleaned.
    name : str
        The column, which the result has no more among its `columns`.

    Raises
    ------
    ConfigError
        If it is the target.
    DataError
        If the column does not exist.
    """
    values, problems = _take_column(table, name, "weights")
    reading = table.reading
    if reading is not None:
        reading = replace(reading, weights=f"column {name!r}{_range(values)}")
    return replace(
        table,
        weights=values,
        row_problems=_join(table.row_problems, weight_problems(values, problems)),
        columns=table.columns.drop(columns=name),
        reading=reading,
    )


def noise_of_rows(table: Dataset, name: str) -> Dataset:
    """Return a data set whose targets have the uncertainties of one of its columns.

    Parameters, the result and errors as in `weigh_rows`.
    """
    values, problems = _take_column(table, name, "uncertainties")
    reading = table.reading
    if reading is not None:
        reading = replace(reading, noise=f"column {name!r}{_range(values)}")
    return replace(
        table,
        noise=values,
        row_problems=_join(table.row_problems, noise_problems(values, problems)),
        columns=table.columns.drop(columns=name),
        reading=reading,
    )


def noise_problems(values: FloatArray, problems: ObjectArray | None = None) -> ObjectArray:
    """Return why rows cannot be used because of their uncertainty, as `weight_problems`.

    0 is an exact target.
    """
    return _faults("uncertainty", values, problems, zero="")


def row_problems(table: Dataset) -> ObjectArray:
    """Return why rows cannot be used because of their weight or uncertainty, shape (n,) or (0,)."""
    if table.row_problems is not None:
        return table.row_problems
    found = np.zeros(0, dtype=object)
    if table.weights is not None:
        found = weight_problems(table.weights)
    if table.noise is not None:
        found = _join(found if len(found) else None, noise_problems(table.noise))
    return found


def weight_problems(values: FloatArray, problems: ObjectArray | None = None) -> ObjectArray:
    """Return why rows cannot be used because of their weight.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Weights.
    problems : ndarray of str, shape (n,), optional
        Of their cells, see `xtalshift.data.numbers.parse_numbers`.

    Returns
    -------
    ndarray of str, shape (n,)
        ``""``, or such as ``"weight: negative: -1"``. A row of weight 0 counts nowhere: it is no
        row of the table.
    """
    return _faults("weight", values, problems, zero="zero")


def _take_column(table: Dataset, name: str, what: str) -> tuple[FloatArray, ObjectArray]:
    if name == table.target_name:
        raise ConfigError(f"column {name!r} is the target; name another one for the {what}")
    return table.parse_column(name)


def _faults(
    label: str, values: FloatArray, problems: ObjectArray | None, *, zero: str
) -> ObjectArray:
    """Return the problems of numbers that must be positive, or at least 0 if `zero` is empty."""
    found = np.full(len(values), "", dtype=object)
    known = np.isfinite(values)
    found[~known] = "missing"
    if problems is not None:
        found[problems != ""] = problems[problems != ""]
    for row in np.flatnonzero(known & (found == "") & (values < 0)).tolist():
        found[row] = f"negative: {values[row]:g}"
    if zero:
        found[known & (values == 0)] = zero
    bad = found != ""
    found[bad] = [f"{label}: {text}" for text in found[bad]]
    return found


def _range(values: FloatArray) -> str:
    known = values[np.isfinite(values)]
    return f", {known.min():.3g} to {known.max():.3g}" if len(known) else ""


def _join(earlier: ObjectArray | None, later: ObjectArray) -> ObjectArray:
    """Return the first problem of each row."""
    return later if earlier is None else np.where(earlier != "", earlier, later).astype(object)
