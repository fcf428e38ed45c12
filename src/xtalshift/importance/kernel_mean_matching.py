"""Kernel mean matching: importance weights without density estimates."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from xtalshift.importance.density_ratio import (
    CHUNK,
    FloatArray,
    bound_weights,
    median_distance,
)

KMM_STEPS = 2000
KMM_TOLERANCE = 1e-4
NEIGHBOURS = 5


def kmm_weights(
    source: FloatArray,
    target: FloatArray,
    *,
    bound: float,
    gamma: float | None = None,
    max_rows: int = 2000,
    rng: np.random.Generator,
) -> FloatArray:
    """Return weights that give the source rows the kernel mean of the target rows.

    Kernel mean matching (Huang et al., NeurIPS 2006, equation 12): minimise
    ``b'Kb / 2 - kappa'b`` with ``K_ij = k(x_i, x_j)`` and ``kappa_i = n/m sum_j k(x_i, x'_j)``,
    where ``0 <= b_i <= bound`` and ``|mean(b) - 1| <= bound / sqrt(n)`` (Gretton et al., Dataset
    Shift in Machine Learning, 2009). The slack is at most 1/2, as the result is scaled to mean 1.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Features in few dimensions, see `principal_components`.
    bound : float
        Largest weight, more than 1.
    gamma : float, optional
        Width of the kernel ``exp(-gamma |x - x'|^2)``; by default ``1 / (2 median^2)`` with the
        median of the pairwise distances.
    max_rows : int, default 2000
        Largest number of source rows in the problem, a random sample; any other row gets the mean
        weight of the 5 sampled rows nearest to it.
    rng : numpy.random.Generator
        Draws samples.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean 1.
    """
    if gamma is None:
        gamma = 0.5 / median_distance(source, target, rng) ** 2
    n = len(source)
    solved = np.arange(n)
    if n > max_rows:
        solved = np.sort(rng.choice(n, max_rows, replace=False))
    rows = source[solved]
    kappa = np.zeros(len(rows))
    for start in range(0, len(target), CHUNK):
        kappa += rbf_kernel(rows, target[start : start + CHUNK], gamma=gamma).sum(axis=1)
    kappa *= len(rows) / len(target)
    slack = min(bound / np.sqrt(len(rows)), 0.5)
    found = _match_means(rbf_kernel(rows, gamma=gamma), kappa, bound, slack)
    weights = np.empty(n)
    weights[solved] = found
    others = np.setdiff1d(np.arange(n), solved)
    if len(others):
        search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows))).fit(rows)
        weights[others] = found[search.kneighbors(source[others], return_distance=False)].mean(1)
    return bound_weights(weights, bound)


def _match_means(kernel: FloatArray, kappa: FloatArray, bound: float, slack: float) -> FloatArray:
    """Minimise ``b'Kb / 2 - kappa'b`` over the box where the mean is 1 to within `slack`.

    Accelerated projected gradient (Beck and Teboulle, SIAM J. Imaging Sci. 2, 183, 2009) with
    restarts (O'Donoghue and Candes, Found. Comput. Math. 15, 715, 2015): 100 times faster than
    SciPy's SLSQP (300 rows: 0.15 against 32 s).
    """
    n = len(kappa)
    rate = 1.0 / kernel.sum(axis=1).max()  # no eigenvalue exceeds the largest row sum
    weights = ahead = np.ones(n)
    momentum = 1.0
    for _ in range(KMM_STEPS):
        moved = _project(ahead - rate * (kernel @ ahead - kappa), bound, n * slack)
        change = moved - weights
        if (ahead - moved) @ change > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead_next = moved + (momentum - 1) / following * change
        done = np.abs(ahead - moved).max() < KMM_TOLERANCE and np.abs(change).max() < KMM_TOLERANCE
        weights, ahead, momentum = moved, ahead_next, following
        if done:
            break
    return weights


def _project(point: FloatArray, bound: float, slack: float) -> FloatArray:
    """Return the nearest point of the box [0, bound]^n whose sum is n to within `slack`."""
    n = len(point)
    inside = np.clip(point, 0.0, bound)
    total = float(inside.sum())
    wanted = min(max(total, n - slack), n + slack)
    if total == wanted:
        return inside

    def missing(shift: float) -> float:
        return float(np.clip(point + shift, 0.0, bound).sum()) - wanted

    shift = brentq(missing, -float(point.max()), bound - float(point.min()), xtol=1e-12)
    return np.asarray(np.clip(point + shift, 0.0, bound))
