"""The crystal itself as a row of numbers, for methods that read crystals and not features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError
from xtalshift.featurize.blocks import COORDINATES, StructureBlock
from xtalshift.structure import Structures

MOST_ATOMS = 128
"""Atoms of a row; empty places are 0, and so is their atomic number."""
_CELL = 9

SITES_NAMES: tuple[str, ...] = (
    *(f"{COORDINATES}{vector} {axis}" for vector in "abc" for axis in "xyz"),
    *(f"{COORDINATES}atomic number {k}" for k in range(1, MOST_ATOMS + 1)),
    *(f"{COORDINATES}position {k} {axis}" for k in range(1, MOST_ATOMS + 1) for axis in "xyz"),
)
"""Names of the columns: the lattice vectors in angstrom, the atomic numbers, and the fractional
coordinates."""


def read_sites(rows: ArrayLike) -> Structures:
    """Return the crystals of n rows of the block ``sites``.

    Parameters
    ----------
    rows : array_like of float64, shape (n, 521)
        The columns of `SITES_NAMES`.

    Raises
    ------
    DataError
        If a row holds no crystal.
    """
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(SITES_NAMES):  # noqa: PLR2004
        raise DataError(
            f"rows of crystals have the shape {values.shape}; expected (n, {len(SITES_NAMES)}), "
            "the block sites"
        )
    numbers = values[:, _CELL : _CELL + MOST_ATOMS]
    there = numbers != 0
    sizes = there.sum(axis=1)
    good = np.isfinite(values).all(axis=1) & (sizes > 0) & (numbers == np.rint(numbers)).all(axis=1)
    good &= (numbers >= 0).all(axis=1) & (numbers <= 118).all(axis=1)  # noqa: PLR2004
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"row {row + 1} of X holds no crystal: the columns of the block sites are the lattice "
            "vectors, atomic numbers and positions that --features +sites writes"
        )
    places = values[:, _CELL + MOST_ATOMS :].reshape(len(values), MOST_ATOMS, 3)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Structures(
        values[:, :_CELL].reshape(-1, 3, 3),
        starts,
        numbers[there].astype(np.uint8),
        places[there],
        np.ones(starts[-1]),
    )


def _fill(
    structures: Structures,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    **_: Any,
) -> None:
    sizes = structures.sizes
    reasons[(reasons == "") & ~structures.ordered] = (
        "a site is not fully occupied, and the block sites has whole atoms: order the structure, "
        "or leave the block out"
    )
    for row in np.flatnonzero((sizes > MOST_ATOMS) & (reasons == "")).tolist():
        reasons[row] = (
            f"the cell has {sizes[row]} atoms, more than the {MOST_ATOMS} of the block sites: take "
            "the primitive cell, or leave the block out"
        )
    values[:] = 0.0
    good = np.flatnonzero((reasons == "") & (sizes > 0))
    chosen = structures.take(good)
    values[good, :_CELL] = chosen.lattices.reshape(-1, _CELL)
    place = np.arange(len(chosen.z)) - chosen.starts[chosen.rows]
    rows = good[chosen.rows]
    values[rows, _CELL + place] = chosen.z
    first = _CELL + MOST_ATOMS + 3 * place
    values[rows[:, None], first[:, None] + np.arange(3)] = chosen.positions


SITES = StructureBlock(SITES_NAMES, _fill)
"""The block ``sites``."""
