"""The text of one cell as a number: what is read, and why the rest is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from xtalshift.data.units import known_unit
from xtalshift.errors import ConfigError

Decimal: TypeAlias = Literal[".", ","]
Thousands: TypeAlias = Literal["", ",", ".", " ", "'"]

_SHOWN = 40
_LONGEST = 80
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u202f\u2006\u2007\u2008\u2009\u200a", "\u00a0"),  # never break
        **dict.fromkeys("\t\r\n\u2002\u2003\u2004\u2005\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", ""),  # no width
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **dict(zip("\uff0e\uff0c\uff0b\uff05", ".,+%", strict=True)),  # of full width
    }
)
_EXPONENTS: Final = tuple("epbrqs")
_POWERS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")

_S = "[ \u00a0]*"
_EXPONENT = (
    rf"(?:[eE](?P<e>[-+]?[0-9]+)|{_S}[xX\u00d7✕*·⋅]{_S}10"
    r"(?:(?:\^|\*\*)(?:(?P<p>[-+]?[0-9]+)|\{(?P<b>[-+]?[0-9]+)\}|\((?P<r>[-+]?[0-9]+)\))"
    r"|(?P<q>[-+][0-9]+)|(?P<s>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)))"
)
_POWER_OF_TEN = re.compile(
    rf"(?P<sign>[-+]?)10(?:\^(?P<p>[-+]?[0-9]+)|(?P<s>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)){_S}(?P<unit>.*)"
)
_PLUS_MINUS = re.compile(rf"{_S}(?:±|\+/-|\+-|\\pm){_S}")
_BRACKETED = re.compile(rf"\((?P<inside>.*)\)(?P<exponent>{_EXPONENT})?{_S}(?P<unit>.*)")
_APPROXIMATE = re.compile(
    rf"(?:[~≈\u223c≅≃]|(?:ca|circa|approx|approximately|about|around|roughly)\b\.?|c\.){_S}(?P<rest>.+)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    rf"(?:(?P<less><=?|=<|≤|≦|⩽|&lt;|(?:less than|smaller than|lower than|below|under|up to"
    r"|at most|max|maximum)\b\.?)|(?P<more>>=?|=>|≥|≧|⩾|&gt;|(?:more than|greater than|"
    rf"higher than|larger than|above|over|at least|min|minimum)\b\.?)){_S}(?P<rest>.+)",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(
    rf"(?P<rest>.+?){_S}(?:(?P<more>\+|or more|and above)|(?P<less>or less|and below))",
    re.IGNORECASE,
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"(?:[12][0-9]{3}([-/.])[0-9]{1,2}\1[0-9]{1,2}(?:[ T].*)?"
    r"|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:[0-9]{4}|[0-9]{2})(?: .*)?"
    r"|[0-9]{1,2}\.[0-9]{1,2}\."
    r"|[12][0-9]{3}-(?:0[1-9]|1[0-2])"
    rf"|[0-9]{{1,2}}[-. ]*{_MONTH}(?:[-. ]*[0-9]{{2,4}})?|{_MONTH}[-. ]*[0-9]{{1,4}}"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(rf"{_S}(?:\bto\b|\bbis\b|\.\.\.?|…|~|\u223c|÷|-){_S}", re.IGNORECASE)
_SEVERAL = tuple(
    re.compile(mark)
    for mark in (rf"{_S};{_S}", rf"{_S}/{_S}", rf"{_S}\|{_S}", rf"{_S}(?:&|\band\b|\bor\b){_S}",
                 r",[ \u00a0]+", r"[ \u00a0]+", ",")
)  # fmt: skip
_INFINITE = re.compile(r"(?P<sign>[-+]?)(?:inf|infinity|∞)", re.IGNORECASE)
_SPACED = re.compile(r"[-+]?[1-9][0-9]{0,2}(?: [0-9]{3})+(?:[.,][0-9]+)?")
_ONE_MARK = re.compile(r"[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}(?![0-9.,'\u00a0(eE])")


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a table are written.

    The options ``--decimal`` and ``--thousands`` set it; otherwise
    `xtalshift.data.number_style.settle_style` finds it in the cells.

    Raises
    ------
    ConfigError
        If a mark is unknown or both are the same.
    """

    decimal: Decimal = "."
    """Mark before the decimals."""
    thousands: Thousands = ""
    """Mark between groups of three digits; ``""`` if none is known to be used."""

    def __post_init__(self) -> None:
        if self.decimal not in (".", ","):
            raise ConfigError(f"decimal mark {self.decimal!r}; expected '.' or ','")
        if self.thousands not in ("", ",", ".", " ", "'"):
            raise ConfigError(
                f"thousands mark {self.thousands!r}; expected ',', '.', ' ' (a space), \"'\" or ''"
            )
        if self.decimal == self.thousands:
            raise ConfigError(f"{self.decimal!r} cannot be both the decimal and the thousands mark")

    def describe(self) -> str:
        """Return both marks in one line."""
        names = {".": "point", ",": "comma", " ": "space", "'": "apostrophe"}
        thousands = names.get(self.thousands)
        return f"decimal {names[self.decimal]}" + (f", thousands {thousands}" if thousands else "")

    @property
    def other(self) -> Decimal:
        """Point or comma, the one that is not the decimal mark."""
        return "," if self.decimal == "." else "."


