"""Inputs of a screening, one after the other, as blocks from any place on.

The driver cuts (`Inputs`), workers parse (`Block.parse`); both as every other command does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.data.formula_texts import FormulaColumns, list_cells, open_table
from xtalshift.data.frames import RawTable, arrow_frame, finish_frame, settle_head
from xtalshift.data.number_texts import POINT
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.data.sources import Layout, ParquetSource, Piece, Source
from xtalshift.errors import DataError
from xtalshift.screening.top import Floor
from xtalshift.structure import archives
from xtalshift.structure.structure_files import is_structure_file


@dataclass(frozen=True)
class Block:
    """Some rows of one input, not parsed yet."""

    number: int
    """Number of the block in all inputs, from 0."""
    first: int
    """Rows of all inputs before it."""
    layout: Layout
    """Format of the rows."""
    piece: Piece = field(repr=False)
    """The rows."""
    end: tuple[int, int]
    """Place behind it: number of the input, and bytes or rows into that input."""
    repeated: NDArray[np.bool_] | None = field(default=None, repr=False)
    """Shape (rows,). Rows that repeat an earlier material and are not predicted."""
    floor: Floor | None = None
    """Rows that are not better cannot be among the best of all."""

    @property
    def rows(self) -> int:
        """Number of its rows."""
        return self.piece.rows

    @property
    def where(self) -> str:
        """Name of the block in messages."""
        last = self.first + self.rows
        return f"chunk {self.number} (rows {self.first + 1:,} to {last:,}, {self.layout.source})"

    def parse(self, names: Iterable[str]) -> tuple[pa.Table, RawTable]:
        """Return the rows with all columns, for the output, and the columns that the model needs.

        In the first cells of CSV and JSON stay text, so that all blocks have the same types, and
        columns of Parquet keep theirs. Raises `DataError`, which names the block, if the rows are
        malformed.
        """
        try:
            rows = self.layout.parse(self.piece)
            frame = arrow_frame(rows.table.select(list(names)))
        except ValueError as error:
            raise DataError(f"{self.where}: {error}") from error
        if self.layout.kind == "parquet":
            frame = finish_frame(frame, ())
        style = self.layout.style or POINT
        return rows.table, RawTable(frame, rows.faults, rows.notes, style, self.layout)


@dataclass(frozen=True)
class InputRecord:
    """What identifies an input, so that a screening is not continued with another one."""

    name: str
    """File name, or name of a source of formulas."""
    size: int | None = None
    sha256: str | None = None
    """`size`, `sha256`: of a file; of a folder the number of its files, and a hash of their names,
    sizes and times."""
    schema: list[str] | None = None
    """Columns of a Parquet file with their types."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return what identifies the content of a file or folder."""
        if path.is_dir():
            digest, count = _hash_folder(path)
            return cls(path.name, count, digest)
        return cls(path.name, path.stat().st_size if path.exists() else None, _hash_file(path)[0])


class _Input(NamedTuple):
    """A source, what identifies it, and the estimated number of its rows (None if unknown)."""

    source: Source
    record: InputRecord
    n_rows: int | None


class Inputs:
    """Several inputs, one after the other.

    Parameters
    ----------
    sources : sequence of (str, Path or FormulaSource)
        Files and sources of formulas, all with the same columns.
    options : ReadingOptions
        How the files are read.

    Raises
    ------
    DataError
        If a file cannot be read, or the columns differ.
    """

    def __init__(
        self,
        sources: Sequence[str | Path | FormulaSource],
        options: ReadingOptions = BY_DEFAULT,
    ) -> None:
        if not sources:
            raise DataError("no input: give one or more files of formulas")
        self.inputs = [
            _Input(item, InputRecord(item.layout.source), None)
            if isinstance(item, FormulaSource)
            else _open_file(Path(item), options)
            for item in sources
        ]
        first = self.inputs[0].source.layout
        for item in self.inputs[1:]:
            layout = item.source.layout
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
        return all(item.source.repeatable for item in self.inputs)

    @property
    def n_rows(self) -> int | None:
        """Estimated number of rows; None if unknown."""
        numbers = [item.n_rows for item in self.inputs]
        return None if None in numbers else sum(number or 0 for number in numbers)

    def describe(self) -> list[InputRecord]:
        """Return what identifies each input."""
        return [item.record for item in self.inputs]

    def structure_files(self, column: FormulaColumns, chunk_rows: int) -> InputRecord | None:
        """Return what identifies the files that cells of `column` name; None if they name none.

        Of a folder of structures as input, `describe` tells everything.
        """
        if not column.structures or self.inputs[0].source.layout.kind == "structures":
            return None
        if column.folder is not None:
            return InputRecord.of(Path(column.folder))
        digest, count = hashlib.sha256(), 0
        for block in self.blocks(chunk_rows):
            for cell in list_cells(block.parse(column.names)[0].column(column.names[0])):
                if isinstance(cell, str) and "\n" not in cell and is_structure_file(cell.strip()):
                    digest.update(_facts(cell, Path(cell.strip())))
                    count += 1
        return InputRecord("files that cells name", count, digest.hexdigest()) if count else None

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
        for place in range(start[0], len(self.inputs)):
            source = self.inputs[place].source
            sizes = _sizes(chunk_rows, lambda: limit and limit - first)  # noqa: B023
            for piece in source.pieces(start[1] if place == start[0] else 0, sizes):
                end = (place, piece.end)
                yield Block(number, first, source.layout, piece, end)
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

    def __init__(
        self, make: Callable[[], Iterable[str]], name: str, *, repeatable: bool = True
    ) -> None:
        self._make = make
        self.layout = Layout(name, "formulas")
        self.repeatable = repeatable

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield lists of formulas."""
        formulas = islice(self._make(), at, None)
        for size in sizes:
            texts = list(islice(formulas, size))
            if not texts:
                return
            at += len(texts)
            yield Piece(json.dumps(texts).encode(), len(texts), at)


def _open_file(path: Path, options: ReadingOptions) -> _Input:
    source = open_table(path, options)
    settle_head(source, options)
    if path.is_dir():
        record = InputRecord.of(path)
        return _Input(source, record, record.size)
    digest, lines = _hash_file(path)
    schema, n_rows = None, None
    if isinstance(source, ParquetSource):
        schema = [f"{field.name}: {field.type}" for field in source.schema]
        n_rows = sum(source.sizes)
    elif path.suffix.lower() in {".csv", ".tsv", ".txt", ".jsonl", ".ndjson"}:
        n_rows = max(lines - (source.layout.kind == "csv"), 0)
    return _Input(source, InputRecord(path.name, path.stat().st_size, digest, schema), n_rows)


def _sizes(chunk_rows: int, left: Callable[[], int | None]) -> Iterator[int]:
    """Yield the number of rows of each next piece."""
    while True:
        most = left()
        if most is not None and most <= 0:
            return
        yield chunk_rows if most is None else min(chunk_rows, most)


def _hash_folder(path: Path) -> tuple[str, int]:
    """Return a hash of the names, sizes and times of all files in a folder, and their number."""
    digest, count = hashlib.sha256(), 0
    files = (path / name for name in archives.open_source(path).names())
    for file in filter(Path.is_file, files):
        digest.update(_facts(str(file.relative_to(path)), file))
        count += 1
    return digest.hexdigest(), count


def _facts(name: str, file: Path) -> bytes:
    """Return name, size and time of a file; of one that is not there its name."""
    try:
        facts = file.stat()
    except OSError:
        return f"{name}\n".encode()
    return f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode()


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
