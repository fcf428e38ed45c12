"""The fields of the forms: what they are called, and which one an error is about.

Errors have the words of the command line, where a field is an option (``--decimal``) or a setting.
A reader of the page knows neither, so the page puts the name of the field in their place.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from xtalshift.data.settings import SEPARATORS

LABELS = {
    "formula_col": "Column of formulas",
    "target": "What to predict",
    "unit": "Its unit",
    "task": "The target is",
    "separator": "Between cells",
    "decimal": "Decimal mark",
    "thousands": "Mark of thousands",
    "encoding": "Encoding",
    "sheet": "Sheet",
    "amounts": "Numbers of alloys and mixtures",
    "hydrates": "Hydrates (CuSO4*5H2O)",
    "structures": "Crystal structures of its rows",
    "structure_col": "Column that names them",
    "transform": "Its values",
    "family": "Element",
    "tail": "Which",
    "candidates": "Do you have their list already?",
    "method": "Method",
    "minutes": "Minutes for each training",
    "name": "Name of the model",
    "formula": "Formula",
    "formulas": "Formulas",
    "level": "Level of the intervals",
    "n": "How many",
}
"""What each field is called, by its name in forms and in settings."""

CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "separator": tuple(SEPARATORS.items()),
    "decimal": ((".", "point (3.14)"), (",", "comma (3,14)")),
    "thousands": (
        (",", "comma (1,000)"), (".", "point (1.000)"), (" ", "space (1 000)"),
        ("'", "apostrophe (1'000)"),
    ),
    "amounts": (("at", "atoms (at %)"), ("wt", "weight (wt %)"), ("mol", "moles (mol %)")),
    "hydrates": (("expand", "take them in (CuSO4 and 5 H2O)"), ("refuse", "leave such rows out")),
    "task": (
        ("regression", "a number"), ("classification", "a class"),
        ("ordinal", "a class with an order"),
    ),
    "transform": (
        ("none", "may have either sign"), ("clip", "are never below 0"),
        ("log1p", "are never below 0, of very different size"),
        ("log", "are above 0, over powers of ten"),
    ),
    "tail": (("high", "the highest"), ("low", "the lowest"), ("both", "both")),
}  # fmt: skip
"""The choices of each field that has some, with what they are called; none: as it is found."""

_OPTION = re.compile(r"--(?P<name>[a-z][a-z-]*[a-z])(?: (?P<value>[a-z0-9]+)\b)?")
_SETTING = re.compile(r"setting '(?:[a-z_]+\.)*(?P<name>[a-z_]+)' = ")
_ALIASES = {"id_col": "structure_col"}
"""Options that no field stands for, and the fields that do the same."""
_ABOUT = {"there is a model '": "name"}
"""Beginnings of errors that name no option, and their fields."""


def fields_of(text: str) -> list[str]:
    """Return the fields that an error is about.

    Examples
    --------
    >>> fields_of("no target column 'gpa' (--target); setting 'data.unit' = 3: ...")
    ['target', 'unit']
    """
    found = [_field(one) for one in _OPTION.finditer(text)]
    found += [one["name"] for one in _SETTING.finditer(text)]
    found += [name for beginning, name in _ABOUT.items() if text.startswith(beginning)]
    return [name for name in dict.fromkeys(found) if name in LABELS]


def in_words_of_page(text: str, screen: str = "") -> Markup:
    """Return an error in which each option is called as its field is, and leads to it.

    Parameters
    ----------
    text : str
        Words of the command line.
    screen : str
        Address of the screen that has the fields; by default the present one.

    Examples
    --------
    >>> in_words_of_page("are they classes? --task classification")
    Markup('are they classes? <a href="#task">The target is: a class</a>')
    """

    def link(found: re.Match[str]) -> str:
        field, value = _field(found), found["value"]
        if field not in LABELS:
            return found[0]
        named = dict(CHOICES.get(field, ()))
        chosen = named.get(value or "", value if value in named.values() else None)
        label = escape(LABELS[field]) if chosen is None else escape(f"{LABELS[field]}: {chosen}")
        rest = f" {value}" if value and chosen is None else ""
        return f'<a href="{escape(screen)}#{field}">{label}</a>{rest}'

    def name(found: re.Match[str]) -> str:
        label = LABELS.get(found["name"])
        return found[0] if label is None else f"{label}: "

    named = str(escape(_SETTING.sub(name, text)))
    return Markup(_OPTION.sub(link, named))  # noqa: S704 - the text is escaped


def _field(option: re.Match[str]) -> str:
    name = option["name"].replace("-", "_")
    return _ALIASES.get(name, name)
