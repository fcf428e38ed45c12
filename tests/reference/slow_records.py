"""Records of a text table, read character by character: slow, and plainly the rules."""

from __future__ import annotations

from typing import NamedTuple


class SlowRecord(NamedTuple):
    """One record: its cells, whether a quote is an ordinary character, and its first line."""

    cells: list[str]
    stray: bool
    line: int


def _quoted_cell(text: str, at: int, separator: str, line_end: str) -> tuple[str, int] | None:
    """Return a quoted cell and the place behind it; None if the quote does not begin one."""
    cell, at = "", at + 1
    while at < len(text):
        if text[at] != '"':
            cell += text[at]
            at += 1
        elif text[at + 1 : at + 2] == '"':
            cell += '"'
            at += 2
        else:
            at += 1
            while text[at : at + 1] in {" ", "\t"} - {separator}:
                at += 1
            follows = text[at : at + 1]
            ends = follows in {"", separator, line_end}
            if line_end == "\n" and text[at : at + 2] == "\r\n":
                ends = True
            return (cell, at) if ends else None
    return None


def _line_cells(line: str, separator: str, line_end: str) -> tuple[list[str], bool]:
    """Return the cells of one line, and whether it has a stray quote."""
    cells, at, stray = [], 0, False
    while True:
        found = None
        if line[at : at + 1] == '"':
            found = _quoted_cell(line, at, separator, line_end)
            stray = stray or found is None
        if found is None:
            stop = line.find(separator, at)
            stop = len(line) if stop < 0 else stop
            found = line[at:stop], stop
        cells.append(found[0])
        at = found[1]
        if at == len(line):
            return cells, stray
        at += 1


def read_slowly(text: str, separator: str, line_end: str, width: int) -> list[SlowRecord]:
    """Return the records of some text; blank lines are none."""
    lines = text.split(line_end)
    rest = line_end if not lines[-1] else ""  # behind the last line
    if not lines[-1]:
        lines.pop()
    records = []
    number = 0
    blank = " \r\n" if separator == "\t" else " \t\r\n"
    while number < len(lines):
        if not lines[number].strip(blank):
            number += 1
            continue
        cells, stray = _line_cells(_bare(lines[number], line_end), separator, line_end)
        last = number
        if stray:
            last, spanning = _over_lines(lines[number:], rest, separator, line_end)
            last += number
            taken = [_bare(line, line_end) for line in lines[number : last + 1]]
            whole = sum(len(_line_cells(line, separator, line_end)[0]) == width for line in taken)
            rows = width > 1 and 4 * whole >= 3 * len(taken)
            if last > number and len(spanning) == width and not rows:
                cells, stray = spanning, False
            else:
                last = number
        records.append(SlowRecord(cells, stray, number + 1))
        number = last + 1
    return records


def _bare(line: str, line_end: str) -> str:
    return line.removesuffix("\r") if line_end == "\n" else line


def _over_lines(
    lines: list[str], rest: str, separator: str, line_end: str
) -> tuple[int, list[str]]:
    """Return the last line and the cells of the record that begins in the first line."""
    text = line_end.join(lines) + rest
    cells, at = [], 0
    while True:
        found = None
        if text[at : at + 1] == '"':
            found = _quoted_cell(text, at, separator, line_end)
        if found is None:
            stop = at
            while stop < len(text) and text[stop] not in {separator, line_end}:
                stop += 1
            cell = text[at:stop]
            if text[stop : stop + 1] != separator:
                cell = _bare(cell, line_end)
            found = cell, stop
        cells.append(found[0])
        at = found[1]
        if text[at : at + 1] != separator:
            return text[:at].count(line_end), cells
        at += 1
