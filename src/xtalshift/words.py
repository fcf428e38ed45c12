"""Counts in sentences."""

from __future__ import annotations


def plural(count: int, word: str, one: str = "", several: str = "") -> str:
    """Write a count with its noun, and with the verb of it.

    Examples
    --------
    >>> plural(1, "task"), plural(1200, "task"), plural(1, "row", "is", "are")
    ('1 task', '1,200 tasks', '1 row is')
    """
    verb = one if count == 1 else several
    return f"{count:,} {word}{'s' * (count != 1)}{f' {verb}' if verb else ''}"
