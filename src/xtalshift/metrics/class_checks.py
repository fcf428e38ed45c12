"""Checks of class numbers and probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_TOLERANCE = 1e-6
"""How far the sum of the probabilities of a row may be from 1: those of networks are float32."""


def as_probabilities(probabilities: ArrayLike) -> FloatArray:
    """Return class probabilities as float64, shape (n, k), whose rows sum to 1.

    They are not divided by their sum: rounding would tell equal probabilities apart.

    Parameters
    ----------
    probabilities : array_like of float, shape (n, k)
        At least 0; rows sum to 1 within 1e-6.

    Raises
    ------
    DataError
        If there are fewer than two classes, or a row is no distribution.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:  # noqa: PLR2004 - one class is no choice
        raise DataError(f"probabilities has shape {p.shape}; expected (n, k), k from 2 on")
    sums = p.sum(axis=1)
    wrong = ~((p >= 0).all(axis=1) & (np.abs(sums - 1) <= _TOLERANCE))  # true for NaN
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"probabilities[{row}] is {p[row].tolist()}; expected numbers from 0 on that sum to 1"
        )
    return p


def as_labels(labels: ArrayLike, n_classes: int, name: str = "labels") -> IntArray:
    """Return class numbers as int64, shape (n,).

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        From 0 to `n_classes` - 1; floats without a fraction are taken too.
    n_classes : int
        Number of classes.
    name : str
        Name of the numbers in messages.

    Raises
    ------
    DataError
        If the shape differs or a number is no class.
    """
    given = np.asarray(labels, dtype=np.float64)
    if given.ndim != 1:
        raise DataError(f"{name} has shape {given.shape}; expected (n,)")
    wrong = ~((given >= 0) & (given < n_classes) & (given == np.floor(given)))  # true for NaN
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{name}[{row}] is {given[row]:g}; expected the number of a class, 0 to {n_classes - 1}"
        )
    return given.astype(np.int64)


def as_labelled(labels: ArrayLike, probabilities: ArrayLike) -> tuple[IntArray, FloatArray]:
    """Return class numbers, shape (n,), and probabilities, shape (n, k), with n above 0.

    Raises
    ------
    DataError
        As `as_labels` and `as_probabilities`, and if the lengths differ or are 0.
    """
    p = as_probabilities(probabilities)
    y = as_labels(labels, p.shape[1])
    if len(y) != len(p) or not len(y):
        raise DataError(f"{y.shape=} and {p.shape=}: expected equal lengths above 0")
    return y, p
