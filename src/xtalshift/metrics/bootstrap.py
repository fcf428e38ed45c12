"""How sure a mean is: intervals by resampling."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import as_vector, check_level
from xtalshift.seeding import Seed, as_generator

__all__ = ["Interval", "bootstrap_mean"]

_CHUNK = 1_000_000  # draws held in memory at a time


class Interval(NamedTuple):
    """Bounds in the unit of the values; NaN where there was too little to resample."""

    low: float
    high: float


def bootstrap_mean(
    values: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: Seed = 0,
) -> Interval:
    """Return a percentile bootstrap interval of a mean.

    Rows of one group are not independent, so with `groups` whole groups are drawn, as many as there
    are, and the mean is that over all rows of those drawn. With few groups, fewer than about
    twenty, such intervals are too narrow.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        In any unit; absolute errors of the test rows, for instance.
    groups : array_like, shape (n,), optional
        Labels of one type, such as reduced formulas; without them each row is a group of its own.
    level : float
        Share of the resampled means inside the interval, in (0, 1).
    n_resamples : int
        Means that are drawn.
    seed : int, numpy.random.Generator, numpy.random.RandomState or None
        Decides what is drawn.

    Returns
    -------
    Interval
        NaN for fewer than two groups.

    Raises
    ------
    ConfigError
        If `level` is not inside (0, 1) or `n_resamples` is below 1.
    DataError
        If a value is not finite, or `groups` has another length or cannot be sorted.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13;
    of groups: Field and Welsh, J. R. Stat. Soc. B 69, 369 (2007).
    """
    check_level(level)
    if n_resamples < 1:
        raise ConfigError(f"{n_resamples=}: expected at least 1")
    x = as_vector(values, "values")
    if x.size == 0:
        return Interval(math.nan, math.nan)
    # about a middle value, so that the mean of equal values is that value without a rounding error
    centre = float(np.median(x))
    numbers = np.arange(x.size) if groups is None else _group_numbers(groups, x.size)
    sums = np.asarray(np.bincount(numbers, weights=x - centre), dtype=np.float64)
    counts = np.bincount(numbers)
    m = len(counts)
    if m == 1:
        return Interval(math.nan, math.nan)
    alike = bool((counts == counts[0]).all())  # saves half of the work
    generator = as_generator(seed)
    means = np.empty(n_resamples)
    step = max(1, _CHUNK // m)
    for start in range(0, n_resamples, step):
        part = means[start : start + step]
        drawn = generator.integers(0, m, size=(len(part), m))
        n_rows = m * counts[0] if alike else counts[drawn].sum(axis=1)
        part[:] = sums[drawn].sum(axis=1) / n_rows
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) + centre
    return Interval(float(low), float(high))


def _group_numbers(groups: ArrayLike, n: int) -> NDArray[np.intp]:
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise DataError(f"groups has shape {labels.shape}; expected one label per value, ({n},)")
    try:
        _, numbers = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise DataError(
            f"groups cannot be sorted ({error}); expected labels of one type, none missing"
        ) from error
    return numbers
