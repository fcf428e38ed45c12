"""The pairs of atoms of periodic structures that are closer than a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.structure.structures import Structures

_SAME = 1e-8  # angstrom; an atom is no neighbour of itself
_MOST_IMAGES = 12  # cells on one side that are searched; a flatter cell is reduced first


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The p ordered pairs of atoms of a batch that are closer than a cutoff, by first atom.

    Each pair stands twice, once for each of its atoms.

    Attributes
    ----------
    atoms : ndarray of int64, shape (p,)
        First atom of each pair, an index into the atoms of the batch, ascending.
    others : ndarray of int64, shape (p,)
        Second atom.
    shifts : ndarray of int64, shape (p, 3)
        The cell of the second atom, in lattice vectors from the cell of the first.
    distances : ndarray of float64, shape (p,)
        In angstrom, at most the cutoff.
    vectors : ndarray of float64, shape (p, 3)
        From the first atom to the second, in angstrom.
    """

    atoms: NDArray[np.int64]
    others: NDArray[np.int64]
    shifts: NDArray[np.int64]
    distances: NDArray[np.float64]
    vectors: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.atoms)

    def take(self, pairs: Any) -> Self:
        """Return the pairs that an ascending index or a mask selects."""
        return type(self)(
            self.atoms[pairs],
            self.others[pairs],
            self.shifts[pairs],
            self.distances[pairs],
            self.vectors[pairs],
        )

    def groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the atoms that have pairs, and the first pair of each."""
        starts = np.flatnonzero(np.diff(self.atoms, prepend=-1))
        return self.atoms[starts], starts


def find_neighbours(structures: Structures, cutoff: float) -> Neighbours:
    """Find all pairs of atoms within a cutoff, over all periodic images.

    Parameters
    ----------
    structures : Structures
        n structures with m atoms, whose cells have a volume above 0. Different atoms at one
        position are no pair; all other pairs count, whatever the occupancies are.
    cutoff : float
        Largest distance in angstrom.

    Raises
    ------
    ConfigError
        If pymatgen, whose search in linked cells this is, is not installed.
    """
    try:
        from pymatgen.core.lattice import Lattice
        from pymatgen.optimization.neighbors import find_points_in_spheres
    except ImportError as error:
        raise ConfigError(
            'neighbours in crystals need pymatgen: pip install "xtalshift[structures]"'
        ) from error

    periodic = np.ones(3, dtype=np.int64)
    bounds = structures.starts.tolist()
    lattices = np.ascontiguousarray(structures.lattices)
    flat = _most_images(structures, cutoff) > _MOST_IMAGES
    points = np.einsum("mi,mij->mj", structures.positions, lattices[structures.rows])
    firsts, seconds, cells = [], [], []
    for row in np.flatnonzero(structures.sizes).tolist():
        atoms = slice(bounds[row], bounds[row + 1])
        lattice, change = lattices[row], None
        if flat[row]:  # the search takes time and memory for every cell within reach
            lattice = np.ascontiguousarray(Lattice(lattice).get_lll_reduced_lattice().matrix)
            change = np.rint(lattice @ np.linalg.inv(lattices[row]))
        first, second, cell, _ = find_points_in_spheres(
            points[atoms], points[atoms], r=cutoff + _SAME, pbc=periodic, lattice=lattice, tol=_SAME
        )
        firsts.append(first + bounds[row])
        seconds.append(second + bounds[row])
        cells.append(cell if change is None else cell @ change)
    if not firsts:
        none = np.empty(0, dtype=np.int64)
        return Neighbours(none, none, np.empty((0, 3), np.int64), np.empty(0), np.empty((0, 3)))
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    shifts = np.concatenate(cells)
    vectors = points[second] - points[first]
    vectors += np.einsum("pi,pij->pj", shifts, lattices[structures.rows[first]])
    distances = np.sqrt(np.einsum("pi,pi->p", vectors, vectors))
    order = np.argsort(first, kind="stable")
    order = order[(distances[order] > _SAME) & (distances[order] <= cutoff)]
    return Neighbours(
        first[order],
        second[order],
        np.rint(shifts[order]).astype(np.int64),
        distances[order],
        vectors[order],
    )


def _most_images(structures: Structures, cutoff: float) -> NDArray[np.float64]:
    """Return how many cells the cutoff reaches along the lattice vector where most, shape (n,)."""
    a, b, c = np.moveaxis(structures.lattices, 1, 0)
    faces = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)])
    return np.asarray(cutoff * np.linalg.norm(faces, axis=2).max(axis=0) / structures.volumes)
