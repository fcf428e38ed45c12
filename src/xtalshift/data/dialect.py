"""How a text table is written: encoding, separator, header. Settled once on its first mebibyte."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xtalshift.data.files import FORMULA_NAMES, refuse_repeats
from xtalshift.data.records import NO_SEPARATOR, Format, get_format
from xtalshift.data.settings import SEPARATORS, ReadingOptions
from xtalshift.data.spreadsheet import unmark
from xtalshift.errors import DataError
from xtalshift.structure.symmetry import STRUCTURE_NAMES

HEAD_BYTES = 2**20
"""Size of the head of a file, in bytes as stored."""

_HEADER_LINES = 30
_NAME_LINES = 6  # in which a name in the header ends
_SAMPLE_LINES = 1000
_UNIT_ROWS = 50
_MOST = 0.9
_MIXED = 3  # so many rows are enough to say that the header differs from them
_NUL_SHARE = 0.5
_MIN_HEAD = 16
_RUN = re.compile(r"[^\x00-\x7f]+")
_SEP_LINE = re.compile(rb'"?sep=(?P<mark>[,;|\t])"?', re.IGNORECASE)
_NUMBER = re.compile(r"[<>~≈≤≥]?\s*[-+\N{MINUS SIGN}]?[\s.,']*\d")
_NO_UNIT = frozenset({"", "-", "[-]", "unit", "units", "[unit]", "[units]"})
# which of two separators is it if both fit: a comma may be a decimal mark, too
_ORDER = {NO_SEPARATOR: 0, "\t": 1, ";": 2, "|": 3, ",": 4}
_MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_STRONG_NAMES = frozenset(FORMULA_NAMES) - {"material", "compound"}
_EAST_ASIAN = ("gb18030", "big5", "shift_jis", "euc_kr")


@dataclass(frozen=True)
class Dialect:
    """How a text table is written."""

    columns: tuple[str, ...]
    """Names of the columns."""
    separator: str = ","
    """Between cells; `xtalshift.data.records.NO_SEPARATOR` in a table of one column."""
    line_end: str = "\n"
    """Last character of a line."""
    encoding: str = "utf-8"
    """Encoding of the file; its text is read as UTF-8."""
    begin: int = 0
    """Bytes of UTF-8 text before the first row."""
    first_line: int = 2
    """Number of the line of the first row."""
    skipped: tuple[tuple[int, str], ...] = ()
    """Number and text of the lines above the header that do not belong to the table."""
    units: dict[str, str] = field(default_factory=dict)
    """Unit of each column that has one in a row of units below the header."""
    formula_place: int = 0
    """Place of the column of formulas; the first column if there is none."""

    @property
    def shape(self) -> Format:
        """What separates cells and lines."""
        return get_format(self.separator, self.line_end)

    def describe(self) -> str:
        """Return in one line what was settled."""
        what = [self.encoding, f"separator {SEPARATORS.get(self.separator, 'none (one column)')}"]
        if self.skipped:
            lines = ", ".join(str(number) for number, _ in self.skipped)
            what.append(f"lines above the header skipped: {lines}")
        if self.units:
            what.append("units " + ", ".join(f"{n}: {unit}" for n, unit in self.units.items()))
        return "; ".join(what)


def find_encoding(head: bytes, options: ReadingOptions, *, complete: bool) -> str:
    """Return the encoding of a text file.

    Parameters
    ----------
    head : bytes
        The first bytes of the file.
    options : ReadingOptions
        Its `encoding` decides if it is set.
    complete : bool
        Whether `head` is the whole file.

    Raises
    ------
    DataError
        If the file is binary, or its encoding is not clear; the message names the candidates.
    """
    if options.encoding is not None:
        name = codecs.lookup(options.encoding).name
        _check_text(head, name, complete=complete)
        return name
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for name, place in (("utf-16-be", 0), ("utf-16-le", 1)):
        # the other byte of ASCII characters is zero
        zeros, others = head[place::2].count(0), head[1 - place :: 2].count(0)
        if len(head) >= _MIN_HEAD and zeros > _NUL_SHARE * len(head) / 2 and not others:
            return name
    if b"\0" in head:
        raise DataError("it is binary, not text; export it (from Excel: 'CSV UTF-8', or .xlsx)")
    if _decodes(head, "utf-8", complete=complete):
        return "utf-8"
    return _find_old_encoding(head, complete=complete)


def _check_text(head: bytes, name: str, *, complete: bool) -> None:
    try:
        codecs.getincrementaldecoder(name)().decode(head, final=complete)
    except UnicodeDecodeError as error:
        raise DataError(
            f"it is not {name} text (byte {error.start}); leave --encoding out, or name another"
        ) from error


def _decodes(head: bytes, name: str, *, complete: bool) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(head, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def _find_old_encoding(head: bytes, *, complete: bool) -> str:
    """Return an encoding from before Unicode, or raise with the likely ones."""
    fits = [name for name in (*_EAST_ASIAN, "cp1252") if _decodes(head, name, complete=complete)]
    for name in fits:
        first = head[:4096].decode(name, errors="ignore").splitlines()[:_HEADER_LINES]
        words = {
            word.strip(' "').casefold() for line in first for word in re.split(r"[,;\t|]", line)
        }
        if any(word in _STRONG_NAMES and not word.isascii() for word in words):
            return name
    if "cp1252" in fits and _is_western(head.decode("cp1252", errors="ignore")):
        return "cp1252"
    import charset_normalizer

    guesses = [match.encoding for match in charset_normalizer.from_bytes(head)]
    likely = list(dict.fromkeys([*fits, *guesses]))[:5]
    shown = "; ".join(f"--encoding {name} reads {_sample(head, name)}" for name in likely)
    raise DataError(f"it is not UTF-8 text, and its encoding is not clear: {shown}")


def _is_western(text: str) -> bool:
    """Return whether other characters are single (°, µ, Å), or one or two letters within a word."""
    for run in _RUN.finditer(text):
        beside = text[run.start() - 1 : run.start()] + text[run.end() : run.end() + 1]
        if len(run[0]) > 1 and not (
            len(run[0]) == 2  # noqa: PLR2004 - as in Größe
            and run[0].isalpha()
            and any(one.isascii() and one.isalpha() for one in beside)
        ):
            return False
    return True


def _sample(head: bytes, name: str) -> str:
    text = head.decode(name, errors="replace")
    word = re.search(r"[^\s,;\t|]*[^\x00-\x7f][^\s,;\t|]*", text)
    return repr(word[0][:20] if word else "")


@dataclass(frozen=True)
class _Line:
    number: int
    start: int
    end: int
    text: bytes


@dataclass(frozen=True)
class _Guess:
    """A separator, the header that it gives, and how well the lines below agree with it."""

    separator: str
    header: int
    """Number of the line among all lines."""
    named: bool
    """Whether a column is named as columns of formulas are."""
    width: int
    share: float
    """Share of the lines below with `width` cells."""

    @property
    def merit(self) -> tuple[bool, bool, bool, float, int]:
        """What decides between separators, most important first."""
        several = self.width > 1
        return self.named, several, self.header == 0, round(self.share, 2), -_ORDER[self.separator]


def settle_dialect(
    head: bytes, encoding: str, options: ReadingOptions, *, complete: bool
) -> Dialect:
    """Settle how a table is written.

    Parameters
    ----------
    head : bytes
        The first bytes of the file as UTF-8.
    encoding : str
        Its encoding.
    options : ReadingOptions
        What the user says.
    complete : bool
        Whether `head` is the whole file.

    Returns
    -------
    Dialect

    Raises
    ------
    DataError
        If there is no header, the separator of the options is not in it but another one is, two
        columns have the same name, or nearly all rows have more cells than the header.
    """
    line_end = _find_line_end(head)
    lines = _split_lines(head, get_format(",", line_end), complete=complete)
    separator: str | None = options.separator
    told = _SEP_LINE.fullmatch(lines[0].text.strip()) if lines else None
    if told:
        separator = separator or told["mark"].decode()
        lines_above, lines = lines[:1], lines[1:]
    else:
        lines_above = []
    if not lines:
        raise DataError("it has no header row")
    marks = [separator] if separator else list(_ORDER)
    guesses = _guesses(lines, line_end, marks, options)
    if not any(guess.named for guess in guesses):  # a column that was asked for and is not there
        usual = options.model_copy(update={"formula_col": None, "structure_col": None})
        guesses = _guesses(lines, line_end, marks, usual)
    best = max(guesses, key=lambda guess: guess.merit)
    if options.separator and best.width == 1 and not best.named:
        _refuse_absent(lines, line_end, options)
    shape = get_format(best.separator, line_end)
    lines = _join_quoted(lines, shape)
    header, rest = lines[best.header], lines[best.header + 1 :]
    names = _read_header(header, shape)
    refuse_repeats(names)
    wanted = [name.casefold() for name in names]
    named = [options.formula_col.casefold()] if options.formula_col else FORMULA_NAMES
    place = next((wanted.index(name) for name in named if name in wanted), 0)
    _refuse_other_width(rest, names, shape)
    units, first = _read_units(rest, names, place, shape)
    if first < len(rest):
        begin, number = rest[first].start, rest[first].number
    else:
        begin, number = header.end, header.number + 1
    above = [*lines_above, *lines[: best.header]]
    return Dialect(
        tuple(names),
        best.separator,
        line_end,
        encoding,
        begin,
        number,
        tuple((line.number, line.text.decode(errors="replace").strip()) for line in above),
        units,
        place,
    )


def _refuse_absent(lines: list[_Line], line_end: str, options: ReadingOptions) -> None:
    """Raise `DataError` if the cells are separated by something else than the user says."""
    open_to_all = options.model_copy(update={"separator": None})
    found = _guesses(lines, line_end, SEPARATORS, open_to_all)
    guesses = [guess for guess in found if guess.width > 1]
    if not guesses:
        return
    likely = max(guesses, key=lambda guess: guess.merit)
    shown = lines[likely.header].text.decode(errors="replace").strip()
    raise DataError(
        f"--separator {SEPARATORS[options.separator or '']} is not in the header {shown[:80]!r}; "
        f"its cells are separated by {_MARKS[likely.separator]}: leave --separator out, or give "
        f"--separator {SEPARATORS[likely.separator]}"
    )


def _find_line_end(head: bytes) -> str:
    """Return the last character of a line: the first end of a line that the text has."""
    first = re.search(rb"\r\n|\n|\r", head)
    return "\r" if first and first[0] == b"\r" else "\n"


def _split_lines(head: bytes, shape: Format, *, complete: bool) -> list[_Line]:
    """Return the first lines that are not blank, enough to see how the table is written."""
    lines: list[_Line] = []
    at = 0
    parts = head.split(shape.end, _SAMPLE_LINES + _HEADER_LINES)
    if len(parts) > _SAMPLE_LINES + _HEADER_LINES:
        complete = False
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        end = at + len(part) + (not last)
        if part.strip() and (complete or not last or not lines):
            text = shape.strip(part + shape.end).removeprefix(codecs.BOM_UTF8 if not at else b"")
            lines.append(_Line(number, at, end, text))
        at = end
    return lines


def _cells(line: bytes, shape: Format) -> list[str]:
    return [cell.decode(errors="replace").strip() for cell in shape.split(line)[0]]


def _trim(cells: Sequence[str]) -> list[str]:
    """Return cells without blank ones at the end."""
    kept = list(cells)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _guesses(
    lines: list[_Line], line_end: str, marks: Iterable[str], options: ReadingOptions
) -> list[_Guess]:
    """Return the headers that separators give, of those that give a table."""
    found = (_guess(lines, get_format(mark, line_end), options) for mark in marks)
    return [guess for guess in found if guess is not None]


def _guess(lines: list[_Line], shape: Format, options: ReadingOptions) -> _Guess | None:
    """Return the header for a separator; None if there is no table of several columns."""
    lines = _join_quoted(lines, shape)
    comments = [n for n, line in enumerate(lines[:_HEADER_LINES]) if line.text.startswith(b"#")]
    sample = [
        (n, _cells(line.text, shape))
        for n, line in enumerate(lines[:_SAMPLE_LINES])
        if n not in comments
    ]
    given = {one.casefold() for one in (options.formula_col, options.structure_col) if one}
    # the lines of a quoted structure would look like rows
    known = given or {*_STRONG_NAMES, *STRUCTURE_NAMES}
    single = shape.separator == NO_SEPARATOR
    named = next((n for n, cells in sample[:_HEADER_LINES] if _has_name(cells, known)), None)
    if named is None:  # the header may be a comment, as numpy.savetxt writes it
        named = next((n for n in comments if _has_name(_comment(lines[n], shape), known)), None)
    widths = Counter(len(cells) for _, cells in sample)
    if named is not None:
        header = named
        width = len(_cells(lines[named].text, shape))
    elif single:
        header, width = (sample[0][0] if sample else 0), 1
    elif options.separator is not None and sample:
        header = sample[0][0]
        width = len(sample[0][1])
    else:
        width = widths.most_common(1)[0][0] if widths else 1
        if width == 1:
            return None
        filled = (n for n, cells in sample if len(cells) == width and len(_trim(cells)) > 1)
        header = next(filled, -1)
        if header < 0:
            return None
    below = [len(cells) for n, cells in sample if n > header]
    share = sum(one == width for one in below) / len(below) if below else 1.0
    return _Guess(shape.separator, header, named is not None, width, share)


def _has_name(cells: Sequence[str], known: frozenset[str] | set[str]) -> bool:
    return any(unmark(cell).casefold() in known for cell in cells)


def _comment(line: _Line, shape: Format) -> list[str]:
    return _cells(line.text.lstrip(b"# \t"), shape)


def _join_quoted(lines: list[_Line], shape: Format) -> list[_Line]:
    """Return lines of which those of one quoted name in the header are joined."""
    for n, first in enumerate(lines[:_HEADER_LINES]):
        text = first.text
        if not shape.split(text)[1]:
            continue
        for last in range(n + 1, min(n + _NAME_LINES, len(lines))):
            text += shape.end + lines[last].text
            if not shape.split(text)[1]:
                joined = _Line(first.number, first.start, lines[last].end, text)
                return [*lines[:n], joined, *lines[last + 1 :]]
    return lines


def _read_header(header: _Line, shape: Format) -> list[str]:
    """Return the names of the columns."""
    text = header.text.lstrip(b"# \t") if header.text.startswith(b"#") else header.text
    cells = [unmark(cell) for cell in _cells(text, shape)]
    return [" ".join(cell.split()) or f"Unnamed: {n}" for n, cell in enumerate(cells)]


def _refuse_other_width(rest: list[_Line], names: list[str], shape: Format) -> None:
    """Raise `DataError` if nearly all rows have the same number of cells, more than the header."""
    if shape.separator == NO_SEPARATOR:
        return
    found = Counter(len(_trim(_cells(line.text, shape))) for line in rest[:_SAMPLE_LINES])
    rows = found.total()
    width, count = found.most_common(1)[0] if found else (0, 0)
    if width <= len(names) or rows < _MIXED or count < _MOST * rows:
        return
    if shape.separator == ",":
        likely = (
            "decimal commas in a file with commas between the cells? Save it with semicolons "
            "(--separator semicolon), or put quotes around such numbers"
        )
    else:
        likely = "name every column in the header"
    raise DataError(
        f"{count:,} of {rows:,} rows have {width} cells, the header has {len(names)} "
        f"({', '.join(names)}): {likely}; --separator names another separator"
    )


def _read_units(
    rest: list[_Line], names: list[str], place: int, shape: Format
) -> tuple[dict[str, str], int]:
    """Return the units in a row below the header, and the number of such rows (0 or 1)."""
    if len(rest) < 2:  # noqa: PLR2004 - units and a row
        return {}, 0
    first = _cells(rest[0].text, shape)
    if len(first) > len(names) or first[min(place, len(first) - 1)].casefold() not in _NO_UNIT:
        return {}, 0
    units = {}
    below = [_cells(line.text, shape) for line in rest[1 : _UNIT_ROWS + 1]]
    for column, text in enumerate(first):
        if column == place or not text:
            continue
        cells = [cells[column] for cells in below if len(cells) > column and cells[column]]
        numbers = sum(bool(_NUMBER.match(cell)) for cell in cells)
        if _NUMBER.match(text) or numbers < _MOST * len(cells) or not cells:
            return {}, 0
        units[names[column]] = text.strip("[]() ")
    return units, int(bool(units))
