"""The sites of a crystal: positions, each with the atoms that share it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xtalshift.structure.structures import Structures

_DECIMALS = 5  # of fractional positions; atoms that agree in them share a site

Content: TypeAlias = tuple[tuple[int, float], ...]
"""Atomic numbers of the atoms that share a site, and their occupancies, sorted."""


class Sites(NamedTuple):
    """The k sites of one crystal."""

    positions: NDArray[np.float64]
    """Shape (k, 3). Fractional coordinates."""
    kinds: NDArray[np.intc]
    """Shape (k,). Equal numbers mean equal contents; the atomic number if all atoms are whole."""
    contents: dict[int, Content]
    """What is on the sites of each kind."""


def find_sites(structure: Structures) -> Sites:
    """Return the sites of one structure."""
    positions, z = structure.positions, structure.z.astype(np.intc)
    if structure.ordered[0]:
        return Sites(positions, z, {number: ((number, 1.0),) for number in set(z.tolist())})
    rounded = np.round(positions, _DECIMALS) % 1.0
    _, first, site = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    shares = np.round(structure.occupancies, 3).tolist()
    atoms = [
        tuple(sorted((int(z[atom]), shares[atom]) for atom in shared))
        for shared in (np.flatnonzero(site.ravel() == one) for one in range(len(first)))
    ]
    known = {atom: kind for kind, atom in enumerate(sorted(set(atoms)), start=1)}
    kinds = np.array([known[atom] for atom in atoms], dtype=np.intc)
    return Sites(positions[first], kinds, {kind: atom for atom, kind in known.items()})
