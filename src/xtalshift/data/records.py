"""Cut text into records, mend those that are not rectangular, and parse them.

A record is one row of a table: a line, or several lines if a quoted cell spans them. The same text
gives the same records wherever it was cut before, so that a driver can cut and workers can parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.arrow_texts import text_array, text_cells
from xtalshift.data.spreadsheet import unmark
from xtalshift.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from xtalshift.data.dialect import Dialect

MAX_RECORD = 2**24
"""Bytes of the longest record of several lines: a quote that is closed later is a stray one."""

NO_SEPARATOR = "\x1f"
"""The separator of a table with one column, which no text contains."""

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", NO_SEPARATOR: "line break"}
_SHOWN = 60
_QUOTE = ord('"')
_SPACE = np.frombuffer(b" \t\r\n", dtype=np.uint8)

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Format:
    """What separates cells and lines.

    A quoted cell begins with a quote at the start of the cell, and ends with a quote before a
    separator or the end of a line. Any other quote is an ordinary character.
    """

    separator: str
    line_end: str
    """``"\\n"`` (also for lines that end in CR LF) or ``"\\r"``."""

    @property
    def mark(self) -> bytes:
        """The separator as one byte."""
        return self.separator.encode()

    @property
    def end(self) -> bytes:
        """The end of a line as one byte."""
        return self.line_end.encode()

    @cached_property
    def quoted(self) -> re.Pattern[bytes]:
        """Matches a quoted cell; spaces may follow the quote that closes it."""
        end = rb"\r?\n" if self.line_end == "\n" else rb"\r"
        blank = rb" *" if self.separator == "\t" else rb"[ \t]*"
        mark = re.escape(self.mark)
        return re.compile(
            rb'"(?P<text>[^"]*(?:""[^"]*)*)"' + blank + rb"(?=" + mark + rb"|" + end + rb"|\Z)"
        )

    def strip(self, line: bytes) -> bytes:
        """Return a line without its end."""
        line = line.removesuffix(self.end)
        return line.removesuffix(b"\r") if self.line_end == "\n" else line

    def split(self, line: bytes) -> tuple[list[bytes], bool]:
        """Return the cells of a line without its end, and whether it has a stray quote."""
        if b'"' not in line:
            return line.split(self.mark), False
        cells: list[bytes] = []
        at, stray = 0, False
        while True:
            match = self.quoted.match(line, at) if line[at : at + 1] == b'"' else None
            if match:
                cells.append(match["text"].replace(b'""', b'"'))
                at = match.end()
            else:
                stray |= line[at : at + 1] == b'"'
                stop = line.find(self.mark, at)
                stop = len(line) if stop < 0 else stop
                cells.append(line[at:stop])
                at = stop
            if at == len(line):
                return cells, stray
            at += 1

    def join(self, cells: Iterable[bytes]) -> bytes:
        """Return cells as a line, each quoted."""
        return self.mark.join(b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells)


@lru_cache(maxsize=16)
def get_format(separator: str, line_end: str) -> Format:
    """Return the format with its compiled patterns."""
    return Format(separator, line_end)


@dataclass(frozen=True)
class Record:
    """A record that was looked at by itself."""

    end: int
    """Place behind it."""
    cells: list[bytes]
    stray: bool
    """Whether a quote in it is an ordinary character."""


@dataclass(frozen=True)
class Records:
    """The complete records at the start of some text, without blank lines."""

    starts: Places
    ends: Places
    """`starts`, `ends`: shape (n,). First byte, and place behind the end of the last line."""
    read: dict[int, Record]
    """Records with quotes that had to be read one by one, by number."""
    line_ends: Places
    """Places of all ends of lines."""
    quotes: Places | None
    """Places of all quotes; None if there are none."""


def cut(data: bytes, shape: Format, width: int, *, final: bool) -> Records:
    """Find the records of some text.

    Parameters
    ----------
    data : bytes
        UTF-8 text that begins with a record.
    shape : Format
        Separators.
    width : int
        Number of columns. A quoted cell may span lines only if its record has this width and less
        than three quarters of its lines are records of this width by themselves; else the quote
        is an ordinary character, and every line a record. In a table of one column, where every
        line is a record, the quote that closes the cell decides alone.
    final : bool
        Whether the text ends here; otherwise an incomplete record at the end is left out.
    """
    codes = np.frombuffer(data, dtype=np.uint8)
    line_ends = np.flatnonzero(codes == shape.end[0])
    ends = line_ends + 1
    if final and (not len(ends) or ends[-1] < len(data)) and data:
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1]])
    read: dict[int, Record] = {}
    quotes = None
    if len(ends) and data.find(b'"', 0, int(ends[-1])) >= 0:
        quotes = np.flatnonzero(codes == _QUOTE)
        starts, ends, read = _read_odd(data, codes, quotes, starts, ends, shape, width, final=final)
    blank = _find_blank(data, codes, starts, ends, shape)
    if blank.any():
        number = np.cumsum(~blank) - 1
        read = {int(number[row]): record for row, record in read.items() if not blank[row]}
        starts, ends = starts[~blank], ends[~blank]
    return Records(starts, ends, read, line_ends, quotes)


def _read_odd(
    data: bytes,
    codes: NDArray[np.uint8],
    quotes: Places,
    starts: Places,
    ends: Places,
    shape: Format,
    width: int,
    *,
    final: bool,
) -> tuple[Places, Places, dict[int, Record]]:
    """Read the lines whose quotes are not simply those around cells, and join lines of one cell."""
    found: dict[int, Record] = {}  # by first byte
    inside = np.zeros(len(ends), dtype=bool)  # lines within an earlier record
    joined = ends.copy()
    behind, complete = 0, len(ends)
    for line in _odd_lines(codes, quotes, starts, ends, shape).tolist():
        start = int(starts[line])
        if start < behind:
            continue
        record = _read_record(data, start, int(ends[line]), shape, width, final=final)
        if record is None:
            complete = line
            break
        found[start] = record
        behind = record.end
        if behind > ends[line]:
            last = int(np.searchsorted(ends, behind))
            inside[line + 1 : last + 1] = True
            joined[line] = behind
    inside[complete:] = True
    starts, joined = starts[~inside], joined[~inside]
    numbers = np.searchsorted(starts, list(found))
    return starts, joined, dict(zip(numbers.tolist(), found.values(), strict=True))


def _odd_lines(
    codes: NDArray[np.uint8], quotes: Places, starts: Places, ends: Places, shape: Format
) -> Places:
    """Return the lines with a quote that neither opens nor closes a cell of that line."""
    quotes = quotes[quotes < ends[-1]]
    padded = np.concatenate([codes, np.frombuffer(shape.end, dtype=np.uint8)])
    before, after = padded[quotes - 1], padded[quotes + 1]
    mark, end = shape.mark[0], shape.end[0]
    closes = (after == mark) | (after == end)
    if shape.line_end == "\n":
        closes |= (after == ord("\r")) & (padded[np.minimum(quotes + 2, len(codes))] == end)
    opens = (before == mark) | (before == end) | (quotes == 0)
    if opens[::2].all() and closes[1::2].all():
        even = np.searchsorted(quotes, ends) % 2 == 0
        if even.all():  # no line ends within quotes: the usual table takes no more than this
            return np.flatnonzero(~even)
    line = np.searchsorted(ends, quotes, side="right")
    first = np.searchsorted(quotes, starts)
    fits = np.where((np.arange(len(quotes)) - first[line]) % 2 == 0, opens, closes)
    counts = np.bincount(line, minlength=len(ends))
    odd = counts % 2 == 1
    odd[line[~fits]] = True
    return np.flatnonzero(odd)


def _read_record(
    data: bytes, start: int, stop: int, shape: Format, width: int, *, final: bool
) -> Record | None:
    """Read the record at `start`, whose first line ends at `stop`; None if more text is needed."""
    limit = min(len(data), start + MAX_RECORD)
    open_end = not final and limit == len(data)  # what follows the text may close a quote
    cells: list[bytes] = []
    at, line_stop = start, _text_stop(data, start, stop, shape)
    end = stop
    while True:
        match = None
        if data[at : at + 1] == b'"':
            match = shape.quoted.match(data, at, limit)
            if open_end and (match.end() == limit if match else _may_close(data, at, limit)):
                return None
        if match:
            cells.append(match["text"].replace(b'""', b'"'))
            at = match.end()
            if at > line_stop:
                end = data.find(shape.end, at) + 1
                if not end and not final:
                    return None
                end = end or len(data)
                line_stop = _text_stop(data, at, end, shape)
        else:
            mark = data.find(shape.mark, at, line_stop)
            mark = line_stop if mark < 0 else mark
            cells.append(data[at:mark])
            at = mark
        if at == line_stop:
            break
        at += 1
    spans = end > stop and len(cells) == width
    if spans and (width == 1 or not _are_rows(data[start:end], shape, width)):
        return Record(end, cells, stray=False)
    return Record(stop, *shape.split(shape.strip(data[start:stop])))


def _text_stop(data: bytes, start: int, stop: int, shape: Format) -> int:
    """Return where the text of a line ends."""
    return stop - len(data[start:stop]) + len(shape.strip(data[start:stop]))


def _may_close(data: bytes, at: int, limit: int) -> bool:
    """Return whether text behind `limit` may close the quote at `at`."""
    close = at
    while (close := data.find(b'"', close + 1, limit)) >= 0:
        if data[close + 1 : close + 2] != b'"':
            # followed by something else, unless it is all that there is yet
            return not data[close + 1 : limit].strip(b" \t\r")
        close += 1
    return True


def _are_rows(lines: bytes, shape: Format, width: int) -> bool:
    """Return whether three quarters of some lines are rows by themselves."""
    texts = [shape.strip(line) for line in lines.split(shape.end)]
    if lines.endswith(shape.end):
        texts.pop()
    whole = sum(len(shape.split(text)[0]) == width for text in texts)
    return 4 * whole >= 3 * len(texts)


def _find_blank(
    data: bytes, codes: NDArray[np.uint8], starts: Places, ends: Places, shape: Format
) -> NDArray[np.bool_]:
    blank: NDArray[np.bool_] = np.zeros(len(starts), dtype=bool)
    spaces = b" \r\n" if shape.separator == "\t" else b" \t\r\n"
    for row in np.flatnonzero(np.isin(codes[starts], _SPACE)).tolist():
        blank[row] = not data[starts[row] : ends[row]].strip(spaces)
    return blank


@dataclass(frozen=True)
class TextRows:
    """Rows of a text table."""

    table: pa.Table
    """The columns that were asked for, all text."""
    faults: dict[int, str] = field(default_factory=dict)
    """Row (from 0) -> why it cannot be used. The text of the row is in the column of formulas."""
    notes: dict[int, str] = field(default_factory=dict)
    """Row -> remark on how it was read."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.table.num_rows)


