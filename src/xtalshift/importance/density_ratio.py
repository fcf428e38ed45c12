"""Importance weights: density ratio of the target to the source distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict

FloatArray = NDArray[np.float64]
Ratio = Callable[[FloatArray], FloatArray]
"""Rows of shape (k, d) -> p_target / p_source up to a common factor, shape (k,)."""

N_COMPONENTS = 10
MEDIAN_ROWS = 500
CHUNK = 4096
ULSIF_FOLDS = 5
SIGMA_FACTORS = (0.25, 0.5, 1.0, 2.0)
LAMBDAS = (1e-3, 1e-2, 1e-1, 1.0)
CLASSIFIER_C = (1e-4, 1e-3, 1e-2, 1e-1)
LOG_BOUND = 100.0
NEGLIGIBLE = 1e-12
"""Share of the largest weight below which a weight is 0."""


def effective_sample_size(weights: NDArray[np.float64]) -> float:
    """Return the effective sample size ``(sum w)^2 / sum w^2`` (Kish, Survey Sampling, 1965).

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


def standardise(train: FloatArray, *others: FloatArray) -> tuple[FloatArray, ...]:
    """Scale columns by the mean and standard deviation of the training points.

    Unlike scikit-learn's ``StandardScaler``, it drops constant columns (trees draw columns at
    random, and would draw these too) and replaces missing values by the mean.

    Parameters
    ----------
    train : ndarray of float, shape (n, d)
        Features, finite or NaN.
    *others : ndarray of float, shape (m, d)
        Further points.

    Returns
    -------
    tuple of ndarray of float64, shapes (n, k) and (m, k)
        Columns that are constant in `train` (or all NaN) are dropped; if no column is left, the
        result is one column of zeros. NaN becomes 0, the mean.
    """
    known = np.isfinite(train)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, train, 0.0).sum(axis=0) / counts
    deviation = np.sqrt((np.where(known, train - mean, 0.0) ** 2).sum(axis=0) / counts)
    # the deviation of equal numbers may differ from 0 by rounding
    kept = deviation > 1e-12 * np.abs(mean)
    if not kept.any():
        return tuple(np.zeros((len(points), 1)) for points in (train, *others))
    return tuple(
        np.nan_to_num((points[:, kept] - mean[kept]) / deviation[kept], nan=0.0)
        for points in (train, *others)
    )


def principal_components(
    source: FloatArray, target: FloatArray, n_components: int = N_COMPONENTS
) -> tuple[FloatArray, FloatArray]:
    """Project rows on the leading principal components of both domains together.

    In the 145 dimensions of composition features all distances are about the same, so a kernel
    cannot tell materials apart. Directions of small variance are lost, even if the domains differ
    in them.

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


def ulsif_weights(
    source: FloatArray,
    target: FloatArray,
    *,
    bound: float,
    rng: np.random.Generator,
    **settings: Any,
) -> FloatArray:
    """Return the density ratio of `fit_ulsif` at the source rows, shape (n,), with mean 1.

    Parameters
    ----------
    source, target, rng, **settings
        As in `fit_ulsif`.
    bound : float
        Largest weight, more than 1.
    """
    return bound_weights(fit_ulsif(source, target, rng=rng, **settings)(source), bound)


def fit_ulsif(
    source: FloatArray,
    target: FloatArray,
    *,
    n_centers: int = 100,
    sigmas: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    max_rows: int = 10_000,
    rng: np.random.Generator,
) -> Ratio:
    """Return a least-squares fit of the density ratio by kernels on target rows.

    Unconstrained least-squares importance fitting (Kanamori, Hido and Sugiyama, JMLR 10, 1391,
    2009): the ratio is ``sum_l alpha_l exp(-|x - c_l|^2 / (2 sigma^2))`` with
    ``alpha = max(0, (H + lambda I)^-1 h)``, where H is the mean of the products of kernels over
    source rows and h the mean kernel over target rows. Width and penalty minimise
    ``J = mean_source(ratio^2) / 2 - mean_target(ratio)`` in five-fold cross-validation.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Features in few dimensions, see `principal_components`.
    n_centers : int, default 100
        Number of kernel centres, drawn at random from the target rows.
    sigmas : sequence of float, optional
        Widths to choose from; by default 1/4 to 2 times the median of the pairwise distances.
    lambdas : sequence of float
        Penalties to choose from.
    max_rows : int, default 10000
        Largest number of rows of either domain in the fit.
    rng : numpy.random.Generator
        Draws samples, centres and folds.

    Returns
    -------
    callable
        Rows of shape (k, d) -> ratio, not negative, shape (k,).
    """
    if sigmas is None:
        median = median_distance(source, target, rng)
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

    def ratio(rows: FloatArray) -> FloatArray:
        pieces = [
            rbf_kernel(rows[start : start + CHUNK], centers, gamma=gamma) @ alpha
            for start in range(0, len(rows), CHUNK)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    return ratio


def _left_out_error(
    source: FloatArray, target: FloatArray, lambdas: Sequence[float], fold: int, n_folds: int
) -> FloatArray:
    """Return J for each penalty on the rows of a fold; a single fold is both fitted and scored."""
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
    """Return cross-fitted ``p(target | x) / p(source | x) * n / m`` of a classifier.

    Logistic regression (Bickel, Brueckner and Scheffer, JMLR 10, 2137, 2009): its odds are smooth
    in x, whereas trees separate most domains so well that a few rows at the border get all the
    weight. The penalty with the smallest cross-entropy on the rows left out is used; nested folds
    would change little for a single number.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Standardised features.
    bound : float
        Largest weight, more than 1.
    folds : int, default 5
        Number of folds, at most the number of rows of the smaller domain. If a domain has one row,
        the classifier with the strongest penalty is trained on all rows instead.
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
    prior = np.empty(n + m)
    for train, out in parts:
        prior[out] = np.log(is_target[train].sum() / (~is_target[train]).sum())
    best, chosen = np.inf, np.zeros(n)
    for penalty in penalties:
        model = LogisticRegression(C=penalty, tol=1e-5, max_iter=5000)
        log_odds = cross_val_predict(model, rows, is_target, cv=parts, method="decision_function")
        entropy = float(np.logaddexp(0.0, np.where(is_target, -log_odds, log_odds)).mean())
        if entropy < best:
            best, chosen = entropy, (log_odds - prior)[:n]
    return bound_weights(np.exp(chosen - chosen.max()), bound)


