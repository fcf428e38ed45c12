"""The Tobit loss of boosted trees: values and bounds of targets under a normal law.

Source: Tobin, Econometrica 26, 24 (1958). As in `xtalshift.nn.losses.tobit_losses`, the loss of a
row is ``s^2`` times minus the logarithm of its likelihood, but for a constant: half the squared
error of a value.

=============================================================  =================
symbol                                                         variable
=============================================================  =================
prediction, f                                                  ``outputs``
bounds of the target, a and b, and spread of values, s         ``bounds``
standardised bounds ``(a - f) / s`` and ``(b - f) / s``        ``a, b``
density over probability of what is between, at a and at b     ``at_a, at_b``
gradient of a bound ``s (at_b - at_a)``                        ``first``
its curvature ``(at_b - at_a)^2 + b at_b - a at_a``            ``second``
=============================================================  =================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.estimators.base import FitData
from xtalshift.estimators.bounds import TargetBounds, log_inside, tail_terms

if TYPE_CHECKING:
    import lightgbm

FloatArray = NDArray[np.float64]

LEAST_CURVATURE = 1e-3
"""A leaf of rows far on the right side of their bounds would take steps without end."""


def tobit_gradients(outputs: FloatArray, bounds: TargetBounds) -> tuple[FloatArray, FloatArray]:
    """Return first and second derivative of the loss of each row in its prediction, shapes (n,).

    Parameters
    ----------
    outputs : ndarray of float64, shape (n,)
        Predictions.
    bounds : TargetBounds of n rows
        What is known of the targets.
    """
    side, s = bounds.bounded, bounds.spread
    first, second = outputs - bounds.lower, np.ones(len(outputs))
    between, slope = tail_terms(
        *((end[side] - outputs[side]) / s[side] for end in (bounds.lower, bounds.upper))
    )
    first[side], second[side] = s[side] * between, slope
    return first, second


def tobit_losses(outputs: FloatArray, bounds: TargetBounds) -> FloatArray:
    """Return the loss of each row, shape (n,); arguments as in `tobit_gradients`."""
    side, s = bounds.bounded, bounds.spread
    found = np.square(outputs - bounds.lower) / 2
    ends = ((end[side] - outputs[side]) / s[side] for end in (bounds.lower, bounds.upper))
    found[side] = -np.square(s[side]) * log_inside(*ends)
    return found


@dataclass(frozen=True, eq=False)
class TobitObjective:
    """The loss in the form that LightGBM takes.

    Attributes
    ----------
    bounds : TargetBounds of n rows
        What is known of the targets of all rows, less what the first tree begins from.
    """

    bounds: TargetBounds

    @classmethod
    def of(cls, data: FitData, start: float, unit: float) -> tuple[FitData, TobitObjective]:
        """Return rows whose targets are their numbers, by which the loss knows them, and the loss.

        LightGBM hands a loss the targets of the rows that it asks about, and nothing else of them.
        They are numbers of 32 bits there, which tell 16 million rows apart.

        Parameters
        ----------
        data : FitData
            With bounds.
        start : float
            What the first tree begins from.
        unit : float
            Of its leaves.
        """
        train, validation = data.train, data.validation
        assert train.bounds is not None
        known, n = train.bounds, len(train.y)
        validation = replace(validation, y=np.arange(n, n + len(validation.y), dtype=np.float64))
        if validation.bounds is not None:
            known = known.join(validation.bounds)
        train = replace(train, y=np.arange(n, dtype=np.float64))
        return replace(data, train=train, validation=validation), cls(known.scaled(start, unit))

    def parameters(self) -> dict[str, Any]:
        """Return LightGBM's parameters for the loss."""
        return {"objective": self.gradients, "metric": "None"}

    def gradients(
        self, outputs: FloatArray, rows: lightgbm.Dataset
    ) -> tuple[FloatArray, FloatArray]:
        """Return gradient and curvature of the loss, times the weights."""
        first, second = tobit_gradients(outputs, self._of(rows))
        share = _weights(rows)
        return first * share, np.maximum(second, LEAST_CURVATURE) * share

    def mean(self, outputs: FloatArray, rows: lightgbm.Dataset) -> tuple[str, float, bool]:
        """Return the (weighted) mean loss, by which trees are stopped."""
        losses = tobit_losses(outputs, self._of(rows))
        return "tobit", float(np.average(losses, weights=_weights(rows))), False

    def _of(self, rows: lightgbm.Dataset) -> TargetBounds:
        return self.bounds.take(np.asarray(rows.get_label()).astype(np.int64))


def _weights(rows: lightgbm.Dataset) -> FloatArray:
    given = rows.get_weight()
    return np.ones(rows.num_data()) if given is None else np.asarray(given, dtype=np.float64)
