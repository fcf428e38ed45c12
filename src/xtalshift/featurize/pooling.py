"""From numbers of atoms to numbers of crystals."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES, SYMBOLS
from xtalshift.structure import Structures

_CLASSES = {
    "s metals": ("alkali_metal", "alkaline_earth"),
    "d and f metals": ("transition_metal", "lanthanide", "actinide"),
    "nonmetals": ("nonmetal",),
}
_REST = "p metals"  # and metalloids

POOLINGS: dict[str, tuple[str, ...]] = {
    "mean": ("",),
    "std": ("std",),
    "max": ("max",),
    "by-element": (*_CLASSES, _REST),
}
"""What is made of the numbers of the atoms, and the names of its parts: their mean, standard
deviation and maximum, and the shares of four groups of elements in the mean, which add up to it. A
group that is not there has the share 0."""
PARTS: tuple[str, ...] = tuple(part for parts in POOLINGS.values() for part in parts)
"""All parts, in the order of `pool`."""

_DECIMALS = 8  # of a standard deviation: that of equal atoms is then 0, not a rounding error


def pool(atoms: NDArray[np.float64], structures: Structures) -> NDArray[np.float32]:
    """Return all `PARTS` of some features of atoms.

    Parameters
    ----------
    atoms : ndarray of float64, shape (m, width)
        Features of the atoms of `structures`.
    structures : Structures
        n structures with at least one atom each.

    Returns
    -------
    ndarray of float32, shape (n, number of parts, width)
    """
    starts, sizes = structures.starts[:-1], structures.sizes[:, None]
    mean = np.add.reduceat(atoms, starts) / sizes
    spread = np.add.reduceat((atoms - mean[structures.rows]) ** 2, starts) / sizes
    groups = _groups()[structures.z]
    shares = [
        np.add.reduceat(np.where((groups == k)[:, None], atoms, 0.0), starts) / sizes
        for k in range(len(POOLINGS["by-element"]))
    ]
    deviation = np.round(np.sqrt(spread), _DECIMALS)
    parts: list[NDArray[Any]] = [mean, deviation, np.maximum.reduceat(atoms, starts), *shares]
    return np.stack(parts, axis=1).astype(np.float32)


@cache
def _groups() -> NDArray[np.int64]:
    """Return the group of each element, by atomic number."""
    groups = np.full(len(SYMBOLS), len(_CLASSES))
    for k, classes in enumerate(_CLASSES.values()):
        for name in classes:
            groups[[ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES[name]]] = k
    return groups
