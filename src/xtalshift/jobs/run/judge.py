"""What a trained method says of its test rows besides a number, and whether that held."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.records import JUDGED_COLUMNS
from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import MaterialsTable
from xtalshift.estimators import Regressor
from xtalshift.jobs.run.prepare import Fit
from xtalshift.model import FormulaRegressor
from xtalshift.model.dataset import groups_of, targets_of
from xtalshift.model.intervals import (
    MIN_CALIBRATION,
    Scored,
    calibrate,
    interval,
    score_rows,
    spread,
)
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import LEVEL, Calibration, ScoreKind

__all__ = [
    "INTERVAL_SCORES",
    "MIN_ID_ROWS",
    "Judged",
    "halve",
    "judge_rows",
    "needed_levels",
]

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

MIN_ID_ROWS = 2 * MIN_CALIBRATION
"""Fewer ID test rows have no two halves that could calibrate each other."""

INTERVAL_SCORES = ("coverage_90", "median_width_90")


class Judged(NamedTuple):
    """What a model says of every row of a table; NaN where nothing is said.

    **Which rows calibrate.** OOD rows are judged with all ID test rows as calibration, as the saved
    model judges new materials. The ID test rows are judged in two halves of whole formulas, each
    with the other as calibration, so that no row has a say in its own interval.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n,)
        Interval of level 0.9, in the unit of the target.
    std : ndarray of float64, shape (n,)
        Half the width of the 68.27 % interval, in the unit of the target.
    needed_level : ndarray of float64, shape (n,)
        See `needed_levels`.
    ood_score : ndarray of float64, shape (n,)
        Share of source rows held out of training that are nearer to the training rows, in [0, 1].
        The ID test rows are among them, so that their scores spread evenly.
    in_domain : ndarray of float64, shape (n,)
        1 where the score is at most the threshold and every element was in training, else 0.
    """

    lower: FloatArray
    upper: FloatArray
    std: FloatArray
    needed_level: FloatArray
    ood_score: FloatArray
    in_domain: FloatArray

    @classmethod
    def nothing(cls, n: int) -> Judged:
        """Return what a model that says nothing says of n rows."""
        return cls(*(np.full(n, np.nan) for _ in JUDGED_COLUMNS))

    def columns(self, rows: Rows) -> dict[str, Any]:
        """Return some rows as columns of a table, in the order of `JUDGED_COLUMNS`."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in JUDGED_COLUMNS}
        # true, false or missing, where float would say 1.0
        columns["in_domain"] = pd.array(columns["in_domain"], dtype="boolean")
        return columns

    def scores(self, rows: Rows) -> dict[str, float | None]:
        """Return how the 90 % intervals of some rows did; None where there are none.

        Returns
        -------
        dict
            ``coverage_90``, the share of rows whose target they hold (that need less than level
            0.9), and ``median_width_90``, in the unit of the target.
        """
        needed = self.needed_level[rows]
        if not len(rows) or np.isnan(needed).any():
            return dict.fromkeys(INTERVAL_SCORES)
        with np.errstate(invalid="ignore"):  # both bounds of a prediction that overflows
            width = self.upper[rows] - self.lower[rows]
        width[np.isnan(width)] = np.inf
        median = float(np.median(width))
        return {
            "coverage_90": float(np.mean(needed < LEVEL)),
            "median_width_90": median if np.isfinite(median) else None,
        }


