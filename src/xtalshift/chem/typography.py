"""Formula texts as people, spreadsheets and journals set them, as plain characters."""

from __future__ import annotations

import re

_WIDE = range(0xFF01, 0xFF5F)  # full-width forms of ASCII
_DIGITS = {0x2080 + digit: str(digit) for digit in range(10)}
_DIGITS |= {code: chr(code - 0xFEE0) for code in _WIDE}
_INVISIBLE = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD])
_SPACES = dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000], " ")
_TAG = re.compile(r"<\s*sub\s*>\s*([0-9./]+)\s*<\s*/\s*sub\s*>", re.IGNORECASE)
_LATEX = re.compile(r"\$?\s*_\s*(?:\{\s*([0-9./]+)\s*\}|([0-9](?:\.[0-9]+)?))\s*\$?")
_ROMAN = re.compile(r"\\(?:mathrm|text|rm|ce)\s*\{([^{}]*)\}|\\rm\s+|\$")
_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")
_ZERO_COMMA = re.compile(r"(?<![0-9.,])0,[0-9]")


def plain_text(text: str) -> tuple[str, list[str]]:
    """Return a formula text in plain characters, and remarks on what was replaced.

    Subscripts (``₂``, ``<sub>2</sub>``, ``$_2$``, ``_{2}``) become digits. Decimal commas become
    points where one number begins with ``0,``. Invisible characters go; all kinds of space become
    spaces.
    """
    if text.isascii() and not any(mark in text for mark in "<_$\\,"):
        return text, []
    notes = []
    plain = text.translate(_INVISIBLE).translate(_SPACES)
    if plain.replace(" ", "") != re.sub(r"\s", "", text):
        notes.append("invisible characters ignored")
    digits = plain.translate(_DIGITS)
    if digits != plain:
        notes.append("subscript digits read as plain digits")
    marked = _LATEX.sub(lambda found: found[1] or found[2], _TAG.sub(r"\1", digits))
    marked = _ROMAN.sub(lambda found: found[1] or "", marked)
    if marked != digits:
        notes.append("subscript marks read as plain digits")
    if _ZERO_COMMA.search(marked):
        marked = _COMMA.sub(".", marked)
        notes.append("decimal commas read as points")
    return marked, notes
