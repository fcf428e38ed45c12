"""The space groups of a batch of structures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.sites import find_sites
from xtalshift.structure.structures import Structures

SYMPREC = 0.1
"""Tolerance for symmetry in Angstrom, that of the Materials Project for relaxed structures; smaller
values find lower symmetries."""
ANGLE_TOLERANCE = 5.0
"""In degrees, that of the Materials Project too."""
CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""Crystal system -> the last number of its space groups."""


@dataclass(frozen=True, eq=False)
class SpaceGroups:
    """The symmetry of n structures; all numbers are 0 where none is found.

    Attributes
    ----------
    numbers : ndarray of int64, shape (n,)
        Number of the space group, 1 to 230.
    operations : ndarray of int64, shape (n,)
        Operations of the point group, 1 to 48.
    centric : ndarray of bool, shape (n,)
        Whether the point group has the inversion.
    polar_directions : ndarray of int64, shape (n,)
        Dimension of the space of the vectors that no operation changes: 0 in a point group that is
        not polar, 1 with a polar axis, 2 in m, 3 in 1.
    sites : ndarray of int64, shape (n,)
        Sites of the primitive cell.
    inequivalent : ndarray of int64, shape (n,)
        Sites of which no two are equivalent.
    point_groups : ndarray of str, shape (n,)
        Hermann-Mauguin symbols of the point groups; ``""`` where none is found.
    orbits : ndarray of object, shape (n,)
        A `SiteOrbits` for each structure; None where none is found.
    reasons : ndarray of str, shape (n,)
        Why none is found; ``""`` where one is.
    """

    numbers: NDArray[np.int64]
    operations: NDArray[np.int64]
    centric: NDArray[np.bool_]
    polar_directions: NDArray[np.int64]
    sites: NDArray[np.int64]
    inequivalent: NDArray[np.int64]
    point_groups: NDArray[np.object_]
    orbits: NDArray[np.object_]
    reasons: NDArray[np.object_]


@dataclass(frozen=True)
class SiteOrbits:
    """The sets of equivalent sites of a crystal in its conventional cell."""

    centring: str
    """First letter of the symbol of the space group: P, A, C, I, F or R."""
    kinds: tuple[int, ...]
    """What is on the sites of each orbit: equal numbers mean equal elements and occupancies."""
    letters: tuple[str, ...]
    """Wyckoff letter of each orbit, in the setting and origin that spglib chose."""
    sizes: tuple[int, ...]
    """Sites of each orbit in the conventional cell (of R: the hexagonal one)."""


class _Found(NamedTuple):
    numbers: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    point_group: str = ""
    orbits: SiteOrbits | None = None
    reason: str = ""


def find_space_groups(structures: Structures, *, progress: Progress = NO_PROGRESS) -> SpaceGroups:
    """Find the space group of each structure with spglib, of equal structures once.

    The tolerances are `SYMPREC` and `ANGLE_TOLERANCE`.

    Parameters
    ----------
    structures : Structures
        n structures. Sites are equivalent only if they have the same elements and occupancies.
    progress : Progress
        Advances by one per structure.

    Raises
    ------
    ConfigError
        If spglib is not installed.
    """
    try:
        import spglib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            'space groups need spglib: pip install "xtalshift[structures]"'
        ) from error
    known = {"": _Found(reason="no symmetry: the row has no atoms")}
    found = []
    with quiet_spglib(), progress.task("symmetry", len(structures)) as task:
        for row, key in enumerate(structures.keys.tolist()):
            if key not in known:
                known[key] = _analyse(structures.take([row]))
            found.append(known[key])
            task.advance()
    table = np.array([one.numbers for one in found], dtype=np.int64).reshape(-1, 6)
    numbers, operations, centric, polar, sites, inequivalent = table.T
    return SpaceGroups(
        numbers, operations, centric.astype(bool), polar, sites, inequivalent,
        np.array([one.point_group for one in found], dtype=object),
        np.array([one.orbits for one in found], dtype=object),
        np.array([one.reason for one in found], dtype=object),
    )  # fmt: skip


def _analyse(structure: Structures) -> _Found:
    """Return what is found for one structure."""
    import spglib

    sites = find_sites(structure)
    cell: Any = (structure.lattices[0], sites.positions, sites.kinds)
    symmetry, cause = None, "atoms may be too close to each other"
    try:
        symmetry = spglib.get_symmetry_dataset(cell, SYMPREC, ANGLE_TOLERANCE)
    except Exception as error:  # noqa: BLE001 - raises or returns None, as its version has it
        cause = f"{type(error).__name__}: {error}".splitlines()[0][:150]
    if symmetry is None:
        return _Found(reason=f"no symmetry found (symprec {SYMPREC:g}): {cause}")
    operations, centric, polar = _point_group(symmetry.hall_number)
    primitive = len(np.unique(symmetry.mapping_to_primitive))
    inequivalent = len(np.unique(symmetry.crystallographic_orbits))
    return _Found(
        (int(symmetry.number), operations, int(centric), polar, primitive, inequivalent),
        str(symmetry.pointgroup).strip(),
        _orbits(symmetry, sites.kinds),
    )


def _orbits(symmetry: Any, kinds: NDArray[np.intc]) -> SiteOrbits:
    """Return the orbits of the sites of which spglib has found the symmetry."""
    orbits = symmetry.crystallographic_orbits
    _, first, counts = np.unique(orbits, return_index=True, return_counts=True)
    sizes = np.rint(counts * (len(symmetry.std_types) / len(orbits))).astype(int)
    return SiteOrbits(
        str(symmetry.international)[0],
        tuple(kinds[first].tolist()),
        tuple(symmetry.wyckoffs[site] for site in first.tolist()),
        tuple(sizes.tolist()),
    )


@cache
def _point_group(hall_number: int) -> tuple[int, bool, int]:
    """Return the operations, whether the inversion is one, and the polar directions of a group.

    The operations of the standard cell are taken: those of a larger cell may lack some.
    """
    import spglib

    group = spglib.get_symmetry_from_database(hall_number)
    assert group is not None
    rotations = np.unique(group["rotations"], axis=0)
    centric = bool(np.any(np.all(rotations == -np.eye(3, dtype=int), axis=(1, 2))))
    # the mean of all operations projects on what none of them changes
    return len(rotations), centric, int(np.rint(rotations.mean(axis=0).trace()))


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Silence remarks of spglib on single structures; `reasons` reports failures."""
    is_set = "SPGLIB_WARNING" in os.environ
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # messages of the C code about tolerances
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
            yield
    finally:
        if not is_set:
            del os.environ["SPGLIB_WARNING"]
