"""Reliability: whether the class of highest probability is right as often as its probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import ConfigError
from xtalshift.metrics.class_checks import FloatArray, IntArray, as_labelled

N_BINS = 15
"""Number of bins of the expected calibration error, with the same number of rows in each."""


class Reliability(NamedTuple):
    """Bins of rows by the probability of their predicted class, from low to high; empty ones lack.

    Attributes
    ----------
    n : ndarray of int64, shape (b,)
        Rows in each bin.
    confidence : ndarray of float64, shape (b,)
        Mean probability of the predicted class.
    accuracy : ndarray of float64, shape (b,)
        Share of the rows whose predicted class is right.
    """

    n: IntArray
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def ece(self) -> float:
        """The expected calibration error: mean distance of the two over all rows."""
        weights = self.n / self.n.sum()
        return float(np.sum(weights * np.abs(self.accuracy - self.confidence)))


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, *, n_bins: int = N_BINS
) -> Reliability:
    """Compare stated probabilities with how often they come true, in bins of equal mass.

    Bins of equal width would leave most of them nearly empty, because most probabilities are near
    1. Rows of equal probability are in one bin, so that no result depends on the order of rows.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    probabilities : array_like of float, shape (n, k)
        Of each class; the first of equally probable ones is the predicted class.
    n_bins : int, default 15
        Number of bins, at least 1.

    Raises
    ------
    DataError
        If a label is no class or a row of probabilities no distribution.
    ConfigError
        If `n_bins` is below 1.

    References
    ----------
    Guo et al., ICML 2017, equation 3 (there with bins of equal width).

    Examples
    --------
    >>> found = reliability([0, 0, 1, 1], [[0.9, 0.1]] * 2 + [[0.75, 0.25]] * 2, n_bins=2)
    >>> found.accuracy.tolist(), round(found.ece, 3)
    ([0.0, 1.0], 0.425)
    """
    from scipy.stats import rankdata  # a model that only predicts does not need it

    if n_bins < 1:
        raise ConfigError(f"{n_bins=}; expected at least 1")
    y, p = as_labelled(labels, probabilities)
    predicted = np.argmax(p, axis=1)
    confidence = p[np.arange(len(p)), predicted]
    place = rankdata(confidence) - 0.5  # equal ones share their mean place
    bins = np.floor(place * n_bins / len(y)).astype(np.int64)
    count = np.bincount(bins, minlength=n_bins)
    held = count > 0
    sums = (np.bincount(bins, values, minlength=n_bins) for values in (confidence, predicted == y))
    means = (total[held] / count[held] for total in sums)
    return Reliability(count[held], *means)
