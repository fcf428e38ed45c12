"""A power law through errors at several numbers of training rows, and its continuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from xtalshift.errors import DataError
from xtalshift.metrics.checks import check_level

FEWEST_SIZES = 3
"""Fewest different numbers of rows through which a power law is laid."""


@dataclass(frozen=True)
class PowerLaw:
    """``error = factor * rows ** -exponent``, with what its uncertainty depends on.

    `mean_log`, `spread` and `residual` are the mean and the sum of squares of the logarithms of the
    sizes, and the standard deviation of the logarithms of the errors from the line; `n_sizes` and
    `largest` are the number of sizes and the largest one.
    """

    factor: float
    exponent: float
    mean_log: float
    spread: float
    residual: float
    n_sizes: int
    largest: float

    def error(self, rows: float) -> float:
        """Return the error at a number of training rows."""
        return float(self.factor * rows**-self.exponent)

    def interval(self, rows: float, level: float = 0.9) -> tuple[float, float]:
        """Return the bounds of the error at a number of training rows.

        They are those of the prediction of one further point of a linear regression. Points of one
        size share test rows and, in part, training rows, so that each size counts once.
        """
        check_level(level)
        ahead = (np.log(rows) - self.mean_log) ** 2 / self.spread
        sd = self.residual * np.sqrt(1.0 + 1.0 / self.n_sizes + ahead)
        width = sd * scipy.stats.t.ppf(0.5 + level / 2, self.n_sizes - 2)
        middle = self.error(rows)
        return float(middle * np.exp(-width)), float(middle * np.exp(width))


def fit_power_law(rows: ArrayLike, errors: ArrayLike) -> PowerLaw:
    """Fit a power law by least squares of the logarithms.

    Parameters
    ----------
    rows, errors : array_like of float, shape (n,)
        Numbers of training rows and errors, both positive. Points of the same size, such as those
        of several draws, are averaged first.

    Raises
    ------
    DataError
        If a value is not positive, or there are fewer than 3 different sizes.

    Examples
    --------
    >>> law = fit_power_law([100, 200, 400], [1.0, 0.5, 0.25])
    >>> round(law.exponent, 3), round(law.error(800), 3)
    (1.0, 0.125)
    """
    sizes, places = np.unique(np.asarray(rows, dtype=np.float64), return_inverse=True)
    values = np.asarray(errors, dtype=np.float64)
    if len(sizes) < FEWEST_SIZES:
        raise DataError(
            f"{len(sizes)} numbers of training rows; a power law needs at least {FEWEST_SIZES}"
        )
    if not ((sizes > 0).all() and (values > 0).all() and np.isfinite(values).all()):
        raise DataError("numbers of training rows and errors must be positive")
    x = np.log(sizes)
    y = np.bincount(places, np.log(values)) / np.bincount(places)
    middle = float(x.mean())
    spread = float(((x - middle) ** 2).sum())
    slope = float(((x - middle) * (y - y.mean())).sum() / spread)
    left = y - y.mean() - slope * (x - middle)
    residual = float(np.sqrt((left**2).sum() / (len(x) - 2)))
    factor = float(np.exp(y.mean() - slope * middle))
    return PowerLaw(factor, -slope, middle, spread, residual, len(x), float(sizes[-1]))
