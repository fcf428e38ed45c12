"""Targets of which only bounds are known, such as ``<4.2`` and ``19-21``, kept as such."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.numbers import cause_of

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.intp]

_CAUSES = ("a bound", "a range")


def use_bounds(table: Dataset) -> Dataset:
    """Return a data set as read whose bounds and ranges are no faults.

    The target of such a row is the bound, or the middle of the range: where a fit starts.
    """
    if table.bounds is None or table.problems is None or table.targets is None:
        return table
    used = np.array([cause_of(text) in _CAUSES for text in table.problems], dtype=np.bool_)
    targets, problems = table.targets.copy(), table.problems.copy()
    targets[used], problems[used] = _between(table.bounds[used]), ""
    return replace(table, targets=targets, problems=problems)


@dataclass(frozen=True, eq=False)
class Told:
    """What is known of the targets of usable rows."""

    kept: BoolArray
    """Shape (n,). Rows that say something that a value of their material does not."""
    targets: FloatArray
    bounds: FloatArray
    """`targets`, `bounds`: of the m rows that are kept, shapes (m,) and (m, 2)."""


def join_bounds(codes: IntArray, targets: FloatArray, bounds: FloatArray, *, merge: bool) -> Told:
    """Return what rows of one material say together.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Number of the material of each row, from 0.
    targets, bounds : ndarray of float64, shapes (n,) and (n, 2)
        A value has two equal bounds.
    merge : bool
        Whether rows of one material are merged. A value then stands for the bounds of its material.
        Of bounds alone the tightest hold together; those that contradict each other leave the range
        between the outermost.

    Returns
    -------
    Told
    """
    open_ = bounds[:, 0] < bounds[:, 1]
    if not merge:
        return Told(np.ones(len(codes), dtype=np.bool_), targets, bounds)
    has_value = np.bincount(codes, ~open_) > 0
    kept = ~(open_ & has_value[codes])
    found, together = bounds[kept].copy(), targets[kept].copy()
    alone = open_[kept]
    if alone.any():
        of_group = pd.DataFrame(found[alone]).groupby(codes[kept][alone])
        low = np.asarray(of_group[0].transform("max"), dtype=np.float64)
        high = np.asarray(of_group[1].transform("min"), dtype=np.float64)
        against = low >= high
        low, high = (
            np.where(against, np.asarray(of_group[0].transform("min")), low),
            np.where(against, np.asarray(of_group[1].transform("max")), high),
        )
        # ends that are open on both sides say nothing: the finite ones are the range then
        inner = np.sort(
            np.stack([of_group[0].transform("max"), of_group[1].transform("min")]), axis=0
        )
        nothing = np.isinf(low) & np.isinf(high)
        low, high = np.where(nothing, inner[0], low), np.where(nothing, inner[1], high)
        found[alone] = np.column_stack([low, high])
        together[alone] = _between(found[alone])
    return Told(kept, together, found)


def bounds_findings(data: Dataset, usable: IntArray) -> tuple[Finding, ...]:
    """Return how many of the usable rows of a table are bounds."""
    assert data.bounds is not None
    rows = usable[data.bounds[usable, 0] < data.bounds[usable, 1]]
    if not rows.size:
        return ()
    examples = (
        Example(int(data.row_numbers[row]), data.ids[row], _text(data.bounds[row]), "")
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    kind = f"{data.target_name or 'target'}: only bounds are known, and used"
    how = "The loss takes them" if data.bounds_in_loss else "Methods expect the values between them"
    remedy = f"{how}; errors and intervals leave such rows out"
    return (Finding(kind, len(rows), tuple(examples), remedy),)


def _between(bounds: FloatArray) -> FloatArray:
    """Return the finite bound, or the middle of two, shape (n,)."""
    low, high = bounds.T
    return np.asarray(
        np.where(np.isinf(low), high, np.where(np.isinf(high), low, low / 2 + high / 2))
    )


def _text(bounds: FloatArray) -> str:
    low, high = bounds
    if np.isinf(low):
        return f"< {high:g}"
    return f"> {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