def parse_rows(
    data: bytes, dialect: Dialect, first_line: int, columns: Sequence[str] | None = None
) -> TextRows:
    """Parse whole records.

    Parameters
    ----------
    data : bytes
        UTF-8 text, as `cut` cut it.
    dialect : Dialect
        How the text is written.
    first_line : int
        Number of its first line in the file, for messages.
    columns : sequence of str, optional
        Only these columns.
    """
    data, undecoded = _decodable(data, dialect)
    records = cut(data, dialect.shape, len(dialect.columns), final=True)
    mender = _Mender(data, records, dialect, first_line)
    text = mender.mend()
    n = len(records.starts)
    for place in undecoded:
        row = int(np.searchsorted(records.ends, place, side="right"))
        if row < n:
            line = data[records.starts[row] : records.ends[row]]
            mender.faults[row] = (
                f"line {mender.line(row)} is not {dialect.encoding} text: {_short(line)}; name the "
                "encoding of the file (--encoding), or save it as UTF-8"
            )
    table = _parse(text, dialect, list(dialect.columns if columns is None else columns))
    if table.num_rows != n:
        raise DataError(f"{n:,} records were read as {table.num_rows:,} rows")
    return TextRows(_unmarked(table) if b"'" in text else table, mender.faults, mender.notes)


