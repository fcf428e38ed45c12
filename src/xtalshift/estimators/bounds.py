"""Targets of which only bounds are known, replaced by what a fit expects of them.

A target between two bounds (``< 4.2``: from -inf to 4.2) is replaced by its mean given that it is
there, under a normal law around the prediction of a model that did not see it; the model is fitted
again, until nothing moves (Schmee and Hahn, Technometrics 21, 417, 1979; Buckley and James,
Biometrika 66, 429, 1979, with the empirical law of the residuals instead). This works with any
regressor. Predictions come from a cross-fit: a flexible model would only repeat what it was given.

=============================================  ================
symbol                                         variable
=============================================  ================
prediction of a row by fits to others, mu_i    ``centers``
standard deviation of the residuals, sigma     ``spread``
bounds of the target, a_i and b_i              ``lower, upper``
=============================================  ================
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

FloatArray = NDArray[np.float64]

ROUNDS = 20
"""Most fits. Few rows move for longer, and by little."""
SETTLED = 0.02
"""Mean change of the replaced targets, as a share of the spread of the residuals, at the end."""


def settle(
    targets: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    predict_unseen: Callable[[FloatArray], FloatArray],
    *,
    rounds: int = ROUNDS,
) -> FloatArray:
    """Return the targets with those that are only bounded replaced.

    Parameters
    ----------
    targets : ndarray of float64, shape (n,)
        Values, and for bounded rows where to start: a finite bound, or the middle.
    lower, upper : ndarray of float64, shape (n,)
        What is known of each target; equal to it for a value.
    predict_unseen : callable
        Takes targets, and returns for each row the prediction of a fit to other rows.
    rounds : int
        Most calls of it.

    Returns
    -------
    ndarray of float64, shape (n,)
        Between the bounds.
    """
    found, bounded = targets.copy(), lower < upper
    if not bounded.any():
        return found
    spread = None
    extra = np.zeros(len(found))
    for _ in range(rounds):
        centers = predict_unseen(found)
        # the variance of a replaced target counts too, else the spread would shrink to nothing
        total = float(np.sqrt(np.mean((found - centers) ** 2 + extra)))
        spread = total or float(np.finfo(float).tiny)
        means, variances = truncated_moments(
            centers[bounded], spread, lower[bounded], upper[bounded]
        )
        moved = float(np.mean(np.abs(means - found[bounded])))
        found[bounded], extra[bounded] = means, variances
        if moved <= SETTLED * spread:
            break
    return found


def truncated_moments(
    center: FloatArray, spread: float, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of normal values that are known to lie between bounds.

    Parameters
    ----------
    center : ndarray of float64, shape (n,)
        Means of the normal laws.
    spread : float
        Their standard deviation, above 0.
    lower, upper : ndarray of float64, shape (n,)
        Bounds; may be infinite, `lower` below `upper`.

    Returns
    -------
    means, variances : ndarray of float64, shape (n,)
        Means lie between the bounds, also where these are far from the centers.
    """
    a, b = (lower - center) / spread, (upper - center) / spread
    # the tail of the normal law is exact on the negative side only
    flipped = a > 0
    a, b = np.where(flipped, -b, a), np.where(flipped, -a, b)
    low, high = log_ndtr(a), log_ndtr(b)
    with np.errstate(divide="ignore"):
        inside = high + np.log1p(-np.exp(np.minimum(low - high, -1e-300)))
    at_a, at_b = (np.exp(-(np.square(x) + np.log(2 * np.pi)) / 2 - inside) for x in (a, b))
    shift = at_a - at_b
    finite_a, finite_b = np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)
    variance = 1.0 + finite_a * at_a - finite_b * at_b - shift**2
    means = center + spread * np.where(flipped, -shift, shift)
    return np.clip(means, lower, upper), spread**2 * np.clip(variance, 0.0, 1.0)
