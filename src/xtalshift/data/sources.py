"""One table, cut into pieces from any place on, and the parsing of a piece.

A driver cuts (`Source.pieces`), and it or a worker parses (`Layout.parse`). Whole tables, streams
and screenings all read in this way.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dialect import HEAD_BYTES, Dialect, find_encoding, settle_dialect
from xtalshift.data.files import file_kind, naming_file, refuse_repeats
from xtalshift.data.json_rows import read_line, read_rows
from xtalshift.data.mistaken_types import refuse_mistaken
from xtalshift.data.records import TextRows, cut, parse_rows
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import DataError
from xtalshift.structure.symmetry import STRUCTURE_NAMES

if TYPE_CHECKING:
    import pyarrow as pa

    from xtalshift.data.number_texts import NumberStyle

MAX_BYTES = 2**25
"""A piece of text ends at this size even if it has fewer rows, so that long lines fit."""

STRUCTURE_COLUMN = "structure"
"""Column of the structures of a folder."""

_MOST_STRUCTURES = 4096
_READ = 2**18
_HEAD_LINES = 1000


class Piece(NamedTuple):
    """Rows as bytes, their number, the place behind them, and the number of their first line."""

    data: bytes
    rows: int
    end: int
    line: int = 0


@dataclass(frozen=True)
class Layout:
    """Format of the pieces of a table; `parse` needs nothing else."""

    source: str
    """Name of the table in messages."""
    kind: Literal["csv", "jsonl", "structures", "parquet", "formulas"]
    """Records of a CSV, lines of JSON (of structures those that `StructureSource` makes), an Arrow
    stream, or a JSON list of formulas."""
    columns: tuple[str, ...] = ("formula",)
    """Names of the columns."""
    dialect: Dialect | None = field(default=None, repr=False)
    """How a CSV is written."""
    style: NumberStyle | None = None
    """How the numbers of a CSV are written; None if it is not settled, as in other kinds."""
    sheet: str = ""
    """Sheet of an Excel file."""
    other_sheets: tuple[str, ...] = ()
    """Its other sheets with a column of formulas."""
    kept: tuple[str, ...] = ()
    """Columns of JSON lines, in lower case, whose structures stay structures."""
    left_out: str = ""
    """How many files of a folder are not read though they may hold structures."""
    capitals: bool = False
    """Whether the first formulas are written in capitals, so that later ones are taken to be."""

    def parse(self, piece: Piece, columns: Sequence[str] | None = None) -> TextRows:
        """Return the rows of a piece with some columns, by default all.

        Cells of CSV and JSON lines are text (null where JSON has null), so that all pieces have the
        same types; columns of Parquet keep theirs.

        Raises
        ------
        DataError
            If a line is not JSON, or names a column that the head of the file does not.
        """
        import pyarrow as pa

        from xtalshift.data.arrow_texts import text_array

        if self.kind == "csv":
            assert self.dialect is not None
            return parse_rows(piece.data, self.dialect, piece.line, columns)
        wanted = list(self.columns if columns is None else columns)
        if self.kind == "parquet":
            with pa.ipc.open_stream(piece.data) as reader:
                return TextRows(reader.read_all().select(wanted))
        if self.kind == "formulas":
            return TextRows(pa.table({"formula": text_array(json.loads(piece.data))}))
        rows = self.parse_json(piece)
        return TextRows(
            pa.table(
                {name: text_array([json_cell(row.get(name)) for row in rows]) for name in wanted}
            )
        )

    def parse_json(self, piece: Piece, *, whole: bool = False) -> list[dict[str, Any]]:
        """Return the rows of a piece of JSON lines as they are written.

        Unless the piece is the whole table, columns that `columns` lacks are an error.
        """
        known = set(self.columns)
        rows = []
        for number, line in enumerate(piece.data.decode().split("\n"), start=piece.line):
            if not line.strip():
                continue
            row = read_line(number, line, self.kept)
            if not whole and not row.keys() <= known:
                new = next(name for name in row if name not in known)
                raise DataError(
                    f"column {new!r} first occurs in line {number}, too late for reading in "
                    "pieces; name every column in the first line (null where there is no value)"
                )
            rows.append(row)
        return rows

    def describe(self) -> str:
        """Return in one line how the table is read."""
        kinds = {
            "csv": "text table", "jsonl": "JSON", "structures": "structure files",
            "parquet": "Parquet", "formulas": "formulas",
        }  # fmt: skip
        if self.sheet:
            others = ", ".join(repr(name) for name in self.other_sheets)
            return f"Excel, sheet {self.sheet!r}" + (f", not sheet {others}" if others else "")
        said = self.dialect.describe() if self.dialect else self.left_out
        return ", ".join(filter(None, (kinds[self.kind], said)))


class Source(Protocol):
    """One table."""

    layout: Layout
    repeatable: bool  # whether it can be read again

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from the place `at` on, in pieces of at most the next of `sizes` rows."""


