"""Transforms of the target before training, inverted after prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Scale:
    forward: Callable[[FloatArray], FloatArray]
    inverse: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    lowest: float
    lowest_allowed: bool
    remedy: str


def _same(values: FloatArray) -> FloatArray:
    return values.copy()


def _not_negative(values: FloatArray) -> FloatArray:
    return np.maximum(values, 0.0)


def _slope_of_log1p(values: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + values))


def _slope_of_asinh(values: FloatArray) -> FloatArray:
    return np.asarray(1.0 / np.hypot(1.0, values))


_NO_LOG = "use log1p, asinh or none, or drop the rows"
_NO_LOG1P = "use asinh or none"
_NO_CLIP = "use none: the target is not non-negative"
_SCALES = {
    "none": _Scale(_same, _same, np.ones_like, -np.inf, False, ""),
    "log": _Scale(np.log, np.exp, np.reciprocal, 0.0, False, _NO_LOG),
    "log1p": _Scale(np.log1p, np.expm1, _slope_of_log1p, -1.0, False, _NO_LOG1P),
    "asinh": _Scale(np.arcsinh, np.sinh, _slope_of_asinh, -np.inf, False, ""),
    "clip": _Scale(_same, _not_negative, np.ones_like, 0.0, True, _NO_CLIP),
}

TRANSFORMS = tuple(_SCALES)
"""The names that `TargetTransform` knows."""


@dataclass(frozen=True)
class TargetTransform:
    """A monotonic transform of the target, chosen by name.

    Parameters
    ----------
    name : str
        ``"none"``; ``"log"`` (positive targets that span decades); ``"log1p"`` (also zeros);
        ``"asinh"`` (both signs, spanning decades); ``"clip"`` (no change in training, predictions
        below 0 become 0).

    Raises
    ------
    ConfigError
        If the name is unknown.

    Examples
    --------
    >>> TargetTransform("clip").inverse(np.array([-0.5, 2.0])).tolist()
    [0.0, 2.0]
    """

    name: str = "none"

    def __post_init__(self) -> None:
        if self.name not in _SCALES:
            raise ConfigError(
                f"unknown target transform {self.name!r}{near_miss(self.name, TRANSFORMS)}. "
                f"Known: {', '.join(TRANSFORMS)}"
            )

    def forward(self, y: npt.ArrayLike, rows: npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Return targets on the scale of training.

        Parameters
        ----------
        y : array of shape (n,)
            Targets in their own unit.
        rows : array of int, shape (n,), optional
            The row of a table that each is from, for messages; by default 1 to n.

        Returns
        -------
        numpy.ndarray of shape (n,)
            A new array.

        Raises
        ------
        DataError
            If a value is not finite or outside the domain; the message names the first such row,
            the value and the remedy.
        """
        values = np.asarray(y, dtype=np.float64)
        scale = _SCALES[self.name]
        inside = values >= scale.lowest if scale.lowest_allowed else values > scale.lowest
        bad = np.flatnonzero(~(inside & np.isfinite(values)))
        if bad.size:
            row = int(bad[0])
            number = row + 1 if rows is None else rows[row]
            remedy = scale.remedy if np.isfinite(values[row]) else "clean the table first"
            raise DataError(
                f"target transform {self.name!r} cannot take row {number}: {values[row]:g} "
                f"({bad.size} of {values.size} rows); {remedy}"
            )
        return scale.forward(values)

    def inverse(self, z: npt.ArrayLike) -> FloatArray:
        """Return values on the scale of training, transformed back to the unit of the target.

        Parameters
        ----------
        z : array of shape (n,)
            Predictions, or bounds of intervals: every transform is monotonic.

        Returns
        -------
        numpy.ndarray of shape (n,)
            A new array; infinite if a value overflows (a prediction far outside the data).
        """
        with np.errstate(over="ignore"):
            return _SCALES[self.name].inverse(np.asarray(z, dtype=np.float64))

    def slope(self, y: npt.ArrayLike) -> FloatArray:
        """Return the derivative of `forward`: an error of y times it is one on the other scale.

        Parameters
        ----------
        y : array of shape (n,)
            Values that the transform takes, in the unit of the target.

        Returns
        -------
        numpy.ndarray of shape (n,)
            Per unit of the target.
        """
        return _SCALES[self.name].slope(np.asarray(y, dtype=np.float64))

    @property
    def floor(self) -> float:
        """Smallest value that `inverse` returns, in the unit of the target; may be -inf."""
        return _SCALES[self.name].lowest

    def place(self, y: npt.ArrayLike) -> FloatArray:
        """Return where any values, not only targets, lie on the scale of training.

        Parameters
        ----------
        y : array of any shape
            Thresholds in the unit of the target; may be infinite.

        Returns
        -------
        numpy.ndarray of the same shape
            ``-inf`` below all values that the transform takes.
        """
        values = np.asarray(y, dtype=np.float64)
        scale = _SCALES[self.name]
        inside = values >= scale.lowest if scale.lowest_allowed else values > scale.lowest
        known = np.where(inside & np.isfinite(values), values, 1.0)  # which all scales take
        return np.where(
            inside, np.where(np.isfinite(values), scale.forward(known), values), -np.inf
        )
