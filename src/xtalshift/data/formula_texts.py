"""Read only the formulas of a table file; CSV and Parquet without pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

from xtalshift.data.files import (
    file_kind,
    find_formula_column,
    find_separator,
    naming_file,
    naming_table,
    open_text,
    refuse_repeats,
)
from xtalshift.data.spreadsheet import unmark
from xtalshift.errors import DataError

_END = "\0"  # is read as the last row unless a quote is still open; no text file contains NUL


def iter_formulas(
    path: Path, chunk_rows: int, *, formula_col: str | None = None
) -> Iterator[list[str]]:
    """Read the formulas of a file in pieces.

    Parameters
    ----------
    path : Path
        As `xtalshift.data.frames.read_frame` takes it.
    chunk_rows : int
        Rows per piece; the last one may be shorter.
    formula_col : str, optional
        Name of the column; by default the first of `FORMULA_NAMES` that exists.

    Yields
    ------
    list of str
        One text per row, as in `xtalshift.data.frames.iter_frames`; at least one list.

    Raises
    ------
    DataError
        If the file cannot be read or has no such column; the message names the file.
    """
    kind = file_kind(path)
    if kind == "csv":
        with naming_file(path), open_text(path) as stream:
            cells = _csv_cells(stream, formula_col)
            yield list(islice(cells, chunk_rows))
            while piece := list(islice(cells, chunk_rows)):
                yield piece
    elif kind == "parquet":
        yield from _parquet_texts(path, chunk_rows, formula_col)
    else:
        from xtalshift.data.frames import iter_frames

        for frame in iter_frames(path, chunk_rows, text_columns=[formula_col or ""]):
            with naming_table(path):
                column = find_formula_column(frame.columns, formula_col)
            yield frame[column].tolist()


def _csv_cells(stream: IO[str], formula_col: str | None) -> Iterator[str]:
    """Yield the cells of the formula column; missing cells of a short row are blank."""
    csv.field_size_limit(2**31 - 1)  # other cells may contain whole structures
    rows = csv.reader(chain(stream, (_END,)), delimiter=find_separator(stream))
    header = next(row for row in rows if "".join(row).strip())
    names = [unmark(name.strip()) or f"Unnamed: {place}" for place, name in enumerate(header)]
    place, width = names.index(find_formula_column(names, formula_col)), len(names)
    for row in rows:
        if len(row) == width and row[0] != _END and not row[0].isspace():
            yield unmark(row[place])
        elif row == [_END]:
            return
        elif any(row[width:]):
            raise DataError(
                f"line {rows.line_num} has {len(row)} cells, more than the {width} of the header"
            )
        elif row and (len(row) > 1 or not row[0].isspace()):
            yield unmark(row[place]) if place < len(row) else ""
    raise DataError("a quote is never closed")


def _parquet_texts(path: Path, chunk_rows: int, formula_col: str | None) -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    with naming_file(path), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        refuse_repeats(names)
        column = find_formula_column(names, formula_col)
        if file.metadata.num_rows == 0:
            yield []
        for batch in file.iter_batches(batch_size=chunk_rows, columns=[column]):
            cells = batch.column(0).to_pylist()
            yield ["" if cell is None or cell != cell else str(cell) for cell in cells]  # noqa: PLR0124 - NaN
