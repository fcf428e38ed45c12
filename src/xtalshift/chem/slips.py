"""Slips of typing that give another formula: characters that look like others."""

from __future__ import annotations

import re
from typing import NamedTuple

from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.chem.two_readings import NONMETALS, SYMBOL, can_cancel, can_cancel_mixed

RARE = {"Po": "PO", "Cf": "CF", "No": "NO", "Bh": "BH", "Hs": "HS", "Cn": "CN", "Nh": "NH"}
"""Elements that are in no ordinary table, and the two that are often meant by their letters."""

PAIRS = {
    symbol.upper(): symbol
    for symbol, z in ATOMIC_NUMBERS.items()
    if {*symbol.upper()} <= ATOMIC_NUMBERS.keys() and symbol not in RARE and len(symbol) > 1
    and z <= ATOMIC_NUMBERS["Lr"]  # nobody means a heavier one
}  # fmt: skip
"""Two capitals that are elements, and the element that they may stand for: PB for Pb."""

_LEADING_ZERO = re.compile(r"(?<![0-9.])(?<![0-9][eE])(?<![0-9][eE][+-])0(?=[0-9])")  # Ti02
_ZERO_BEHIND_O = re.compile(r"(?<=O)0(?=[0-9])")  # TiO02
_ZERO_BEFORE_H = re.compile(r"(?<=[A-Za-z(\[])0(?=H(?![a-z]))")  # Na0H, Ca(0H)2
_LAST_ZERO = re.compile(r"(?<=[A-Za-z)\]])0$")  # Zn0
_ZERO_LAST = re.compile(r"(?<=[A-Za-z)\]])[1-9][0-9]*0(?=[1-9][0-9]*(?:\)[0-9]*)?$)")  # Al203
_ZERO_INSIDE = re.compile(r"(?<=[A-Za-z)\]])[1-9][0-9]*0(?=[1-9][0-9]*(?![0-9.]))")  # K204S1
_ZERO_AMID = re.compile(r"(?<=[A-Za-z)\]])[1-9][0-9]*0(?=[1-9][0-9]?(?![0-9.]))")  # YBa2Cu307
_SMALL = 10.0
_ZERO_IN_NUMBER = re.compile(r"[A-Za-z)\]][1-9][0-9]*0[1-9]")
_ZERO_AT_END = re.compile(r"(?<=.)([A-Z][a-z]?)[2-9]0$")  # Ca4Sb20
_ELEMENT_20 = re.compile("(?:H|Li|Na|K|Rb|Cs|Cu|Ag|Tl)20")
_LETTER_BEFORE_POINT = re.compile(r"(?<=.)([OI])(?=\.[0-9])")  # LiO.5CoO2
_CARBON = "write 'Cl' for chlorine or '(C)' for carbon"
_OTHER_CHARACTER = (
    (re.compile(r"CI(?![a-z])|C1(?=[1-9]?$)"), "Cl", _CARBON),
    (
        re.compile(r"CO(?=O(?![a-z]))"),
        "Co",
        "write 'Co' for cobalt or '(C)O' for carbon and oxygen",
    ),
    (re.compile(r"(?<=[0-9])O(?![a-z0-9])"), "0", "write the digit, or 'O1' for oxygen"),
    (re.compile(r"(?<=[0-9])I(?![a-z0-9])"), "1", "write the digit, or 'I1' for iodine"),
)
_CHLORINE = re.compile(r"C[I1](?=[1-9]?$)")  # NaCI, CaC12
_PAIR = re.compile(r"(?=([A-Z]{2})(?![a-z]))")
_SYMBOL_BEHIND = re.compile(r"\S+ +[(\[]?([A-Z][a-z]?)[)\]]?")  # Ce3Bi4Pd3 P
_NUMBER_BEHIND = re.compile(r"\S*[A-Z)\]]\S*?([A-Z][a-z]?|[)\]]) +([0-9.]+)")  # CaBi 2
_TWICE = re.compile(r"([A-Z][a-z]?)[0-9.]*(?=\1(?![a-z]))")


class Slip(NamedTuple):
    """A character that probably stands for another one."""

    position: int
    """Where it is."""
    what: str
    """What is doubtful about it."""
    likely: str
    """The text that was probably meant."""
    remedy: str
    """What to write if the text is right."""


def find_slip(text: str) -> Slip | None:
    """Return the first character of a formula that almost certainly stands for another one.

    A zero for the letter O (``Ti02``). The letter O before a decimal point (``LiO.5CoO2``), where
    another decimal has its zero or another O stands elsewhere. And a character that looks like
    another one (``NaC1``, ``LiCOO2``, ``Mg1OAl20O40``), if charges cannot cancel as it is written
    but can with the other one.
    """
    if (likely := zero_for_o(text)) != text:
        at = next(at for at in range(len(text)) if not likely.startswith(text[: at + 1]))
        return Slip(at, "a zero may be the letter O", likely, "write the letter")
    if slip := _letter_before_point(text) or _chloride_of_metals(text):
        return slip
    for pattern, other, remedy in _OTHER_CHARACTER:
        for found in pattern.finditer(text):
            likely = f"{text[: found.start()]}{other}{text[found.end() :]}"
            if other == "0" and "O" not in SYMBOL.findall(likely):
                continue
            if not can_cancel(text) and can_cancel(likely):
                return Slip(found.start(), f"{found[0]!r} may be {other!r}", likely, remedy)
    return None