POINT = NumberStyle()
"""A decimal point, and no thousands mark."""


@dataclass(frozen=True)
class NumberText:
    """What a text says about a number."""

    value: float = math.nan
    """The number; NaN if the text is refused."""
    problem: str = ""
    """Why it is refused: a cause, ``": "`` and the text; ``""`` for a number."""
    note: str = ""
    """What was left out in reading the number, in the same form; ``""`` for nothing."""
    unit: str = ""
    """Unit behind the number, see `xtalshift.data.units.known_unit`."""
    lower: float = -math.inf
    upper: float = math.inf
    """What is known of the value, also of a refused one: ``<4.2`` is below 4.2."""


def read_number_text(text: str, style: NumberStyle) -> NumberText:
    """Read the text of a cell that is not blank.

    Parameters
    ----------
    text : str
        Such as ``"-1.5"``, ``"1 234,5"``, ``"1.2e-3"``, ``"20 K"``, ``"1.234(5)"``, ``"<4.2"``.
    style : NumberStyle
        What point and comma mean. A text that has only one meaning is read in every style that does
        not contradict it: ``1,234.5`` and ``1,234,567`` where the decimal mark is the point.

    Returns
    -------
    NumberText
        The number that the whole text says. No part of a text that is not understood is dropped.
    """
    shown = f"{text.strip()[:_SHOWN]!r}"
    tidy = tidy_text(text)
    if len(tidy) > _LONGEST:
        return NumberText(problem=f"not a number: {shown}")
    infinite = _INFINITE.fullmatch(tidy)
    if infinite:
        value = -math.inf if infinite["sign"] == "-" else math.inf
        return NumberText(value, "infinite")
    found = _read_value(tidy, style)
    if found:
        return replace(found, note=f"{found.note}: {shown}") if found.note else found
    return (
        _refuse_bound(tidy, style, shown)
        or _refuse_mark(tidy, style, shown)
        or _refuse_several(tidy, style, shown)
        or NumberText(problem=f"not a number: {shown}")
    )


def tidy_text(text: str) -> str:
    """Return a text with plain dashes, digits, apostrophes and spaces.

    Spaces that do not break lines become U+00A0: between digits they only group.
    """
    text = re.sub("^\\s*\u2212\\s+(?=[0-9.,])", "-", text)  # a true minus may stand apart
    return text.translate(_CHARACTERS).strip()


@lru_cache(maxsize=32)
def _pattern(style: NumberStyle) -> re.Pattern[str]:
    """Return the pattern of digits, brackets with an uncertainty, an exponent, and the rest."""
    d, o, head = re.escape(style.decimal), re.escape(style.other), "[1-9][0-9]{0,2}"
    decimals = f"(?:{d}[0-9]+)?"
    forms = [  # first what has one meaning in any table: apostrophes, narrow spaces, both marks
        f"{head}(?:'[0-9]{{3}})+{decimals}",
        f"{head}(?:\u00a0[0-9]{{3}})+{decimals}",
        f"{head}(?:{o}[0-9]{{3}})+{d}[0-9]+",
        f"{head}(?:{o}[0-9]{{3}}){{2,}}",
    ]
    if style.thousands == style.other:
        forms.append(f"{head}(?:{o}[0-9]{{3}})+")
    if style.thousands == " ":
        forms.append(f"{head}(?:[ \u00a0][0-9]{{3}})+{decimals}")
    last = "*" if style.decimal == "." else "+"  # "5." is a number, but "5," ends a clause
    forms += [f"[0-9]+(?:{d}[0-9]{last})?", f"{d}[0-9]+"]
    return re.compile(
        rf"(?P<sign>[-+]?)(?P<digits>{'|'.join(forms)})(?P<brackets>\([0-9]+(?:{d}[0-9]+)?\))?"
        rf"{_EXPONENT}?{_S}(?P<unit>.*)"
    )


def _read_plain(text: str, style: NumberStyle) -> NumberText | None:
    """Read digits with an uncertainty in brackets or a unit behind them, and nothing else."""
    match = _POWER_OF_TEN.fullmatch(text)
    if match:
        value, note = float(f"{match['sign']}1e{_exponent(match)}"), ""
    else:
        match = _pattern(style).fullmatch(text)
        if match is None:
            return None
        grouped = style.other in match["digits"] and style.decimal not in match["digits"]
        exponent = _exponent(match)
        if grouped and (match["brackets"] or exponent):  # 1.234(5), 1.234e5: only decimals so
            return None
        value = float(f"{_mantissa(match, style)}e{exponent or 0}")
        note = "an uncertainty" if match["brackets"] else ""
    unit = known_unit(match["unit"]) if match["unit"] else ""
    return None if unit is None else NumberText(value, "", note, unit, value, value)