def needed_levels(scores: FloatArray, calibration: FloatArray) -> FloatArray:
    """Return the level that each row needs: intervals of every level above it hold the target.

    With c of n calibration scores below that of the row, the interval of a level holds the target
    if and only if its quantile, the ``ceil((n + 1) level)``-th smallest score, is at least the
    ``c + 1``-th, that is if the level is above ``c / (n + 1)``. This is 1 minus the conformal
    p-value; rows that could have been exchanged with the calibration rows spread evenly over it, so
    that the share of rows below a level is the coverage of the intervals of that level, exactly.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Conformity scores of rows, see `xtalshift.uncertainty.conformal.conformity_scores`, on the
        scale on which the regressor works.
    calibration : ndarray of float64, shape (n,)
        Those of the calibration rows.

    Returns
    -------
    ndarray of float64, shape (m,)
        In [0, 1]; 1 where no interval with bounds holds the target.

    Examples
    --------
    >>> needed_levels(np.array([0.5, 2.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    n = len(calibration)
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.where(below < n, below / (n + 1), 1.0)


def halve(groups: NDArray[np.object_], seed: int) -> tuple[Rows, Rows] | None:
    """Deal rows into two random halves that share no formula.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    seed : int
        Decides which.

    Returns
    -------
    (ndarray of int64, ndarray of int64) or None
        Row numbers, together 0 to n - 1; None where a half would have fewer than 10.
    """
    if len(groups) < MIN_ID_ROWS or len(np.unique(groups)) < 2:  # noqa: PLR2004 - two halves
        return None
    split = KFoldSplit(2, derive_seed(seed, "judge")).split(
        np.empty((len(groups), 0)), None, groups
    )
    first, second = (np.asarray(rows, dtype=np.int64) for rows in next(split))
    return None if min(len(first), len(second)) < MIN_CALIBRATION else (first, second)


def judge_rows(model: FormulaRegressor, table: MaterialsTable, X: FloatArray, fit: Fit) -> Judged:
    """Return intervals and domain of the test rows of a fit.

    Validation rows have chosen the parameters of the model and are neither judged nor calibrated
    on.

    Parameters
    ----------
    model : FormulaRegressor
        With its calibration on all ID test rows and its domain, see `xtalshift.model.trust`.
    table : MaterialsTable
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    fit : Fit
        Whose test rows.

    Returns
    -------
    Judged
        Of all n rows; without intervals where there are fewer than 20 ID test rows.
    """
    judged = Judged.nothing(len(table))
    inside = fit.id_rows
    outside = np.unique(
        np.concatenate([inside[:0], *(test.rows for test in fit.tests if test.role == "ood")])
    )
    if model.domain_ is not None:
        _judge_domain(judged, model, table, X, np.union1d(inside, outside))
    calibration = model.calibration_
    if calibration is None or len(inside) < MIN_ID_ROWS:
        return judged
    z = model.scale.forward(targets_of(table))
    _judge_intervals(judged, model, X, z, outside, calibration)
    halves = halve(groups_of(table)[inside], fit.seed)
    if halves is not None:
        parts = [inside[half] for half in halves]
        known = [
            calibrate(model.regressor_, X[rows], z[rows], kind=calibration.kind) for rows in parts
        ]
        _judge_intervals(judged, model, X, z, parts[0], known[1])
        _judge_intervals(judged, model, X, z, parts[1], known[0])
    return judged


def _judge_domain(
    judged: Judged, model: FormulaRegressor, table: MaterialsTable, X: FloatArray, rows: Rows
) -> None:
    domain = model.domain_
    if domain is None or not rows.size:
        return
    found = domain.assess(X[rows])
    formulas = np.asarray(table.formulas)[rows].tolist()
    unseen = domain.unseen_elements(parse_formulas(formulas, hydrates=model.hydrates)[0])
    judged.ood_score[rows] = found.ood_score
    judged.in_domain[rows] = found.in_domain & (unseen == "")


def _judge_intervals(
    judged: Judged,
    model: FormulaRegressor,
    X: FloatArray,
    z: FloatArray,
    rows: Rows,
    calibration: Calibration,
) -> None:
    judged.needed_level[rows] = 1.0  # what has no finite prediction is held by no interval
    rows, forecast = _forecast(model.regressor_, X, rows, calibration.kind)
    if forecast is None:
        return
    scores = forecast.scores(z[rows], calibration.floor)
    judged.needed_level[rows] = needed_levels(scores, calibration.scores)
    inverse = model.scale.inverse
    low, high = interval(forecast, calibration, LEVEL)
    judged.lower[rows], judged.upper[rows] = inverse(low), inverse(high)
    judged.std[rows] = spread(forecast, calibration, model.scale)


def _forecast(
    regressor: Regressor, X: FloatArray, rows: Rows, kind: ScoreKind
) -> tuple[Rows, Scored | None]:
    """Return the rows of which the regressor says something finite, and what it says."""
    if not rows.size:
        return rows, None
    forecast = score_rows(regressor, X[rows], kind)
    said = [forecast.center, *(forecast.quantiles or ())]
    said += [] if forecast.spread is None else [forecast.spread]
    good = np.isfinite(said).all(axis=0)
    if good.all():
        return rows, forecast
    rows = rows[good]
    return rows, score_rows(regressor, X[rows], kind) if rows.size else None
