"""A piece of an input as it travels to a worker, and how it becomes a table there."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.data.frames import csv_chunks, finish_frame, json_line
from xtalshift.errors import DataError

__all__ = ["Block", "Layout", "arrow_text", "decode", "pack_table"]


@dataclass(frozen=True)
class Layout:
    """How the rows of one input are written.

    Attributes
    ----------
    source : str
        What messages call the input.
    kind : {"csv", "jsonl", "parquet", "formulas"}
        Lines below a header, one object per line, Arrow, or a JSON list of formulas.
    columns : tuple of str
        Names of the columns.
    encoding, separator : str
        Of text.
    head : bytes
        The header line of a CSV.
    """

    source: str
    kind: Literal["csv", "jsonl", "parquet", "formulas"]
    columns: tuple[str, ...] = ("formula",)
    encoding: str = "utf-8"
    separator: str = ","
    head: bytes = b""


@dataclass(frozen=True)
class Block:
    """Some rows of one input, not yet parsed.

    Attributes
    ----------
    number : int
        Of the chunk, from 0.
    first : int
        Rows of all inputs before it.
    rows : int
        How many it has.
    layout : Layout
        How to read `data`.
    data : bytes
        The rows.
    end : tuple of (int, int)
        The place behind it: number of the input, and bytes or rows into it.
    repeated : ndarray of bool, shape (rows,), optional
        Rows that are not to be predicted, because an earlier row is the same.
    """

    number: int
    first: int
    rows: int
    layout: Layout
    data: bytes = field(repr=False)
    end: tuple[int, int]
    repeated: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """What messages call it."""
        last = self.first + self.rows
        return f"chunk {self.number} (rows {self.first + 1:,} to {last:,}, {self.layout.source})"


def decode(
    block: Block, formula_col: str, others: tuple[str, ...]
) -> tuple[pa.Table, pd.DataFrame]:
    """Parse the rows of a block.

    Parameters
    ----------
    block : Block
        Rows.
    formula_col : str
        Column of the formulas.
    others : tuple of str
        Further columns that are needed.

    Returns
    -------
    table : pyarrow.Table
        All columns as they are to be written. Cells of CSV and JSON lines stay text, so that all
        blocks have the same types; columns of Parquet keep theirs.
    frame : pandas.DataFrame
        The formulas (as text) and the needed columns.

    Raises
    ------
    DataError
        If the rows are malformed; the message says where.
    """
    try:
        if block.layout.kind == "parquet":
            table = _arrow_rows(block)
            frame = table.select([formula_col, *others]).to_pandas(
                use_threads=False, ignore_metadata=True
            )
        else:
            columns, attrs = _text_rows(block)
            table = pa.table({name: arrow_text(cells) for name, cells in columns.items()})
            frame = pd.DataFrame(
                {name: columns[name] for name in (formula_col, *others)}, dtype=object
            )
            frame.attrs.update(attrs)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{block.where}: {error}") from error
    return table, finish_frame(frame, [formula_col])


def pack_table(table: pa.Table) -> bytes:
    """Return a table as bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def arrow_text(cells: list[str | None]) -> pa.Array:
    """Return texts as Arrow holds them; half a surrogate pair, which is no text, becomes ``?``."""
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:
        clean = [cell and cell.encode("utf-8", "replace").decode() for cell in cells]
        return pa.array(clean, pa.string())


def _arrow_rows(block: Block) -> pa.Table:
    with pa.ipc.open_stream(block.data) as reader:
        return reader.read_all()


def _text_rows(block: Block) -> tuple[dict[str, list[str | None]], dict[str, Any]]:
    layout = block.layout
    if layout.kind == "formulas":
        return {"formula": json.loads(block.data)}, {}
    text = (layout.head + block.data).decode(layout.encoding)
    if layout.kind == "jsonl":
        return _json_columns(text.removesuffix("\n").split("\n"), block), {}
    frame = next(csv_chunks(io.StringIO(text, newline=""), None, layout.separator)).fillna("")
    if len(frame) != block.rows:
        raise DataError(
            f"{block.rows:,} lines are {len(frame):,} rows; is a quote left open, or do lines end "
            "with a bare carriage return?"
        )
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return columns, {"decimal_comma": layout.separator == ";"}


def _json_columns(lines: list[str], block: Block) -> dict[str, list[str | None]]:
    names = block.layout.columns
    known = set(names)
    rows = [json_line(block.first + number, line) for number, line in enumerate(lines, start=1)]
    for number, row in enumerate(rows, start=block.first + 1):
        if not row.keys() <= known:
            new = next(name for name in row if name not in known)
            raise DataError(
                f"row {number} has a new column {new!r}; name every column in the first line "
                "(null where there is no value)"
            )
    return {name: [_cell(row.get(name)) for row in rows] for name in names}


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
