"""The space groups of a batch of structures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.structure.structures import Structures
from xtalshift.structure.symmetry import SYMPREC

_DECIMALS = 5  # of fractional positions; atoms that agree in them share a site


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
    """

    numbers: NDArray[np.int64]
    operations: NDArray[np.int64]
    centric: NDArray[np.bool_]
    polar_directions: NDArray[np.int64]
    sites: NDArray[np.int64]
    inequivalent: NDArray[np.int64]


def find_space_groups(structures: Structures, symprec: float = SYMPREC) -> SpaceGroups:
    """Find the space group of each structure with spglib.

    Parameters
    ----------
    structures : Structures
        n structures. Sites are equivalent only if they have the same elements and occupancies.
    symprec : float, default `SYMPREC`
        Tolerance in angstrom.

    Raises
    ------
    ConfigError
        If spglib is not installed.
    """
    try:
        import spglib
    except ImportError as error:
        raise ConfigError(
            'space groups need spglib: pip install "xtalshift[structures]"'
        ) from error

    found = np.zeros((6, len(structures)), dtype=np.int64)
    ordered = structures.ordered
    with _quiet():
        for row in np.flatnonzero(structures.sizes).tolist():
            atoms = slice(*structures.starts[row : row + 2].tolist())
            positions, kinds = structures.positions[atoms], structures.z[atoms].astype(np.intc)
            if not ordered[row]:
                positions, kinds = _sites(positions, kinds, structures.occupancies[atoms])
            cell: Any = (structures.lattices[row], positions, kinds)
            try:
                symmetry = spglib.get_symmetry_dataset(cell, symprec=symprec)
            except Exception:  # noqa: BLE001 - raises or returns None, as its version has it
                symmetry = None
            if symmetry is not None:
                found[:, row] = (
                    symmetry.number,
                    *_point_group(symmetry.hall_number),
                    len(np.unique(symmetry.mapping_to_primitive)),
                    len(np.unique(symmetry.crystallographic_orbits)),
                )
    numbers, operations, centric, polar, sites, inequivalent = found
    return SpaceGroups(numbers, operations, centric.astype(bool), polar, sites, inequivalent)


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


def _sites(
    positions: NDArray[np.float64], z: NDArray[np.intc], occupancies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intc]]:
    """Return the positions of the sites and a number for the elements that share each."""
    rounded = np.round(positions, _DECIMALS) % 1.0
    _, first, site = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    atoms = [
        tuple(sorted((int(z[atom]), round(float(occupancies[atom]), 3)) for atom in shared))
        for shared in (np.flatnonzero(site.ravel() == one) for one in range(len(first)))
    ]
    known = {atom: kind for kind, atom in enumerate(sorted(set(atoms)), start=1)}
    return positions[first], np.array([known[atom] for atom in atoms], dtype=np.intc)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence remarks of spglib on single structures; a number of 0 reports them."""
    before = os.environ.get("SPGLIB_WARNING")
    os.environ["SPGLIB_WARNING"] = "OFF"  # messages of the C code about tolerances
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
            yield
    finally:
        if before is None:
            del os.environ["SPGLIB_WARNING"]
        else:
            os.environ["SPGLIB_WARNING"] = before
