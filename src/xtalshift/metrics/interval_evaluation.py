"""Interval evaluation: coverage, width and interval score of prediction intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded at first use
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError
from xtalshift.metrics.checks import as_vector, check_level

__all__ = ["IntervalScores", "interval_scores", "normal_interval"]


class IntervalScores(NamedTuple):
    """Quality of central prediction intervals on one set of rows.

    Attributes
    ----------
    coverage : float
        Share of targets inside their interval, bounds included. Compare it with the level.
    mean_width : float
        In the unit of the target; infinite if any interval is.
    interval_score : float
        Mean of the width plus ``2 / (1 - level)`` times the distance of the target from the
        interval, in the unit of the target. Smaller is better; the true quantiles minimise its
        expectation.
    """

    coverage: float
    mean_width: float
    interval_score: float


def interval_scores(
    targets: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, level: float
) -> IntervalScores:
    """Return coverage, width and interval (Winkler) score of prediction intervals.

    Parameters
    ----------
    targets : array_like of float, shape (n,)
        In the unit of the target, finite.
    lower, upper : array_like of float, shape (n,)
        Bounds in the unit of the target; an unbounded side is ``-inf`` or ``inf``.
    level : float
        Nominal coverage of the central intervals, in (0, 1).

    Raises
    ------
    ConfigError
        If `level` is not inside (0, 1).
    DataError
        If the shapes differ, are not 1-d or are empty, a target is not finite, a bound is NaN, or
        a lower bound exceeds its upper bound.

    References
    ----------
    Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007), section 6.2.

    Examples
    --------
    >>> interval_scores([0.0, 3.0], [-1.0, 0.0], [1.0, 2.0], level=0.5)
    IntervalScores(coverage=0.5, mean_width=2.0, interval_score=4.0)
    """
    check_level(level)
    y = as_vector(targets, "targets")
    low, high = as_vector(lower, "lower", finite=False), as_vector(upper, "upper", finite=False)
    if not y.shape == low.shape == high.shape or y.size == 0:
        raise DataError(
            f"{y.shape=}, {low.shape=} and {high.shape=}: expected equal lengths above 0"
        )
    # a lower bound of inf is invalid too: its width would be NaN
    crossed = (low > high) | (low == np.inf) | (high == -np.inf)
    if crossed.any():
        row = int(np.argmax(crossed))
        raise DataError(
            f"lower[{row}] = {low[row]} and upper[{row}] = {high[row]}: expected a finite or "
            f"unbounded interval; sort the two bounds of each row"
        )
    width = high - low
    outside = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return IntervalScores(
        coverage=float(np.mean((low <= y) & (y <= high))),
        mean_width=float(np.mean(width)),
        interval_score=float(np.mean(width + 2.0 / (1.0 - level) * outside)),
    )


def normal_interval(
    predictions: ArrayLike, std: ArrayLike, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the central interval of normal distributions.

    Parameters
    ----------
    predictions : array_like of float, shape (n,)
        Means, in the unit of the target.
    std : array_like of float, shape (n,)
        Standard deviations in the same unit, at least 0; ``inf`` gives an unbounded interval.
    level : float
        Probability of the interval, in (0, 1).

    Returns
    -------
    lower, upper : ndarray of float64, shape (n,)
        In the unit of the target.

    Raises
    ------
    ConfigError
        If `level` is not inside (0, 1).
    DataError
        If the shapes differ or are not 1-d, a prediction is not finite, or a standard deviation is
        NaN or below 0.
    """
    check_level(level)
    mean, spread = as_vector(predictions, "predictions"), as_vector(std, "std", finite=False)
    if mean.shape != spread.shape:
        raise DataError(f"{mean.shape=} and {spread.shape=}: expected one std per prediction")
    if (spread < 0).any():
        row = int(np.argmax(spread < 0))
        raise DataError(f"std[{row}] is {spread[row]}; expected a standard deviation of at least 0")
    half = -float(scipy.special.ndtri((1.0 - level) / 2.0)) * spread
    return mean - half, mean + half
