"""Prediction intervals from a fitted regressor and rows that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.base import Regressor
from xtalshift.featurize import CompositionSource
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import (
    FLOOR,
    ONE_SIGMA,
    Calibration,
    ScoreKind,
    ScoreOrigin,
    conformity_scores,
)

__all__ = [
    "MIN_CALIBRATION",
    "Scored",
    "calibrate_regressor",
    "cross_calibrate",
    "fold_number",
    "interval",
    "join_scores",
    "score_rows",
    "spread",
]

FloatArray = NDArray[np.float64]

MIN_CALIBRATION = 10
"""Smallest number of calibration rows; fewer give infinite intervals at the default level."""


def calibrate_regressor(
    regressor: Regressor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    kind: ScoreKind | None = None,
    origin: ScoreOrigin = "held-out",
    families: NDArray[np.int64] | None = None,
) -> Calibration:
    """Return the conformity scores of rows that `regressor` was not trained on.

    Parameters
    ----------
    regressor : Regressor
        A fitted regressor.
    X : array_like of float, shape (n, d)
        Features.
    y : array_like of float, shape (n,)
        Targets, on the scale of the regressor.
    kind : {"absolute", "normalised", "quantile"}, optional
        By default ``quantile`` for regressors that predict quantiles, ``normalised`` for those that
        predict a standard deviation, else ``absolute``.
    origin : {"held-out", "out-of-fold", "target"}
        Where the rows come from; saved with the scores.
    families : ndarray of int64, shape (n,), optional
        Chemical family of each row, see `xtalshift.chem.families.family_codes`.

    Raises
    ------
    DataError
        If there are fewer than 10 rows.
    ConfigError
        If the regressor cannot have scores of this kind.
    """
    features, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _check_number(len(targets))
    everything = np.arange(len(targets))
    parts = [(everything, score_rows(regressor, features, kind))]
    return join_scores(parts, features, targets, origin=origin, families=families)


def cross_calibrate(
    regressor: Regressor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_folds: int = 5,
    random_state: int | None = None,
    kind: ScoreKind | None = None,
    compositions: CompositionSource | None = None,
    families: NDArray[np.int64] | None = None,
    progress: Progress = NO_PROGRESS,
) -> Calibration:
    """Return conformity scores of all rows, each from a model of the other folds.

    This is for small data sets: calibration takes no rows from training, but `n_folds` further
    trainings. Intervals are centred on the prediction of the model of all rows, which is at least
    as good as those of the folds (Vovk, Ann. Math. Artif. Intell. 74, 9, 2015). They lack the
    guarantee of Barber et al. (Ann. Stat. 49, 486, 2021), which needs the models of all folds.

    Parameters
    ----------
    regressor : Regressor
        A regressor, fitted or not, that is cloned for each fold.
    X : array_like of float, shape (n, d)
        Features of all training and validation rows.
    y : array_like of float, shape (n,)
        Targets, on the scale of the regressor.
    groups : array_like of str, shape (n,), optional
        Reduced formulas: none is in two folds.
    n_folds : int, default 5
        Number of folds, at least 2; reduced to the number of formulas if that is smaller.
    random_state : int, optional
        Draws the folds.
    kind, families
        As in `calibrate_regressor`.
    compositions : CompositionSource of n rows, optional
        For regressors whose `fit` needs it.
    progress : Progress
        Reports the progress.

    Raises
    ------
    DataError
        If there are fewer than 10 rows, or all have the same formula.
    ConfigError
        If `n_folds` is below 2.
    """
    features, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _check_number(len(targets))
    names = None if groups is None else np.asarray(groups)
    n_folds = fold_number(n_folds, len(targets) if names is None else len(np.unique(names)))
    split = KFoldSplit(n_folds, random_state=random_state)
    parts: list[tuple[NDArray[np.int64], Scored]] = []
    with progress.task("calibration", n_folds) as task:
        for train, out in split.split(features, targets, names):
            model = clone(regressor)
            model.fit(
                features[train],
                targets[train],
                groups=None if names is None else names[train],
                origin=None if compositions is None else compositions.take(train),
            )
            parts.append((out, score_rows(model, features[out], kind)))
            task.advance()
    return join_scores(parts, features, targets, origin="out-of-fold", families=families)


def join_scores(
    parts: list[tuple[NDArray[np.int64], Scored]],
    X: FloatArray,
    y: FloatArray,
    *,
    origin: ScoreOrigin,
    families: NDArray[np.int64] | None = None,
) -> Calibration:
    """Return the calibration of rows that were predicted in parts, each by another model.

    Parameters
    ----------
    parts : list of (rows, Scored)
        Row numbers, together 0 to n - 1, and the forecast of the model of each part.
    X, y : ndarrays of float64, shapes (n, d) and (n,)
        All rows.
    origin, families
        As in `calibrate_regressor`.
    """
    floor = float(np.median([forecast.floor() for _, forecast in parts]))
    scores = np.empty(len(y))
    for rows, forecast in parts:
        scores[rows] = forecast.scores(y[rows], floor)
    kind = parts[0][1].kind
    return Calibration(scores, kind, origin, floor, X.astype(np.float32), families)


def score_rows(regressor: Regressor, X: FloatArray, kind: ScoreKind | None = None) -> Scored:
    """Return the forecast of a fitted regressor for rows of features, shape (n, d)."""
    if kind is None:
        if regressor.predict_quantiles(X[:1]) is not None:
            kind = "quantile"
        else:
            kind = "absolute" if regressor.predict_std(X[:1]) is None else "normalised"
    return Scored(regressor, X, kind)


def interval(
    forecast: Scored,
    calibration: Calibration,
    level: float,
    *,
    families: NDArray[np.int64] | None = None,
    weights: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return prediction intervals, on the scale of the regressor.

    Parameters
    ----------
    forecast : Scored
        Forecast of the calibrated regressor for m rows, of the same kind as the calibration.
    calibration : Calibration
        Conformity scores of the regressor.
    level : float
        In (0, 1).
    families, weights
        As in `Calibration.half_widths`.

    Returns
    -------
    lower, upper : ndarray of float64, shape (m,)
        Infinite if the calibration rows are too few for a bound.
    """
    half = calibration.half_widths(level, families=families, weights=weights)
    return forecast.bounds(np.broadcast_to(half, forecast.center.shape), calibration.floor)


