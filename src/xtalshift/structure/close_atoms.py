"""Pairs of atoms that are nearer to each other than a distance, across the faces of the cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xtalshift.structure.listed_atoms import FloatArray, RefusedError

_MOST_IMAGES = 4
_MOST_PAIRS = 200  # per atom


def close_atoms(
    lattice: FloatArray, positions: FloatArray, cutoff: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the pairs of atoms of a crystal within a distance of each other.

    Parameters
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Vectors in rows.
    positions : ndarray of float64, shape (m, 3)
        Fractional coordinates, 0 <= x < 1.
    cutoff : float
        In the unit of the lattice.

    Returns
    -------
    pairs : ndarray of int64, shape (k, 2)
        First atom <= second atom; both are the same where an atom is near its own image.
    distances : ndarray of float64, shape (k,)

    Raises
    ------
    RefusedError
        If the cell is so flat, or so many atoms are on one place, that there is no point in it.
    """
    from scipy.spatial import cKDTree

    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    margins = cutoff / heights
    if margins.max() > _MOST_IMAGES:
        raise RefusedError(
            f"the cell is only {heights.min():.2g} angstrom thick; check the lattice, or reduce "
            "the cell (Niggli)"
        )
    points, atoms = positions, np.arange(len(positions))
    for axis, margin in enumerate(margins.tolist()):
        most = math.ceil(margin)
        copies = [(points, atoms)]  # the cell itself first, so that atom i is point i
        for shift in (shift for shift in range(-most, most + 1) if shift):
            x = points[:, axis] + shift
            near = (x >= -margin) & (x <= 1.0 + margin)
            moved = points[near]
            moved[:, axis] += shift
            copies.append((moved, atoms[near]))
        points, atoms = (np.concatenate(parts) for parts in zip(*copies, strict=True))
    tree = cKDTree(points @ lattice)
    if tree.count_neighbors(tree, cutoff) > len(points) * _MOST_PAIRS:
        raise RefusedError(f"very many atoms are on one place; {len(positions):,} are listed")
    pairs = tree.query_pairs(cutoff, output_type="ndarray")
    pairs = pairs[pairs[:, 0] < len(positions)]
    distances = np.linalg.norm((points[pairs[:, 0]] - points[pairs[:, 1]]) @ lattice, axis=1)
    return np.sort(atoms[pairs], axis=1), distances
