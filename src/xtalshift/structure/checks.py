"""From the atoms that a file lists to a structure, or why it is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure.close_atoms import close_atoms
from xtalshift.structure.listed_atoms import FloatArray, ListedAtoms, RefusedError
from xtalshift.structure.species import read_species
from xtalshift.structure.stated_formula import compare_formula
from xtalshift.structure.structures import Structures

MOST_ATOMS = 20_000
"""Cells with more atoms are refused."""

SAME_SITE = 0.01
"""Atoms within this distance in angstrom are on one site."""

TOO_CLOSE = 0.4
"""No two whole atoms are within this distance in angstrom; the shortest bond, H2, has 0.74."""

VACUUM = 10.0
"""Gaps between atoms of this height in angstrom and more are noted."""

_OVERFULL = 1.01
_THINNEST = 1e-3  # cubic angstrom


def check_atoms(listed: ListedAtoms) -> tuple[Structures, str]:
    """Return a batch of one structure, and what was odd about it (``""`` if nothing).

    Raises
    ------
    RefusedError
        If no structure can be made of it without a guess.
    """
    notes = list(listed.notes)
    _check_numbers(listed)
    z, remarks = _read_elements(listed.species)
    notes += remarks
    occupancies = listed.occupancies
    there = occupancies > 0.0
    if not there.all():
        notes.append(f"atoms with occupancy 0 left out: {np.count_nonzero(~there):,}")
    z, occupancies = z[there], occupancies[there]
    structure = Structures.of(listed.lattice, z, listed.positions[there])
    positions = structure.positions
    pairs, distances = close_atoms(listed.lattice, positions, TOO_CLOSE)
    sites = np.arange(len(z))
    if len(pairs):
        sites = _find_sites(pairs[distances < SAME_SITE], len(z))
    occupancies = _fill_sites(z, occupancies, sites, notes)
    if len(pairs):
        apart = distances >= SAME_SITE
        _check_distances(pairs[apart], distances[apart], z, occupancies, sites, notes)
        kept, occupancies = _merge(z, occupancies, sites, notes)
        z, positions = z[kept], positions[sites[kept]]
    partial = np.count_nonzero(occupancies < 1.0)
    if partial:
        notes.append(f"partly occupied: {partial:,} of {len(z):,} atoms")
    if listed.formula:
        amounts = np.bincount(z, occupancies, len(SYMBOLS))
        notes.append(compare_formula(listed.formula, listed.units, np.asarray(amounts)))
    notes.append(_find_vacuum(listed.lattice, positions))
    structure = Structures.of(listed.lattice, z, positions, occupancies)
    return structure, "; ".join(dict.fromkeys(filter(None, notes)))


def check_number(m: int) -> None:
    """Refuse a cell with too many atoms, before time is spent on it."""
    if m > MOST_ATOMS:
        raise RefusedError(
            f"it has more than {MOST_ATOMS:,} atoms in the cell; use a smaller (primitive) cell"
        )


def _check_numbers(listed: ListedAtoms) -> None:
    """Refuse what is no crystal by its numbers alone."""
    m = len(listed.species)
    if m == 0:
        raise RefusedError("it has no atoms; check that the file is complete")
    check_number(m)
    if not np.isfinite(listed.lattice).all():
        raise RefusedError("the lattice holds values that are no numbers; correct the cell")
    volume = abs(np.linalg.det(listed.lattice))
    if not _THINNEST < volume < np.inf:
        raise RefusedError(f"the cell has the volume {volume:.3g} cubic angstrom; correct the cell")
    bad = np.flatnonzero(~np.isfinite(listed.positions).all(axis=1))
    if bad.size:
        raise RefusedError(
            f"{_name(bad[0], listed.species[bad[0]])} has no position: coordinates must be "
            "numbers; add them, or remove the atom"
        )
    bad = np.flatnonzero(~((listed.occupancies >= 0.0) & (listed.occupancies <= _OVERFULL)))
    if bad.size:
        raise RefusedError(
            f"{_name(bad[0], listed.species[bad[0]])} has occupancy "
            f"{listed.occupancies[bad[0]]:g}; it must be from 0 to 1"
        )
    if not listed.occupancies.any():
        raise RefusedError("all its atoms have occupancy 0; correct the occupancies")


def _read_elements(species: object) -> tuple[NDArray[np.uint8], list[str]]:
    names, inverse = np.unique(np.asarray(species, dtype=str), return_inverse=True)
    read = [read_species(name) for name in names.tolist()]
    return np.array([z for z, _ in read], dtype=np.uint8)[inverse], [note for _, note in read]


def _find_sites(pairs: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """Return the first atom on the site of each atom, shape (m,)."""
    sites = np.arange(m)
    if len(pairs):
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(m, m))
        _, groups = connected_components(links, directed=False)
        _, first = np.unique(groups, return_index=True)
        sites = first[groups]
    return sites


def _fill_sites(
    z: NDArray[np.uint8], occupancies: FloatArray, sites: NDArray[np.int64], notes: list[str]
) -> FloatArray:
    """Return the occupancies, scaled where a site has a little more than one atom."""
    totals = np.bincount(sites, weights=occupancies, minlength=len(z))
    over = np.flatnonzero(totals > _OVERFULL)
    if over.size:
        first, second = np.flatnonzero(sites == over[0])[:2]
        remedy = "correct the occupancies, or remove atoms or operations that repeat others"
        raise RefusedError(
            f"{_name(first, SYMBOLS[z[first]])} and {_name(second, SYMBOLS[z[second]])} are on one "
            f"site, which holds {totals[over[0]]:g} atoms; {remedy}"
        )
    scale = np.maximum(totals, 1.0)[sites]
    if (scale > 1.0 + 1e-9).any():
        notes.append(f"occupancies up to {totals.max():g} scaled to 1")
    return np.asarray(occupancies / scale)


def _check_distances(
    pairs: NDArray[np.int64],
    distances: FloatArray,
    z: NDArray[np.uint8],
    occupancies: FloatArray,
    sites: NDArray[np.int64],
    notes: list[str],
) -> None:
    """Refuse atoms on top of each other, unless they are alternatives of a disordered crystal."""
    if not len(pairs):
        return
    totals = np.bincount(sites, weights=occupancies, minlength=len(z))
    first, second = sites[pairs].T
    both = np.where(first == second, 2.0, 1.0) * totals[first] + (first != second) * totals[second]
    wrong = np.flatnonzero(both > _OVERFULL)
    if wrong.size:
        nearest = wrong[np.argmin(distances[wrong])]
        i, j = pairs[nearest]
        other = "its own image" if i == j else _name(j, SYMBOLS[z[j]])
        raise RefusedError(
            f"{_name(i, SYMBOLS[z[i]])} is {distances[nearest]:.2g} angstrom from {other}; correct "
            "the positions, the lattice or the symmetry operations"
        )
    notes.append(f"alternative positions closer than {TOO_CLOSE:g} angstrom")


def _merge(
    z: NDArray[np.uint8], occupancies: FloatArray, sites: NDArray[np.int64], notes: list[str]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the atoms that stay, and their occupancies, where a site lists an element twice."""
    _, kept, inverse = np.unique(sites * 256 + z, return_index=True, return_inverse=True)
    order = np.argsort(kept)
    if len(kept) < len(z):
        notes.append(f"atoms of one element on one site merged: {len(z) - len(kept):,}")
    merged = np.bincount(inverse, weights=occupancies)
    return kept[order], np.minimum(merged[order], 1.0)


def _find_vacuum(lattice: FloatArray, positions: FloatArray) -> str:
    """Return a note if a layer of the cell is empty."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    x = np.sort(positions, axis=0)
    gaps = np.diff(x, axis=0, append=x[:1] + 1.0).max(axis=0) * heights
    wide = int(np.argmax(gaps))
    if gaps[wide] < VACUUM:
        return ""
    return f"vacuum along {'abc'[wide]}: {gaps[wide]:.0f} angstrom, a surface or a molecule?"


def _name(atom: int, species: str) -> str:
    return f"atom {atom + 1:,} ({species})"
