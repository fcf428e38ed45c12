"""Numbers in the way of the reader: 1,234.5 or 1.234,5."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

COOKIE = "xtalshift-numbers"
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

    def read(self, text: str) -> float:
        """Return the number that a reader typed with these marks.

        Raises
        ------
        ValueError
            If it is none, also where the mark of thousands does not group three digits: 3,4 of
            somebody who writes a decimal comma must not become 34.

        Examples
        --------
        >>> US.read("1,234.5"), GERMAN.read("1.234,5"), GERMAN.read("-3,4")
        (1234.5, 1234.5, -3.4)
        """
        whole, _, rest = text.strip().replace("\u2212", "-").partition(self.decimal)
        if self.thousands in whole:
            if not re.fullmatch(rf"[-+]?\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+", whole):
                raise ValueError(text)
            whole = whole.replace(self.thousands, "")
        return float(f"{whole}.{rest}" if rest else whole)

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
