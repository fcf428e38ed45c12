"""Numbers in the way of the reader: 1,234.5 or 1.234,5."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from starlette.requests import Request

COOKIE = "xtalshift-numbers"
_THOUSAND = 3
"""Digits between marks of thousands."""
_COMMA = frozenset(
    ("bg", "ca", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hr", "hu", "id", "is", "it", "lt",
     "lv", "nb", "nl", "nn", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "tr", "uk", "vi")
)  # fmt: skip
"""Languages in which a decimal comma is usual."""
_POINT = ("de-ch", "de-li", "es-mx", "es-us")
"""Regions of those that write a point."""

_NUMBER = re.compile(
    r"(?<![\w.,'/\-])(?P<sign>[-\u2212+±<>~]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<rest>\.\d+)?"
    r"(?P<power>e[-+]?\d+)?(?![\w'(\[]|[.,]\d)"
)
"""A number of a sentence that the package has written, but none of a formula, a name, a version or
a value that it quotes."""


@dataclass(frozen=True)
class NumberMarks:
    """The marks in numbers."""

    name: str
    decimal: str
    thousands: str
    example: str

    def rewrite(self, text: str) -> str:
        """Return a text of the package, whose numbers are written 1,234.5, with these marks.

        Examples
        --------
        >>> GERMAN.rewrite("1,234 rows of Fe0.5Ni0.5, error 0.25 eV, value '1.5'")
        "1.234 rows of Fe0.5Ni0.5, error 0,25 eV, value '1.5'"
        """
        if self.decimal == ".":
            return text
        return _NUMBER.sub(self._rewrite_one, text)

    def read(self, text: str) -> tuple[float, bool]:
        """Return a number that a reader has written, NaN if it is none, and whether it is doubtful.

        Doubtful are marks of thousands that stand where a decimal mark could: many write numbers of
        science with a point whatever the language of their browser.

        Examples
        --------
        >>> GERMAN.read("1.234,5"), GERMAN.read("1.234"), GERMAN.read("3.4")
        ((1234.5, False), (1234.0, True), (34.0, True))
        """
        whole, _, rest = text.partition(self.decimal)
        first, *groups = whole.split(self.thousands)
        plain = f"{first}{''.join(groups)}.{rest}" if rest else first + "".join(groups)
        try:
            number = float(plain.replace("\u2212", "-"))
        except ValueError:
            return math.nan, False
        threes = all(len(one) == _THOUSAND and one.isdecimal() for one in groups)
        return number, bool(groups) and (not threes or (len(groups) == 1 and not rest))

    def _rewrite_one(self, found: re.Match[str]) -> str:
        sign, digits, rest, power = (text or "" for text in found.groups())
        return (
            f"{sign}{digits.replace(',', self.thousands)}{rest.replace('.', self.decimal)}{power}"
        )


US = NumberMarks("us", ".", ",", "1,234.5")
GERMAN = NumberMarks("de", ",", ".", "1.234,5")
WAYS = {one.name: one for one in (US, GERMAN)}


def marks_of(request: Request) -> NumberMarks:
    """Return the marks that a reader has chosen, else those of the language of the browser."""
    chosen = WAYS.get(request.cookies.get(COOKIE, ""))
    if chosen is not None:
        return chosen
    first = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
    language = first.strip().lower()
    german = language.partition("-")[0] in _COMMA and language not in _POINT
    return GERMAN if german else US
