"""Input of any length: cut into blocks from any place on, and parsed block by block.

The driver cuts (`Inputs`), workers parse (`Block.parse`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.data.files import (
    file_kind,
    find_separator,
    naming_file,
    open_bytes,
    refuse_repeats,
    text_encoding,
)
from xtalshift.data.frames import csv_chunks, finish_frame, json_line
from xtalshift.data.number_style import settle_style
from xtalshift.errors import DataError

MAX_BYTES = 2**25
"""A block of text ends at this size even if it has fewer rows, so that long lines fit."""
_HEAD_LINES = 1000
_MAX_RECORD = 2**27


@dataclass(frozen=True)
class Layout:
    """Format of the rows of one input."""

    source: str
    """Name of the input in messages."""
    kind: Literal["csv", "jsonl", "parquet", "formulas"]
    """CSV lines without their header, one JSON object per line, an Arrow stream, or a JSON list of
    formulas."""
    columns: tuple[str, ...] = ("formula",)
    """Names of the columns."""
    encoding: str = "utf-8"
    separator: str = ","
    """`encoding`, `separator`: of text."""
    head: bytes = b""
    """Header line of a CSV."""


@dataclass(frozen=True)
class Block:
    """Some rows of one input, not parsed yet."""

    number: int
    """Number of the block in all inputs, from 0."""
    first: int
    """Rows of all inputs before it."""
    rows: int
    """Number of its rows."""
    layout: Layout
    """Format of `data`."""
    data: bytes = field(repr=False)
    """The rows."""
    end: tuple[int, int]
    """Place behind it: number of the input, and bytes or rows into that input."""
    repeated: NDArray[np.bool_] | None = field(default=None, repr=False)
    """Shape (rows,). Rows that repeat an earlier material and are not predicted."""

    @property
    def where(self) -> str:
        """Name of the block in messages."""
        last = self.first + self.rows
        return f"chunk {self.number} (rows {self.first + 1:,} to {last:,}, {self.layout.source})"

    def parse(self, formula_col: str, others: Iterable[str]) -> tuple[pa.Table, pd.DataFrame]:
        """Return the rows with all columns, for the output, and the columns that the model needs.

        In the first cells of CSV and JSON lines stay text, so that all blocks have the same types,
        and columns of Parquet keep theirs; in the second the formulas are text. Raises `DataError`,
        which names the block, if the rows are malformed.
        """
        others = list(others)
        names = [formula_col, *others]
        try:
            if self.layout.kind == "parquet":
                with pa.ipc.open_stream(self.data) as reader:
                    table = reader.read_all()
                frame = table.select(names).to_pandas(use_threads=False, ignore_metadata=True)
            else:
                columns = self._text_columns()
                table = pa.table({name: arrow_text(cells) for name, cells in columns.items()})
                frame = pd.DataFrame({name: columns[name] for name in names}, dtype=object)
                if self.layout.kind == "csv":
                    numbers = {name: frame[name] for name in others}
                    style, _ = settle_style(numbers, self.layout.separator)
                    frame.attrs.update(asdict(style))
        except ValueError as error:
            raise DataError(f"{self.where}: {error}") from error
        return table, finish_frame(frame, [formula_col])

    def _text_columns(self) -> dict[str, list[str | None]]:
        layout = self.layout
        if layout.kind == "formulas":
            return {"formula": json.loads(self.data)}
        text = (layout.head + self.data).decode(layout.encoding)
        if layout.kind == "jsonl":
            return self._json_columns(text.removesuffix("\n").split("\n"))
        frame = next(csv_chunks(io.StringIO(text, newline=""), None, layout.separator)).fillna("")
        if len(frame) != self.rows:
            raise DataError(
                f"{self.rows:,} lines are {len(frame):,} rows; is a quote left open, or do lines "
                "end with a bare carriage return?"
            )
        return {str(name): frame[name].tolist() for name in frame.columns}

    def _json_columns(self, lines: list[str]) -> dict[str, list[str | None]]:
        known = set(self.layout.columns)
        rows = [json_line(number, line) for number, line in enumerate(lines, start=self.first + 1)]
        for number, row in enumerate(rows, start=self.first + 1):
            if not row.keys() <= known:
                new = next(name for name in row if name not in known)
                raise DataError(
                    f"row {number} has a new column {new!r}; name every column in the first line "
                    "(null where there is no value)"
                )
        return {name: [_json_cell(row.get(name)) for row in rows] for name in self.layout.columns}


def _json_cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def arrow_text(cells: list[str | None]) -> pa.Array:
    """Return texts as an Arrow array; unpaired surrogates, which are not text, become ``?``."""
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:
        clean = [cell and cell.encode("utf-8", "replace").decode() for cell in cells]
        return pa.array(clean, pa.string())


def pack_table(table: pa.Table) -> bytes:
    """Return a table as the bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


@dataclass(frozen=True)
class InputRecord:
    """What identifies an input, so that a screening is not continued with another one."""

    name: str
    """File name, or name of a source of formulas."""
    size: int | None = None
    sha256: str | None = None
    """`size`, `sha256`: of a file."""
    schema: list[str] | None = None
    """Columns of a Parquet file with their types."""


