"""Which decimal and thousands mark a table uses, found in its cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.number_texts import (
    Decimal,
    NumberStyle,
    Thousands,
    read_number_text,
    tidy_text,
)
from xtalshift.data.numbers import cause_of
from xtalshift.errors import DataError

_HEAD = 1000
_MARKS: tuple[Decimal, Decimal] = (".", ",")
_INTEGER = re.compile(r"[-+]?(?:(?P<short>[1-9][0-9]{0,2})|(?P<long>[0-9]{4,})|0+)")
_ONE_MARK = re.compile(r"[-+]?[0-9]+(?P<mark>[.,])[0-9]+")
_TWO_READINGS = re.compile(r"[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_GROUPED = re.compile(r"[0-9](?P<mark>[.,' \u00a0])[0-9]{3}(?![0-9])")

AMBIGUOUS = "ambiguous numbers"
"""Kind of a finding on a column whose numbers can be read in two ways."""


@dataclass(frozen=True)
class _Evidence:
    """What one text tells about the marks."""

    decimal: Decimal | Literal[""] = ""
    """The decimal mark, if the text has only one reading."""
    thousands: str = ""
    """The mark between its groups of three digits, likewise."""
    ambiguous: Decimal | Literal[""] = ""
    """A point or comma of either meaning, as in ``1.708``."""
    integer: str = ""
    """``"short"``: one to three digits, not 0; ``"long"``: more digits and no mark."""


@dataclass
class _Column:
    """The evidence in a column."""

    name: str
    decimal: dict[Decimal, list[tuple[int, str]]] = field(default_factory=dict)
    ambiguous: dict[Decimal, list[tuple[int, str]]] = field(default_factory=dict)
    thousands: Counter[str] = field(default_factory=Counter)
    integers: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, name: str, cells: Iterable[object]) -> _Column:
        found, known = cls(name), dict[str, _Evidence]()
        for row, cell in enumerate(cells):
            if not isinstance(cell, str):
                continue
            evidence = known.get(cell)
            if evidence is None:
                evidence = known[cell] = _weigh(cell)
            if evidence.decimal:
                found.decimal.setdefault(evidence.decimal, []).append((row, cell))
            if evidence.ambiguous:
                found.ambiguous.setdefault(evidence.ambiguous, []).append((row, cell))
            if evidence.thousands:
                found.thousands[evidence.thousands] += 1
            if evidence.integer:
                found.integers[evidence.integer] += 1
        return found

    def beside_integers(self) -> bool:
        """Whether its one mark may group thousands: shorter integers stand beside, longer none."""
        return bool(self.integers["short"] and not self.integers["long"])

    def padded(self, mark: Decimal) -> bool:
        """Whether integers stand beside ``1.880``, whose last zero a decimal would not have."""
        cells = self.ambiguous.get(mark, ())
        return self.beside_integers() and any(cell.strip().endswith("0") for _, cell in cells)


def settle_style(
    columns: Mapping[str, pd.Series],
    separator: str = "",
    *,
    decimal: Decimal | None = None,
    thousands: Thousands | None = None,
) -> tuple[NumberStyle, tuple[Finding, ...]]:
    """Find the decimal and the thousands mark of a table.

    Numbers with one reading decide: ``0,85``, ``1.234,5``, ``3.1416``, ``1.234.567``. A thousands
    mark is found only in such numbers, so that without them ``1.708`` is never 1708. Without any,
    the mark in numbers such as ``1.708`` is taken for the decimal mark where the separator of the
    cells speaks for it (a comma in a table with semicolons, a point otherwise). Where it does not
    and integers such as 319 stand in the same column, the style is such that
    `xtalshift.data.numbers.read_numbers` refuses these numbers as ``ambiguous``.

    Parameters
    ----------
    columns : mapping of str to pandas.Series
        The columns of text that may be numbers: of the whole table, or of its head.
    separator : str
        What separates the cells in the file; ``""`` if nothing does, as in a spreadsheet.
    decimal, thousands : str, optional
        The user's choice, which decides. With the decimal mark alone, the other mark separates
        thousands if the table has it in no other place.

    Returns
    -------
    style : NumberStyle
    findings : tuple of Finding
        ``"ambiguous numbers"`` (refused), ``"two decimal marks"`` (those of the rarer are refused)
        and ``"decimal mark guessed"`` (read, but without proof).

    Raises
    ------
    ConfigError
        If `decimal` and `thousands` are the same.
    """
    found = [_Column.of(name, cells.iloc[:_HEAD]) for name, cells in columns.items()]
    if not any(column.decimal for column in found):
        found = [_Column.of(name, _worth_reading(cells)) for name, cells in columns.items()]
    if decimal is None and thousands in _MARKS:
        decimal = NumberStyle(thousands).other
    if decimal is not None:
        return _with_decimal(found, decimal, thousands), ()
    usual: Decimal = "," if separator == ";" else "."
    if any(column.decimal for column in found):
        return _by_votes(found, usual, thousands)
    return _without_votes(found, separator, usual, thousands)


def _with_decimal(
    found: list[_Column], decimal: Decimal, thousands: Thousands | None
) -> NumberStyle:
    other = NumberStyle(decimal).other
    if thousands is None:
        decimals = any(other in column.decimal for column in found)
        groups = not decimals and any(other in column.ambiguous for column in found)
        thousands = other if groups else _thousands(found, decimal)
    return NumberStyle(decimal, thousands)


def _by_votes(
    found: list[_Column], usual: Decimal, thousands: Thousands | None
) -> tuple[NumberStyle, tuple[Finding, ...]]:
    """Settle the style where numbers with one reading tell the decimal mark."""
    votes = {mark: sum(len(c.decimal.get(mark, ())) for c in found) for mark in _MARKS}
    decimal = max(_MARKS, key=lambda mark: (votes[mark], mark == usual))
    other = NumberStyle(decimal).other
    if votes[other]:
        where = [(c.name, *cell) for c in found for cell in c.decimal.get(other, ())]
        return NumberStyle(decimal, thousands or ""), (_two_marks(where, decimal),)
    findings = []
    grouping = _thousands(found, decimal) if thousands is None else thousands
    doubtful = [c for c in found if other in c.ambiguous and grouping != other]
    if doubtful:
        findings.append(_ambiguous(doubtful, other))
    padded = [c for c in found if decimal not in c.decimal and c.padded(decimal)]
    if padded:
        findings.append(_guessed(padded, decimal))
    return NumberStyle(decimal, grouping), tuple(findings)


def _without_votes(
    found: list[_Column], separator: str, usual: Decimal, thousands: Thousands | None
) -> tuple[NumberStyle, tuple[Finding, ...]]:
    """Settle the style where every number with a mark has two readings."""
    with_mark = {mark: [c for c in found if mark in c.ambiguous] for mark in _MARKS}
    seen = [mark for mark in _MARKS if with_mark[mark]]
    if len(seen) != 1:
        decimal = usual
    else:
        (decimal,) = seen
        mixed = any(column.beside_integers() for column in with_mark[decimal])
        unclear = mixed or separator != ";" if decimal == "," else mixed and separator != ","
        if unclear:
            decimal = NumberStyle(decimal).other
    findings = []
    other = NumberStyle(decimal).other
    if with_mark[other]:
        findings.append(_ambiguous(with_mark[other], other))
    guessed = with_mark[decimal]
    if separator == "," and decimal == ".":
        guessed = [column for column in guessed if column.padded(decimal)]
    if guessed:
        findings.append(_guessed(guessed, decimal))
    grouping = _thousands(found, decimal) if thousands is None else thousands
    return NumberStyle(decimal, grouping), tuple(findings)


def refuse_ambiguous(problems: npt.NDArray[np.object_], name: str) -> None:
    """Raise `DataError` if numbers of a column have two readings.

    For columns without which a command makes no sense, such as the target in training: a part of
    the rows would be a biased part.

    Parameters
    ----------
    problems : ndarray of str, shape (n,)
        As `xtalshift.data.numbers.read_numbers` gives them.
    name : str
        The column.
    """
    refused = np.flatnonzero(problems != "").tolist()
    rows = [row for row in refused if cause_of(problems[row]) == "ambiguous"]
    if rows:
        shown = "; ".join(f"row {row + 1}: {problems[row].partition(': ')[2]}" for row in rows[:2])
        raise DataError(
            f"column {name!r} has {len(rows)} numbers that can be read in two ways ({shown}). "
            f"{_SETTLE}"
        )


_SETTLE = (
    "Say which mark is the decimal mark, --decimal . or --decimal , and which one separates "
    "thousands, such as --thousands . or --thousands ' '"
)


def _worth_reading(cells: pd.Series) -> Iterable[object]:
    """Return the cells, or none if no cell has a mark: joined text is searched fast."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    joined = "\n".join(texts)
    return cells if any(mark in joined for mark in ".,'\u00a0\u202f\u2009 ") else ()


