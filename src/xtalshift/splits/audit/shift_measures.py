"""Measures of shift: distances, a two-sample classifier, targets, residuals of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm, rankdata, wasserstein_distance
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from xtalshift.importance.density_ratio import effective_sample_size, standardise
from xtalshift.seeding import derive_seed
from xtalshift.splits.splitter import IntArray

FloatArray = NDArray[np.float64]

_N_TREES = 200
_LEAF = 5
"""Both sides have the same total weight; a leaf has at least that of this many points of the
smaller side."""
_N_REGRESSION_TREES = 100
_MIN_SUPPORTED = 20
"""Fewest supported test rows, and fewest training rows near them, for a residual test."""


class DistanceShift(NamedTuple):
    """Distances to the nearest training point, in standardised features."""

    median_test: float
    """Median over test points."""
    median_train: float
    """Median over training points, each without itself; NaN if there is only one."""
    ratio: float
    """The first over the second: about 1 for a random split."""


class TwoSample(NamedTuple):
    """How well a classifier separates test from training points."""

    auc: float
    """Area under the ROC curve: 0.5 if both sides look the same, 1 without overlap."""
    low: float
    high: float
    """`low`, `high`: its 95 % interval."""
    ess: float
    """Effective number of training points for the test distribution."""
    ess_share: float
    """The same over the number of training points; at least one of the classified points."""
    n_train: int
    n_test: int
    """`n_train`, `n_test`: classified points of either side."""


class ResidualTest(NamedTuple):
    """Comparison of residuals; shift and p-value are NaN if there were too few rows to test."""

    tested: bool
    """Whether there were enough rows."""
    reason: str
    """Why not; ``""`` if there were."""
    n_supported: int
    """Test rows (of those drawn) with training rows nearby."""
    share_supported: float
    """The same over the test rows drawn."""
    shift: float = np.nan
    """Median residual (target minus prediction) of supported test rows minus that of training rows
    near them, over the standard deviation of the latter."""
    p_value: float = np.nan
    """Two-sided Mann-Whitney test of the two sets of residuals, taken as independent. Residuals of
    similar materials are not quite independent, so a small p alone proves little."""


def sample(n: int, n_max: int, seed: int) -> IntArray:
    """Return at most `n_max` of the numbers 0 to n - 1, drawn at random, ascending."""
    if n <= n_max:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, n_max, replace=False)).astype(np.int64)


def nearest(
    points: FloatArray, references: FloatArray, own: IntArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Return the distance of each point to the nearest reference, and its row, shapes (n,).

    `own` is the row of each point among the references, which is not its own neighbour.
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
    """Compare the distances of test to training points with those between training points.

    Parameters
    ----------
    train, test : ndarray of float, shapes (n, d) and (m, d)
        Features, one row per formula: polymorphs would be at distance 0 of each other.
    n_queries : int
        Points of either side whose distances are measured.
    n_references : int
        Training points that are searched, the same for both sides.
    seed : int
        Draws the points.

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
    """Train a classifier to separate test from training points, and score it on unseen points.

    Extremely randomised trees, with the same total weight for both sides; every point is scored by
    the trees that were not trained on it (out of bag). A logistic curve turns their votes into
    probabilities p of a test point. Training points with the weights p / (1 - p) would follow the
    test distribution; their effective number is (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965).

    Points of shapes (n, d) and (m, d), one per formula, may hold NaN; at least about 10 of each
    side are needed, and at most `n_max` of each are drawn.
    """
    sides = [
        points[sample(len(points), n_max, derive_seed(seed, name))]
        for name, points in (("train", train), ("test", test))
    ]
    # scaled by both sides together: a column that varies only between them separates them
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
    # Each point also helps to train the trees that score the others, so the scores depend on each
    # other. Twice the variance of independent scores gives the scatter seen on random splits (an
    # empirical factor); under a shift the interval is too wide rather than too narrow.
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

    With few test points the votes scatter so much that their ratio would show a shift on every
    random split; the curve fits one slope only, which is small there. With about 25 points of a
    side the share still falls to 0.4 by chance.
    """
    smooth = 1 / _N_TREES  # as if one more tree had voted for either side
    log_odds = np.log((votes + smooth) / (1 - votes + smooth))
    scaled = ((log_odds - log_odds.mean()) / max(float(log_odds.std()), 1e-12))[:, None]
    curve = LogisticRegression(C=100.0, class_weight="balanced").fit(scaled, is_test)
    weights = np.exp(curve.decision_function(scaled))
    train, test = weights[~is_test], weights[is_test]
    # With correct weights their mean over test points is sum w^2 / sum w, so that both terms agree.
    # Without overlap no training point has a large weight, and only the second term shows it.
    share = min(effective_sample_size(train) / len(train), train.mean() / test.mean())
    return float(max(share, 1 / len(train)))  # the curve cannot resolve less than one point


def delong(positive: FloatArray, negative: FloatArray) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance, which scikit-learn does not give.

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
    ks = float(np.abs(below[0] - below[1]).max())  # scipy.stats.ks_2samp warns for single points
    deviation = float(np.std(y_train))
    if deviation == 0:
        return (0.0 if distance == 0 else np.inf), ks
    return distance / deviation, ks


def residual_test(
    X_train: NDArray[Any],
    y_train: FloatArray,
    X_test: NDArray[Any],
    y_test: FloatArray,
    *,
    n_max: int = 5000,
    seed: int,
) -> ResidualTest:
    """Test whether P(y|x) differs where test and training rows have similar features.

    A forest is fitted to the training rows and predicts each of them out of bag. A test row is
    supported if its nearest training row is no farther than 95 % of the training rows are from
    their own nearest one; elsewhere a change of the function cannot be separated from missing data.
    Residuals of supported test rows are compared with those of the training rows nearest to them,
    so that a noisy region is compared with itself.

    The test finds a shift of location only, not a larger scatter about the same median. Rows
    selected by their target (a tail) have another P(y|x) too, and give a shift as well.

    Parameters
    ----------
    X_train, X_test : ndarray of float, shapes (n, d) and (m, d)
        Features, finite or NaN, one row per formula.
    y_train, y_test : ndarray of float, shapes (n,) and (m,)
        Finite targets in any unit.
    n_max : int
        Most rows of either side that are used.
    seed : int
        Seed of the draw and of the trees.

    Returns
    -------
    ResidualTest
    """
    if min(len(y_train), len(y_test)) < _MIN_SUPPORTED:
        return ResidualTest(
            False,
            f"{len(y_train)} training and {len(y_test)} test formulas with a target; at least "
            f"{_MIN_SUPPORTED} of each are needed",
            0,
            0.0,
        )
    rows = sample(len(y_train), n_max, derive_seed(seed, "train"))
    queries = sample(len(y_test), n_max, derive_seed(seed, "test"))
    known, asked = standardise(X_train[rows], X_test[queries])
    own, _ = nearest(known, known, np.arange(len(known)))
    distances, neighbours = nearest(asked, known)
    supported = distances <= np.quantile(own, 0.95)
    near = np.unique(neighbours[supported])  # one residual counts once
    found = (int(supported.sum()), float(supported.mean()))
    if min(found[0], len(near)) < _MIN_SUPPORTED:
        return ResidualTest(
            False,
            f"{found[0]} of {len(queries)} test formulas have training formulas nearby, and "
            f"{len(near)} training formulas are nearest to these; at least {_MIN_SUPPORTED} of "
            "each are needed",
            *found,
        )
    forest = ExtraTreesRegressor(
        _N_REGRESSION_TREES,
        max_features=1 / 3,
        min_samples_leaf=2,
        bootstrap=True,
        oob_score=True,
        random_state=derive_seed(seed, "trees"),
        n_jobs=1,
    ).fit(known, y_train[rows])
    reference = (y_train[rows] - forest.oob_prediction_)[near]
    residuals = (y_test[queries] - forest.predict(asked))[supported]
    scatter = float(np.std(reference))
    if scatter <= 1e-12 * max(1.0, float(np.abs(y_train).max())):
        return ResidualTest(
            False, f"the {len(near)} training residuals nearby are all the same", *found
        )
    shift = float(np.median(residuals) - np.median(reference)) / scatter
    p_value = float(mannwhitneyu(residuals, reference, method="asymptotic").pvalue)
    return ResidualTest(True, "", *found, shift, p_value)
