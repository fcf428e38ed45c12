"""How far test rows lie from training rows: distances, a two-sample classifier, the targets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, wasserstein_distance
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from xtalshift.seeding import derive_seed
from xtalshift.splits.grouped_rows import IntArray

__all__ = [
    "DistanceShift",
    "TwoSample",
    "delong",
    "distance_ratio",
    "nearest",
    "sample",
    "standardise",
    "target_shift",
    "two_sample",
]

FloatArray = NDArray[np.float64]

_N_TREES = 200
_LEAF = 5
"""Both sides weigh the same, and a leaf as much as so many points, counted in the smaller side."""


class DistanceShift(NamedTuple):
    """Distances to the nearest training point, in standardised features.

    Attributes
    ----------
    median_test : float
        Median over test points.
    median_train : float
        Median over training points, each without itself; NaN if there is only one.
    ratio : float
        The first over the second: about 1 for a random split.
    """

    median_test: float
    median_train: float
    ratio: float


class TwoSample(NamedTuple):
    """How well a classifier tells test from training points.

    Attributes
    ----------
    auc : float
        Area under the ROC curve: 0.5 cannot tell, 1 no overlap.
    low, high : float
        Its 95 % interval.
    ess : float
        How many training points would be as good as the training set is for the test
        distribution.
    ess_share : float
        The same over the number of training points, at least one of those that were classified.
    n_train, n_test : int
        Points that were classified.
    """

    auc: float
    low: float
    high: float
    ess: float
    ess_share: float
    n_train: int
    n_test: int


def sample(n: int, n_max: int, seed: int) -> IntArray:
    """Return at most `n_max` of the numbers 0 to n - 1, drawn at random, ascending."""
    if n <= n_max:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, n_max, replace=False)).astype(np.int64)


def standardise(train: NDArray[Any], *others: NDArray[Any]) -> tuple[FloatArray, ...]:
    """Scale columns by the mean and standard deviation of the training points.

    Parameters
    ----------
    train : ndarray of float, shape (n, d)
        Features, finite or NaN.
    *others : ndarray of float, shape (m, d)
        Further points.

    Returns
    -------
    tuple of ndarray of float64, shapes (n, k) and (m, k)
        Columns that are constant in `train` (or all NaN) are dropped, and if none is left there
        is one of zeros; NaN becomes 0, the mean.
    """
    known = np.isfinite(train)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, train, 0.0).sum(axis=0) / counts
    deviation = np.sqrt((np.where(known, train - mean, 0.0) ** 2).sum(axis=0) / counts)
    # a column of equal numbers may miss 0 by a rounding error
    kept = deviation > 1e-12 * np.abs(mean)
    if not kept.any():
        return tuple(np.zeros((len(points), 1)) for points in (train, *others))
    return tuple(
        np.nan_to_num((points[:, kept] - mean[kept]) / deviation[kept], nan=0.0)
        for points in (train, *others)
    )


def nearest(
    points: FloatArray, references: FloatArray, own: IntArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Return the distance to the nearest reference point and its number.

    Parameters
    ----------
    points : ndarray of float, shape (n, d)
        Scaled features.
    references : ndarray of float, shape (m, d)
        Likewise.
    own : ndarray of int, shape (n,), optional
        The number of each point among the references; it does not count as its own neighbour.

    Returns
    -------
    distances : ndarray of float64, shape (n,)
        Euclidean.
    numbers : ndarray of int64, shape (n,)
        Rows of `references`.
    """
    found = NearestNeighbors(n_neighbors=1 if own is None else 2, algorithm="brute")
    numbers = found.fit(references).kneighbors(points, return_distance=False)
    column = numbers[:, 0]
    if own is not None:  # points may coincide, so that the point itself may come second
        column = np.where(column == own, numbers[:, 1], column)
    # the fast product of the search leaves 1e-7 where points coincide
    return np.linalg.norm(points - references[column], axis=1), column.astype(np.int64)


def distance_ratio(
    train: NDArray[Any],
    test: NDArray[Any],
    *,
    n_queries: int = 2000,
    n_references: int = 20000,
    seed: int,
) -> DistanceShift:
    """Compare how far test points lie from training points with how far those lie apart.

    Parameters
    ----------
    train, test : ndarray of float, shapes (n, d) and (m, d)
        Features, one row per formula: polymorphs would be at distance 0 of each other.
    n_queries : int
        Points of either side whose distances are measured.
    n_references : int
        Training points among which the nearest is sought, the same for both sides.
    seed : int
        Decides which points are drawn.

    Returns
    -------
    DistanceShift
        The ratio is 1 if both medians are 0, infinite if only that of the training points is.
    """
    chosen = train[sample(len(train), n_references, derive_seed(seed, "references"))]
    drawn = test[sample(len(test), n_queries, derive_seed(seed, "test"))]
    references, queries = standardise(chosen, drawn)
    median_test = float(np.median(nearest(queries, references)[0]))
    if len(references) < 2:  # noqa: PLR2004  # no other training point
        return DistanceShift(median_test, np.nan, np.nan)
    own = sample(len(references), n_queries, derive_seed(seed, "train"))
    median_train = float(np.median(nearest(references[own], references, own)[0]))
    if median_train == 0:
        return DistanceShift(median_test, 0.0, 1.0 if median_test == 0 else np.inf)
    return DistanceShift(median_test, median_train, median_test / median_train)


