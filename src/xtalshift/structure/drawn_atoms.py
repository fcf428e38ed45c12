"""What a drawing of a crystal shows: atoms, bonds and the edges of the cell in space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import ELEMENT_CLASSES, SYMBOLS
from xtalshift.structure.bonds import covalent_radii, find_bonds
from xtalshift.structure.sites import Sites, find_sites
from xtalshift.structure.structures import Structures

FloatArray = NDArray[np.float64]
Cell = tuple[int, int, int]
Place = tuple[int, Cell]
"""A site and the cell of its image."""
Pair = tuple[int, int, Cell]
"""Two sites, and the cell of the second from that of the first."""

MOST_BONDED = 400
"""Most sites in a cell whose bonds are drawn."""
_LONGEST = 1.3  # of a drawn bond, in sums of the covalent radii
_USUAL = 1.15  # ... of a bond between nonmetals, whatever their other neighbours are
_SHARE = 0.4  # least weight of a drawn bond for both of its atoms
_ON_FACE = 0.1  # angstrom; atoms this near to a face of the cell are repeated on the other side
_SLENDER = 1.6  # a cell is repeated along an edge if another is longer by this factor
_FEW = 8  # most sites of a repeated cell; networks of fewer images are drawn in eight cells
CORNERS = np.array(list(product((0, 1), repeat=3)))
"""Corners of a cell, shape (8, 3), in lattice vectors."""
EDGES = tuple((one, one | bit) for bit in (1, 2, 4) for one in range(8) if not one & bit)
"""Pairs of corners, those along c first."""


@dataclass(frozen=True, eq=False)
class DrawnAtoms:
    """The p images of sites that are drawn, and the q bonds between them.

    Attributes
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Lattice vectors in angstrom.
    repeats : tuple of int
        Cells that are drawn along each of them.
    points : ndarray of float64, shape (p, 3)
        Positions in angstrom, from the corner of the cell.
    kinds : ndarray of int64, shape (p,)
        What each site holds, a key of `atoms`.
    atoms : dict
        Atomic numbers and occupancies of each kind, the largest share first.
    radii : dict
        Covalent radius of each kind in angstrom; of mixed sites the mean.
    bonds : ndarray of int64, shape (q, 2)
        Both ends of each bond, indices into `points`.
    """

    lattice: FloatArray
    repeats: Cell
    points: FloatArray
    kinds: NDArray[np.int64]
    atoms: dict[int, tuple[tuple[int, float], ...]]
    radii: dict[int, float]
    bonds: NDArray[np.int64]

    @classmethod
    def none(cls, lattice: FloatArray) -> Self:
        """Return an empty cell."""
        bonds = np.empty((0, 2), dtype=np.int64)
        points, kinds = np.empty((0, 3)), np.empty(0, dtype=np.int64)
        return cls(lattice, (1, 1, 1), points, kinds, {}, {}, bonds)


def place_atoms(structure: Structures) -> DrawnAtoms:
    """Choose the atoms and bonds to draw of one crystal.

    All atoms of the cell are drawn, and those on its faces, edges and corners once more on each
    opposite side. Molecules and other finite groups of bonded atoms are drawn whole, where their
    centre is in the cell. Two sites are bonded if each has a large weight for the other, see
    `xtalshift.structure.bonds.Bonds`; cells of more than `MOST_BONDED` sites are drawn without
    bonds.

    Parameters
    ----------
    structure : Structures
        One row with atoms.

    Raises
    ------
    ConfigError
        If pymatgen is not installed.
    """
    sites = find_sites(structure)
    lattice = structure.lattices[0]
    atoms = {
        kind: tuple(sorted(some, key=lambda one: -one[1])) for kind, some in sites.contents.items()
    }
    first = np.array([atoms[kind][0][0] for kind in sites.kinds.tolist()])
    near: list[list[Place]] = [[] for _ in first]
    if len(first) <= MOST_BONDED:
        for one, other, shift in _links(sites, lattice, first):
            near[one].append((other, shift))
    groups = _groups(near)
    repeats = _repeats(lattice) if len(first) <= _FEW else (1, 1, 1)
    shown = _images(groups, sites.positions, lattice, repeats)
    endless = any(len(group) == 1 and near[group[0][0]] for group in groups)
    if endless and len(shown) < _FEW:
        repeats = (2, 2, 2)
        shown = _images(groups, sites.positions, lattice, repeats)
    bonds = {
        (min(here, there), max(here, there))
        for (site, cell), here in shown.items()
        for other, shift in near[site]
        if (there := shown.get((other, _add(cell, shift)))) is not None
    }
    places = np.array([site for site, _ in shown])
    cells = np.array([cell for _, cell in shown])
    known = covalent_radii()
    radii = {
        kind: float(np.average([known[z] for z, _ in some], weights=[share for _, share in some]))
        for kind, some in atoms.items()
    }
    return DrawnAtoms(
        lattice,
        repeats,
        (sites.positions[places] + cells) @ lattice,
        sites.kinds[places].astype(np.int64),
        atoms,
        radii,
        np.array(sorted(bonds), dtype=np.int64).reshape(-1, 2),
    )


def _links(sites: Sites, lattice: FloatArray, z: NDArray[np.int64]) -> list[Pair]:
    """Return the bonds between sites, each in both directions.

    Nonmetals are bonded by their distance. Other pairs are bonded if each is among the nearest of
    the other, hydrogen aside.
    """
    shares = {kind: min(1.0, sum(x for _, x in some)) for kind, some in sites.contents.items()}
    occupancies = np.array([shares[kind] for kind in sites.kinds.tolist()])
    close, strong = _near(lattice, z, sites.positions, occupancies, np.arange(len(z)))
    heavy = np.flatnonzero(z > 1)
    mutual = _both_ways(strong)
    if 0 < heavy.size < len(z):
        mutual |= _both_ways(_near(lattice, z, sites.positions, occupancies, heavy)[1])
    metal = _are_metals()[z]
    found = {one for one in close if not (metal[one[0]] or metal[one[1]])}
    # metals near to nonmetals are cations, and not bonded to each other
    ions = {one for one, other, _ in strong if metal[one] and not metal[other]}
    for one, other, shift in mutual:
        if not (metal[one] and metal[other] and (one in ions or other in ions)):
            found.add((one, other, shift))
    return sorted(found)


def _both_ways(pairs: set[Pair]) -> set[Pair]:
    """Return the pairs that are there in both directions."""
    return {
        (one, other, (a, b, c))
        for one, other, (a, b, c) in pairs
        if (other, one, (-a, -b, -c)) in pairs
    }


def _near(
    lattice: FloatArray,
    z: NDArray[np.int64],
    positions: FloatArray,
    occupancies: FloatArray,
    some: NDArray[np.intp],
) -> tuple[set[Pair], set[Pair]]:
    """Return the pairs of some sites within a usual bond length, and those near for the first."""
    bonds = find_bonds(Structures.of(lattice, z[some], positions[some], occupancies[some]))
    pairs = bonds.neighbours
    lengths = pairs.distances / bonds.radii
    weights = bonds.weights / occupancies[some][pairs.others]
    found = []
    for chosen in (lengths <= _USUAL, (weights >= _SHARE) & (lengths <= _LONGEST)):
        columns = (some[pairs.atoms[chosen]], some[pairs.others[chosen]], pairs.shifts[chosen])
        listed = zip(*(column.tolist() for column in columns), strict=True)
        found.append({(one, other, (a, b, c)) for one, other, (a, b, c) in listed})
    close, strong = found
    return close, strong


def _are_metals() -> NDArray[np.bool_]:
    """Return which atomic numbers are metals, shape (119,)."""
    return np.isin(SYMBOLS, ELEMENT_CLASSES["metal"])


def _groups(near: list[list[Place]]) -> list[list[Place]]:
    """Return each finite group of bonded sites, and each other site alone."""
    cells: dict[int, Cell] = {}
    groups = []
    for start in range(len(near)):
        if start in cells:
            continue
        cells[start] = (0, 0, 0)
        group, finite = [start], True
        for site in group:
            for other, shift in near[site]:
                cell = _add(cells[site], shift)
                if other not in cells:
                    cells[other] = cell
                    group.append(other)
                finite = finite and cells[other] == cell
        if finite:
            groups.append([(site, cells[site]) for site in group])
        else:
            groups += [[(site, (0, 0, 0))] for site in group]
    return groups


def _repeats(lattice: FloatArray) -> Cell:
    """Return how often a cell is drawn, so that a small and slender one fills a picture."""
    lengths = np.linalg.norm(lattice, axis=1)
    times = np.floor(lengths.max() / lengths + (2 - _SLENDER)).astype(int).clip(1, 3)
    a, b, c = times.tolist()
    return a, b, c


def _images(
    groups: list[list[Place]],
    positions: FloatArray,
    lattice: FloatArray,
    repeats: Cell,
) -> dict[Place, int]:
    """Return the sites whose group has its centre in the cells or on their faces, numbered."""
    margins = _ON_FACE * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    shown: dict[Place, int] = {}
    for group in groups:
        centre = np.mean([positions[site] + cell for site, cell in group], axis=0)
        steps = []
        for x, margin, times in zip(centre.tolist(), margins.tolist(), repeats, strict=True):
            low, high = math.ceil(-margin - x), math.floor(times + margin - x)
            steps.append(range(low, high + 1))
        for a, b, c in product(*steps):
            for site, cell in group:
                shown.setdefault((site, _add(cell, (a, b, c))), len(shown))
    return shown


def _add(one: Cell, other: Cell) -> Cell:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
