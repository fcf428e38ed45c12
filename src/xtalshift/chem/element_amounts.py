"""Amounts of elements as a dictionary in a cell, such as ``{'Fe': 2, 'O': 3}``."""

from __future__ import annotations

import ast
import json
import re
from typing import cast

from xtalshift.chem.elements import ATOMIC_NUMBERS

_LARGEST = 1e300
_SPECIES = re.compile(r"([A-Z][a-z]?)(?:[0-9.]*[+-]|[+-][0-9.]+|\((?:[IV]+|[0-9]+)\))?")


def is_dictionary(text: str) -> bool:
    """Return whether a text is written as a dictionary of JSON or Python."""
    return text[:1] == "{" and text[-1:] == "}" and (":" in text or text[1:-1].strip() == "")


def read_dictionary(text: str) -> dict[int, float]:
    """Return the amount of each atomic number.

    The oxidation states of species (``Fe3+``) are left out; null is an element that is absent.

    Raises
    ------
    ValueError
        If the text is no such dictionary; the message says what is wrong.
    """
    amounts: dict[int, float] = {}
    names = set()
    for key, value in _pairs(text):
        if key in names:
            raise ValueError(f"{key} is given twice")
        names.add(key)
        species = _SPECIES.fullmatch(key)
        symbol = {"D": "H", "T": "H"}.get(species[1], species[1]) if species else ""
        z = ATOMIC_NUMBERS.get(symbol)
        if z is None:
            raise ValueError(f"{key[:40]!r} is no element")
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value < _LARGEST
        ):
            raise ValueError(f"the amount of {key} is {str(value)[:40]!r}, not a number")
        amounts[z] = amounts.get(z, 0.0) + float(value)
    return amounts


def _pairs(text: str) -> list[tuple[str, object]]:
    """Return keys and values, also those of keys that are given twice."""
    try:
        found = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        try:
            tree = cast("ast.Dict", ast.parse(text, mode="eval").body)
            pairs = zip(tree.keys, tree.values, strict=True)
            found = [(ast.literal_eval(key or ""), ast.literal_eval(value)) for key, value in pairs]
        except (AttributeError, ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError("it is no dictionary of amounts") from None
    return [(str(key).strip(), value) for key, value in found]