def _weigh(cell: str) -> _Evidence:
    text = tidy_text(cell)
    match = _INTEGER.fullmatch(text)
    if match:
        return _Evidence(integer=match.lastgroup or "")
    if _TWO_READINGS.fullmatch(text):
        return _Evidence(ambiguous="." if "." in text else ",")
    match = _ONE_MARK.fullmatch(text)
    if match:
        return _Evidence("." if match["mark"] == "." else ",")
    if not any(character.isdigit() for character in text):
        return _Evidence()
    causes = {mark: cause_of(read_number_text(text, NumberStyle(mark)).problem) for mark in _MARKS}
    group = _GROUPED.search(text)
    thousands = group["mark"].replace("\u00a0", " ") if group else ""
    evidence = _Evidence()
    for mark in _MARKS:
        here, there = causes[mark], causes[NumberStyle(mark).other]
        if there == "another decimal mark" != here:
            evidence = _Evidence(mark, "" if thousands == mark else thousands)
        elif there == "ambiguous" != here:
            evidence = _Evidence(ambiguous=mark)
    if causes["."] == causes[","] == "" and thousands in ("'", " "):
        evidence = _Evidence(thousands=thousands)
    return evidence


def _thousands(found: list[_Column], decimal: Decimal) -> Thousands:
    """Return the most frequent thousands mark of numbers with one reading."""
    counts = Counter[str]()
    for column in found:
        counts.update(column.thousands)
    del counts[decimal]
    marks: tuple[Thousands, ...] = (NumberStyle(decimal).other, " ", "'")
    best = max(marks, key=counts.__getitem__)
    return best if counts[best] else ""


