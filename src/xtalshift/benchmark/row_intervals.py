"""Intervals and domain of the test rows of a fold, for interval evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows
from xtalshift.data import Dataset
from xtalshift.estimators.predictors import Predictor
from xtalshift.model import FittedModel
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    calibrate_regressor,
    predictive,
    score_rows,
)
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration, ScoreKind
from xtalshift.uncertainty.settings import LEVEL

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

MIN_ID_ROWS = 2 * MIN_CALIBRATION
"""Smallest number of ID test rows that can be split into halves that calibrate each other."""


@dataclass(frozen=True, eq=False)
class RowIntervals:
    """Intervals and domain of every row of a table; NaN for rows without.

    **Calibration rows.** Intervals of OOD rows are calibrated on all ID test rows, like those of
    the saved model for new materials. The ID test rows are divided into two halves of whole
    formulas, each calibrated on the other, so that no row calibrates its own interval.
    """

    lower: FloatArray
    upper: FloatArray
    """Shape (n,). `lower`, `upper`: interval of level 0.9, in the unit of the target."""
    std: FloatArray
    """Shape (n,). Half the width of the 68.27 % interval, in the unit of the target."""
    needed_level: FloatArray
    """Shape (n,). 1 minus the conformal p-value, see `needed_levels`."""
    ood_score: FloatArray
    """Shape (n,). 1 - conformal p-value: the share of held-out source rows that are less novel, in
    [0, 1]. The ID test rows are among these rows, so that their scores are spread evenly."""
    in_domain: FloatArray
    """Shape (n,). 1 if the score is at most the threshold and every element occurs in training,
    else 0."""

    @classmethod
    def empty(cls, n: int) -> RowIntervals:
        """Return n rows without intervals or domain."""
        return cls(*(np.full(n, np.nan) for _ in range(6)))

    def coverage(self, rows: Rows) -> tuple[float | None, float | None]:
        """Return coverage and median width of the 90 % intervals of rows.

        Both are None without intervals. An infinite interval contains every target; the median
        width is None if it is infinite.
        """
        needed = self.needed_level[rows]
        if not len(rows) or np.isnan(needed).any():
            return None, None
        with np.errstate(invalid="ignore"):  # inf - inf, for a prediction that overflows
            width = self.upper[rows] - self.lower[rows]
        width[np.isnan(width)] = np.inf
        median = float(np.median(width))
        return float(np.mean(needed < LEVEL)), median if np.isfinite(median) else None


def needed_levels(scores: FloatArray, calibration: FloatArray) -> FloatArray:
    """Return 1 minus the conformal p-value: intervals of every higher level contain the target.

    If c of n calibration scores are below that of the row, the interval of a level contains the
    target if and only if its quantile, the ``ceil((n + 1) level)``-th smallest score, is at least
    the ``c + 1``-th, that is, if the level is above ``c / (n + 1)``. So the share of rows with a
    needed level below some level is the coverage of the intervals of that level. For rows that are
    exchangeable with the calibration rows, needed levels are spread evenly.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Conformity scores of rows, see `xtalshift.uncertainty.conformal.conformity_scores`, on the
        scale of the regressor.
    calibration : ndarray of float64, shape (n,)
        Conformity scores of the calibration rows.

    Returns
    -------
    ndarray of float64, shape (m,)
        Needed levels in [0, 1]; 1 if no finite interval contains the target.

    Examples
    --------
    >>> needed_levels(np.array([0.5, 2.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    n = len(calibration)
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.where(below < n, below / (n + 1), 1.0)


def halve(groups: NDArray[np.object_], seed: int) -> tuple[Rows, Rows] | None:
    """Divide rows into two random halves that share no formula.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    seed : int
        Seed of the division.

    Returns
    -------
    (ndarray of int64, ndarray of int64) or None
        Row numbers, together 0 to n - 1; None if a half would have fewer than 10.
    """
    if len(groups) < MIN_ID_ROWS or len(np.unique(groups)) < 2:  # noqa: PLR2004 - two halves
        return None
    split = KFoldSplit(2, derive_seed(seed, "judge")).split(
        np.empty((len(groups), 0)), None, groups
    )
    first, second = (np.asarray(rows, dtype=np.int64) for rows in next(split))
    return None if min(len(first), len(second)) < MIN_CALIBRATION else (first, second)


def evaluate_intervals(
    model: FittedModel, data: Dataset, X: FloatArray, fold: FoldRows
) -> RowIntervals:
    """Return intervals and domain of the test rows of a fold.

    Validation rows are left out, because they selected the parameters of the model.

    Parameters
    ----------
    model : FittedModel
        Model calibrated on all ID test rows, with or without a domain.
    data : Dataset
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    fold : FoldRows
        Fold with the test rows.

    Returns
    -------
    RowIntervals
        All n rows; without intervals if there are fewer than 20 ID test rows.
    """
    found = RowIntervals.empty(len(data))
    inside = fold.id_rows
    outside = np.unique(
        np.concatenate([inside[:0], *(test.rows for test in fold.tests if test.role == "ood")])
    )
    tested = np.union1d(inside, outside)
    if model.domain is not None and tested.size:
        scores = model.domain.assess(X[tested])
        unseen = model.domain.unseen_elements(data.materials.compositions.take(tested))
        found.ood_score[tested] = scores.ood_score
        found.in_domain[tested] = scores.in_domain & (unseen == "")
    calibration = model.calibration
    if calibration is None or len(inside) < MIN_ID_ROWS:
        return found
    z = model.scale.forward(data.y)
    _fill(found, model, X, z, outside, calibration)
    halves = halve(data.groups[inside], fold.seed)
    if halves is not None:
        parts = [inside[half] for half in halves]
        known = [
            calibrate_regressor(model.regressor, X[rows], z[rows], kind=calibration.kind)
            for rows in parts
        ]
        _fill(found, model, X, z, parts[0], known[1])
        _fill(found, model, X, z, parts[1], known[0])
    return found


def _fill(
    found: RowIntervals,
    model: FittedModel,
    X: FloatArray,
    z: FloatArray,
    rows: Rows,
    calibration: Calibration,
) -> None:
    found.needed_level[rows] = (
        1.0  # without a finite prediction no finite interval contains the target
    )
    rows, forecast = _finite_rows(model.regressor, X, rows, calibration.kind)
    if forecast is None:
        return
    scores = forecast.scores(z[rows], calibration.floor)
    found.needed_level[rows] = needed_levels(scores, calibration.scores)
    distribution = predictive(forecast, calibration, model.scale)
    found.lower[rows], found.upper[rows] = distribution.interval(LEVEL)
    found.std[rows] = distribution.std()


def _finite_rows(
    regressor: Predictor, X: FloatArray, rows: Rows, kind: ScoreKind
) -> tuple[Rows, Scored | None]:
    """Return the rows with finite predictions, and their forecast."""
    if not rows.size:
        return rows, None
    forecast = score_rows(regressor, X[rows], kind)
    parts = [forecast.center, *(forecast.quantiles or ())]
    parts += [] if forecast.spread is None else [forecast.spread]
    good = np.isfinite(parts).all(axis=0)
    if good.all():
        return rows, forecast
    rows = rows[good]
    return rows, score_rows(regressor, X[rows], kind) if rows.size else None
