"""Small tables for notebooks: plain HTML without styles or scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

SHOWN_ROWS = 5
"""Rows of a long table that are shown."""


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML; all texts are escaped.

    Parameters
    ----------
    title : str
        Stands above the table.
    head : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Cells. Floating-point numbers get five digits, and NaN and None an empty cell.
    """
    lines = [
        f"<tr>{''.join(f'<{kind}>{escape(_text(cell))}</{kind}>' for cell in row)}</tr>"
        for kind, row in (("th", head), *(("td", row) for row in rows))
    ]
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def _text(cell: object) -> str:
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN
        return ""
    return f"{cell:.5g}" if isinstance(cell, float) else str(cell)
