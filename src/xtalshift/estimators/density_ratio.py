"""Importance weights: how much likelier a source row is in the target domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors

__all__ = [
    "bound_weights",
    "classifier_weights",
    "effective_sample_size",
    "kmm_weights",
    "principal_components",
    "ulsif_weights",
]

FloatArray = NDArray[np.float64]

N_COMPONENTS = 10
MEDIAN_ROWS = 500
CHUNK = 4096
KMM_STEPS = 2000
KMM_TOLERANCE = 1e-4
NEIGHBOURS = 5
ULSIF_FOLDS = 5
SIGMA_FACTORS = (0.25, 0.5, 1.0, 2.0)
LAMBDAS = (1e-3, 1e-2, 1e-1, 1.0)
CLASSIFIER_C = (1e-4, 1e-3, 1e-2, 1e-1)
NEGLIGIBLE = 1e-12
"""Share of the largest weight below which a weight is 0."""


def effective_sample_size(weights: NDArray[np.float64]) -> float:
    """Return how many rows of equal weight are worth as much as the weighted ones.

    ``(sum w)^2 / sum w^2`` (Kish, Survey Sampling, 1965).

    Parameters
    ----------
    weights : ndarray of float, shape (n,)
        Non-negative, not all 0.

    Returns
    -------
    float
        From 1 to n.
    """
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def principal_components(
    source: FloatArray, target: FloatArray, n_components: int = N_COMPONENTS
) -> tuple[FloatArray, FloatArray]:
    """Project rows on the leading principal components of both domains together.

    In the 145 dimensions of composition features all distances are about the same, so that a
    kernel tells nothing apart. A direction of small variance is lost, even if it is the one in
    which the domains differ.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Standardised features.
    n_components : int, default 10
        Largest number k of components.

    Returns
    -------
    source, target : ndarray of float64, shapes (n, k) and (m, k)
    """
    pooled = np.concatenate([source, target])
    reduced = PCA(min(n_components, *pooled.shape), svd_solver="full").fit_transform(pooled)
    return reduced[: len(source)], reduced[len(source) :]


def kmm_weights(
    source: FloatArray,
    target: FloatArray,
    *,
    bound: float,
    gamma: float | None = None,
    max_rows: int = 2000,
    rng: np.random.Generator,
) -> FloatArray:
    """Return weights with which the source rows have the kernel mean of the target rows.

    Kernel mean matching (Huang et al., NeurIPS 2006, equation 12): minimise
    ``b'Kb / 2 - kappa'b`` with ``K_ij = k(x_i, x_j)`` and ``kappa_i = n/m sum_j k(x_i, x'_j)``,
    where ``0 <= b_i <= bound`` and ``|mean(b) - 1| <= bound / sqrt(n)`` (Gretton et al., Dataset
    Shift in Machine Learning, 2009), but at most 1/2, since the result is scaled to mean 1.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Features in few dimensions, see `principal_components`.
    bound : float
        Largest weight, more than 1.
    gamma : float, optional
        Of the kernel ``exp(-gamma |x - x'|^2)``; by default ``1 / (2 median^2)`` with the median
        of the pairwise distances.
    max_rows : int, default 2000
        Source rows for which the problem is solved, a random sample; each other row has the mean
        weight of the 5 nearest of them.
    rng : numpy.random.Generator
        Draws samples.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean 1.
    """
    if gamma is None:
        gamma = 0.5 / _median_distance(source, target, rng) ** 2
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

    Accelerated projected gradient (Beck and Teboulle, SIAM J. Imaging Sci. 2, 183, 2009) that
    restarts where it overshoots (O'Donoghue and Candes, Found. Comput. Math. 15, 715, 2015).
    """
    n = len(kappa)
    rate = 1.0 / kernel.sum(axis=1).max()  # no eigenvalue exceeds the largest sum of a row
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


def ulsif_weights(
    source: FloatArray,
    target: FloatArray,
    *,
    bound: float,
    n_centers: int = 100,
    sigmas: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    max_rows: int = 10_000,
    rng: np.random.Generator,
) -> FloatArray:
    """Return a least-squares fit of the density ratio by kernels on target rows.

    Unconstrained least-squares importance fitting (Kanamori, Hido and Sugiyama, JMLR 10, 1391,
    2009): the ratio is ``sum_l alpha_l exp(-|x - c_l|^2 / (2 sigma^2))`` with
    ``alpha = max(0, (H + lambda I)^-1 h)``, where H is the mean of the products of kernels over
    source rows and h the mean kernel over target rows. Width and penalty have the least
    ``J = mean_source(ratio^2) / 2 - mean_target(ratio)`` on rows left out of five folds.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Features in few dimensions, see `principal_components`.
    bound : float
        Largest weight, more than 1.
    n_centers : int, default 100
        Target rows that are centres, drawn at random.
    sigmas : sequence of float, optional
        Widths to choose from; by default 1/4 to 2 times the median of the pairwise distances.
    lambdas : sequence of float
        Penalties to choose from.
    max_rows : int, default 10000
        Rows of either side that the ratio is fitted on; all source rows have a weight.
    rng : numpy.random.Generator
        Draws samples, centres and folds.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean 1.
    """
    if sigmas is None:
        median = _median_distance(source, target, rng)
        sigmas = [factor * median for factor in SIGMA_FACTORS]
    centers = target[rng.permutation(len(target))[:n_centers]]
    drawn = [rows[rng.permutation(len(rows))[:max_rows]] for rows in (source, target)]
    n_folds = min(ULSIF_FOLDS, len(source), len(target))
    best, gamma, penalty = np.inf, 0.0, 0.0
    for sigma in sigmas:
        width = 0.5 / sigma**2
        kernels = [rbf_kernel(rows, centers, gamma=width) for rows in drawn]
        errors = sum(
            _left_out_error(kernels[0], kernels[1], lambdas, fold, n_folds)
            for fold in range(n_folds)
        )
        if np.min(errors) < best:
            best, gamma = float(np.min(errors)), width
            penalty = float(lambdas[int(np.argmin(errors))])
    kernels = [rbf_kernel(rows, centers, gamma=gamma) for rows in drawn]
    alpha = _fit_ratio(kernels[0], kernels[1], [penalty])[:, 0]
    pieces = [
        rbf_kernel(source[start : start + CHUNK], centers, gamma=gamma) @ alpha
        for start in range(0, len(source), CHUNK)
    ]
    return bound_weights(np.concatenate(pieces), bound)


def _left_out_error(
    source: FloatArray, target: FloatArray, lambdas: Sequence[float], fold: int, n_folds: int
) -> FloatArray:
    """Return J of each penalty on the rows of a fold; where there is one fold, all rows train."""
    out = [np.arange(len(kernels)) % n_folds == fold for kernels in (source, target)]
    kept = out if n_folds == 1 else [~rows for rows in out]
    alpha = _fit_ratio(source[kept[0]], target[kept[1]], lambdas)
    squares, ratios = (source[out[0]] @ alpha) ** 2, target[out[1]] @ alpha
    return np.asarray(squares.mean(axis=0) / 2 - ratios.mean(axis=0))


def _fit_ratio(source: FloatArray, target: FloatArray, lambdas: Sequence[float]) -> FloatArray:
    """Return the coefficients of the kernels for each penalty, shape (b, len(lambdas))."""
    values, vectors = np.linalg.eigh(source.T @ source / len(source))
    along = vectors.T @ target.mean(axis=0)
    solutions = along[:, None] / (np.maximum(values, 0.0)[:, None] + np.asarray(lambdas))
    return np.asarray(np.maximum(vectors @ solutions, 0.0))


def classifier_weights(
    source: FloatArray,
    target: FloatArray,
    *,
    bound: float,
    folds: int = 5,
    penalties: Sequence[float] = CLASSIFIER_C,
    rng: np.random.Generator,
) -> FloatArray:
    """Return ``p(target | x) / p(source | x) * n / m`` of a classifier that has not seen the row.

    Logistic regression (Bickel, Brueckner and Scheffer, JMLR 10, 2137, 2009): its odds are smooth
    in x, whereas trees tell most domains apart so well that a few rows at the border get all the
    weight. The penalty with the least cross-entropy on the rows left out is taken; one number
    chosen on all rows is no leak worth a second level of folds.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Standardised features.
    bound : float
        Largest weight, more than 1.
    folds : int, default 5
        Parts of the cross-fit; with fewer rows of a domain one part per row. A domain of one row
        is not split: the classifier with the strongest penalty has seen it.
    penalties : sequence of float
        Inverse strengths C to choose from.
    rng : numpy.random.Generator
        Draws the folds.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean 1.
    """
    n, m = len(source), len(target)
    rows = np.concatenate([source, target])
    is_target = np.repeat([False, True], [n, m])
    n_folds = min(folds, n, m)
    if n_folds > 1:
        draw = StratifiedKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31 - 1)))
        parts = list(draw.split(rows, is_target))
    else:
        parts, penalties = [(np.arange(n + m), np.arange(n + m))], [min(penalties)]
    best, chosen = np.inf, np.zeros(n)
    for penalty in penalties:
        log_odds = np.empty(n + m)
        prior = np.empty(n + m)
        for train, out in parts:
            model = LogisticRegression(C=penalty, tol=1e-5, max_iter=5000)
            log_odds[out] = model.fit(rows[train], is_target[train]).decision_function(rows[out])
            counts = np.bincount(is_target[train])
            prior[out] = np.log(counts[1] / counts[0])
        entropy = float(np.logaddexp(0.0, np.where(is_target, -log_odds, log_odds)).mean())
        if entropy < best:
            best, chosen = entropy, (log_odds - prior)[:n]
    return bound_weights(np.exp(chosen - chosen.max()), bound)


