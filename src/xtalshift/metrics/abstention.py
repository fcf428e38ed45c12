"""Abstention: how the error falls if the least certain rows get no answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import ConfigError
from xtalshift.metrics.class_checks import FloatArray, as_labelled


class AbstentionCurve(NamedTuple):
    """Error of the answers if only rows of at least some probability are answered.

    One entry per distinct probability of the predicted class, from the highest down, so that the
    last one answers every row.

    Attributes
    ----------
    answered : ndarray of float64, shape (m,)
        Share of the rows that are answered, ascending to 1.
    error : ndarray of float64, shape (m,)
        Share of wrong answers among them.
    threshold : ndarray of float64, shape (m,)
        Lowest probability of the predicted class that is answered.
    """

    answered: FloatArray
    error: FloatArray
    threshold: FloatArray

    def error_at(self, share: float) -> float:
        """Return the error if at least a `share` of the rows is answered, the fewest possible.

        Raises
        ------
        ConfigError
            If `share` is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ConfigError(f"{share=}: expected a share of the rows above 0, at most 1")
        return float(self.error[np.searchsorted(self.answered, share - 1e-12)])


def abstention_curve(labels: ArrayLike, probabilities: ArrayLike) -> AbstentionCurve:
    """Return the error against the share of rows that are answered, the most certain first.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    probabilities : array_like of float, shape (n, k)
        Of each class; the first of equally probable ones is the predicted class.

    Raises
    ------
    DataError
        If a label is no class or a row of probabilities no distribution.

    References
    ----------
    El-Yaniv and Wiener, JMLR 11, 1605 (2010): the risk-coverage curve.

    Examples
    --------
    >>> curve = abstention_curve([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> curve.error.round(3).tolist(), curve.threshold.tolist()
    ([0.0, 0.0, 0.333], [0.9, 0.8, 0.6])
    >>> curve.error_at(0.5)
    0.0
    """
    y, p = as_labelled(labels, probabilities)
    predicted = np.argmax(p, axis=1)
    confidence = p[np.arange(len(p)), predicted]
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))  # of equal ones
    wrong = np.cumsum((predicted != y)[order])[last]
    return AbstentionCurve((last + 1) / len(y), wrong / (last + 1), falling[last])
