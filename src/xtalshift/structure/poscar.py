"""POSCAR and CONTCAR files of VASP."""

from __future__ import annotations

import re
import warnings

import numpy as np

from xtalshift.structure.listed_atoms import Found, RefusedError
from xtalshift.structure.pymatgen_structures import from_pymatgen

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?"
_THREE = rf"[ \t]*{_NUMBER}[ \t]+{_NUMBER}[ \t]+{_NUMBER}[^\n]*"
_HEAD = re.compile(rf"[^\n]*\n[ \t]*{_NUMBER}[^\n]*\n{_THREE}\n{_THREE}\n{_THREE}(?:\n|$)")


def is_poscar(text: str) -> bool:
    """Return whether a text begins as a POSCAR: a comment, a scale and three vectors."""
    return _HEAD.match(text) is not None


def read_poscar(text: str) -> Found:
    """Return the one structure of a text that `is_poscar`, by pymatgen.

    Raises
    ------
    RefusedError
        If it names no elements, or is incomplete.
    """
    from pymatgen.io.vasp.inputs import Poscar

    lines = text.splitlines()
    lines[0] = "structure"  # a blank first line would end the file for pymatgen
    try:
        lines[1:5] = _scaled(lines[1:5])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            poscar = Poscar.from_str("\n".join(lines), read_velocities=False)
    except RefusedError:
        raise
    except Exception as error:  # pymatgen raises whatever a broken line causes
        raise RefusedError(
            f"no readable POSCAR ({type(error).__name__}: {error}); check that no line is missing"
        ) from error
    if any("cannot be determined" in str(one.message) for one in caught):
        raise RefusedError(
            "the POSCAR names no elements (VASP 4); add a line of symbols above the numbers of "
            "atoms"
        )
    listed = from_pymatgen(poscar.structure)
    _check_end(lines, len(listed.species))
    return [listed]


def _scaled(lines: list[str]) -> list[str]:
    """Return scale and vectors with a scale that pymatgen reads as VASP does.

    It does not know three scales, and multiplies Cartesian positions by a negative one, which is
    the volume of the cell.
    """
    scales = [float(x) for x in re.findall(rf"(?<!\S){_NUMBER}(?!\S)", lines[0])]
    vectors = np.array([[float(x) for x in line.split()[:3]] for line in lines[1:]])
    if len(scales) != 1:
        raise RefusedError(
            f"the POSCAR has {len(scales)} scales; multiply the lattice by them and write 1.0"
        )
    scale = scales[0]
    if scale < 0.0:
        scale = float(np.cbrt(-scale / abs(np.linalg.det(vectors))))
    return [repr(scale), *(" ".join(map(repr, vector)) for vector in vectors.tolist())]


def _check_end(lines: list[str], m: int) -> None:
    """Refuse a list of positions that goes on after the last atom."""
    end = next((i for i in range(6, len(lines)) if not lines[i].strip()), len(lines))
    modes = [i for i in range(6, end) if lines[i].lstrip()[:1].lower() in {"d", "c", "k"}]
    rest = lines[modes[-1] + 1 + m : end] if modes else []
    if rest and re.match(_THREE, rest[0]):
        raise RefusedError(
            f"the POSCAR lists more positions than the {m:,} atoms that its numbers give; correct "
            "the numbers of atoms"
        )