def _finding(kind: str, where: list[tuple[str, int, str]], reason: str, remedy: str) -> Finding:
    examples = tuple(
        Example(row + 1, "", cell, f"column {name!r}: {reason}")
        for name, row, cell in where[:MAX_EXAMPLES]
    )
    return Finding(kind, len(where), examples, remedy)


def _two_marks(where: list[tuple[str, int, str]], decimal: Decimal) -> Finding:
    return _finding(
        "two decimal marks",
        where,
        f"most numbers of the table have the decimal mark {decimal!r}",
        "Write all numbers with one decimal mark, or say which one it is: --decimal . or "
        "--decimal , (numbers with the other one are refused)",
    )


def _ambiguous(columns: list[_Column], mark: Decimal) -> Finding:
    where = [(column.name, *cell) for column in columns for cell in column.ambiguous[mark]]
    example = where[0][2]
    return _finding(
        AMBIGUOUS,
        where,
        f"{mark!r} can be the decimal or the thousands mark; refused",
        f"Give --decimal '{mark}' if {example} is a number with decimals, or --thousands '{mark}' "
        "if the mark separates thousands",
    )


def _guessed(columns: list[_Column], mark: Decimal) -> Finding:
    other = NumberStyle(mark).other
    where = [(column.name, *cell) for column in columns for cell in column.ambiguous[mark]]
    return _finding(
        "decimal mark guessed",
        where,
        f"{mark!r} is taken for the decimal mark; no number of the column tells",
        f"If it separates thousands, give --decimal {other} --thousands {mark}",
    )
