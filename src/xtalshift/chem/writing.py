"""Write amounts of elements as a formula: text that is read again, and text for people.

Formulas stand for three things. A *text that is read* carries amounts from one form to another,
such as from columns of elements: `write_formula` makes it. A *key* is a reduced formula, by which
rows are grouped, duplicates found and candidates hashed: `Compositions.reduced_formulas` makes it,
and nothing here changes it. A *text for people* is rounded to `SHOWN_DIGITS`: `readable_formula` of
amounts, `readable_key` of a key. No key is made of a text for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from xtalshift.chem.two_readings import find_joints

EXACT_DIGITS = 17
"""Significant digits from which every number is read back as it was."""

READ_DIGITS = 12
"""Significant digits of amounts in JSON: more than any measurement has, and few enough that the
noise of sums of binary fractions (0.30000000000000004) is gone."""

SHOWN_DIGITS = 6
"""Significant digits of a text for people: each amount is right to within 5 parts in a million."""

_MOST_UNITS = 12  # thirds, sevenths, twelfths as whole numbers: MgNb2Pb3O9
_NOISE = 1e-9
_LONG = re.compile("[0-9]{5}")
_KEY = re.compile("(?:[A-Z][a-z]?[0-9]*)+")
_ELEMENT = re.compile("([A-Z][a-z]?)([0-9]*)")
_HUNDRED = 100.0
_SHORT = 2


def write_formula(amounts: Mapping[str, float | None], digits: int = READ_DIGITS) -> str:
    """Return amounts of elements as one formula, in their order.

    A decimal that could be read as a part joined by a dot (``B1.5CN``: 5 CN?) gets zeros at its end
    (``B1.50CN``).

    Parameters
    ----------
    amounts : mapping of str to float
        Amount of each symbol; an element whose amount is 0, None or NaN is absent.
    digits : int
        Significant digits.

    Examples
    --------
    >>> write_formula({"Fe": 2.0, "O": 3, "Na": None})
    'Fe2O3'
    """
    text = "".join(
        element + _number(amount, digits)
        for element, amount in amounts.items()
        if amount is not None and amount == amount and amount != 0  # noqa: PLR0124 - NaN
    )
    while "." in text and (joints := find_joints(text)):
        dot = joints[0].position
        before, after = text[:dot].rstrip("0123456789"), text[dot + 1 :].lstrip("0123456789")
        text = before + joints[0].remedy + after
    return text


def readable_formula(amounts: Mapping[str, float]) -> str:
    """Return amounts of elements as people write them.

    Amounts of at most six digits stay as they are. Others become whole numbers, if all are
    multiples of a third, a quarter ... or a twelfth, and else are rounded to six digits. The result
    has the same ratios of elements, to within 5 parts in a million.

    Examples
    --------
    >>> readable_formula({"Pb": 1, "Mg": 1 / 3, "Nb": 2 / 3, "O": 3})
    'Pb3MgNb2O9'
    >>> readable_formula({"Fe": 73.3078491327685, "Cr": 19.15158788331948})
    'Fe73.3078Cr19.1516'
    """
    values = list(amounts.values())
    if any(abs(float(f"{value:.{SHOWN_DIGITS}g}") - value) > _NOISE * value for value in values):
        for units in range(1, _MOST_UNITS + 1):
            whole = [round(value * units) for value in values]
            if all(
                n and abs(value * units - n) <= _NOISE * n
                for value, n in zip(values, whole, strict=True)
            ):
                return write_formula(dict(zip(amounts, whole, strict=True)))
    return write_formula(amounts, SHOWN_DIGITS)


def readable_key(key: object) -> str:
    """Return a reduced formula as people read it; any other text as it is.

    Numbers up to 9999 stay whole. With a larger one, which comes from decimals, the amounts become
    atomic percent of six digits. Different keys may give the same text.

    Examples
    --------
    >>> readable_key("Fe2O3"), readable_key("Cr102704Fe347325Ni49971")
    ('Fe2O3', 'Cr20.5408Fe69.465Ni9.9942')
    """
    text = str(key)
    if not _LONG.search(text) or not _KEY.fullmatch(text):
        return text
    amounts = {symbol: int(number or 1) for symbol, number in _ELEMENT.findall(text)}
    scale = _HUNDRED / sum(amounts.values())
    return write_formula({one: amount * scale for one, amount in amounts.items()}, SHOWN_DIGITS)


def _number(amount: float, digits: int) -> str:
    text = f"{amount:.{digits}g}"
    if "e" in text:
        text = np.format_float_positional(float(text), trim="-")
    if len(text) > _SHORT and text.isdigit() and "0" in text:
        return f"{text}.0"  # the reader takes a zero in a long whole number for the letter O
    return "" if text == "1" else text
