"""Targets of which only bounds are known: replaced by what a fit expects, or left to the loss.

**Replaced.** A target between two bounds (``< 4.2``: from -inf to 4.2) is replaced by its mean
given that it is there, under a normal law around the prediction of a model that did not see it; the
model is fitted again, until nothing moves (Schmee and Hahn, Technometrics 21, 417, 1979; Buckley
and James, Biometrika 66, 429, 1979, with the empirical law of the residuals instead). This works
with any regressor. Predictions come from a cross-fit: a flexible model would only repeat what it
was given.

**In the loss** (Tobin, Econometrica 26, 24, 1958). A regressor whose loss can take them gets the
bounds as they are, with the standard deviation sigma of values around predictions. That is the one
with the largest likelihood of all targets, given predictions of fits to others with this loss.

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
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

FloatArray = NDArray[np.float64]

ROUNDS = 20
"""Most fits. Few rows move for longer, and by little."""
SETTLED = 0.02
"""Mean change of the replaced targets, as a share of the spread of the residuals, at the end."""

NARROW = 0.01
"""Ranges that are narrower, as a share of sigma, count as values at their middle."""
LEAST_SPREAD = 0.01
"""Smallest sigma, as a share of the standard deviation of the targets."""
SPREAD_ROUNDS = 5
"""Most cross-fits that estimate sigma."""
SPREAD_SETTLED = 0.05
"""Relative change of sigma at the end."""


@dataclass(frozen=True, eq=False)
class TargetBounds:
    """What is known of targets, for a loss that takes bounds as they are.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n,)
        Equal for a value; one of them may be infinite.
    spread : ndarray of float64, shape (n,)
        Standard deviation of values around predictions, positive.
    """

    lower: FloatArray
    upper: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, lower: FloatArray, upper: FloatArray, spread: FloatArray) -> Self:
        """Return bounds of which narrow ranges are values: their likelihoods are the same."""
        with np.errstate(invalid="ignore"):  # an infinite side makes no narrow range
            narrow = upper - lower < NARROW * spread
        middle = np.where(narrow, lower / 2 + upper / 2, 0.0)
        return cls(np.where(narrow, middle, lower), np.where(narrow, middle, upper), spread)

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """Which targets are not known, shape (n,)."""
        return np.asarray(self.lower < self.upper)

    def take(self, rows: Any) -> Self:
        """Return the rows that an index or mask selects."""
        return type(self)(self.lower[rows], self.upper[rows], self.spread[rows])

    def join(self, others: Self) -> Self:
        """Return the rows of both."""
        sides = (
            np.concatenate([ours, theirs])
            for ours, theirs in zip(self.stacked().T, others.stacked().T, strict=True)
        )
        return type(self)(*sides)

    def scaled(self, mean: float, scale: float) -> Self:
        """Return the bounds of targets less `mean`, over `scale`."""
        lower, upper = ((side - mean) / scale for side in (self.lower, self.upper))
        return type(self)(lower, upper, self.spread / scale)

    def stacked(self) -> FloatArray:
        """Return lower and upper bound and spread of each row, shape (n, 3)."""
        return np.column_stack([self.lower, self.upper, self.spread])


def log_likelihood(
    center: FloatArray, bounds: TargetBounds, weights: FloatArray | None = None
) -> float:
    """Return the (weighted) log-likelihood of values and bounds under normal laws.

    Parameters
    ----------
    center : ndarray of float64, shape (n,)
        Means of the laws; their standard deviations are `bounds.spread`.
    bounds : TargetBounds of n rows
        What is known of the targets.
    weights : ndarray of float64, shape (n,), optional
        Of the rows; by default 1.
    """
    known, s = ~bounds.bounded, bounds.spread
    each = np.empty(len(bounds))
    z = (bounds.lower[known] - center[known]) / s[known]
    each[known] = -np.square(z) / 2 - np.log(s[known]) - np.log(2 * np.pi) / 2
    each[~known] = log_inside(
        *((side[~known] - center[~known]) / s[~known] for side in (bounds.lower, bounds.upper))
    )
    return float(each.sum() if weights is None else (weights * each).sum())


def find_spread(
    lower: FloatArray,
    upper: FloatArray,
    predict_unseen: Callable[[TargetBounds], FloatArray],
    *,
    relative: FloatArray | None = None,
    weights: FloatArray | None = None,
    rounds: int = SPREAD_ROUNDS,
) -> TargetBounds:
    """Return the bounds with the standard deviation of values around predictions.

    Parameters
    ----------
    lower, upper : ndarray of float64, shape (n,)
        What is known of each target; equal for a value.
    predict_unseen : callable
        Takes bounds, and returns for each row the prediction of a fit to other rows.
    relative : ndarray of float64, shape (n,), optional
        That of each row over the common sigma, by default 1.
    weights : ndarray of float64, shape (n,), optional
        Of the rows in the likelihood.
    rounds : int
        Most calls of it; with none sigma is the standard deviation of the values.
    """
    share = np.ones(len(lower)) if relative is None else relative
    values = lower[lower == upper]
    size = float(np.std(values)) or float(np.abs(values).max(initial=0.0)) or 1.0
    sigma = size
    for _ in range(rounds):
        center = predict_unseen(TargetBounds.of(lower, upper, sigma * share))

        def minus(log_sigma: float, center: FloatArray = center) -> float:
            law = TargetBounds(lower, upper, np.exp(log_sigma) * share)
            return -log_likelihood(center, law, weights)

        ends = np.log([LEAST_SPREAD * size, 10 * size])
        found = float(np.exp(minimize_scalar(minus, bounds=ends, method="bounded").x))
        change, sigma = abs(found - sigma), found
        if change <= SPREAD_SETTLED * sigma:
            break
    return TargetBounds.of(lower, upper, sigma * share)


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
    center: FloatArray, spread: float | FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of normal values that are known to lie between bounds.

    Parameters
    ----------
    center : ndarray of float64, shape (n,)
        Means of the normal laws.
    spread : float or ndarray of float64, shape (n,)
        Their standard deviations, above 0.
    lower, upper : ndarray of float64, shape (n,)
        Bounds; may be infinite, `lower` below `upper`.

    Returns
    -------
    means, variances : ndarray of float64, shape (n,)
        Means lie between the bounds, also where these are far from the centers.
    """
    below, narrowed = tail_terms((lower - center) / spread, (upper - center) / spread)
    means = center - spread * below
    return np.clip(means, lower, upper), spread**2 * np.clip(1.0 - narrowed, 0.0, 1.0)