def bound_weights(weights: FloatArray, bound: float) -> FloatArray:
    """Scale and clip weights so that their mean is 1 and none exceeds `bound`.

    Parameters
    ----------
    weights : ndarray of float, shape (n,)
        Non-negative, finite.
    bound : float
        At least 1.

    Returns
    -------
    ndarray of float64, shape (n,)
        ``min(c w, bound)`` with the c that gives mean 1. Where so few weights are positive that
        there is none, these are `bound` and the others share the rest; ones if none is positive.
    """
    n = len(weights)
    largest = float(weights.max())
    if largest <= 0:
        return np.ones(n)
    scaled = np.where(weights < NEGLIGIBLE * largest, 0.0, weights / largest)
    positive = scaled > 0
    full = float(positive.sum()) * bound
    if full <= n:
        rest = max(n - full, 0.0) / max(float((~positive).sum()), 1.0)
        return np.where(positive, bound, rest)
    # with the j largest at the bound the others share what is left; the first j that fits
    descending = np.sort(scaled)[::-1]
    clipped = np.arange(n)
    factors = np.maximum(n - clipped * bound, 0.0) / np.maximum(
        np.cumsum(descending[::-1])[::-1], NEGLIGIBLE
    )
    factor = factors[np.argmax(factors * descending <= bound)]
    return np.asarray(np.minimum(factor * scaled, bound))


def _median_distance(source: FloatArray, target: FloatArray, rng: np.random.Generator) -> float:
    """Return the median distance of distinct rows, of samples of both domains; 1 if all agree."""
    drawn = [rows[rng.permutation(len(rows))[:MEDIAN_ROWS]] for rows in (source, target)]
    distances = pdist(np.concatenate(drawn))
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0
