"""Read table files as data frames, whole or in chunks, with formulas exactly as written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.chem.capitals import in_capitals
from xtalshift.chem.mixtures import Amounts
from xtalshift.chem.writing import write_formula
from xtalshift.data.files import FORMULA_NAMES, STATED_FORMULA, naming_file
from xtalshift.data.formula_texts import (
    HEAD_ROWS,
    FormulaTexts,
    find_formulas,
    find_ids,
    open_table,
)
from xtalshift.data.intake import Finding
from xtalshift.data.materials import Materials, as_text
from xtalshift.data.number_style import settle_style
from xtalshift.data.number_texts import POINT, NumberStyle
from xtalshift.data.numbers import BLANKS, parse_numbers, plain_numbers
from xtalshift.data.records import TextRows
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.data.sources import STRUCTURE_COLUMN, Layout, Piece, Source, open_source
from xtalshift.errors import DataError

_ALL = 2**62


@dataclass(frozen=True, eq=False)
class RawTable:
    """Rows of a table as they were read."""

    frame: pd.DataFrame
    """n rows."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """Place of a row (from 0) -> why it cannot be used."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Place of a row -> remark on how it was read."""
    style: NumberStyle = POINT
    """How the numbers in its text cells are written."""
    layout: Layout | None = None
    """How the file is written; None for a table that was not read from a file."""
    findings: tuple[Finding, ...] = ()
    """What is odd about its numbers as a whole."""

    @classmethod
    def of(cls, rows: RawTable | pd.DataFrame) -> RawTable:
        """Return a table as it is, or a frame as a table without faults."""
        return rows if isinstance(rows, RawTable) else cls(rows)

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, mask: NDArray[np.bool_]) -> Self:
        """Return the rows that a mask of shape (n,) selects; the index of the frame is kept."""
        place = np.cumsum(mask) - 1
        faults, notes = (
            {int(place[row]): text for row, text in texts.items() if mask[row]}
            for texts in (self.faults, self.notes)
        )
        return replace(self, frame=self.frame[mask], faults=faults, notes=notes)

    def formulas(self, options: ReadingOptions, usual: Amounts | None = None) -> FormulaTexts:
        """Return the formulas of the rows; the fault of a row is that of its formula.

        `usual` is as in `find_formulas`.

        Raises
        ------
        DataError
            If there are none.
        """
        found = find_formulas(self.frame.columns, options, usual)
        texts = found.texts(lambda name: self.frame[name].tolist(), self.style)
        ids = None
        if texts.structures is not None:
            ids = find_ids([*map(str, self.frame.columns)], options)
        settled = bool(self.layout and self.layout.capitals)
        return replace(
            texts,
            faults={**texts.faults, **self.faults},
            notes={**texts.notes, **self.notes},
            # also where only this piece of a table is
            capitals=settled or in_capitals(texts.texts),
            ids=[] if ids is None else as_text(self.frame[ids].tolist()).tolist(),
        )

    def shown(self, materials: Materials) -> pd.DataFrame:
        """Return the columns for an output.

        The content of structure files is left out; rows with structures get their formulas, and
        what the table says instead is kept as `STATED_FORMULA`.
        """
        frame = self.frame
        if self.layout is not None and self.layout.kind == "structures":
            frame = frame.drop(columns=STRUCTURE_COLUMN)
        if materials.structures is None:
            return frame
        if "formula" in frame.columns and STATED_FORMULA not in frame.columns:
            frame = frame.assign(**{STATED_FORMULA: frame["formula"]})
        return frame.assign(formula=materials.formulas)

    def numbers(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        """Return a column as numbers, see `xtalshift.data.numbers.parse_numbers`."""
        return parse_numbers(self.frame[name], self.style)


def read_frame(
    path: str | Path, options: ReadingOptions = BY_DEFAULT, *, text_columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a whole file that must have no fault and may have no formulas; as `read_raw`."""
    path = Path(path)
    raw = _read_whole(path, open_source(path, options), options, text_columns)
    if raw.faults:
        with naming_file(path):
            raise DataError(next(iter(raw.faults.values())))
    return raw.frame


def read_raw(
    path: str | Path, options: ReadingOptions = BY_DEFAULT, *, text_columns: Sequence[str] = ()
) -> RawTable:
    """Read a whole file.

    Parameters
    ----------
    path : str or Path
        A text table (.csv, .tsv, .txt), Excel file (.xlsx), .parquet, .jsonl or .ndjson, or .json;
        text formats may end in .gz. What separates cells, the encoding and the header are found in
        its first mebibyte. Compositions of pymatgen in JSON are read as their formula; so are its
        structures, except in a column of structures.
    options : ReadingOptions
        What the user says about the file.
    text_columns : sequence of str
        Columns to keep as text besides those of `FORMULA_NAMES`, such as a column of ids.

    Returns
    -------
    RawTable
        A text column becomes numeric if every cell is a number or blank and none is an integer with
        leading zeros; other cells are unchanged, and empty ones are ``""``. Formula columns are
        text: ``"NaN"`` is sodium nitride. A line that cannot be split into cells is a row with a
        fault.

    Raises
    ------
    DataError
        If the file is missing, a folder, empty, binary, malformed or of an unknown type, or two
        columns share a name; the message names the file.
    """
    path = Path(path)
    return _read_whole(path, open_table(path, options), options, text_columns)


def _read_whole(
    path: Path, source: Source, options: ReadingOptions, text_columns: Sequence[str]
) -> RawTable:
    layout = source.layout
    with naming_file(path):
        pieces = list(source.pieces(0, _repeat(_ALL)))
        if layout.kind == "jsonl":
            rows = [row for piece in pieces for row in layout.parse_json(piece, whole=True)]
            frame = finish_frame(pd.DataFrame(rows), _texts(options, text_columns))
            return RawTable(frame, layout=layout)
        if layout.kind != "csv":
            frame = _join([_typed_frame(layout, piece) for piece in pieces], layout)
            return RawTable(finish_frame(frame, _texts(options, text_columns)), layout=layout)
        raw = _join_text([layout.parse(piece) for piece in pieces], layout)
        return with_numbers(raw, options, text_columns)


def with_numbers(
    raw: RawTable, options: ReadingOptions, text_columns: Sequence[str] = ()
) -> RawTable:
    """Return rows of a text table with its columns of numbers as numbers, as `read_raw` does.

    What all rows together say decides how numbers are written.
    """
    assert raw.layout is not None
    frame = raw.frame.copy(deep=False)
    protected = _protected(frame, _texts(options, text_columns))
    numbers = frame.columns.difference(list(protected), sort=False)
    style, findings = _settle(frame, list(numbers), raw.layout, options)
    for name in numbers:
        frame[name] = _numbers_or_text(frame[name], style)
    return replace(raw, frame=frame, style=style, findings=findings)


def iter_raw(
    path: str | Path,
    chunk_rows: int,
    options: ReadingOptions = BY_DEFAULT,
    *,
    text_columns: Sequence[str] = (),
) -> Iterator[RawTable]:
    """Read a file in pieces, with constant memory for CSV, Parquet and JSON lines.

    Parameters
    ----------
    path : str or Path
        As `read_raw`.
    chunk_rows : int
        Rows per piece; the last one may be shorter.
    options : ReadingOptions
    text_columns : sequence of str
        As `read_raw`.

    Yields
    ------
    RawTable
        At least one piece (a table without rows has one empty piece); the index continues through
        the file. Cells of a text table remain text, so that all pieces have the same types and a
        cell can be written back unchanged.

    Raises
    ------
    DataError
        As `read_raw`.
    """
    path = Path(path)
    source = open_table(path, options)
    settle_head(source, options)
    start = 0
    with naming_file(path):
        for piece in source.pieces(0, _repeat(chunk_rows)):
            raw = parse_raw(source.layout, piece, _texts(options, text_columns))
            raw.frame.index = pd.RangeIndex(start, start + len(raw))
            start += len(raw)
            yield raw
        if not start:
            yield RawTable(_join([], source.layout), layout=source.layout)


def settle_head(source: Source, options: ReadingOptions) -> None:
    """Settle in the layout of a source how numbers and formulas are written, from 1,000 rows."""
    layout = source.layout
    for piece in source.pieces(0, iter([HEAD_ROWS])):
        raw = parse_raw(layout, piece)
        if layout.kind == "csv":
            protected = list(_protected(raw.frame, _texts(options, ())))
            numbers = raw.frame.columns.difference(protected, sort=False)
            style, _ = _settle(raw.frame, list(numbers), layout, options)
            layout = replace(layout, style=style)
        source.layout = layout
        with suppress(DataError):  # told by whoever needs formulas
            capitals = replace(raw, layout=None).formulas(options).capitals
            source.layout = replace(layout, capitals=capitals)


def parse_raw(layout: Layout, piece: Piece, text_columns: Sequence[str] = ()) -> RawTable:
    """Return the rows of a piece; cells of a CSV are text, others have their types."""
    if layout.kind in {"csv", "formulas"}:
        rows = layout.parse(piece)
        return raw_of(rows, layout)
    return RawTable(finish_frame(_typed_frame(layout, piece), text_columns), layout=layout)


def raw_of(rows: TextRows, layout: Layout) -> RawTable:
    """Return rows of text as a table."""
    return RawTable(rows.table.to_pandas(), rows.faults, rows.notes, layout.style or POINT, layout)


def _typed_frame(layout: Layout, piece: Piece) -> pd.DataFrame:
    if layout.kind in {"jsonl", "structures"}:
        return pd.DataFrame(layout.parse_json(piece), columns=list(layout.columns))
    return arrow_frame(layout.parse(piece).table)


def arrow_frame(table: pa.Table) -> pd.DataFrame:
    """Return columns of Arrow as a frame; decimals become floats."""
    for place, kind in enumerate(table.schema):
        if pa.types.is_decimal(kind.type):
            table = table.set_column(place, kind.name, table.column(place).cast(pa.float64()))
    frame: pd.DataFrame = table.to_pandas(use_threads=False, ignore_metadata=True)
    return frame


def _join(frames: list[pd.DataFrame], layout: Layout) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame({name: pd.Series([], dtype=object) for name in layout.columns})
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _join_text(parts: list[TextRows], layout: Layout) -> RawTable:
    if not parts:
        return RawTable(_join([], layout), layout=layout)
    faults: dict[int, str] = {}
    notes: dict[int, str] = {}
    start = 0
    for part in parts:
        faults |= {start + row: text for row, text in part.faults.items()}
        notes |= {start + row: text for row, text in part.notes.items()}
        start += part.rows
    table = pa.concat_tables([part.table for part in parts])
    return RawTable(table.to_pandas(), faults, notes, layout=layout)


def _settle(
    frame: pd.DataFrame, numbers: Sequence[str], layout: Layout, options: ReadingOptions
) -> tuple[NumberStyle, tuple[Finding, ...]]:
    separator = "" if layout.sheet or layout.dialect is None else layout.dialect.separator
    columns = {name: frame[name] for name in numbers}
    return settle_style(columns, separator, decimal=options.decimal, thousands=options.thousands)


def _repeat(size: int) -> Iterator[int]:
    while True:
        yield size


def _texts(options: ReadingOptions, text_columns: Sequence[str]) -> list[str]:
    return [*text_columns, *([options.formula_col] if options.formula_col else [])]


def _protected(frame: pd.DataFrame, text_columns: Sequence[str]) -> set[str]:
    named = {str(name) for name in frame.columns if str(name).casefold() in FORMULA_NAMES}
    return named | (set(text_columns) & set(frame.columns))


def finish_frame(frame: pd.DataFrame, text_columns: Sequence[str]) -> pd.DataFrame:
    """Make names and formula columns plain text and dictionary columns plain objects."""
    frame.columns = frame.columns.map(str)
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    for name in _protected(frame, text_columns):
        cells = frame[name].astype(object)
        frame[name] = cells.where(cells.notna(), "").map(_as_text).astype(object)
    return frame


def _as_text(cell: Any) -> str:
    return write_formula(cell) if isinstance(cell, dict) else str(cell)


def _numbers_or_text(cells: pd.Series, style: NumberStyle) -> pd.Series:
    if cells.str.fullmatch(r"\s*0\d+\s*").any():  # 0042 is an id; as a number it would change
        return cells
    values = plain_numbers(cells, style)
    if values is None:
        return cells
    blank = cells.str.strip().str.lower().isin(BLANKS)
    if not blank.any() and cells.str.fullmatch(r"\s*[-+]?\d{1,15}\s*").all():
        return pd.Series(values.astype(np.int64), index=cells.index)
    return pd.Series(values, index=cells.index)
