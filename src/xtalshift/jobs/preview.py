"""The first rows of a table, as they are written and as what they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xtalshift.data.columns import numeric_columns, target_candidates
from xtalshift.data.formula_texts import HEAD_ROWS, check_formulas, find_formulas
from xtalshift.data.frames import RawTable, parse_raw, settle_head, with_numbers
from xtalshift.data.readers import table_of
from xtalshift.data.settings import DataConfig
from xtalshift.data.sources import open_source
from xtalshift.errors import XtalshiftError

SHOWN = 8
"""Rows that are shown."""
_LONGEST = 80
_NOTHING = ("", "nan", "None", "<NA>", "NaT")


@dataclass(frozen=True)
class PreviewColumn:
    """One column of a table."""

    name: str
    role: str
    """``formula``, ``structure``, ``target``, ``id``, or nothing."""
    numbers: bool
    """Whether all its cells are numbers or blank, in the rows that were read."""


@dataclass(frozen=True)
class Preview:
    """What the first rows of a table show; of the rest nothing is known yet."""

    columns: tuple[PreviewColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells as they are written, of structure files formulas; of at most `SHOWN` rows."""
    whole: bool
    """Whether these are all rows."""
    layout: str
    """Format, encoding and separator, in one line."""
    reading: dict[str, str] = field(default_factory=dict)
    """What is read as what, by its label; empty if there is a problem."""
    options: dict[str, str] = field(default_factory=dict)
    """The options with which it is read in the same way again."""
    target: str = ""
    """The target column: the one that is named, or the only candidate."""
    unit: str = ""
    """Its unit, as far as the header or the cells say it."""
    classes: tuple[str, ...] = ()
    """Its classes, if it is not a number."""
    candidates: tuple[str, ...] = ()
    """Columns that can be the target."""
    sheets: tuple[str, ...] = ()
    """Sheets of an Excel file, the one that is read first."""
    problem: XtalshiftError | None = None
    """Why these rows cannot be used as they are read."""


def preview_table(data: DataConfig) -> Preview:
    """Read the first rows of a file.

    Parameters
    ----------
    data : DataConfig
        The file, its columns and how it is read.

    Raises
    ------
    DataError
        If no rows can be read at all. That they make no sense as a table of materials is told by
        `Preview.problem`, so that the rows can be looked at.
    """
    path = Path(data.dataset)
    source = open_source(path, data)
    settle_head(source, data)
    pieces = source.pieces(0, iter([HEAD_ROWS, 1]))
    piece = next(pieces, None)
    layout = source.layout
    written = parse_raw(layout, piece) if piece is not None else None
    names = list(layout.columns) if written is None else [str(one) for one in written.frame.columns]
    cells = () if written is None else _cells(written)
    sheets = (layout.sheet, *layout.other_sheets) if layout.sheet else ()
    whole = len(cells) <= SHOWN and next(pieces, None) is None
    told: dict[str, Any] = {
        "rows": cells[:SHOWN],
        "whole": whole,
        "layout": layout.describe(),
        "sheets": sheets,
    }
    if written is None:
        columns = tuple(PreviewColumn(name, "", numbers=False) for name in names)
        return Preview(columns=columns, **told)
    raw = with_numbers(written, data) if layout.kind == "csv" else written
    numeric = set(numeric_columns(raw.frame))
    try:
        check_formulas(source, path, data)
        return _read(raw, data, names, numeric, told)
    except XtalshiftError as error:
        columns = tuple(PreviewColumn(name, "", name in numeric) for name in names)
        candidates = tuple(name for name in names if name in numeric)
        return Preview(columns=columns, candidates=candidates, problem=error, **told)


def _read(
    raw: RawTable, data: DataConfig, names: list[str], numeric: set[str], told: dict[str, Any]
) -> Preview:
    """Return what the rows are read as; raises if they make no sense as a table of materials."""
    table = table_of(raw, data, need_target=False)
    reading = table.reading
    assert reading is not None
    formulas = find_formulas(raw.frame.columns, data)
    roles = dict.fromkeys(formulas.names, "structure" if formulas.structures else "formula")
    if raw.layout is not None and raw.layout.kind == "structures":  # none can read their text
        shown = zip(told["rows"], table.materials.formulas.tolist(), strict=False)
        told = {**told, "rows": tuple((row[0], formula) for row, formula in shown)}
    if reading.ids in names:
        roles.setdefault(reading.ids, "id")
    if table.target_name:
        roles[table.target_name] = "target"
    others = raw.frame.drop(columns=list(set(roles) - {table.target_name}))
    return Preview(
        columns=tuple(PreviewColumn(name, roles.get(name, ""), name in numeric) for name in names),
        reading=dict(reading.lines()),
        options=reading.options,
        target=table.target_name,
        unit=table.unit,
        classes=table.classes or (),
        candidates=tuple(dict.fromkeys((*target_candidates(others), *numeric_columns(others)))),
        **told,
    )


def _cells(written: RawTable) -> tuple[tuple[str, ...], ...]:
    rows = written.frame.head(SHOWN + 1).astype(object).itertuples(index=False, name=None)
    return tuple(tuple(_text(cell) for cell in row) for row in rows)


def _text(cell: object) -> str:
    text = str(cell)
    if text in _NOTHING:
        return ""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
