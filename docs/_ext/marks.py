"""Pieces of Markdown that generated pages consist of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>$|~#])")
_CODE = re.compile(
    r"""(?x)
    `[^`]+`                              # marked by its author
    | '(xtalshift\ [^']+)'               # a command in a sentence
    | (?<![\w-])-{1,2}[a-zA-Z][\w-]*     # an option
    """
)


def plain(text: str) -> str:
    """Return a text with everything escaped that Markdown would read as a mark."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def prose(text: str) -> str:
    """Return a sentence with its options, commands and names in backticks as code."""
    parts: list[str] = []
    start = 0
    for match in _CODE.finditer(text := " ".join(text.split())):
        parts += [plain_part(text[start : match.start()]), code(match[1] or match[0].strip("`"))]
        start = match.end()
    return "".join([*parts, plain_part(text[start:])])


def plain_part(text: str) -> str:
    """Return a part of a sentence, escaped; spaces at its ends stay."""
    return _SPECIAL.sub(r"\\\1", text)


def code(text: str) -> str:
    """Return a text as code."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; a bar in a cell is escaped."""
    lines = [
        [*head],
        ["---"] * len(head),
        *([cell.replace("\n", " ") for cell in row] for row in rows),
    ]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, one line each."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]


def hidden_toctree(pages: Iterable[str]) -> list[str]:
    """Return the lines that put pages below this one, without listing them in its text."""
    return ["```{toctree}", ":hidden:", "", *pages, "```"]