class Piece(NamedTuple):
    """Rows as bytes, their number, and the place behind them."""

    data: bytes
    rows: int
    end: int


class Source(Protocol):
    """One input."""

    layout: Layout
    n_rows: int | None  # an estimate
    repeatable: bool  # whether it can be read again

    def describe(self) -> InputRecord:
        """Return what identifies it."""

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from the place `at` on, in pieces of at most the next of `sizes` rows."""


class Inputs:
    """Several inputs, one after the other.

    Parameters
    ----------
    sources : sequence of (str, Path or FormulaSource)
        Files and sources of formulas, all with the same columns.

    Raises
    ------
    DataError
        If a file cannot be read in pieces, or the columns differ.
    """

    def __init__(self, sources: Sequence[str | Path | FormulaSource]) -> None:
        if not sources:
            raise DataError("no input: give one or more files of formulas")
        self.sources: list[Source] = []
        for item in sources:
            source: Source = item if isinstance(item, FormulaSource) else _open_file(Path(item))
            self.sources.append(source)
        first = self.sources[0].layout
        for source in self.sources[1:]:
            layout = source.layout
            if layout.columns != first.columns or (layout.kind == "parquet") != (
                first.kind == "parquet"
            ):
                raise DataError(
                    f"{layout.source} ({layout.kind}) has the columns {', '.join(layout.columns)}, "
                    f"but {first.source} ({first.kind}) has {', '.join(first.columns)}; screen "
                    "them into two folders"
                )
        self.columns = first.columns

    @property
    def repeatable(self) -> bool:
        """Whether all inputs can be read again."""
        return all(source.repeatable for source in self.sources)

    @property
    def n_rows(self) -> int | None:
        """Estimated number of rows; None if unknown."""
        numbers = [source.n_rows for source in self.sources]
        return None if None in numbers else sum(number or 0 for number in numbers)

    def describe(self) -> list[InputRecord]:
        """Return what identifies each input."""
        return [source.describe() for source in self.sources]

    def blocks(
        self,
        chunk_rows: int,
        *,
        limit: int | None = None,
        number: int = 0,
        first: int = 0,
        start: tuple[int, int] = (0, 0),
    ) -> Iterator[Block]:
        """Yield the rows in order, in blocks of `chunk_rows`; the last of an input may have fewer.

        At most `limit` rows, counted from the first input on. `number`, `first` and `start` are the
        number of the first block to yield, the rows before it, and `Block.end` of the block before.
        """
        for place in range(start[0], len(self.sources)):
            source = self.sources[place]
            sizes = _sizes(chunk_rows, lambda: limit and limit - first)  # noqa: B023
            for piece in source.pieces(start[1] if place == start[0] else 0, sizes):
                end = (place, piece.end)
                yield Block(number, first, piece.rows, source.layout, piece.data, end)
                number, first = number + 1, first + piece.rows


class FormulaSource:
    """Formulas from an iterable, such as the generator of `xtalshift.chem.enumerate`.

    Parameters
    ----------
    make : callable
        Returns an iterable of formulas, one per row.
    name : str
        Name in messages, and what identifies the formulas when a screening is continued.
    repeatable : bool, default True
        Whether `make` returns the same formulas again, so that a screening can be continued.
    """

    n_rows: int | None = None

    def __init__(
        self, make: Callable[[], Iterable[str]], name: str, *, repeatable: bool = True
    ) -> None:
        self._make = make
        self.layout = Layout(name, "formulas")
        self.repeatable = repeatable

    def describe(self) -> InputRecord:
        """Return the name."""
        return InputRecord(self.layout.source)

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield lists of formulas."""
        formulas = islice(self._make(), at, None)
        for size in sizes:
            texts = list(islice(formulas, size))
            if not texts:
                return
            at += len(texts)
            yield Piece(json.dumps(texts).encode(), len(texts), at)


class _TextFile:
    """CSV or JSON lines; a place is an offset in bytes of the unpacked text."""

    repeatable = True

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        with naming_file(path):
            encoding = text_encoding(path)
            if encoding == "utf-16":
                raise DataError("UTF-16 text is not read in pieces; save it as UTF-8")
            with open_bytes(path) as stream:
                make = _csv_layout if kind == "csv" else _json_layout
                self.layout, self._begin = make(stream, path, encoding)
        self._hash, lines = _hash_file(path)
        packed = path.suffix.lower() == ".gz"
        self.n_rows = None if packed else max(lines - (kind == "csv"), 0)

    def describe(self) -> InputRecord:
        return InputRecord(self.path.name, self.path.stat().st_size, self._hash)

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        at = at or self._begin
        with naming_file(self.path), open_bytes(self.path) as stream:
            stream.seek(at)
            for size in sizes:
                records: list[bytes] = []
                length = 0
                for record, passed in self._records(stream):
                    at += passed
                    length += len(record)
                    if record:
                        records.append(record)
                    if len(records) == size or length >= MAX_BYTES:
                        break
                if not records:
                    return
                yield Piece(b"".join(records), len(records), at)

    def _records(self, stream: IO[bytes]) -> Iterator[tuple[bytes, int]]:
        """Yield each record (a blank line as b"") with its length; quoted cells may span lines."""
        separator = self.layout.separator.encode()
        blank = b" \r\n" if separator == b"\t" else b" \t\r\n"
        quoted = self.layout.kind == "csv"
        for line in stream:
            record = line
            if quoted and b'"' in line:
                while _is_open(record, separator):
                    record += _to_next_quote(stream, record)
            yield (record if record.strip(blank) else b""), len(record)


