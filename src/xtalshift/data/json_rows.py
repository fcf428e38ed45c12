"""Tables in JSON: rows as objects, whatever the layout of the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Any

from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.chem.writing import write_formula
from xtalshift.data.files import FORMULA_NAMES, refuse_repeats
from xtalshift.errors import DataError
from xtalshift.jsonio import Plain

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ROW_LISTS = ("data", "results", "rows", "entries", "structures", "materials", "documents")


def read_rows(text: str, kept: Collection[str] = ()) -> list[Plain]:
    """Return the rows of a JSON file.

    Parameters
    ----------
    text : str
        A list of objects; an object with such a list, as OPTIMADE, NOMAD and other services answer
        (what is nested in a row becomes columns such as ``attributes.x``, or ``x`` if that is no
        column yet); systems of a Physical Information File (`read_pif`); a layout of pandas:
        columns, index, split, table; or a structure of pymatgen, an entry with one, or a list of
        these, in the column ``structure``.
    kept : collection of str
        Columns, in lower case, whose structures of pymatgen stay structures, as JSON; in others
        they become formulas.

    Raises
    ------
    DataError
        If it is not JSON or not a table.
    """
    try:
        content = _decode(text, kept)
    except json.JSONDecodeError as error:
        raise DataError(f"it is not JSON: {error}") from error
    entry = content.get("structure") if isinstance(content, dict) else content
    if isinstance(entry, _StructureText):
        content = [content]
    if isinstance(content, dict):
        content = _from_object(content)
    if isinstance(content, list) and content:
        rows = [{"structure": one} if isinstance(one, _StructureText) else one for one in content]
        if all(isinstance(row, dict) for row in rows):
            return [_settle(flatten(row), kept) for row in rows]
    if content == []:
        raise DataError("it has no rows")
    raise DataError("its JSON is not a table; expected a list of rows or an object of columns")


_LONGEST_WHOLE = 300
"""Digits of a whole number that has a float."""


def read_line(number: int, line: str, kept: Collection[str] = ()) -> Plain:
    """Return one line of JSON lines as a row; messages name it by `number`.

    `kept` is as in `read_rows`.
    """
    try:
        row = _decode(line, kept)
    except json.JSONDecodeError as error:
        raise DataError(f"line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"line {number} is {type(row).__name__}, expected an object of columns")
    return _settle(flatten(row), kept)


class _StructureText(str):
    """A structure of pymatgen as JSON, and its formula."""

    __slots__ = ("formula",)

    formula: str


def _settle(row: Plain, kept: Collection[str]) -> Plain:
    """Replace structures by their formulas, except in the columns that keep them."""
    return {
        name: value.formula
        if isinstance(value, _StructureText) and str(name).casefold() not in kept
        else value
        for name, value in row.items()
    }


def _decode(text: str, kept: Collection[str]) -> Any:
    """Decode JSON; unpaired surrogates, which no file can hold as text, become ``?``."""
    if _SURROGATE.search(text):
        plain = json.dumps(json.loads(text), ensure_ascii=False)
        text = plain.encode("utf-8", "replace").decode()
    hook = partial(_collapse, keep=bool(kept))
    return json.loads(text, object_hook=hook, parse_int=_whole)


def _whole(digits: str) -> float:
    """Return a whole number; one that is too large for a float becomes infinite."""
    return int(digits) if len(digits) <= _LONGEST_WHOLE else float(digits)


def _collapse(node: Plain, *, keep: bool) -> Any:
    """Replace a pymatgen structure or composition by its formula while JSON is parsed.

    With `keep` a structure becomes a text of its own, which is smaller than its objects.
    """
    kind = node.get("@class")
    if kind == "Structure":
        amounts: Counter[str] = Counter()
        for site in node["sites"]:
            for species in site["species"]:
                amounts[species["element"]] += species["occu"]
        formula = write_formula(amounts)
        if not keep:
            return formula
        structure = _StructureText(json.dumps(node))
        structure.formula = formula
        return structure
    if kind == "Composition":
        return write_formula({key: value for key, value in node.items() if not key.startswith("@")})
    return node


def is_composition(value: object) -> bool:
    """Return whether a value is an object of amounts of elements, such as ``{"Fe": 2}``."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(key in ATOMIC_NUMBERS for key in value)
        and all(
            amount is None or (isinstance(amount, int | float) and not isinstance(amount, bool))
            for amount in value.values()
        )
    )


