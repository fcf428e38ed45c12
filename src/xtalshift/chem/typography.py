"""Formula texts as people, spreadsheets and journals set them, as plain characters."""

from __future__ import annotations

import re

from xtalshift.chem.two_readings import can_cancel

NUMBERED = re.compile(r"([^_<$\\]+)_+([0-9]+)")
"""A text with one mark, before a number at the end: an amount or a sample (``K2MnCl6_1``)."""

_WIDE = range(0xFF01, 0xFF5F)  # full-width forms of ASCII
_DIGITS = {0x2080 + digit: str(digit) for digit in range(10)}
_DIGITS |= {code: chr(code - 0xFEE0) for code in _WIDE}
_FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_DOTS = str.maketrans(dict.fromkeys("‧・･", "·"))  # of hyphenation, and between Japanese words
_INVISIBLE = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD])
_SPACES = dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000], " ")
_TAG = re.compile(r"(?<![0-9])<\s*sub\s*>\s*([0-9./]+)\s*<\s*/\s*sub\s*>", re.IGNORECASE)
_LATEX = re.compile(r"(?<![0-9])\$?_(?:\{\s*([0-9./]+)\s*\}|([0-9](?:\.[0-9]+)?))(?:\s*\$)?")
_ROMAN = re.compile(r"\\(?:mathrm|text|rm|ce)\s*\{([^{}]*)\}|\\rm\s+|\$")
_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")
_ZERO_COMMA = re.compile(r"(?<![0-9.,])0,[0-9]")


def plain_text(text: str) -> tuple[str, list[str]]:
    """Return a formula text in plain characters, and remarks on what was replaced.

    Subscripts (``₂``, ``<sub>2</sub>``, ``$_2$``, ``_{2}``) become digits. Decimal commas become
    points where one number begins with ``0,``. Invisible characters go; all kinds of space become
    spaces. A number that may be that of a sample (``K2MnCl6_1``) keeps its mark.
    """
    if text.isascii() and not any(mark in text for mark in "<_$\\,"):
        return text, []
    notes = []
    plain = text.translate(_INVISIBLE).translate(_SPACES)
    if plain.replace(" ", "") != re.sub(r"\s", "", text):
        notes.append("invisible characters ignored")
    plain = plain.translate(_DOTS)
    digits = plain.translate(_DIGITS)
    if digits != plain:
        notes.append("subscript digits read as plain digits")
    digits = re.sub("(?<![0-9])[½¼¾⅓⅔]", lambda found: _FRACTIONS[found[0]], digits)
    marked = digits
    if not _is_sample(digits.strip()):
        marked = _LATEX.sub(lambda found: found[1] or found[2], _TAG.sub(r"\1", digits))
    marked = _ROMAN.sub(lambda found: found[1] or "", marked)
    if marked != digits:
        notes.append("subscript marks read as plain digits")
    if _ZERO_COMMA.search(marked) and "." not in marked:
        marked = _COMMA.sub(".", marked)
        notes.append("decimal commas read as points")
    return marked, notes


def _is_sample(text: str) -> bool:
    """Return whether the number at the end may count samples: others are set without a mark."""
    found = NUMBERED.fullmatch(text)
    if not found:
        return False
    host, number = found.groups()
    return re.search("[0-9]", host) is not None or (
        can_cancel(host) and not can_cancel(host + number)
    )