def open_source(path: Path, options: ReadingOptions = BY_DEFAULT) -> Source:
    """Open a table file and settle how it is read.

    Parameters
    ----------
    path : Path
        CSV, TSV, Excel, JSON, JSON lines or Parquet; text may be packed by gzip.
    options : ReadingOptions
        What the user says about it.

    Raises
    ------
    DataError
        If the file is missing, a folder, empty, binary, of an unknown type or of another one than
        its name says, or is not a table; the message names the file.
    """
    kind = file_kind(path)
    if kind == "structures":
        return StructureSource(path)
    with naming_file(path):
        refuse_mistaken(path, kind)
        if kind == "parquet":
            return ParquetSource(path)
        return TextSource(path, kind, options)


class TextSource:
    """Text in records; a place is an offset in bytes of the unpacked text in UTF-8.

    Excel and JSON files are turned into such text in memory.
    """

    repeatable = True

    def __init__(self, path: Path, kind: str, options: ReadingOptions) -> None:
        self.path = path
        self._text: bytes | None = None
        self._encoding = "utf-8"
        sheet, others = "", tuple[str, ...]()
        if kind == "excel":
            from xtalshift.data.excel import sheet_text

            self._text, sheet, others = sheet_text(path, options.sheet, options.formula_col)
            options = options.model_copy(update={"separator": ",", "encoding": None})
        elif options.sheet is not None:
            raise DataError("--sheet is for Excel files (.xlsx)")
        else:
            self._encoding = _encoding_of(path, options)
            if kind == "json":
                with self._open() as stream:
                    text = stream.read().decode("utf-8-sig", "surrogatepass")
                rows = read_rows(text, _kept(options))
                self._text = _lines_of(rows)
        if kind in {"csv", "excel"}:
            head, complete = self._head()
            dialect = settle_dialect(head, self._encoding, options, complete=complete)
            self.layout = Layout(
                path.name, "csv", dialect.columns, dialect, sheet=sheet, other_sheets=others
            )
            self._begin, self._line = dialect.begin, dialect.first_line
        else:
            columns = self._json_columns(whole=kind == "json")
            self.layout = Layout(path.name, "jsonl", columns, kept=_kept(options))
            self._begin, self._line = 0, 1

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from the place `at` on, in pieces of at most the next of `sizes` rows."""
        with naming_file(self.path), self._open() as stream:
            line = self._pass(stream, at or self._begin)
            yield from _Cutter(stream, self.layout, at or self._begin, line).pieces(sizes)

    def _pass(self, stream: IO[bytes], at: int) -> int:
        """Move to a place, and return the number of the line there."""
        end = self.layout.dialect.shape.end if self.layout.dialect else b"\n"
        left, line = at, 1
        while left and (block := stream.read(min(left, _READ))):
            left -= len(block)
            line += block.count(end)
        return line

    def _open(self) -> IO[bytes]:
        """Return the text as a stream of UTF-8."""
        if self._text is not None:
            return io.BytesIO(self._text)
        stream = _open_bytes(self.path)
        if self._encoding == "utf-8":
            return stream
        return cast("IO[bytes]", io.BufferedReader(_Recoded(stream, self._encoding), _READ))

    def _head(self) -> tuple[bytes, bool]:
        with self._open() as stream:
            head = stream.read(HEAD_BYTES)
            return head, not stream.read(1)

    def _json_columns(self, *, whole: bool) -> tuple[str, ...]:
        columns: dict[str, None] = {}
        with self._open() as stream:
            lines = (line for line in stream if line.strip())
            for number, line in enumerate(lines if whole else islice(lines, _HEAD_LINES), start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
                columns |= dict.fromkeys(read_line(number, text))
        if not columns:
            raise DataError("it has no rows")
        return tuple(columns)


class _Cutter:
    """Cuts a stream into pieces of whole records."""

    def __init__(self, stream: IO[bytes], layout: Layout, at: int, line: int) -> None:
        self._stream = stream
        self._layout = layout
        self._at = at
        self._line = line
        self._end = layout.dialect.shape.end if layout.dialect else b"\n"
        self._buffer = b""
        self._ends = np.empty(0, np.int64)  # places behind the records in the buffer
        self._used = 0  # number of records that were taken, and bytes
        self._from = 0

    def pieces(self, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield pieces of at most the next of `sizes` rows."""
        for size in sizes:
            parts: list[bytes] = []
            rows = length = 0
            while rows < size and length < MAX_BYTES:
                data, found = self._take(size - rows, MAX_BYTES - length)
                if not found:
                    break
                parts.append(data)
                rows += found
                length += len(data)
            if not rows:
                return
            data = b"".join(parts)
            line, self._line = self._line, self._line + data.count(self._end)
            self._at += len(data)
            yield Piece(data, rows, self._at, line)

    def _take(self, rows: int, length: int) -> tuple[bytes, int]:
        """Return the text of some of the next records, and their number; 0 at the end."""
        if self._used == len(self._ends):
            self._fill()
        ends = self._ends[self._used : self._used + rows]
        if not len(ends):
            return b"", 0
        fits = max(1, int(np.searchsorted(ends, self._from + length, side="right")))
        start, self._from = self._from, int(ends[:fits][-1])
        self._used += len(ends[:fits])
        return self._buffer[start : self._from], len(ends[:fits])

    def _fill(self) -> None:
        """Read on until there is another record."""
        rest = self._buffer[self._from :]
        while True:
            block = self._stream.read(_READ)
            rest += block
            ends = self._cut(rest, final=not block)
            if len(ends) or not block:
                break
        self._buffer, self._ends, self._used, self._from = rest, ends, 0, 0

    def _cut(self, text: bytes, *, final: bool) -> NDArray[np.int64]:
        dialect = self._layout.dialect
        if dialect is not None:
            return cut(text, dialect.shape, len(dialect.columns), final=final).ends
        ends, at = [], 0
        for line in io.BytesIO(text):
            at += len(line)
            if line.strip() and (final or line.endswith(b"\n")):
                ends.append(at)
        return np.array(ends, dtype=np.int64)