def _mantissa(match: re.Match[str], style: NumberStyle) -> str:
    digits = re.sub(rf"[^0-9{style.decimal}]", "", match["digits"])
    return match["sign"] + digits.replace(",", ".")


def _exponent(match: re.Match[str]) -> str:
    found = next((text for key in _EXPONENTS if (text := match.groupdict().get(key))), "")
    return found.translate(_POWERS)


def _read_value(text: str, style: NumberStyle) -> NumberText | None:
    """Read a number with all that may stand around it, or return None."""
    plain = _read_plain(text, style) or _read_uncertain(text, style)
    if plain:
        return plain
    match = _APPROXIMATE.fullmatch(text)
    inner = _read_plain(match["rest"], style) if match else None
    return replace(inner, note="approximate") if inner else None


def _read_uncertain(text: str, style: NumberStyle) -> NumberText | None:
    """Read ``1.2 ± 0.1 eV`` and ``(1.2 ± 0.1)x10⁻³ eV``."""
    match = _BRACKETED.fullmatch(text)
    parts = _PLUS_MINUS.split(match["inside"] if match else text)
    if len(parts) != 2:  # noqa: PLR2004 - a value and its uncertainty
        return None
    value, error = (_read_plain(part, style) for part in parts)
    if value is None or error is None or value.note or error.note:
        return None
    number, unit = value.value, value.unit
    if error.unit != "%":  # 1.2 ± 5%: a part of the value
        if unit and error.unit not in ("", unit):
            return None
        unit = unit or error.unit
    if match:
        outer = known_unit(match["unit"]) if match["unit"] else ""
        if outer is None or (outer and unit):
            return None
        unit = unit or outer
        if match["exponent"]:
            digits = _pattern(style).fullmatch(parts[0])
            if digits is None or _exponent(digits):
                return None
            number = float(f"{_mantissa(digits, style)}e{_exponent(match)}")
    return NumberText(number, "", "an uncertainty", unit, number, number)


def _refuse_bound(text: str, style: NumberStyle, shown: str) -> NumberText | None:
    match = _BOUND.fullmatch(text) or _BOUND_BEHIND.fullmatch(text)
    inner = _read_value(match["rest"], style) if match else None
    if match is None or inner is None:
        return None
    lower, upper = (-math.inf, inner.value) if match["less"] else (inner.value, math.inf)
    return NumberText(problem=f"a bound: {shown}", unit=inner.unit, lower=lower, upper=upper)


def _refuse_mark(text: str, style: NumberStyle, shown: str) -> NumberText | None:
    """Refuse a number that another style reads: its point, comma or space is not settled."""
    spaced = NumberStyle(style.decimal, " ")
    for other in (spaced, NumberStyle(style.other), NumberStyle(style.other, " ")):
        found = _read_value(text, other) or _refuse_bound(text, other, "")
        if found is None:
            continue
        if other is spaced:
            problem = f"ambiguous: {shown} has a space between digits"
        elif _ONE_MARK.match(text.lstrip("<>=≤≥~≈ \u00a0")):
            small = next(x for x in (found.value, found.lower, found.upper) if math.isfinite(x))
            problem = f"ambiguous: {shown} has {small:.10g} or {1000 * small:.10g}"
        else:
            problem = f"another decimal mark: {shown}; the table has {style.decimal!r}"
        return NumberText(problem=problem, unit=found.unit)
    return None


def _refuse_several(text: str, style: NumberStyle, shown: str) -> NumberText | None:
    if _DATE.fullmatch(text):
        return NumberText(problem=f"a date: {shown}")
    for left, right in _pairs(text):
        first, last = _read_value(left, style), _read_value(right, style)
        if first and last and (not first.unit or first.unit == last.unit):
            low, high = first.value, last.value
            if low > high:  # 10-3 may stand for 10^-3, and a slip for another number
                return NumberText(problem=f"a reversed range: {shown}", unit=last.unit)
            return NumberText(problem=f"a range: {shown}", unit=last.unit, lower=low, upper=high)
    for mark in _SEVERAL:
        found = [_read_value(part, style) for part in mark.split(text)]
        if len(found) > 1 and all(found):
            values = [number.value for number in found if number]
            return NumberText(
                problem=f"several values: {shown}", lower=min(values), upper=max(values)
            )
    return None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the two ends of what may be a range."""
    match = re.fullmatch(rf"between{_S}(.+?){_S}and{_S}(.+)", text, re.IGNORECASE)
    if match:
        yield match[1], match[2]
    for match in _BETWEEN.finditer(text, 1):
        yield text[: match.start()], text[match.end() :]