def _chloride_of_metals(text: str) -> Slip | None:
    """Find NaCI and NaC1: carbon is last in a formula of metals that would be a chloride."""
    found = _CHLORINE.search(text)
    if not found or re.search(r"[a-zA-Z]1(?![0-9.])", text[: found.start()]):
        return None  # Ag1C1: all amounts are written
    likely = f"{text[: found.start()]}Cl{text[found.end() :]}"
    if {*SYMBOL.findall(likely)} & (NONMETALS - {"Cl"}) or not can_cancel(likely):
        return None
    return Slip(found.start(), f"{found[0]!r} may be 'Cl'", likely, _CARBON)


def _letter_before_point(text: str) -> Slip | None:
    found = _LETTER_BEFORE_POINT.search(text)
    if not found:
        return None
    zero_written = re.search(r"(?<![0-9])0\.", text)
    another = re.search(r"O(?![a-z.])", text) and not re.search(r"[A-Za-z)\]]\.", _without(found))
    if not zero_written and not (found[1] == "O" and another):
        return None
    digit = {"O": "0", "I": "1"}[found[1]]
    likely = f"{text[: found.start()]}{digit}{text[found.end() :]}"
    what = f"the letter {found[1]} before a decimal point may be a {digit}"
    return Slip(found.start(), what, likely, f"write '{found[1]}0.' for the letter {found[1]}")


def _without(found: re.Match[str]) -> str:
    return f"{found.string[: found.start()]} {found.string[found.end() + 1 :]}"


def zero_for_o(text: str) -> str:
    """Return a formula with the letter O for zeros that stand for it.

    An amount that begins with a zero (``Ti02``); and in a formula without oxygen a last amount of 0
    (``Zn0``), or one as in ``Al203``, if charges can cancel with the letter but not with the zero,
    or if all other amounts are below 10 (``YBa2Cu307``; none of 140,000 formulas of real tables is
    written so).
    """
    if "0" not in text:
        return text
    changed = _LEADING_ZERO.sub("O", _ZERO_BEHIND_O.sub("", _ZERO_BEFORE_H.sub("O", text)))
    if "O" in SYMBOL.findall(changed):
        return changed
    changed = _LAST_ZERO.sub("O", changed)
    for pattern, neutral in ((_ZERO_LAST, can_cancel_mixed), (_ZERO_INSIDE, can_cancel)):
        for found in pattern.finditer(changed):
            likely = f"{changed[: found.end() - 1]}O{changed[found.end() :]}"
            if neutral(likely) and not can_cancel(changed):
                return likely
    for found in _ZERO_AMID.finditer(changed):
        others = f"{changed[: found.start()]} {changed[found.end() :].lstrip('0123456789')}"
        amounts = re.findall(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+", others)
        if len({*SYMBOL.findall(changed)}) > 1 and all(float(n) < _SMALL for n in amounts):
            return f"{changed[: found.end() - 1]}O{changed[found.end() :]}"
    return changed


def find_doubts(text: str) -> list[str]:
    """Return notes on what a formula may have been meant to be.

    They concern what is rarely meant, but cannot be refused: some real formulas are written so.
    """
    doubts = []
    symbols = set(SYMBOL.findall(text))
    for letter in _LETTER_BEFORE_POINT.findall(text):
        element, digit = {"O": ("oxygen", 0), "I": ("iodine", 1)}[letter]
        doubts.append(
            f"a letter before a point: {letter} read as {element}, write {digit} for the digit"
        )
    for pair in _PAIR.findall(text):
        if symbol := PAIRS.get(pair):
            merged = text.replace(pair, symbol, 1)
            capitals = text.isupper() and not {"C", "H"} <= symbols
            if can_cancel(merged) and (capitals or not can_cancel(text)):
                doubts.append(
                    f"capitals that may be one symbol: {pair}, write {symbol} for the element"
                )
    if re.search(r"CI(?![a-z])|C1[0-9]?$", text) and "H" not in symbols and len(symbols) > 1:
        doubts.append("C read as carbon: write Cl for chlorine")
    doubts += [
        f"a rare element: {symbol}, write {RARE[symbol]} for {' and '.join(RARE[symbol])}"
        for symbol in sorted(symbols & RARE.keys())
    ]
    return [*doubts, *_doubtful_numbers(text, symbols)]


def _doubtful_numbers(text: str, symbols: set[str]) -> list[str]:
    """Return notes on amounts and on symbols behind others."""
    doubts = []
    if not {"C", "H"} <= symbols:
        doubts += [
            f"an element twice in a row: the amounts of {twice[1]} are added"
            for twice in _TWICE.finditer(text)
        ]
    if spaced := _NUMBER_BEHIND.fullmatch(text):
        doubts.append(f"an amount behind a space: {spaced[2]} of {spaced[1]}")
    if (spaced := _SYMBOL_BEHIND.fullmatch(text)) and len(symbols) > 2:  # noqa: PLR2004
        doubts.append(f"an element behind a space: {spaced[1]}")
    if "O" not in symbols and "0" in text and len(symbols) > 1:
        ending = _ZERO_AT_END.search(text)
        oxide = ending and ending[1] not in NONMETALS and can_cancel(f"{text[:-1]}O")
        # molecules have such numbers (C30H102, B160H208)
        molecule = "H" in symbols and NONMETALS.issuperset(symbols)
        if (_ZERO_IN_NUMBER.search(text) and not molecule) or (oxide and not can_cancel(text)):
            doubts.append("a zero read as a digit: write the letter O for oxygen")
    return doubts


def oxide_of_element(text: str) -> str:
    """Return the oxide of a text such as ``H20``, which is also the element; else ``""``."""
    return f"{text[:-1]}O" if _ELEMENT_20.fullmatch(text) else ""
