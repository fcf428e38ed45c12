"""What is odd about the crystal structures of a table: one crystal in several rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.matching import match_crystals

_MERGED = (
    "Such rows are merged if their feature columns are equal too (--duplicates says how); if they "
    "are other materials, correct what names their structures"
)
_OTHERWISE = "the crystal of an earlier row in another cell, or slightly distorted"
_REMEDY = (
    "Such rows are not merged and count as several materials; they are on one side of every split. "
    "Keep one of each if they are no measurements of their own"
)


def crystal_findings(table: Dataset, *, progress: Progress = NO_PROGRESS) -> tuple[Finding, ...]:
    """Return the rows whose crystal an earlier row describes, too.

    Parameters
    ----------
    table : Dataset
        n rows, with or without structures.
    progress : Progress
        Advances by one per structure.

    Returns
    -------
    tuple of Finding
        Up to two findings with the number of such rows: those with the same cell and atoms, which
        cleaning merges, and those in another cell or slightly distorted.
    """
    structures = table.materials.structures
    if structures is None:
        return ()
    groups, keys = match_crystals(structures, progress=progress), structures.keys
    _, first_of_group, group = np.unique(groups, return_index=True, return_inverse=True)
    _, first_of_key, key = np.unique(keys.astype(str), return_index=True, return_inverse=True)
    places = np.arange(len(keys))
    read = structures.sizes > 0
    same = np.flatnonzero(read & (first_of_key[key] < places))
    earlier = first_of_group[group]
    others = np.flatnonzero((groups >= 0) & (first_of_key[key] == places) & (earlier < places))
    found = [
        _finding(table, same, first_of_key[key], "the same crystal as an earlier row", _MERGED),
        _finding(table, others, earlier, _OTHERWISE, _REMEDY),
    ]
    return tuple(one for one in found if one.count)


def _finding(
    table: Dataset, rows: NDArray[np.intp], earlier: NDArray[np.intp], kind: str, remedy: str
) -> Finding:
    """Return the finding of rows that have the crystal of an earlier one."""
    examples = tuple(
        Example(
            int(table.row_numbers[row]),
            table.ids[row],
            f"{table.formulas[row]} (id {table.ids[row]})",
            f"as row {table.row_numbers[earlier[row]]} (id {table.ids[earlier[row]]})",
        )
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    crystals = len(np.unique(earlier[rows]))
    said = f"{crystals:,} {'crystal is' if crystals == 1 else 'crystals are'} described so"
    return Finding(f"{kind}; {said}", len(rows), examples, remedy)