def _parse(text: bytes, dialect: Dialect, columns: list[str]) -> pa.Table:
    """Return the columns of rectangular, well-quoted text."""
    import pyarrow as pa
    from pyarrow import csv

    if not text:
        return pa.table({name: text_array([]) for name in columns})
    return csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(text) + 1, column_names=list(dialect.columns)
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.separator, newlines_in_values=b'"' in text
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
            include_columns=columns,
        ),
    )


class _Mender:
    """Makes records rectangular and well quoted, and remembers what could not be mended."""

    def __init__(self, data: bytes, records: Records, dialect: Dialect, first_line: int) -> None:
        self.data = data
        self.records = records
        self.dialect = dialect
        self.first_line = first_line
        self.faults: dict[int, str] = {}
        self.notes: dict[int, str] = {}

    def line(self, row: int) -> int:
        """Return the number of the first line of a record."""
        before = np.searchsorted(self.records.line_ends, self.records.starts[row])
        return self.first_line + int(before)

    def mend(self) -> bytes:
        """Return the text with one well-quoted record for each, and without blank lines."""
        data, starts, ends = self.data, self.records.starts, self.records.ends
        if not len(starts):
            return b""
        shape = self.dialect.shape
        wrong = self._find_wrong()
        gaps = np.concatenate([[False], starts[1:] > ends[:-1]])
        parts: list[bytes] = []
        behind = int(starts[0])
        for row in np.flatnonzero(wrong | gaps).tolist():
            if row:
                parts.append(data[behind : ends[row - 1]])
            behind = int(starts[row])
            if wrong[row]:
                parts += [shape.join(self._cells(row)), shape.end]
                behind = int(ends[row])
        parts.append(data[behind : ends[-1]])
        return b"".join(parts)

    def _find_wrong(self) -> NDArray[np.bool_]:
        """Return which records cannot be left as they are, shape (n,)."""
        data, records, shape = self.data, self.records, self.dialect.shape
        wrong: NDArray[np.bool_] = _count_cells(data, records, shape) != len(self.dialect.columns)
        wrong[list(records.read)] = True
        other = b"\r" if shape.line_end == "\n" else b"\n"
        if other in data:  # an end of line for some readers, but not in this file
            codes = np.frombuffer(data + shape.end, dtype=np.uint8)
            places = np.flatnonzero(codes == other[0])
            if shape.line_end == "\n":
                places = places[codes[places + 1] != shape.end[0]]
            rows = np.searchsorted(records.ends, places, side="right")
            wrong[rows[rows < len(wrong)]] = True  # the others are in blank lines at the end
        return wrong

    def _cells(self, row: int) -> list[bytes]:
        """Return the cells of a record, as many as there are columns."""
        line = self.data[self.records.starts[row] : self.records.ends[row]]
        shape, width = self.dialect.shape, len(self.dialect.columns)
        record = self.records.read.get(row)
        if record is None:
            cells, stray = shape.split(shape.strip(line))
        else:
            cells, stray = record.cells, record.stray
        if stray:
            self.notes[row] = (
                f"stray quote, read as an ordinary character: line {self.line(row)}, {_short(line)}"
            )
        extra = len(cells) - width
        if extra > 0 and any(cell.strip() for cell in cells[width:]):
            mark = _NAMES[shape.separator]
            self.faults[row] = (
                f"line {self.line(row)} has {len(cells)} cells, the header {width}: "
                f"{_short(line)}; put quotes around a cell with a {mark}"
            )
            place = self.dialect.formula_place
            cells = [*cells[:place], shape.mark.join(cells[place:])]
        return cells[:width] + [b""] * (width - len(cells))


