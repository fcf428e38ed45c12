"""Counts and crystals in sentences."""

from __future__ import annotations


def plural(count: int, word: str, one: str = "", several: str = "") -> str:
    """Write a count with its noun, and with the verb of it.

    Examples
    --------
    >>> plural(1, "task"), plural(1200, "task"), plural(1, "row", "is", "are")
    ('1 task', '1,200 tasks', '1 row is')
    >>> plural(2, "property"), plural(2, "day"), plural(2, "class")
    ('2 properties', '2 days', '2 classes')
    """
    if count == 1:
        ended = word
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        ended = f"{word[:-1]}ies"
    else:
        ended = f"{word}{'es' if word.endswith('s') else 's'}"
    verb = one if count == 1 else several
    return f"{count:,} {ended}{f' {verb}' if verb else ''}"


def name_crystal(formula: str, *known: str) -> str:
    """Write a formula with what tells its crystal from others, if that is known.

    Examples
    --------
    >>> name_crystal("TiO2", "mp-390", "space group 141"), name_crystal("TiO2", "")
    ('TiO2 (mp-390, space group 141)', 'TiO2')
    """
    told = ", ".join(filter(None, known))
    return f"{formula} ({told})" if told else formula