def log_inside(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the logarithm of the probability of each range under the standard normal law, (n,).

    Parameters
    ----------
    a, b : ndarray of float64, shape (n,)
        Ends, `a` below `b`; may be infinite.
    """
    a, b, _ = _to_the_left(a, b)
    low, high = log_ndtr(a), log_ndtr(b)
    return np.asarray(high + np.log(-np.expm1(np.minimum(low - high, -1e-300))))


def tail_terms(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``(phi(b) - phi(a)) / P`` and its negative slope if both ends move, shapes (n,).

    phi is the density of the standard normal law and P its probability between a and b. The first
    is minus the mean of values in this range, the second 1 less their variance.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n,)
        As in `log_inside`.
    """
    inside = log_inside(a, b)
    a, b, flipped = _to_the_left(a, b)
    at_a, at_b = (np.exp(-(np.square(x) + np.log(2 * np.pi)) / 2 - inside) for x in (a, b))
    between = at_b - at_a
    finite_a, finite_b = np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)
    slope = between**2 + finite_b * at_b - finite_a * at_a
    return np.where(flipped, -between, between), slope


def _to_the_left(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return ends of which those above 0 have changed places and signs, and which have.

    The tail of the normal law is exact on the negative side only.
    """
    flipped = a > 0
    return np.where(flipped, -b, a), np.where(flipped, -a, b), flipped
