"""Prediction intervals from a fitted regressor and rows that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.predictors import Predictor
from xtalshift.uncertainty.conformal import (
    FLOOR,
    ONE_SIGMA,
    Calibration,
    ScoreKind,
    ScoreOrigin,
    conformity_scores,
)

FloatArray = NDArray[np.float64]

MIN_CALIBRATION = 10
"""Smallest number of calibration rows; fewer give infinite intervals at the default level."""


def calibrate_regressor(
    regressor: Predictor,
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
    regressor : Predictor
        A fitted predictor.
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
    check_number(len(targets))
    everything = np.arange(len(targets))
    parts = [(everything, score_rows(regressor, features, kind))]
    return join_scores(parts, features, targets, origin=origin, families=families)


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
    largest = np.finfo(np.float32).max  # infinity would be no feature
    features = np.clip(X, -largest, largest).astype(np.float32)
    return Calibration(scores, kind, origin, floor, features, families)


def score_rows(regressor: Predictor, X: FloatArray, kind: ScoreKind | None = None) -> Scored:
    """Return the forecast of a fitted regressor for rows of features, shape (n, d)."""
    if kind is None:
        if regressor.predict_quantiles(X[:1]) is not None:
            kind = "quantile"
        else:
            kind = "absolute" if regressor.predict_std(X[:1]) is None else "normalised"
    name = regressor.regressor_name
    if kind == "normalised":
        center, spread = regressor.predict_with_std(X)
        if spread is None:
            raise ConfigError(
                f"{name} predicts no standard deviation to normalise the scores; "
                "use an ensemble (n_members above 1) or absolute scores"
            )
        return Scored(kind, center, spread=spread)
    center = regressor.predict(X)
    if kind == "absolute":
        return Scored(kind, center)
    if kind != "quantile":
        raise ConfigError(f"score = {kind!r}; expected absolute, normalised or quantile")
    quantiles = regressor.predict_quantiles(X)
    if quantiles is None:
        raise ConfigError(f"{name} predicts no quantiles; use absolute scores")
    return Scored(kind, center, quantiles=quantiles)


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


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecast of a regressor for n rows, with the spread or quantiles that its scores need."""

    kind: ScoreKind
    center: FloatArray
    """Shape (n,). Predictions."""
    spread: FloatArray | None = None
    """Shape (n,). Standard deviations, for the kind ``normalised``."""
    quantiles: tuple[FloatArray, FloatArray] | None = None
    """Shapes (n,). Lower and upper quantile, for the kind ``quantile``."""

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


def check_number(n: int) -> None:
    """Raise `DataError` if there are too few rows for a calibration."""
    if n < MIN_CALIBRATION:
        raise DataError(
            f"{n} rows to calibrate intervals; at least {MIN_CALIBRATION} are needed (9 give no "
            "finite interval above 90 %)"
        )
