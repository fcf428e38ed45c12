"""Which neighbours of an atom are bonded to it, as weights without a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import pi
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import MAGPIE_PROPERTIES, load_elements
from xtalshift.structure.neighbours import Neighbours, find_neighbours
from xtalshift.structure.structures import Structures

FloatArray = NDArray[np.float64]

CUTOFF = 7.0
"""Largest distance of bonded atoms in angstrom. From 6 on, bonds fade to nothing at the cutoff."""
_FADE = 1.0
_ROUNDED = 0.01  # rounded occupancies that add up to 1 may be above it
_FAINT = 1e-9  # neighbours that have faded more have no weight


@dataclass(frozen=True, eq=False)
class Bonds:
    """The p pairs of neighbours of a batch with m atoms, and how much of a bond each is.

    Attributes
    ----------
    neighbours : Neighbours
        All pairs within `CUTOFF`, without those of which only one atom can be there: partly
        occupied sites with at most one atom in all, closer than half the sum of their radii.
    radii : ndarray of float64, shape (p,)
        Sum of the covalent radii in angstrom.
    presence : ndarray of float64, shape (p,)
        Occupancy of the second atom, times a factor that falls from 1 at 6 angstrom to 0 at 7.
    weights : ndarray of float64, shape (p,)
        Share of a bond from the view of the first atom: `presence` times
        ``exp(1 - (d / d_mean)^6)``, with `d_mean` the mean of the distances d of the atom with the
        weights ``exp(1 - (d / d_nearest)^6)``. Their sum is the effective coordination number of
        Hoppe, Z. Kristallogr. 150, 23 (1979).
    nearest : ndarray of float64, shape (m,)
        Distance of the nearest neighbour of each atom, at most `CUTOFF`.
    """

    neighbours: Neighbours
    radii: FloatArray
    presence: FloatArray
    weights: FloatArray
    nearest: FloatArray

    def take(self, pairs: NDArray[np.intp]) -> Self:
        """Return the pairs that an ascending index selects."""
        return type(self)(
            self.neighbours.take(pairs),
            self.radii[pairs],
            self.presence[pairs],
            self.weights[pairs],
            self.nearest,
        )


def find_bonds(structures: Structures) -> Bonds:
    """Find the bonds of n structures with m atoms.

    Raises
    ------
    ConfigError
        If pymatgen is not installed.
    """
    occupancies, z = structures.occupancies, structures.z
    pairs = find_neighbours(structures, CUTOFF)
    radii = covalent_radii()[z[pairs.atoms]] + covalent_radii()[z[pairs.others]]
    both = occupancies[pairs.atoms] + occupancies[pairs.others]
    real = np.flatnonzero((pairs.distances > 0.5 * radii) | (both > 1.0 + _ROUNDED))
    if real.size < len(pairs):
        pairs, radii = pairs.take(real), radii[real]
    first, distances = pairs.atoms, pairs.distances

    nearest = np.full(len(z), CUTOFF)
    atoms, starts = pairs.groups()
    if atoms.size:
        nearest[atoms] = np.minimum.reduceat(distances, starts)
    faded = np.clip((CUTOFF - distances) / _FADE, 0.0, 1.0)
    presence = (0.5 - 0.5 * np.cos(pi * faded)) * occupancies[pairs.others]
    weights = presence * np.exp(1.0 - (distances / nearest[first]) ** 6)
    sums = np.bincount(first, weights, minlength=len(z))
    mean = np.bincount(first, weights * distances, minlength=len(z))
    mean = np.divide(mean, sums, out=nearest.copy(), where=sums > _FAINT)
    weights = presence * np.exp(1.0 - (distances / mean[first]) ** 6)
    return Bonds(pairs, radii, presence, weights, nearest)


@cache
def covalent_radii() -> FloatArray:
    """Return the covalent radii by atomic number in angstrom, shape (119,).

    Those of Cordero et al., Dalton Trans. 2832 (2008); elements beyond curium get the mean.
    """
    radii = load_elements(impute_nan=True).magpie[:, MAGPIE_PROPERTIES.index("CovalentRadius")]
    return np.asarray(radii / 100.0)
