"""Inputs of any length in pieces, from any place in them."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from xtalshift.data.frames import (
    csv_chunks,
    file_kind,
    find_separator,
    json_line,
    naming_file,
    open_bytes,
    refuse_repeats,
    text_encoding,
)
from xtalshift.errors import DataError
from xtalshift.screening.blocks import Block, Layout, pack_table
from xtalshift.screening.plan import read_blocks

__all__ = ["FormulaSource", "Inputs", "Source"]

MAX_BYTES = 2**25
"""A block of text ends at this size even if it has fewer rows, so that long lines fit."""
_HEAD_LINES = 1000
_MAX_RECORD = 2**27


class Piece(NamedTuple):
    """Rows as bytes, how many, and the place behind them."""

    data: bytes
    rows: int
    end: int


class Source(Protocol):
    """One input."""

    layout: Layout
    n_rows: int | None  # an estimate
    repeatable: bool

    def describe(self) -> dict[str, Any]:
        """Return plain values that tell its content from any other."""

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from a place on, each time at most the next of `sizes`, which may end."""


class Inputs:
    """Several inputs one after the other.

    Parameters
    ----------
    sources : sequence of (str, Path or FormulaSource)
        Files and streams of formulas; all have the same columns.

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
        """Whether all can be read again."""
        return all(source.repeatable for source in self.sources)

    @property
    def n_rows(self) -> int | None:
        """About how many rows there are, if that is known."""
        numbers = [source.n_rows for source in self.sources]
        return None if None in numbers else sum(number or 0 for number in numbers)

    def describe(self) -> list[dict[str, Any]]:
        """Return what tells these inputs from others."""
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
        """Yield all rows in order, `chunk_rows` at once.

        Parameters
        ----------
        chunk_rows : int
            Rows of a block; the last block of an input may have fewer.
        limit : int, optional
            Rows of all blocks together, with those before `first`.
        number, first, start
            Number of the first block to yield, rows before it, and `Block.end` of the block before.
        """
        for place in range(start[0], len(self.sources)):
            source = self.sources[place]
            sizes = _sizes(chunk_rows, lambda: limit and limit - first)  # noqa: B023
            for piece in source.pieces(start[1] if place == start[0] else 0, sizes):
                end = (place, piece.end)
                yield Block(number, first, piece.rows, source.layout, piece.data, end)
                number, first = number + 1, first + piece.rows


class FormulaSource:
    """Formulas from anywhere, such as the generator of `xtalshift.chem.enumeration`.

    Parameters
    ----------
    make : callable
        Returns an iterable of texts, one per row.
    name : str
        What messages call it; equal names stand for equal formulas.
    repeatable : bool, default True
        Whether `make` returns the same again, so that a screening can be continued.
    """

    n_rows: int | None = None

    def __init__(
        self, make: Callable[[], Iterable[str]], name: str, *, repeatable: bool = True
    ) -> None:
        self._make = make
        self.layout = Layout(name, "formulas")
        self.repeatable = repeatable

    def describe(self) -> dict[str, Any]:
        """Return the name."""
        return {"name": self.layout.source}

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
    """CSV or JSON lines; a place is an offset in (unpacked) bytes."""

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

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.path.name,
            "size": self.path.stat().st_size,
            "sha256": self._hash,
        }

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
        """Yield each line, with those that a quoted cell runs on to; blank ones as nothing."""
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
    """A place is a number of rows."""

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

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.path.name,
            "size": self.path.stat().st_size,
            "sha256": self._hash,
            "schema": [f"{field.name}: {field.type}" for field in self._schema],
        }

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
    """Yield how many rows to take next, until none are left."""
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
    """Return the SHA-256 of a file and how many lines it has."""
    digest, lines = hashlib.sha256(), 0
    try:
        for block in read_blocks(path):
            digest.update(block)
            lines += block.count(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest(), lines


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
    """Return whether a cell of a record begins with a quote that does not end in it."""
    mark = re.escape(separator)
    rest = re.sub(rb"(?:^|(?<=" + mark + rb'))"[^"]*(?:""[^"]*)*"', b"", record)
    return rest.startswith(b'"') or separator + b'"' in rest
