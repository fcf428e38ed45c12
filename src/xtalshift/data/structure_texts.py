"""Columns of a table that hold crystal structures, or the names of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xtalshift.structure import Structures


class StructureCells(NamedTuple):
    """The structures of n cells."""

    structures: Structures
    faults: dict[int, str]
    """Cell (from 0) -> why it has no structure."""
    notes: dict[int, str]
    """Cell -> remark on how it was read."""


def read_cells(cells: Sequence[object], folder: str | None = None) -> StructureCells:
    """Return the structures of cells.

    Parameters
    ----------
    cells : sequence, length n
        Text of CIF, POSCAR, extended XYZ or JSON files, JSON objects, or names of such files.
    folder : str, optional
        Folder or archive of the files.

    Raises
    ------
    DataError
        If the folder cannot be read.
    ConfigError
        If pymatgen is not installed.
    """
    from xtalshift.structure.reading import read_structures

    found = read_structures(cells)
    return StructureCells(
        found.structures,
        {row: text for row, text in enumerate(found.reasons.tolist()) if text},
        {row: text for row, text in enumerate(found.notes.tolist()) if text},
    )
