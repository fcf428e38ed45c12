"""Batches of structures with about equally many atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def split_atoms(sizes: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Return the indices of structures in parts of about `most` atoms together.

    Parameters
    ----------
    sizes : ndarray of int64, shape (n,)
        Numbers of atoms.
    most : int
        Such as `AtomNetwork.pass_atoms`.
    """
    part = np.cumsum(sizes) // most
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(part)) + 1)
