"""Rows of two fidelities in one table: values to predict, and cheaper ones of the same property.

A column says of each row how its target was found (measured or computed, say). One value of the
column names the rows to predict; another, the rows that are learned from beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xtalshift.data.dataset import Dataset, ObjectArray
from xtalshift.data.files import list_names, no_column
from xtalshift.errors import DataError
from xtalshift.registry import near_miss
from xtalshift.words import plural

MEASURED = ("exp", "meas", "obs")
"""How words for measured values begin."""
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Fidelities:
    """The rows of two fidelities, as read."""

    high: Dataset
    low: Dataset
    """`high`, `low`: rows of the fidelity to predict, and of the other one."""
    names: tuple[str, str]
    """What the column says of the rows of `high`, and of those of `low`."""
    remarks: tuple[str, ...]
    """What was decided, and which rows are of neither."""


def part_fidelities(table: Dataset, column: str, named: Sequence[str] = ()) -> Fidelities:
    """Return the rows of the fidelity to predict and those of another one.

    Parameters
    ----------
    table : Dataset
        As read, not cleaned.
    column : str
        Column that says the fidelity of each row.
    named : sequence of str
        Value of the column for the rows to predict, and the one to learn from beside them. The
        first is by default the only one that begins like a word for measured values (``exp``,
        ``meas``, ``obs``), else the one with the fewest rows; the second the one with the most of
        the other rows.

    Raises
    ------
    DataError
        If there is no such column or value, or all rows have one fidelity.
    """
    if column not in table.columns.columns:
        names = [str(name) for name in table.columns.columns]
        raise DataError(no_column("column of fidelities", column, names))
    if len(named) > 2:  # noqa: PLR2004 - one to predict, one to learn from
        raise DataError(
            f"{len(named)} fidelities are named ({list_names(named)}); name the one to predict, "
            "and one to learn from beside it"
        )
    cells = np.array([_text(cell) for cell in table.columns[column]], dtype=object)
    values, counts = np.unique(cells[cells != ""].astype(str), return_counts=True)
    sizes = dict(zip(values.tolist(), counts.tolist(), strict=True))
    for name in named:
        if name not in sizes:
            raise DataError(
                f"column {column!r} has no value {name!r}{near_miss(name, sizes)}. It has "
                f"{_describe(sizes)}"
            )
    if len(sizes) < 2 or len(set(named)) < len(named):  # noqa: PLR2004
        raise DataError(
            f"two fidelities are needed, and column {column!r} has {_describe(sizes) or 'none'}"
            f"{f', of which {named[0]!r} is named twice' if len(sizes) > 1 else ''}; leave out "
            "--fidelity-col to train on all rows alike"
        )
    remarks = []
    high = named[0] if named else _guess(sizes)
    if not named:
        remarks.append(
            f"note: the values of {column} = {high!r} are predicted ({_describe(sizes)}); another "
            "choice: --fidelity VALUE"
        )
    others = {name: n for name, n in sizes.items() if name != high}
    low = named[1] if len(named) > 1 else max(others, key=lambda name: (others[name], name))
    remarks += _left_out(cells, column, others, low, chosen=len(named) > 1)
    return Fidelities(
        table.take(cells == high), table.take(cells == low), (high, low), tuple(remarks)
    )


def _guess(sizes: dict[str, int]) -> str:
    """Return the only value that is called measured, else the rarest."""
    measured = [name for name in sizes if name.casefold().startswith(MEASURED)]
    return measured[0] if len(measured) == 1 else min(sizes, key=lambda name: (sizes[name], name))


def _left_out(
    cells: ObjectArray, column: str, others: dict[str, int], low: str, *, chosen: bool
) -> list[str]:
    """Return remarks on the rows that are of neither fidelity."""
    remarks = []
    rest = {name: n for name, n in others.items() if name != low}
    if rest:
        how = "" if chosen else "; another choice: --fidelity PREDICTED,OTHER"
        remarks.append(
            f"note: rows of other fidelities are left out: {_describe(rest)}; learned from beside "
            f"it is {low!r}{how}"
        )
    blank = int(np.sum(cells == ""))
    if blank:
        what = plural(blank, "row", "is", "are")
        remarks.append(f"warning: {what} left out, because {column!r} is empty there")
    return remarks


def _text(cell: object) -> str:
    """Return a cell as text: numbers as they are usually written, nothing for missing values."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or pd.isna(cell):  # type: ignore[call-overload]
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _describe(sizes: dict[str, int]) -> str:
    """Return values with their number of rows, the most frequent first."""
    order = sorted(sizes, key=lambda name: -sizes[name])
    shown = ", ".join(f"{name!r} in {plural(sizes[name], 'row')}" for name in order[:_SHOWN])
    return shown + (f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else "")
