"""All atoms of a cell from those that a CIF lists and its symmetry operations."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xtalshift.structure.checks import check_number
from xtalshift.structure.listed_atoms import FloatArray, RefusedError

SPECIAL = 0.05
"""Copies of an atom within this distance in angstrom are one atom on a special position."""

_LONGEST = 80
_ROUNDED = 0.03  # 0.3333 for 1/3
_DECIMAL = re.compile(r"(?<!\d)\d*\.\d+")


@lru_cache(maxsize=512)
def parse_operations(triplets: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Return the rotations, shape (k, 3, 3), and translations, shape (k, 3), of ``x,y,z`` texts.

    Raises
    ------
    RefusedError
        If one is no symmetry operation.
    """
    import gemmi

    rotations, shifts = [], []
    for triplet in triplets:
        try:
            # gemmi counts translations in parts of 24 and rounds decimals to them
            if len(triplet) > _LONGEST or not _in_parts(triplet):
                raise RuntimeError  # noqa: TRY301
            operation = gemmi.Op(triplet)
        except RuntimeError:
            raise RefusedError(
                f"{triplet[:30]!r} is no symmetry operation; write such as '-x, y+1/2, -z'"
            ) from None
        rotations.append(operation.rot)
        shifts.append(operation.tran)
    return np.array(rotations) / gemmi.Op.DEN, np.array(shifts) / gemmi.Op.DEN


def fill_cell(
    lattice: FloatArray, positions: FloatArray, rotations: FloatArray, shifts: FloatArray
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return all atoms of a cell.

    An atom that an operation leaves (nearly) in place is moved to the mean of its copies: 0.3333
    on a threefold axis becomes 1/3.

    Parameters
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Vectors in rows, angstrom.
    positions : ndarray of float64, shape (s, 3)
        Fractional coordinates of the atoms that are listed.
    rotations, shifts : ndarray of float64, shapes (k, 3, 3) and (k, 3)
        As `parse_operations` returns them.

    Returns
    -------
    positions : ndarray of float64, shape (m, 3)
    listed : ndarray of int64, shape (m,)
        Which of the `s` atoms each is a copy of, ascending.

    Raises
    ------
    RefusedError
        If there are too many.
    """
    filled, listed, m = [], [], 0
    for number, place in enumerate(positions):
        copies = rotations @ place + shifts
        offsets = copies[None] - copies[:, None]  # from copy i to copy j
        offsets -= np.round(offsets)
        same = np.linalg.norm(offsets @ lattice, axis=2) < SPECIAL
        firsts = np.flatnonzero(same.argmax(axis=1) == np.arange(len(copies)))
        weights = same[firsts]
        means = np.einsum("fk,fkx->fx", weights, offsets[firsts]) / weights.sum(1, keepdims=True)
        filled.append(copies[firsts] + means)
        listed.append(np.full(len(firsts), number))
        m += len(firsts)
        check_number(m)
    return np.concatenate(filled), np.concatenate(listed)


def _in_parts(triplet: str) -> bool:
    """Return whether the decimals of an operation are multiples of 1/24."""
    parts = [24.0 * float(number) for number in _DECIMAL.findall(triplet)]
    return all(abs(part - round(part)) < _ROUNDED for part in parts)
