"""Integrated gradients: how each feature moves a differentiable function along a straight line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

STEPS = 32
"""Points of the line at which gradients are taken; docs/explaining.md has what is left over."""


def line_shares(
    gradient: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    baselines: FloatArray,
    steps: int = STEPS,
) -> FloatArray:
    """Return how each feature moves a function from each baseline to a row.

    The share of feature j is ``(x_j - b_j) * integral of df/dx_j along the line from b to x``
    (Sundararajan, Taly and Yan, ICML 2017), by the rule of Gauss and Legendre. The shares sum to
    ``f(x) - f(b)`` up to the error of this rule, which is not 0 where the gradient jumps, as that
    of a network does.

    Parameters
    ----------
    gradient : callable
        From rows, shape (m, d), to the gradient of each, shape (m, d), or (k, m, d) of k outputs.
    x : ndarray of float64, shape (d,)
        The row.
    baselines : ndarray of float64, shape (m, d)
        Other rows.
    steps : int
        Points of each line.

    Returns
    -------
    ndarray of float64, shape (m, d) or (k, m, d)
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    away = x - baselines
    mean = sum(
        weight / 2 * gradient(baselines + (place + 1) / 2 * away)
        for place, weight in zip(places.tolist(), weights.tolist(), strict=True)
    )
    return np.asarray(mean * away)
