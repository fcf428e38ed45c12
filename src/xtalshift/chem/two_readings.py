"""Dots that can be read in two ways, as decimal points or joints, and the charges that tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from xtalshift.chem.elements import ATOMIC_NUMBERS, load_elements

MOST_UNITS = 24
"""Largest number before a part that is joined by a dot; beta alumina is Na2O.11Al2O3."""

_MOST_WATER = 99  # H3PW12O40.29H2O

_DOT = re.compile(r"\.(?=([0-9]+(?:\.[0-9]+|/[0-9]+)?) *[A-Z(\[{])")
_NUMBER_BEFORE = re.compile(r"[0-9]*(?:\.[0-9]+)?$")
_WATER = re.compile(r"\(?[HD]2O\)?$")
SYMBOL = re.compile(r"[A-Z][a-z]?")
_AMOUNT = re.compile(r"([A-Z][a-z]?)([0-9]*\.?[0-9]*)|([(\[{])|([)\]}])([0-9]*\.?[0-9]*)")
_JOINTS = "·•⋅∙*"
NONMETALS = frozenset("H B C N O F Si P S Cl As Se Br Te I".split())  # noqa: SIM905
_TOLERANCE = 1e-6


class Joint(NamedTuple):
    """A dot that joins parts of a formula, or may do so."""

    position: int
    """Where the dot is."""
    sure: bool
    """Whether it cannot be a decimal point."""
    decimal: str
    """The number, if the dot is a decimal point."""
    part: str
    """The part behind the dot, if it is a joint."""
    remedy: str
    """How the decimal can be written so that it is one."""


def find_joints(text: str) -> list[Joint]:
    """Return the dots before a number that join parts (``CoCl2.6NH3``), or may do so.

    A dot may be a joint if a whole number from 1 to 24 stands behind it, units of at least two
    elements stand on both sides, the left one ends in a nonmetal, and the charges of common
    oxidation states cancel in one of the units (in both, if an amount in the right one is a
    decimal). Before water at the end every dot may be one. ``0.5`` is a decimal.
    """
    found: list[Joint] = []
    begin = 0  # of the part before the dot
    for dot in _DOT.finditer(text):
        at, count = dot.start(), dot[1]
        behind = _NUMBER_BEFORE.search(text[begin:at])
        before = behind[0] if behind else ""
        right = _part(text, dot.end(1)).strip()
        if before == "0" or (at and text[at - 1] in f".{_JOINTS}"):
            continue
        sure = "." in before or "/" in count or count.startswith("0.")
        if not sure and "." not in count and not _may_join(text[begin:at], count, right):
            continue
        number = f"{before or '0'}.{count}"
        remedy = _certain(before, count, _MOST_WATER if _WATER.fullmatch(right) else MOST_UNITS)
        found.append(
            Joint(at, sure, _last_symbol(text[begin:at]) + number, f"{count} {right}", remedy)
        )
        begin = at + 1
    return found


def _certain(whole: str, decimals: str, most: int) -> str:
    """Return a number with so many zeros at the end that its decimals count no units."""
    while whole and decimals.isdecimal() and 0 < int(decimals) <= most:
        decimals += "0"
    return f"{whole or '0'}.{decimals}"


def _part(text: str, begin: int) -> str:
    """Return the part of a text up to the next dot that is no certain decimal point."""
    for end in range(begin, len(text)):
        if text[end] in _JOINTS or (
            text[end] == "." and not re.search(r"(?<![0-9])0$", text[begin:end])
        ):
            return text[begin:end]
    return text[begin:]


def _last_symbol(text: str) -> str:
    symbols = SYMBOL.findall(text)
    return (
        symbols[-1] if symbols and not text.rstrip("0123456789").endswith((")", "]", "}")) else ""
    )


def _may_join(left: str, count: str, right: str) -> bool:
    water = _WATER.fullmatch(right) is not None
    if count[0] == "0" or int(count) > (_MOST_WATER if water else MOST_UNITS):
        return False
    if water:
        return True
    left = re.sub(r"^[0-9.]+", "", left)
    symbols, others = SYMBOL.findall(left), set(SYMBOL.findall(right))
    closed = left.rstrip("0123456789.").endswith((")", "]", "}"))
    if not symbols or not (closed or symbols[-1] in NONMETALS):
        return False
    if len(set(symbols)) < 2 or len(others) < 2 or not others & NONMETALS:  # noqa: PLR2004
        return False
    neutral = [can_cancel(unit) for unit in (left, right)]
    return all(neutral) if "." in right else any(neutral)


def can_cancel(unit: str) -> bool:
    """Return whether common oxidation states can cancel in a formula of several elements."""
    amounts = _count(unit)
    if amounts is None or len(amounts) < 2:  # noqa: PLR2004
        return False
    states = load_elements().oxidation_states
    sums = {0.0}
    for z, amount in amounts.items():
        sums = {round(one + amount * state, 6) for one in sums for state in states[z]}
    return any(abs(one) < _TOLERANCE for one in sums)


def _count(unit: str) -> dict[int, float] | None:
    """Return the amounts of a formula of symbols, decimals and brackets; None for another one."""
    if _AMOUNT.sub("", unit):
        return None
    stack: list[dict[int, float]] = [{}]
    for symbol, amount, opening, closing, factor in _AMOUNT.findall(unit):
        if opening:
            stack.append({})
        elif closing:
            if len(stack) == 1:
                return None
            group = stack.pop()
            _add(stack[-1], ((z, n * _float(factor)) for z, n in group.items()))
        elif symbol not in ATOMIC_NUMBERS:
            return None
        else:
            _add(stack[-1], [(ATOMIC_NUMBERS[symbol], _float(amount))])
    return stack[0] if len(stack) == 1 else None


def _add(total: dict[int, float], amounts: Iterable[tuple[int, float]]) -> None:
    for z, amount in amounts:
        total[z] = total.get(z, 0.0) + amount


def _float(text: str) -> float:
    return float(text) if text.strip(".") else 1.0


def can_cancel_mixed(unit: str) -> bool:
    """Return whether the charges of a formula can cancel if its elements have mixed valences."""
    amounts, states = _count(unit) or {}, load_elements().oxidation_states
    if not all(states[z] for z in amounts):
        return False
    lowest = sum(amount * min(states[z]) for z, amount in amounts.items())
    highest = sum(amount * max(states[z]) for z, amount in amounts.items())
    return lowest <= 0 <= highest
