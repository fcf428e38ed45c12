"""Symmetry of crystal structures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.reading import read_structures
from xtalshift.structure.structures import Structures

Labels = dict[str, npt.NDArray[np.object_]]

SYMMETRY_LABELS: dict[str, str] = {
    "crystal_system": "the crystal system, such as 'cubic'",
    "space_group": "the number of the space group, '1' to '230'",
    "point_group": "the Hermann-Mauguin symbol of the point group, such as 'm-3m'",
}
"""The labels of `structure_labels`, each with a description."""

_COLUMN_NAMES = ("cif", "structure", "poscar")


def find_structure_column(columns: Iterable[object]) -> str | None:
    """Return the first column called cif, structure or poscar, in any case; None without one."""
    folded = {str(name).casefold(): str(name) for name in reversed(list(columns))}
    return next((folded[name] for name in _COLUMN_NAMES if name in folded), None)


SYMPREC = 0.1
"""Tolerance for symmetry in Angstrom, that of the Materials Project for relaxed structures; smaller
values find lower symmetries."""


_ANGLE_TOLERANCE = 5.0
"""In degrees, that of the Materials Project too."""

_LAST_NUMBERS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""Crystal system -> the last number of its space groups."""


def structure_labels(
    texts: Iterable[object],
    *,
    progress: Progress = NO_PROGRESS,
) -> tuple[Labels, npt.NDArray[np.object_]]:
    """Find the symmetry of each structure that is given as text.

    The symmetry stated in a file only completes the list of atoms; the labels are found from the
    positions.

    Parameters
    ----------
    texts : iterable of object, length n
        As for `xtalshift.structure.read_structures`; the first structure of each counts.
    progress : Progress
        Advances by one per row, for reading and for the symmetry.

    Returns
    -------
    labels : dict of str to ndarray of object, shape (n,)
        One text per row for each key of `SYMMETRY_LABELS`; ``""`` without symmetry.
    reasons : ndarray of object, shape (n,)
        Why a row has no labels; ``""`` for rows with labels.

    Raises
    ------
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    read = read_structures(texts, progress=progress)
    labels, reasons = symmetry_labels(read.structures, progress=progress)
    return labels, np.where(read.reasons == "", reasons, read.reasons)


def symmetry_labels(
    structures: Structures,
    *,
    progress: Progress = NO_PROGRESS,
) -> tuple[Labels, npt.NDArray[np.object_]]:
    """Find the symmetry of each structure of a batch with spglib; equal structures once.

    Parameters
    ----------
    structures : Structures
        n rows.
    progress : Progress
        Advances by one per row.

    Returns
    -------
    labels, reasons
        As for `structure_labels`.

    Raises
    ------
    ConfigError
        If spglib is not installed.
    """
    try:
        import spglib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            'the symmetry of structures needs spglib: pip install "xtalshift[structures]"'
        ) from error
    n = len(structures)
    labels = {name: np.full(n, "", dtype=object) for name in SYMMETRY_LABELS}
    reasons = np.full(n, "", dtype=object)
    known: dict[str, tuple[str, ...] | str] = {"": "no symmetry: the row has no atoms"}
    with _quiet(), progress.task("symmetry", n) as task:
        for row, key in enumerate(structures.keys):
            if key not in known:
                known[key] = _analyse(structures.take([row]))
            found = known[key]
            if isinstance(found, str):
                reasons[row] = found
            else:
                for name, label in zip(SYMMETRY_LABELS, found, strict=True):
                    labels[name][row] = label
            task.advance()
    return labels, reasons


def _analyse(structure: Structures) -> tuple[str, ...] | str:
    """Return the labels of one structure, or why it has none."""
    import spglib

    cell: Any = (structure.lattices[0], *_sites(structure))
    cause = "atoms may be too close to each other"
    try:
        found: Any = spglib.get_symmetry_dataset(cell, SYMPREC, _ANGLE_TOLERANCE)
    except Exception as error:  # noqa: BLE001  # spglib gives up on overlapping atoms
        found, cause = None, f"{type(error).__name__}: {error}".splitlines()[0][:150]
    if found is None:
        return f"no symmetry found (symprec {SYMPREC:g}): {cause}"
    number = int(found.number)
    system = next(name for name, last in _LAST_NUMBERS.items() if number <= last)
    return system, str(number), str(found.pointgroup).strip()


def _sites(structure: Structures) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the places of a structure and a number for what is on each.

    Places with the same elements in the same shares have the same number.
    """
    places, atoms = np.unique(np.round(structure.positions, 6) % 1.0, axis=0, return_inverse=True)
    if len(places) == len(structure.z) and structure.ordered[0]:
        return structure.positions, structure.z.astype(np.int64)
    shares: list[list[tuple[int, float]]] = [[] for _ in places]
    occupancies = np.round(structure.occupancies, 6).tolist()
    for place, z, share in zip(atoms.tolist(), structure.z.tolist(), occupancies, strict=True):
        shares[place].append((z, share))
    kinds: dict[tuple[tuple[int, float], ...], int] = {}
    numbers = [kinds.setdefault(tuple(sorted(one)), len(kinds) + 1) for one in shares]
    return places, np.array(numbers)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence remarks on single structures; `reasons` reports failures."""
    is_set = "SPGLIB_WARNING" in os.environ
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # messages of the C code about tolerances
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
            yield
    finally:
        if not is_set:
            del os.environ["SPGLIB_WARNING"]