def two_sample(
    train: NDArray[Any], test: NDArray[Any], *, n_max: int = 2000, seed: int
) -> TwoSample:
    """Train a classifier to tell test from training points and ask it about unseen ones.

    Extremely randomised trees, with both sides given the same weight; every point is judged by
    the trees that did not see it (out of bag). A logistic curve makes their votes probabilities p
    of belonging to the test points, and the training points weighted with p / (1 - p) would follow
    the test distribution; their effective number is (sum w)^2 / sum w^2 (Kish, Survey Sampling,
    1965).

    Parameters
    ----------
    train, test : ndarray of float, shapes (n, d) and (m, d)
        Features, finite or NaN, one row per formula; fewer than about 10 points of a side say
        nothing.
    n_max : int
        Points of either side that are used.
    seed : int
        Decides which points are drawn, and the trees.

    Returns
    -------
    TwoSample
    """
    sides = [
        points[sample(len(points), n_max, derive_seed(seed, name))]
        for name, points in (("train", train), ("test", test))
    ]
    # of both sides together: a column that varies only between them tells them apart
    (points,) = standardise(np.concatenate(sides))
    is_test = np.repeat([False, True], [len(side) for side in sides])
    forest = ExtraTreesClassifier(
        _N_TREES,
        min_weight_fraction_leaf=_LEAF / (2 * min(len(side) for side in sides)),
        bootstrap=True,
        oob_score=True,
        class_weight="balanced_subsample",
        random_state=derive_seed(seed, "trees"),
        n_jobs=1,
    )
    votes = forest.fit(points, is_test).oob_decision_function_[:, 1]
    auc, variance = delong(votes[is_test], votes[~is_test])
    # A point is judged by trees that were trained on the others and helped to train the trees that
    # judge the others, so their scores depend on each other. Twice the variance of independent
    # scores gives the scatter seen on random splits (no derivation); under a shift the interval is
    # too wide rather than too narrow.
    margin = float(norm.ppf(0.975) * np.sqrt(2 * variance))
    share = _effective_share(votes, is_test)
    return TwoSample(
        auc,
        max(0.0, auc - margin),
        min(1.0, auc + margin),
        share * len(train),
        share,
        len(sides[0]),
        len(sides[1]),
    )


def _effective_share(votes: FloatArray, is_test: NDArray[np.bool_]) -> float:
    """Return the effective number of training points over their number.

    The votes themselves scatter so much with few test points that their ratio would show a shift
    on every random split; the curve has one slope to fit, which is small there. With about 25
    points of a side the share still falls to 0.4 by chance.
    """
    smooth = 1 / _N_TREES  # as if one more tree had voted for either side
    log_odds = np.log((votes + smooth) / (1 - votes + smooth))
    scaled = ((log_odds - log_odds.mean()) / max(float(log_odds.std()), 1e-12))[:, None]
    curve = LogisticRegression(C=100.0, class_weight="balanced").fit(scaled, is_test)
    weights = np.exp(curve.decision_function(scaled))
    train, test = weights[~is_test], weights[is_test]
    # With right weights their mean over test points is sum w^2 / sum w, so that the two agree.
    # Without overlap no training point has a large weight and all look alike: only test tells.
    share = min(train.mean() ** 2 / (train**2).mean(), train.mean() / test.mean())
    return float(max(share, 1 / len(train)))  # the curve is not to be believed beyond one point


def delong(positive: FloatArray, negative: FloatArray) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance.

    The placement of a positive point is the share of negative points below it (ties count half),
    and the other way round; the area is the mean placement, and its variance follows from the
    variances of the placements of both sides (DeLong, DeLong and Clarke-Pearson, Biometrics 44,
    837, 1988).

    Parameters
    ----------
    positive, negative : ndarray of float, shapes (m,) and (n,)
        Scores, at least two of each.

    Returns
    -------
    auc, variance : float
    """
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    return float(above.mean()), float(above.var(ddof=1) / m + below.var(ddof=1) / n)


def target_shift(y_train: FloatArray, y_test: FloatArray) -> tuple[float, float]:
    """Compare the targets of both sides.

    Parameters
    ----------
    y_train, y_test : ndarray of float, shapes (n,) and (m,)
        Finite targets in any unit.

    Returns
    -------
    wasserstein : float
        Wasserstein-1 distance over the standard deviation of the training targets (infinite if
        that is 0 and the distance is not).
    ks : float
        Kolmogorov-Smirnov statistic in [0, 1].
    """
    distance = float(wasserstein_distance(y_train, y_test))
    values = np.concatenate([y_train, y_test])
    below = [np.searchsorted(np.sort(y), values, "right") / len(y) for y in (y_train, y_test)]
    ks = float(np.abs(below[0] - below[1]).max())  # SciPy's warns of its p-value with few points
    deviation = float(np.std(y_train))
    if deviation == 0:
        return (0.0 if distance == 0 else np.inf), ks
    return distance / deviation, ks
