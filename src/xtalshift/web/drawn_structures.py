"""The structures of a file that a screen draws one by one: the file is not read for each."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from xtalshift.errors import NotFoundError

if TYPE_CHECKING:
    from xtalshift.structure.structures import Structures

MOST_DRAWN = 500
"""Rows of a file of structures that can be drawn."""
_BLOCK = 50
"""Rows that are read at once: those of a page."""
_MOST_FILES = 4
"""Files whose structures are kept in memory."""


class DrawnStructures:
    """Keeps the structures of the files that were drawn last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, list[Structures]] = OrderedDict()
        self._lock = Lock()  # a page asks for many drawings at once: one of them reads

    def find(self, path: Path, row: int) -> tuple[Structures, int]:
        """Return a batch of structures, and the place in it of a row, counted from 1.

        Raises
        ------
        NotFoundError
            If it has no such row.
        """
        with self._lock:
            place = self._look(path, row)
            if place is None:
                self._kept[path] = _read(path, row)
                place = self._look(path, row)
            self._kept.move_to_end(path)
            while len(self._kept) > _MOST_FILES:
                self._kept.popitem(last=False)
        if place is None:
            raise NotFoundError(f"there is no row {row}")
        return place

    def _look(self, path: Path, row: int) -> tuple[Structures, int] | None:
        first = 0
        for structures in self._kept.get(path, ()):
            if row <= first + len(structures):
                return structures, row - 1 - first
            first += len(structures)
        return None


def _read(path: Path, row: int) -> list[Structures]:
    """Return the structures of a file, in batches, up to the batch that has a row."""
    from xtalshift.structure.structure_files import read_structure_files

    found: list[Structures] = []
    count = 0
    for block in read_structure_files(path, rows=_BLOCK):
        found.append(block.read.structures.take(slice(MOST_DRAWN - count)))
        count += len(found[-1])
        if count >= min(row, MOST_DRAWN):
            break
    return found
