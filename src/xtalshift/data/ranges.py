"""The numbers that methods can compute with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST, LARGEST = 1e-30, 1e30
"""Bounds of the size of a number, besides 0. Beyond them numbers of 32 bits, in which networks and
trees compute, overflow or lose the differences between values; squares stay finite in 64 bits."""


def in_range(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which numbers are 0 or have a size from `SMALLEST` to `LARGEST`."""
    size = np.abs(values)
    return np.asarray((size == 0) | ((size >= SMALLEST) & (size <= LARGEST)))