class ParquetSource:
    """Parquet; a place is a number of rows."""

    repeatable = True

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        from xtalshift.data.arrow_texts import decode_bytes

        self.path = path
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            refuse_repeats(names)
            self.schema = decode_bytes(file.schema_arrow.empty_table()).schema.remove_metadata()
            groups = range(file.metadata.num_row_groups)
            self.sizes = [file.metadata.row_group(group).num_rows for group in groups]
        self.layout = Layout(path.name, "parquet", tuple(names))

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from the place `at` on, in pieces of at most the next of `sizes` rows."""
        for table in self.tables(at, sizes):
            at += table.num_rows
            yield Piece(pack_table(table.unify_dictionaries().combine_chunks()), table.num_rows, at)

    def tables(
        self, at: int, sizes: Iterator[int], columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the same pieces as tables, with some columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from xtalshift.data.arrow_texts import decode_bytes

        with naming_file(self.path), pq.ParquetFile(self.path) as file:
            skip, group = at, 0
            while group < len(self.sizes) and skip >= self.sizes[group]:
                skip -= self.sizes[group]
                group += 1
            size = next(sizes, 0)
            batches = file.iter_batches(
                batch_size=max(min(size, 2**20), 1),
                row_groups=range(group, len(self.sizes)),
                columns=columns,
                use_threads=False,
            )
            schema = self.schema
            if columns is not None:
                schema = pa.schema([schema.field(name) for name in columns])
            rest = schema.empty_table()
            while size:
                while rest.num_rows < size and (batch := next(batches, None)) is not None:
                    batch.validate(full=True)  # a damaged text fails where it is used
                    table = decode_bytes(pa.Table.from_batches([batch]))
                    table = table.replace_schema_metadata()
                    rest = pa.concat_tables([rest, table.select(schema.names).slice(skip)])
                    skip = max(0, skip - table.num_rows)
                piece, rest = rest.slice(0, size), rest.slice(size)
                if not piece.num_rows:
                    return
                yield piece
                size = next(sizes, 0)


class StructureSource:
    """Structure files of a folder or archive, or one of several structures; a place is a row."""

    repeatable = True

    def __init__(self, path: Path) -> None:
        from xtalshift.structure.archives import open_source as open_files
        from xtalshift.structure.structure_files import describe_left_out, list_files

        names = open_files(path).names()
        list_files(path, names)  # raises if there are none
        self.path = path
        columns = ("id", STRUCTURE_COLUMN)
        self.layout = Layout(path.name, "structures", columns, left_out=describe_left_out(names))

    def pieces(self, at: int, sizes: Iterator[int]) -> Iterator[Piece]:
        """Yield the rows from the place `at` on, in pieces of at most the next of `sizes` rows."""
        from xtalshift.data.structure_texts import iter_rows

        rows = islice(iter_rows(self.path), at, None)
        for size in sizes:
            found = list(islice(rows, min(size, _MOST_STRUCTURES)))
            if not found:
                return
            data = _lines_of({"id": one.id, STRUCTURE_COLUMN: one.text} for one in found)
            line, at = at + 1, at + len(found)
            yield Piece(data, len(found), at, line)


class _Recoded(io.RawIOBase):
    """A stream of text in some encoding, as UTF-8; what is no character becomes U+FFFD."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return the number of bytes; 0 at the end."""
        while not self._left:
            block = self._stream.read(_READ)
            text = self._decoder.decode(block, final=not block)
            self._left = text.encode("utf-8", "replace")
            if not block:
                break
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        """Close the file, too."""
        self._stream.close()
        super().close()


def _kept(options: ReadingOptions) -> tuple[str, ...]:
    """Return the columns, in lower case, whose structures are not read as formulas."""
    if options.structure_col is not None:
        return (options.structure_col.casefold(),)
    return () if options.formula_col is not None else STRUCTURE_NAMES


def pack_table(table: pa.Table) -> bytes:
    """Return a table as the bytes of an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def json_cell(value: Any) -> str | None:
    """Return a value of JSON as the text of a cell; None for null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _open_bytes(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding_of(path: Path, options: ReadingOptions) -> str:
    with _open_bytes(path) as stream:
        head = stream.read(HEAD_BYTES)
        return find_encoding(head, options, complete=not stream.read(1))


def _lines_of(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
