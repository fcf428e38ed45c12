"""Alloys and mixtures: parts with their amounts in percent or as shares, as in ``Ti-6Al-4V``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from xtalshift.chem.elements import MAGPIE_PROPERTIES, SYMBOLS, load_elements

Amounts = Literal["at", "wt", "mol"]
"""What the numbers before the parts count: atoms, weight, or moles of the parts."""

_UNIT = r"(?:(?P<kind>wt|at|mol|w|a|m)\.?\s*)?%"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_DASH = r"(?<![0-9.][eE])[-+\u2010\u2011\u2013]"  # 9E-05 is a number
_PART = re.compile(
    rf"(?P<number>{_NUMBER})?\s*(?:{_UNIT})?\s*(?P<unit>[A-Z(\[][A-Za-z0-9.()\[\]]*)"
)
_KIND_BEHIND = re.compile(rf"[\s,(\[]+{_UNIT}[)\]]?$")  # Ti-6Al-4V (wt%)
_JOINT = re.compile(rf"\s*{_DASH}\s*|\s+")
_BEHIND = r"(?<=[A-Za-z0-9)\]])"
_GLUED = re.compile(  # a number before a symbol, behind a space or dash: Ti 6Al, Fe-0.4C
    rf"(?P<joint>{_BEHIND}\s*{_DASH}\s*|{_BEHIND}\s+){_NUMBER}(?:/[0-9]+|[eE][+-]?[0-9]+)?"
    r"(?P<space>\s*)(?=[A-Z(\[])(?!E[+-][0-9])|%"
)
_JOINED = re.compile(rf"[A-Za-z0-9)\]]\s*{_DASH}\s*[A-Z(\[]")
_HYDRATE = re.compile(r"\s[0-9]+\s*\(?[HD]2O\)?$")
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_HUNDRED = 100.0


class Part(NamedTuple):
    """One part of a mixture."""

    unit: str
    """Its formula."""
    number: float | None
    """The number before it; None for the balance."""


def is_mixture(text: str) -> bool:
    """Return whether a plain text is written as an alloy or mixture.

    A number glued to the *next* symbol behind a space or dash, a percent sign, or parts joined by a
    dash or plus sign. ``Fe 70 Cr 20`` is a formula with spaces.
    """
    for found in _GLUED.finditer(text):
        if not found["space"] or found["joint"].strip():
            return True
    return _JOINED.search(text) is not None


def has_grouped_parts(text: str) -> bool:
    """Return whether a bracket of a mixture holds several parts, as in ``(Ti 6Al) 4V``."""
    depth = 0
    for character in _KIND_BEHIND.sub("", text.strip()):
        depth += (character in "([{") - (character in ")]}")
        if depth > 0 and _JOINT.match(character):
            return True
    return False


def mixture_readings(text: str) -> str:
    """Return how the first number of a mixture can be read, for a message."""
    found = re.search(rf"(?<![A-Za-z0-9.])({_NUMBER})\s*([A-Z(\[][A-Za-z0-9.()\[\]]*)", text)
    if not found or "%" in text:
        return "parts by atoms, weight or moles"
    before = re.search(r"([A-Z][a-z]?)\s*$", text[: found.start()])
    parts = f"{found[1]} parts of {found[2]} by atoms, weight or moles"
    return f"{before[1]}{found[1]}, or {parts}" if before else parts


def read_mixture(
    text: str, amounts: Amounts | None, parse: Callable[[str], dict[int, float]]
) -> dict[int, float]:
    """Return the atoms of each element of a mixture, in percent.

    Parameters
    ----------
    text : str
        A plain text for which `is_mixture` is true.
    amounts : {"at", "wt", "mol"} or None
        Meaning of the numbers where the text does not say it (``wt%``).
    parse : callable
        From the formula of a part to the amount of each atomic number.

    Raises
    ------
    ValueError
        If the amounts are not clear; the message says which.
    """
    kinds = {match["kind"][0] for match in re.finditer(_UNIT, text) if match["kind"]}
    if len(kinds) > 1:
        raise ValueError("the parts are given in different kinds of percent")
    kind = next((name for name in get_args(Amounts) if name[0] in kinds), amounts)
    if kind is None:
        raise ValueError("it does not say of what the numbers are parts")
    parts = _split(text)
    for part in parts:
        if part.number is not None and re.fullmatch(r"[A-Z][a-z]?[0-9.]+", part.unit):
            raise ValueError(
                f"'{part.number:g}{part.unit}' has numbers on both sides of an element"
            )
    compounds = kind == "mol" and any(len(_SYMBOL.findall(part.unit)) > 1 for part in parts)
    numbers = _complete([part.number for part in parts], compounds=compounds, text=text)
    weights = load_elements().magpie[:, MAGPIE_PROPERTIES.index("AtomicWeight")]
    total: dict[int, float] = {}
    for part, number in zip(parts, numbers, strict=True):
        atoms = parse(part.unit)
        size = {
            "mol": 1.0,
            "at": sum(atoms.values()),
            "wt": sum(amount * float(weights[z]) for z, amount in atoms.items()),
        }[kind]
        if not 0 < size < float("inf"):
            unknown = ", ".join(SYMBOLS[z] for z in atoms if not weights[z] > 0)
            raise ValueError(f"the atomic weight of {unknown} is not known")
        for z, amount in atoms.items():
            total[z] = total.get(z, 0.0) + number * amount / size
    scale = _HUNDRED / sum(total.values())
    return {z: amount * scale for z, amount in total.items()}


def _split(text: str) -> list[Part]:
    if _HYDRATE.search(text):
        raise ValueError("it may be a hydrate, whose parts are joined by '·'")
    text = _KIND_BEHIND.sub("", text.strip())
    parts: list[Part] = []
    at = 0
    while at < len(text):
        if parts:
            joint = _JOINT.match(text, at)
            if not joint:
                raise ValueError(f"{text[at:][:20]!r} is no part of a mixture")
            at = joint.end()
        part = _PART.match(text, at)
        if not part:
            raise ValueError(f"{text[at:][:20]!r} is no part of a mixture")
        parts.append(Part(part["unit"], float(part["number"]) if part["number"] else None))
        at = part.end()
    return parts


def _complete(numbers: list[float | None], *, compounds: bool, text: str) -> list[float]:
    """Return the number of each part; the balance is what is missing to 100 percent."""
    given = [number for number in numbers if number is not None]
    if not given:
        if "+" in text and compounds:
            return [1.0] * len(numbers)
        raise ValueError("its parts have no amounts")
    if any(number <= 0 for number in given):
        raise ValueError("an amount is not above 0")
    if len(given) == len(numbers):
        return given
    if len(given) < len(numbers) - 1:
        raise ValueError("more than one part has no amount")
    balance = _HUNDRED - sum(given)
    if balance <= 0:
        raise ValueError(
            f"the amounts sum to {sum(given):g} %, which leaves nothing for the balance"
        )
    if compounds:
        raise ValueError("a part has no amount; give every part one")
    return [balance if number is None else number for number in numbers]