def is_pif(row: Plain) -> bool:
    """Return whether a row is a system of the Physical Information File of Citrine."""
    listed = row.get("properties")
    return (
        "chemicalFormula" in row
        and isinstance(listed, list)
        and all(isinstance(one, dict) and "name" in one for one in listed)
    )


def read_pif(system: Plain) -> Plain:
    """Return a system of a Physical Information File as a row.

    Each property is a column, named ``Band gap (eV)`` after its name and units, and so is each of
    its conditions (``Band gap, Temperature (K)``); other entries of the system that are text or
    numbers are columns too. Uncertainties are left out.

    Raises
    ------
    DataError
        If the system has parts with formulas of their own, or a property is given twice.
    """
    if system.get("subSystems"):
        raise DataError(
            f"the PIF system {system['chemicalFormula']!r} has sub-systems, whose properties are "
            "those of parts; write one system for each material"
        )
    row = {key: value for key, value in system.items() if isinstance(value, str | int | float)}
    values = [
        (_with_units(before + str(one.get("name", "condition")), one), one)
        for listed in system["properties"]
        for before, one in [
            ("", listed),
            *((f"{listed['name']}, ", condition) for condition in listed.get("conditions") or []),
        ]
    ]
    for name, one in values:
        if name in row:
            raise DataError(
                f"the PIF system {system['chemicalFormula']!r} has the property {name!r} twice, as "
                "under several conditions; write one system for each value"
            )
        row[name] = _scalar(one.get("scalars"))
    return row


def _with_units(name: str, quantity: Plain) -> str:
    return f"{name} ({quantity['units']})" if quantity.get("units") else name


def _scalar(value: Any) -> Any:
    """Return one value of a property; several as text, which no number is made of."""
    values = value if isinstance(value, list) else [value]
    found = [
        one.get("value", json.dumps(one)) if isinstance(one, dict) else one  # {"minimum": 1}
        for one in values
    ]
    if len(found) == 1 and not isinstance(found[0], list):
        return found[0]
    return "; ".join(map(str, found))


def flatten(row: Plain) -> Plain:
    """Return a row without nested objects: their entries become columns of the row."""
    if is_pif(row):
        return read_pif(row)
    flat: Plain = {}
    nested: dict[str, Plain] = {}
    for name, value in row.items():
        if is_composition(value):
            flat[name] = write_formula(value)
        elif isinstance(value, dict) and value:
            nested[name] = flatten(value)
        else:
            flat[name] = value
    for name, entries in nested.items():
        for key, value in entries.items():
            flat[f"{name}.{key}" if key in flat else key] = value
    return flat


def _from_object(content: Plain) -> Any:
    """Return the list of rows of an object, or the object if it holds none."""
    if isinstance(content.get("schema"), dict) and isinstance(content.get("data"), list):
        index = content["schema"].get("primaryKey", [])
        return [
            {k: v for k, v in row.items() if k not in index or k != "index"}
            for row in content["data"]
        ]
    if {"columns", "data"} <= content.keys():
        refuse_repeats(content["columns"])
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    for name in _ROW_LISTS:
        rows = content.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return rows
    columns = {
        name: list(cells.values()) if isinstance(cells, dict) else cells
        for name, cells in content.items()
    }
    if not content or not all(isinstance(cells, list) for cells in columns.values()):
        return content
    if _is_by_row(content):
        return list(content.values())
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise DataError("its columns differ in length")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _is_by_row(content: Plain) -> bool:
    """Return whether an object holds rows by label, not columns by name."""
    rows = [cells for cells in content.values() if isinstance(cells, dict)]
    if len(rows) < len(content):
        return False
    inner = {str(name).casefold() for row in rows for name in row}
    outer = {str(name).casefold() for name in content}
    return bool(inner & set(FORMULA_NAMES)) and not outer & set(FORMULA_NAMES)
