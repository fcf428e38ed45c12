"""How formula texts are read, by docs/input.md: one character at a time, with exact numbers.

A text has several readings where the document leaves open which one is meant, and may be refused
where the document only says why. Texts are read without ``--amounts``; alloys are refused.
"""

import ast
import itertools
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from xtalshift.chem.elements import SYMBOLS

_ELEMENTS = {symbol: symbol for symbol in SYMBOLS[1:]} | {"D": "H", "T": "H"}
_NONMETALS = set("H B C N O F Si P S Cl Ge As Se Br Te I At".split())  # noqa: SIM905
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_PLAIN = r"\d*\.?\d+"
_NUMBER = re.compile(rf"{_PLAIN}/\d+|{_PLAIN}(?:e[+-]?|E[+-])\d+|{_PLAIN}")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SMALLEST, _LARGEST = Fraction(1, 10**8), Fraction(10**9)
_MISSING = {"", "-", "nan", "n/a"}


@dataclass
class Outcome:
    """Readings (element: amount) that the document admits, and whether it admits a refusal."""

    readings: list
    refusal: bool


REFUSED = Outcome([], refusal=True)


class _NoFormulaError(Exception):
    """The text does not follow the grammar."""


def read(text, *, expand=False):
    """Return the outcomes that docs/input.md admits for `text`."""
    text = _plain_characters(text).strip()
    if text.lower() in _MISSING and text not in _ELEMENTS and text != "NaN":
        return REFUSED
    if text.startswith("{") and ":" in text:
        return _read_dictionary(text)
    sample = re.search(r"_\d+$|_\$", text.translate(_SUBSCRIPTS)) is not None
    text = _plain_subscripts(text)
    doubtful = sample or _is_a_word(text) or _may_be_a_slip(text)
    if "," in text:
        if not re.search(r"(?<!\d)0,\d", text) or re.search(r"\.|(?<!\d),|,(?!\d)", text):
            return REFUSED
        text = text.replace(",", ".")
    readings, refusal = [], doubtful
    if ".." in text:
        return REFUSED
    for joined in _choices_of_joints(text):
        parts = _cut(text, joined)
        if parts is None:
            continue
        if len(parts) > 1 and not expand:
            refusal = True
            continue
        try:
            reading, doubt = _add_parts(parts, expand=expand)
        except _NoFormulaError:
            refusal = True
            continue
        readings.append(reading)
        refusal |= doubt
    return Outcome(readings, refusal or not readings)


def _read_dictionary(text):
    try:
        tree = ast.parse(re.sub(r"\bnull\b", "None", text), mode="eval").body
        pairs = [
            (ast.literal_eval(k), ast.literal_eval(v))
            for k, v in zip(tree.keys, tree.values, strict=True)
        ]
        amounts = {}
        if len({key for key, _ in pairs}) < len(pairs):
            return REFUSED
        for key, value in pairs:
            symbol = re.fullmatch(r"([A-Z][a-z]?)(?:[\d.]*[+-]|[+-][\d.]+)?", key.strip()).group(1)
            if isinstance(value, str):
                return REFUSED
            if value is not None:
                name = _ELEMENTS[symbol]
                amounts[name] = amounts.get(name, 0) + Fraction(value)
    except (AttributeError, KeyError, SyntaxError, TypeError, ValueError):
        return REFUSED
    if (
        not amounts
        or not all(0 <= value <= _LARGEST for value in amounts.values())
        or not any(amounts.values())
    ):
        return REFUSED
    return Outcome([{name: value for name, value in amounts.items() if value}], refusal=False)


def _plain_characters(text):
    """Replace full-width characters and unusual spaces, and leave out what cannot be seen."""
    text = "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)
    text = re.sub("[\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}]", "", text)
    return "".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c for c in text)


def _may_be_a_slip(text):
    """Whether a character may stand for another one, or a symbol for a label."""
    if text.isupper() and re.search("[DT]", text):
        return True  # TIO2
    label = r" [(\[]?[A-Z][)\]]?$"
    return (
        re.search(rf"II|CI|e0|E[+-]0+$|_|/\d+\.|C1\d?$|COO|[OI]\.|\d[OI](?![a-z\d])|{label}", text)
        is not None
    )


def _plain_subscripts(text):
    text = re.sub(r"\\mathrm\{(.*)\}", r"\1", text)
    text = re.sub(
        r"(?i)(?<!\d)< *sub *> *([\d./]+) *< */ *sub *>", r"\1", text.translate(_SUBSCRIPTS)
    )
    text = re.sub(r"(?<!\d)\$_\{ *([\d./]+) *\}\$|(?<!\d)\$_(\d)\$", lambda m: m[1] or m[2], text)
    text = re.sub(r"(?<!\d)_\{ *([\d./]+) *\}|(?<!\d)_(\d)", lambda m: m[1] or m[2], text)
    return text.replace("$", "")


def _is_a_word(text):
    """Whether the text may be an abbreviation such as ITO or name a group such as OAc."""
    return bool(re.fullmatch(r"[A-Z]{3,}", text) or re.search(r"Ac|OPr|OBu|OMe|OEt", text))


