"""Drawings of crystal structures for pages."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from xtalshift.data.structure_texts import read_cells
from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.drawing import draw_crystal


def draw_crystals(structures: Structures, rows: Sequence[int], name: str) -> list[Markup | None]:
    """Draw crystals of a batch.

    Parameters
    ----------
    structures : Structures
        A batch.
    rows : sequence of int
        Rows to draw.
    name : str
        Begins all ids; no other drawings of the page may have it.

    Returns
    -------
    list of Markup or None
        One drawing per row. None for a row without atoms; and for all, if the libraries of the
        extra ``structures`` are not installed: a page needs no drawings.
    """
    drawn: list[Markup | None] = []
    for number, row in enumerate(rows):
        svg = None
        if structures.sizes[row]:
            try:
                svg = draw_crystal(structures, row, name=f"{name}{number}")
            except ConfigError:
                return [None] * len(rows)
        drawn.append(None if svg is None else Markup(svg))  # noqa: S704 (all texts are escaped)
    return drawn


def draw_texts(texts: Sequence[str], name: str) -> list[Markup | None]:
    """Draw structures of records, see `xtalshift.data.structure_texts.pack_rows`.

    Texts without a structure and damaged ones have no drawing; see `draw_crystals` for the rest.
    """
    structures = Structures.join(
        [read_cells([text]).structures if text else Structures.none(1) for text in texts]
    )
    return draw_crystals(structures, range(len(texts)), name)
