"""Text cells of CSV that a spreadsheet would run: marked when written, unmarked when read.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return
for a formula, and tables often come from strangers. A leading apostrophe makes it text. What is
written here is read back exactly, whether cells are marked or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SAFE: ContextVar[bool] = ContextVar("SAFE", default=True)
"""Whether cells that a spreadsheet would run are marked."""

_FIRST = frozenset("'=+-@\t\r")
_RUN = re.compile("[=+@\t\r-]")
_MARKED = re.compile("'+[=+@\t\r-]")
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?|[-+]inf|-")


def mark(cell: str) -> str:
    """Return a cell as it is written; numbers and ``-`` (no value) stay as they are.

    A cell that looks marked already gets another apostrophe, which `unmark` takes away.
    """
    runs = SAFE.get() and _RUN.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if runs or _MARKED.match(cell) else cell


def unmark(cell: str) -> str:
    """Return a cell as it was before `mark`."""
    return cell[1:] if _MARKED.match(cell) else cell


def mark_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the texts of its cells and header marked."""
    texts = frame.select_dtypes(["object", "string"])
    found = {
        name: [mark(cell) if isinstance(cell, str) else cell for cell in cells]
        for name, cells in texts.items()
        if _any_begins(cells, _FIRST)
    }
    return frame.assign(**found).rename(columns=mark)


def unmark_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of text as it was before `mark_frame`."""
    found = {
        name: [unmark(cell) if isinstance(cell, str) else cell for cell in cells]
        for name, cells in frame.items()
        if _any_begins(cells, {"'"})
    }
    return frame.assign(**found).rename(columns=unmark)


def _any_begins(cells: Iterable[object], first: Iterable[str]) -> bool:
    return any(isinstance(cell, str) and cell[:1] in first for cell in cells)