def fit_classifier(
    source: FloatArray,
    target: FloatArray,
    *,
    folds: int = 5,
    penalties: Sequence[float] = CLASSIFIER_C,
    rng: np.random.Generator,
) -> Ratio:
    """Return the density ratio of a logistic regression as a function of rows.

    Parameters
    ----------
    source, target : ndarray of float, shapes (n, d) and (m, d)
        Standardised features, at least two rows each.
    folds : int, default 5
        Folds of the cross-validation that chooses the penalty by cross-entropy.
    penalties : sequence of float
        Inverse strengths C to choose from.
    rng : numpy.random.Generator
        Draws the folds.

    Returns
    -------
    callable
        Rows of shape (k, d) -> ratio up to a common factor, shape (k,).
    """
    n, m = len(source), len(target)
    draw = StratifiedKFold(
        min(folds, n, m), shuffle=True, random_state=int(rng.integers(2**31 - 1))
    )
    model = GridSearchCV(
        LogisticRegression(tol=1e-5, max_iter=5000),
        {"C": list(penalties)},
        scoring="neg_log_loss",
        cv=draw,
    )
    model.fit(np.concatenate([source, target]), np.repeat([False, True], [n, m]))

    def ratio(rows: FloatArray) -> FloatArray:
        # clipped: the exponential must not overflow for a row far inside one domain
        return np.asarray(np.exp(np.clip(model.decision_function(rows), -LOG_BOUND, LOG_BOUND)))

    return ratio


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
        ``min(c w, bound)`` with the c that gives mean 1. If too few weights are positive for such a
        c, these are `bound` and the others share the rest; ones if no weight is positive.
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
    # with the j largest at the bound the others share the rest; take the first j that fits
    descending = np.sort(scaled)[::-1]
    clipped = np.arange(n)
    factors = np.maximum(n - clipped * bound, 0.0) / np.maximum(
        np.cumsum(descending[::-1])[::-1], NEGLIGIBLE
    )
    factor = factors[np.argmax(factors * descending <= bound)]
    return np.asarray(np.minimum(factor * scaled, bound))


def median_distance(source: FloatArray, target: FloatArray, rng: np.random.Generator) -> float:
    """Return the median distance of distinct rows in samples of both domains; 1 if none differ."""
    drawn = [rows[rng.permutation(len(rows))[:MEDIAN_ROWS]] for rows in (source, target)]
    distances = pdist(np.concatenate(drawn))
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0