def _count_cells(data: bytes, records: Records, shape: Format) -> Places:
    """Return the number of cells of each record; those that were read one by one may be wrong."""
    marks = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == shape.mark[0])
    if records.quotes is not None and not records.read:
        marks = marks[np.searchsorted(records.quotes, marks) % 2 == 0]
    elif records.quotes is not None:
        first = np.searchsorted(records.quotes, records.starts)
        row = np.searchsorted(records.ends, marks, side="right")
        known = row < len(first)
        marks, row = marks[known], row[known]
        marks = marks[(np.searchsorted(records.quotes, marks) - first[row]) % 2 == 0]
    n = len(records.starts)
    if n and marks.size and marks.size % n == 0:
        grid = marks.reshape(n, -1)
        if (grid[:, 0] >= records.starts).all() and (grid[:, -1] < records.ends).all():
            return np.full(n, grid.shape[1] + 1)
    before = np.searchsorted(marks, records.starts)
    return np.searchsorted(marks, records.ends) - before + 1


def _decodable(data: bytes, dialect: Dialect) -> tuple[bytes, list[int]]:
    """Return the text with what is no character replaced, and the places of lines that had such."""
    if data.isascii():
        return data, []
    replaced = "\N{REPLACEMENT CHARACTER}".encode()
    if dialect.encoding != "utf-8":  # was replaced when it was turned into UTF-8
        return data, [match.start() for match in re.finditer(replaced, data)]
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        return data, []
    lines, places, at = data.split(dialect.shape.end), [], 0
    for number, line in enumerate(lines):
        text = line.decode(errors="replace").encode()
        if text != line:
            places.append(at)
            lines[number] = text
        at += len(text) + 1
    return dialect.shape.end.join(lines), places


def _short(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _unmarked(table: pa.Table) -> pa.Table:
    """Return the table without the apostrophes that `xtalshift.data.spreadsheet.mark` added."""
    for place, name in enumerate(table.column_names):
        cells = text_cells(table.column(place))
        if any(cell[:1] == "'" for cell in cells):
            table = table.set_column(place, name, text_array([unmark(cell) for cell in cells]))
    return table