def _choices_of_joints(text):
    """Every choice of dots that join parts: those that must, with any of those that may."""
    must = [m.start() for m in re.finditer(r"[·*•]|\.(?= |[A-Z(\[{]|0\.\d|\d+/\d)", text)]
    may = []
    for m in re.finditer(r"\.(?=(\d+) *[A-Z(\[{])", text):
        left, right, count = text[: m.start()], text[m.end() :], int(m[1])
        water = re.match(r"\d+ *\(?[HD]2O\)?(?=[.·•*]|$)", right)
        if m[1].startswith("0") or re.search(r"(?<!\d)0$", left):
            continue
        if not 1 <= count <= (99 if water else 24):
            continue
        if water:
            may.append(m.start())
            continue
        if len(_elements(left)) < 2 or len(_elements(right)) < 2:
            continue
        last = re.sub(r"[\d.]+$", "", left.rstrip())
        if last.endswith((")", "]", "}")) or _elements(last)[-1] in _NONMETALS:
            may.append(m.start())
    for count in range(len(may) + 1):
        for some in itertools.combinations(may, count):
            yield sorted([*must, *some])


def _elements(text):
    return [symbol for symbol in re.findall(r"[A-Z][a-z]?", text) if symbol in _ELEMENTS]


def _cut(text, places):
    edges = [-1, *places, len(text)]
    parts = [text[a + 1 : b].strip() for a, b in itertools.pairwise(edges)]
    return parts if all(parts) else None


def _add_parts(parts, *, expand):
    total, doubtful = {}, False
    for part in parts:
        factor, rest = Fraction(1), part
        if expand and (found := _NUMBER.match(part)):
            factor, rest = _amount_of(found[0]), part[found.end() :].lstrip()
            if not factor or re.match(r"0\d", found[0]):
                raise _NoFormulaError
        reader = _Reader(rest)
        for symbol, amount in reader.read_all().items():
            total[symbol] = total.get(symbol, 0) + factor * amount
        doubtful |= reader.doubtful
    kept = {symbol: amount for symbol, amount in total.items() if amount >= _SMALLEST}
    if not kept or max(kept.values()) > _LARGEST:
        raise _NoFormulaError
    return kept, doubtful


def _amount_of(text):
    above, _, below = text.partition("/")
    if below and not Fraction(below):
        raise _NoFormulaError
    return Fraction(above) / Fraction(below) if below else Fraction(text)


class _Reader:
    """Recursive descent: units, each an element or a bracket with an amount behind it."""

    def __init__(self, text):
        self.text, self.at, self.doubtful = text, 0, False

    def read_all(self):
        amounts = self._read_units(None)
        if self.at < len(self.text):
            raise _NoFormulaError
        return amounts

    def _peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def _skip_spaces(self):
        start = self.at
        while self._peek() == " ":
            self.at += 1
        return self.at > start

    def _read_units(self, closing):
        amounts = {}
        while True:
            self._skip_spaces()
            if self._peek() in ("", closing):
                break
            unit = self._read_unit()
            factor = self._read_amount()
            for symbol, amount in unit.items():
                amounts[symbol] = amounts.get(symbol, 0) + factor * amount
        if not amounts or (closing and self._peek() != closing):
            raise _NoFormulaError
        return amounts

    def _read_unit(self):
        if self._peek() in _CLOSING:
            closing = _CLOSING[self._peek()]
            start = self.at
            self.at += 1
            inside = self._read_units(closing)
            self.at += 1
            if re.fullmatch(r"\((II|III|IV|VI|VII|VIII)\)", self.text[start : self.at]):
                raise _NoFormulaError
            if self.text[start - 1 : start].isalnum() and self.text[start : self.at] in (
                "(I)",
                "(V)",
            ):
                if not re.fullmatch(r" *[\d.]+", self.text[self.at :]):
                    raise _NoFormulaError  # ``Cu(I)2O`` may be copper(I) oxide
                self.doubtful = True
            return inside
        for length in (2, 1):
            symbol = self.text[self.at : self.at + length]
            if symbol in _ELEMENTS and len(symbol) == length:
                self.at += length
                return {_ELEMENTS[symbol]: Fraction(1)}
        raise _NoFormulaError

    def _read_amount(self):
        spaced = self._skip_spaces()
        found = _NUMBER.match(self.text, self.at)
        if not found:
            return Fraction(1)
        self.at = found.end()
        if spaced and self._peek() not in ("", " ", ")", "]", "}"):
            raise _NoFormulaError  # ``Fe 18Cr``
        self._look_for_the_letter_o(found[0])
        return _amount_of(found[0])

    def _look_for_the_letter_o(self, number):
        if re.match(r"0\d", number):
            raise _NoFormulaError  # ``Ti02``
        if number == "0":
            self.doubtful = True
        if "0" in number.partition(".")[0][1:]:
            self.doubtful = True  # ``Al203``
