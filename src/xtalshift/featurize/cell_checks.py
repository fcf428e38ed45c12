"""Why a cell is no crystal: no room for its atoms, or atoms on top of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours

_LEAST_ROOM = 1.0  # cubic angstrom per atom; the densest solid hydrogen has more
_LARGEST_CELL = 1e8  # cubic angstrom; the search for neighbours needs memory for its space
_LEAST_DISTANCE = 0.3  # angstrom; the atoms of H2 are 0.74 apart


def why_unusable(structures: Structures) -> NDArray[np.object_]:
    """Return why the neighbours of a structure cannot be found, ``""`` if they can, shape (n,)."""
    reasons = np.full(len(structures), "", dtype=object)
    atoms = np.bincount(structures.rows, structures.occupancies, minlength=len(structures))
    with np.errstate(invalid="ignore", over="ignore"):
        volumes = structures.volumes
    usable = (volumes >= _LEAST_ROOM * atoms) & (volumes <= _LARGEST_CELL)
    for row in np.flatnonzero(~usable):
        reasons[row] = (
            f"a cell of {volumes[row]:.3g} A^3 for {atoms[row]:g} atoms is no crystal; are the "
            "lattice vectors in angstrom?"
        )
    reasons[structures.rows[~np.isfinite(structures.positions).all(axis=1)]] = (
        "a position is not a finite number"
    )
    reasons[structures.sizes == 0] = "no atoms"
    return reasons


def why_overlapping(structures: Structures, pairs: Neighbours) -> NDArray[np.object_]:
    """Return which atoms of a structure overlap, shape (n,)."""
    reasons = np.full(len(structures), "", dtype=object)
    close = np.flatnonzero(pairs.distances < _LEAST_DISTANCE)
    rows, first = np.unique(structures.rows[pairs.atoms[close]], return_index=True)
    for row, pair in zip(rows.tolist(), close[first].tolist(), strict=True):
        names = (
            f"{SYMBOLS[structures.z[atom]]} (atom {atom - structures.starts[row] + 1})"
            for atom in (pairs.atoms[pair], pairs.others[pair])
        )
        reasons[row] = (
            f"{' and '.join(names)} are {pairs.distances[pair]:.2g} A apart; remove one, or give "
            "both occupancies below 1"
        )
    return reasons
