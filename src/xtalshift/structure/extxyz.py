"""Extended XYZ files: frames of atoms with a lattice."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure.listed_atoms import FloatArray, Found, ListedAtoms, RefusedError, attempt

_HEAD = re.compile(r"\s*\d+[ \t]*\n")
_SHAPE = (3, 3)
_PLAIN = "species:S:1:pos:R:3"


def is_extxyz(text: str) -> bool:
    """Return whether a text begins as an XYZ file: the number of atoms on a line of its own."""
    return _HEAD.match(text) is not None


def read_extxyz(text: str) -> Found:
    """Return the frames of a text that `is_extxyz`; ASE reads their comment lines."""
    lines = text.splitlines()
    found: Found = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        left = len(lines) - start - 2
        if not lines[start].strip().isdecimal():
            wrong = f"line {start + 1} is {lines[start][:30]!r}, no number of atoms"
            return [*found, RefusedError(f"{wrong}; correct the number of the frame above it")]
        m = int(lines[start])
        if m > left:
            wrong = f"line {start + 1} announces {m:,} atoms, and {max(left, 0):,} lines follow"
            return [*found, RefusedError(f"{wrong}; the file is cut off, or the number wrong")]
        found.append(attempt(_read_frame, lines[start + 1], lines[start + 2 : start + 2 + m]))
        start += m + 2
    return found


def _read_frame(comment: str, rows: list[str]) -> ListedAtoms:
    from ase.io.extxyz import key_val_str_to_dict

    try:
        read = key_val_str_to_dict(comment)  # type: ignore[no-untyped-call]
    except (ValueError, IndexError) as error:
        raise RefusedError(f"the comment line is no extended XYZ: {error}; correct it") from None
    facts = {str(key).casefold(): value for key, value in read.items()}
    if "lattice" not in facts:
        raise RefusedError(
            'the frame has no Lattice="..." and so is no crystal; add the three vectors of the cell'
        )
    lattice = _read_lattice(facts["lattice"])
    species, places = _read_columns(rows, str(facts.get("properties", _PLAIN)))
    with np.errstate(all="ignore"):
        try:
            positions = places @ np.linalg.inv(lattice)
        except np.linalg.LinAlgError:
            raise RefusedError("the cell has no volume; correct Lattice") from None
    return ListedAtoms(
        lattice, species, positions, np.ones(len(species)), _open_directions(facts.get("pbc"))
    )


def _read_lattice(value: Any) -> FloatArray:
    lattice = np.asarray(value)
    if lattice.size != np.prod(_SHAPE) or lattice.dtype.kind not in "if":
        raise RefusedError("Lattice must be nine numbers; correct it")
    # ASE gives vectors in columns for "Lattice", and a plain list for other capitals
    vectors = lattice.astype(np.float64).reshape(_SHAPE)
    return vectors.T if lattice.shape == _SHAPE else vectors


def _read_columns(rows: list[str], properties: str) -> tuple[list[str], FloatArray]:
    """Return the species and the Cartesian positions of all atoms."""
    fields = properties.split(":")
    try:
        widths = [int(width) for width in fields[2::3]]
        starts = dict(zip(fields[::3], np.cumsum([0, *widths]).tolist(), strict=False))
        at, xyz = starts["species" if "species" in starts else "Z"], starts["pos"]
    except (ValueError, KeyError):
        raise RefusedError(
            f"Properties={properties[:60]} has no columns species and pos; write {_PLAIN}"
        ) from None
    species, places = [], []
    for number, row in enumerate(rows, start=1):
        cells = row.split()
        try:
            name = cells[at]
            species.append(SYMBOLS[int(name)] if name.isdigit() else name)
            places.append([float(cells[xyz + axis]) for axis in range(3)])
        except (ValueError, IndexError):
            raise RefusedError(
                f"the line of atom {number:,} is {row.strip()[:40]!r}; it must hold the columns "
                f"{properties[:60]}"
            ) from None
    return species, np.array(places, dtype=np.float64).reshape(-1, 3)


def _open_directions(pbc: Any) -> tuple[str, ...]:
    periodic = np.atleast_1d([True] * 3 if pbc is None else np.asarray(pbc)).tolist()
    names = [name for name, one in zip("abc", periodic, strict=False) if one in (False, "F")]
    if not names:
        return ()
    return (f"not periodic along {', '.join(names)} in the file: read as a crystal",)
