"""Checks of the arguments of scores."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, DataError, UsageError

Side: TypeAlias = Literal["high", "low"]
"""The end of the targets that counts as extreme."""


def as_vector(values: ArrayLike, name: str, *, finite: bool = True) -> NDArray[np.float64]:
    """Return `values` as float64, shape (n,).

    Parameters
    ----------
    values : array_like of float, shape (n,)
        In any unit.
    name : str
        Name of the values in messages.
    finite : bool
        Whether infinite values are refused. NaN always is.

    Raises
    ------
    DataError
        If the shape differs or a value is refused.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; expected (n,)")
    refused = ~np.isfinite(array) if finite else np.isnan(array)
    if refused.any():
        row = int(np.argmax(refused))
        expected = "a finite number" if finite else "a number"
        raise DataError(f"{name}[{row}] is {array[row]}; expected {expected}")
    return array


def as_pair(
    targets: ArrayLike, predictions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return targets and predictions as finite float64, both of shape (n,) with n above 0.

    Raises
    ------
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.
    """
    y, z = as_vector(targets, "targets"), as_vector(predictions, "predictions")
    if y.shape != z.shape or y.size == 0:
        raise DataError(f"{y.shape=} and {z.shape=}: expected equal lengths above 0")
    return y, z


def check_level(level: float) -> None:
    """Raise `UsageError` unless a level lies inside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise UsageError(f"{level=}: expected a share between 0 and 1, such as 0.95")


def sign_of(side: Side, name: str = "side") -> float:
    """Return 1 for "high" and -1 for "low"; raise `ConfigError` for anything else."""
    if side not in {"high", "low"}:
        raise ConfigError(f'{name}={side!r}: expected "high" or "low"')
    return 1.0 if side == "high" else -1.0