def spread(
    forecast: Scored, calibration: Calibration, scale: TargetTransform, **how: Any
) -> FloatArray:
    """Return the ``std`` of predictions: half the width of their 68.27 % intervals.

    Parameters
    ----------
    forecast, calibration, **how
        As in `interval`.
    scale : TargetTransform
        Transform of the target to the scale of the regressor.

    Returns
    -------
    ndarray of float64, shape (m,)
        In the unit of the target; NaN for predictions that overflow.
    """
    low, high = interval(forecast, calibration, ONE_SIGMA, **how)
    if scale.name != "clip":  # clipping the bounds would reduce the standard deviation
        low, high = scale.inverse(low), scale.inverse(high)
    with np.errstate(invalid="ignore"):  # inf - inf, where the prediction overflows
        return np.asarray((high - low) / 2)


class Scored:
    """Forecast of a regressor for some rows: predictions and what a kind of score needs with them.

    Attributes
    ----------
    center : ndarray of float64, shape (n,)
        Predictions.
    """

    def __init__(self, regressor: Regressor, X: FloatArray, kind: ScoreKind) -> None:
        self.kind = kind
        self.spread: FloatArray | None = None
        self.quantiles: tuple[FloatArray, FloatArray] | None = None
        name = type(regressor).__name__
        if kind == "normalised":
            self.center, self.spread = regressor.predict_with_std(X)
            if self.spread is None:
                raise ConfigError(
                    f"{name} predicts no standard deviation to normalise the scores; "
                    "use an ensemble (n_members above 1) or absolute scores"
                )
            return
        self.center = regressor.predict(X)
        if kind == "quantile":
            self.quantiles = regressor.predict_quantiles(X)
            if self.quantiles is None:
                raise ConfigError(f"{name} predicts no quantiles; use absolute scores")
        elif kind != "absolute":
            raise ConfigError(f"score = {kind!r}; expected absolute, normalised or quantile")

    def floor(self) -> float:
        """Return the smallest spread allowed: a tiny positive number if members always agree."""
        if self.spread is None:
            return 0.0
        return max(FLOOR * float(np.median(self.spread)), float(np.finfo(float).tiny))

    def scores(self, y: FloatArray, floor: float) -> FloatArray:
        """Return the conformity scores of targets, shape (n,)."""
        spread = None if self.spread is None else np.maximum(self.spread, floor)
        return conformity_scores(y, self.center, spread=spread, quantiles=self.quantiles)

    def bounds(self, half: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the interval of each row for score quantiles of shape (n,)."""
        if self.quantiles is not None:
            low, high = self.quantiles[0] - half, self.quantiles[1] + half
            # a negative quantile of the scores may move the bounds past each other
            middle = (self.quantiles[0] + self.quantiles[1]) / 2
            return np.minimum(low, middle), np.maximum(high, middle)
        if self.spread is not None:
            half = half * np.maximum(self.spread, floor)
        return self.center - half, self.center + half


def fold_number(wanted: int, n_formulas: int) -> int:
    """Return the number of folds: `wanted`, or the number of formulas if that is smaller.

    Raises
    ------
    ConfigError
        If `wanted` is below 2.
    DataError
        If there is only one formula.
    """
    if wanted < 2:  # noqa: PLR2004 - one fold leaves nothing to train on
        raise ConfigError(f"{wanted} folds for intervals; give at least 2")
    if n_formulas < 2:  # noqa: PLR2004
        raise DataError(
            "all rows have the same formula, so that none can be held out for intervals; add "
            "other materials, or train without intervals"
        )
    return min(wanted, n_formulas)


def _check_number(n: int) -> None:
    if n < MIN_CALIBRATION:
        raise DataError(
            f"{n} rows to calibrate intervals; at least {MIN_CALIBRATION} are needed (9 give no "
            "finite interval above 90 %)"
        )