class _ParquetSource:
    """Parquet; a place is a number of rows."""

    repeatable = True

    def __init__(self, path: Path) -> None:
        self.path = path
        with naming_file(path), pq.ParquetFile(path) as file:
            self._names = file.schema_arrow.names
            refuse_repeats(self._names)
            self._schema = file.schema_arrow.remove_metadata()
            groups = range(file.metadata.num_row_groups)
            self._sizes = [file.metadata.row_group(group).num_rows for group in groups]
        self.layout = Layout(path.name, "parquet", tuple(self._names))
        self.n_rows = sum(self._sizes)
        self._hash, _ = _hash_file(path)

    def describe(self) -> InputRecord:
        schema = [f"{field.name}: {field.type}" for field in self._schema]
        return InputRecord(self.path.name, self.path.stat().st_size, self._hash, schema)

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        with naming_file(self.path), pq.ParquetFile(self.path) as file:
            skip, group = at, 0
            while group < len(self._sizes) and skip >= self._sizes[group]:
                skip -= self._sizes[group]
                group += 1
            size = next(sizes, 0)
            batches = file.iter_batches(
                batch_size=max(size, 1),
                row_groups=range(group, len(self._sizes)),
                use_threads=False,
            )
            rest = self._schema.empty_table()
            while size:
                while rest.num_rows < size and (batch := next(batches, None)) is not None:
                    table = pa.Table.from_batches([batch]).replace_schema_metadata()
                    rest = pa.concat_tables([rest, table.slice(skip)])
                    skip = max(0, skip - table.num_rows)
                piece, rest = rest.slice(0, size), rest.slice(size)
                if not piece.num_rows:
                    return
                at += piece.num_rows
                packed = pack_table(piece.unify_dictionaries().combine_chunks())
                yield Piece(packed, piece.num_rows, at)
                size = next(sizes, 0)


def _open_file(path: Path) -> Source:
    kind = file_kind(path)
    if kind == "json":
        raise DataError(
            f"{path}: JSON is not read in pieces; write JSON lines (.jsonl), CSV or Parquet, or "
            "use xtalshift predict"
        )
    return _ParquetSource(path) if kind == "parquet" else _TextFile(path, kind)


def _sizes(chunk_rows: int, left: Callable[[], int | None]) -> Iterator[int]:
    """Yield the number of rows of each next piece."""
    while True:
        most = left()
        if most is not None and most <= 0:
            return
        yield chunk_rows if most is None else min(chunk_rows, most)


def _csv_layout(stream: IO[bytes], path: Path, encoding: str) -> tuple[Layout, int]:
    head, at = b"", 0
    while not head.strip():
        head = stream.readline()
        at += len(head)
        if not head:
            raise DataError("it has no header row")
    text = head.decode(encoding)
    separator = find_separator(io.StringIO(text))
    columns = next(csv_chunks(io.StringIO(text), None, separator)).columns
    head = head if head.endswith(b"\n") else head + b"\n"
    return Layout(path.name, "csv", tuple(map(str, columns)), encoding, separator, head), at


def _json_layout(stream: IO[bytes], path: Path, encoding: str) -> tuple[Layout, int]:
    lines = (line.decode(encoding) for line in islice(stream, _HEAD_LINES) if line.strip())
    rows = [json_line(number, line) for number, line in enumerate(lines, start=1)]
    columns = dict.fromkeys(name for row in rows for name in row)
    if not columns:
        raise DataError("it has no rows")
    return Layout(path.name, "jsonl", tuple(columns), encoding), 0


def _hash_file(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file and its number of lines."""
    digest, lines = hashlib.sha256(), 0
    try:
        for block in read_bytes(path):
            digest.update(block)
            lines += block.count(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest(), lines


def read_bytes(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in pieces."""
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def _to_next_quote(stream: IO[bytes], record: bytes) -> bytes:
    lines, length = [], len(record)
    for line in stream:
        lines.append(line)
        length += len(line)
        if b'"' in line:
            return b"".join(lines)
        if length > _MAX_RECORD:
            break
    raise DataError(f"the quote in {record[:60]!r} is never closed")


def _is_open(record: bytes, separator: bytes) -> bool:
    """Return whether a record ends inside a quoted cell."""
    mark = re.escape(separator)
    rest = re.sub(rb"(?:^|(?<=" + mark + rb'))"[^"]*(?:""[^"]*)*"', b"", record)
    return rest.startswith(b'"') or separator + b'"' in rest
