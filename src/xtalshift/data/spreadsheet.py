"""Text cells of CSV that a spreadsheet would run: marked when written, unmarked when read.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return
for a formula, and tables often come from strangers. A leading apostrophe makes it text. What is
written here is read back exactly, whether cells are marked or not.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SAFE: ContextVar[bool] = ContextVar("SAFE", default=True)
"""Whether cells that a spreadsheet would run are marked."""

_RUN = frozenset("=+-@\t\r")
_MARKED = re.compile("'+[=+@\t\r-]")


def mark(cell: str) -> str:
    """Return a cell as it is written; numbers and ``-`` (no value) stay as they are.

    A cell that looks marked already gets another apostrophe, which `unmark` takes away.
    """
    if cell[:1] == "'":
        return f"'{cell}" if _MARKED.match(cell) else cell
    runs = cell[:1] in _RUN and SAFE.get() and not _is_number(cell)
    return f"'{cell}" if runs else cell


def unmark(cell: str) -> str:
    """Return a cell as it was before `mark`."""
    return cell[1:] if cell[:1] == "'" and _MARKED.match(cell) else cell


def mark_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the texts of its cells and header marked."""
    texts = frame.select_dtypes(["object", "string"])
    return _map(frame, texts, mark, _RUN | {"'"})


def rows_as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of the same columns as the text that pandas would write, texts marked.

    pandas takes half a second to load.
    """
    text = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writerow({name: mark(name) for name in names})
    for row in rows:
        shown = {name: "" if cell != cell else cell for name, cell in row.items()}  # noqa: PLR0124 - NaN
        writer.writerow({k: mark(v) if isinstance(v, str) else v for k, v in shown.items()})
    return text.getvalue()


def unmark_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of text as it was before `mark_frame`."""
    return _map(frame, frame, unmark, {"'"})


def _map(
    frame: pd.DataFrame, texts: pd.DataFrame, change: Callable[[str], str], first: AbstractSet[str]
) -> pd.DataFrame:
    found = {}
    for name, cells in texts.items():
        if _may_begin(cells, first):
            changed = [
                change(cell) if isinstance(cell, str) and cell[:1] in first else cell
                for cell in cells
            ]
            # of the same type: pandas 3 would make another one of texts
            found[str(name)] = type(cells)(changed, cells.index, dtype=cells.dtype)
    return frame.assign(**found).rename(columns=change)


def _may_begin(cells: Iterable[object], first: AbstractSet[str]) -> bool:
    """Return False if no text begins with one of some characters: quicker than to look at each."""
    try:
        joined = "\0".join(["", *cells])  # type: ignore[list-item]
    except TypeError:  # not only texts
        return True
    return any(f"\0{one}" in joined for one in first)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return cell == "-"
    return True
