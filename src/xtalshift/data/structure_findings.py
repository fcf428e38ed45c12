"""What is odd about the crystal structures of a table: one crystal described by several rows."""

from __future__ import annotations

import numpy as np

from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.matching import match_crystals

_REMEDY = (
    "Such rows are not merged and count as several materials; they are on one side of every split. "
    "Keep one of each if they are no measurements of their own"
)


def crystal_findings(table: Dataset, *, progress: Progress = NO_PROGRESS) -> tuple[Finding, ...]:
    """Return the rows whose crystal an earlier row describes in another way.

    Rows with the same cell and atoms are no finding: cleaning merges them.

    Parameters
    ----------
    table : Dataset
        n rows, with or without structures.
    progress : Progress
        Advances by one per structure.

    Returns
    -------
    tuple of Finding
        One finding with the number of such rows, or none.
    """
    structures = table.materials.structures
    if structures is None:
        return ()
    groups, keys = match_crystals(structures, progress=progress), structures.keys
    _, first_of_group, group = np.unique(groups, return_index=True, return_inverse=True)
    _, first_of_key, key = np.unique(keys.astype(str), return_index=True, return_inverse=True)
    earlier = first_of_group[group]
    rows = np.flatnonzero((groups >= 0) & (first_of_key[key] == np.arange(len(keys)))
                          & (earlier < np.arange(len(keys))))  # fmt: skip
    if not rows.size:
        return ()
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
    kind = (
        f"the crystal of an earlier row in another cell, or slightly distorted; {crystals:,} "
        f"{'crystal is' if crystals == 1 else 'crystals are'} described so"
    )
    return (Finding(kind, len(rows), examples, _REMEDY),)
