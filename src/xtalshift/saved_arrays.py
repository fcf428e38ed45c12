"""What the arrays of a saved model must be, checked before any of them is used.

A checksum tells an accident, not an intention: whoever edits a file can write its checksum too.
Each class that is saved declares its arrays as a `Schema` beside the code that writes them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ModelFormatError

LARGEST = sys.float_info.max
POSITIVE = math.ulp(0.0)
"""The smallest number above 0."""


@dataclass(frozen=True)
class SavedArray:
    """What one array must be."""

    dtype: type[np.generic]
    shape: tuple[int | str | None, ...]
    """Lengths. A name stands for one length, wherever it is used; None for any."""
    low: float = -LARGEST
    high: float = LARGEST
    """`low`, `high`: smallest and largest value; by default any finite one."""
    missing: bool = False
    """Whether NaN is a value."""


@dataclass(frozen=True)
class Unread:
    """What a file says about an array before it is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


Schema = Mapping[str, SavedArray]
Layout = Mapping[str, Unread | NDArray[Any]]
TEXT = SavedArray(np.uint8, (None,))
"""Bytes of a text, which is checked where it is read."""
_LONGEST = 2**30
"""Largest length: no table has so many materials, and no trees so long a text."""


def check_layout(arrays: Layout, schema: Schema, **lengths: int) -> dict[str, int]:
    """Check names, types and shapes of arrays, which need not have been read.

    Parameters
    ----------
    arrays : mapping of ndarray or Unread
        What was found.
    schema : mapping of SavedArray
        What must be there.
    **lengths : int
        Named lengths that are known already.

    Returns
    -------
    dict of int
        All named lengths.

    Raises
    ------
    ModelFormatError
        At the first array that is missing, unknown, or has another type or shape.
    """
    for name in sorted(schema.keys() ^ arrays.keys()):
        what = "is missing" if name in schema else "is unknown"
        raise ModelFormatError(f"the array {name!r} {what}")
    for name, saved in schema.items():
        array = arrays[name]
        if array.dtype != saved.dtype or len(array.shape) != len(saved.shape):
            raise ModelFormatError(
                f"the array {name!r} is {array.dtype} with {len(array.shape)} dimensions; expected "
                f"{np.dtype(saved.dtype)} with {len(saved.shape)}"
            )
        for length, wanted in zip(array.shape, saved.shape, strict=True):
            known = lengths.setdefault(wanted, length) if isinstance(wanted, str) else wanted
            if length > _LONGEST or known not in {None, length}:
                most = f"at most {_LONGEST}" if length > _LONGEST else known
                raise ModelFormatError(
                    f"the array {name!r} has the length {length} where {most} is expected"
                )
    return lengths


def check_arrays(
    arrays: Mapping[str, NDArray[Any]], schema: Schema, **lengths: int
) -> dict[str, int]:
    """Check arrays as `check_layout` does, then the range of their values.

    Raises
    ------
    ModelFormatError
        At the first array that is missing, unknown, or has another type, shape or range.
    """
    found = check_layout(arrays, schema, **lengths)
    for name, saved in schema.items():
        _check_values(name, arrays[name], saved)
    return found


def read_text(name: str, data: NDArray[np.uint8]) -> str:
    """Return the text that is saved as an array of its UTF-8 bytes."""
    try:
        return data.tobytes().decode()
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"the array {name!r} is no text: {error}") from error


def _check_values(name: str, array: NDArray[Any], saved: SavedArray) -> None:
    if not array.size:
        return
    low, high = saved.low, saved.high
    if saved.dtype is np.bool_:  # NumPy takes other bytes than 0 and 1 for what they are not
        array, low, high = array.view(np.uint8), 0, 1
    smallest, largest = (np.fmin, np.fmax) if saved.missing else (np.minimum, np.maximum)
    least, most = (float(of.reduce(array, axis=None)) for of in (smallest, largest))
    if saved.missing and math.isnan(least):
        return
    if not low <= least <= most <= high:  # false for NaN
        bounds = "finite numbers" + (
            f" from {low:g} to {high:g}" if (low, high) != (-LARGEST, LARGEST) else ""
        )
        raise ModelFormatError(
            f"the array {name!r} has numbers from {least:g} to {most:g}; expected {bounds}"
        )
