"""Predictive distributions from a fitted regressor and rows that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.predictors import Predictor
from xtalshift.metrics.ranking import rank_evidence
from xtalshift.uncertainty.conformal import (
    FLOOR,
    Calibration,
    ScoreKind,
    ScoreLaw,
    ScoreOrigin,
    conformity_scores,
)
from xtalshift.uncertainty.predictive import PredictiveDistribution
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

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
    noise: FloatArray | None = None,
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
    origin : {"held-out", "out-of-fold", "target", "proxies"}
        Where the rows come from; saved with the scores.
    families : ndarray of int64, shape (n,), optional
        Chemical family of each row, see `xtalshift.chem.families.family_codes`.
    noise : ndarray of float64, shape (n,), optional
        Standard deviation of the measurement of each target, on the scale of the regressor. The
        scores are then not of the kind ``quantile``: predicted quantiles contain the noise.

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
    scored = score_rows(regressor, features, kind, noisy=noise is not None)
    return join_scores(
        [(everything, scored)], features, targets, origin=origin, families=families, noise=noise
    )


def join_scores(
    parts: list[tuple[NDArray[np.int64], Scored]],
    X: FloatArray,
    y: FloatArray,
    *,
    origin: ScoreOrigin,
    families: NDArray[np.int64] | None = None,
    noise: FloatArray | None = None,
    exact: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Return the calibration of rows that were predicted in parts, each by another model.

    Parameters
    ----------
    parts : list of (rows, Scored)
        Row numbers, together 0 to n - 1, and the forecast of the model of each part.
    X, y : ndarrays of float64, shapes (n, d) and (n,)
        All rows.
    origin, families, noise
        As in `calibrate_regressor`.
    exact : ndarray of bool, shape (n,), optional
        Rows whose target is known; those of which only bounds are known have no score.
    """
    floor = float(np.median([forecast.floor() for _, forecast in parts]))
    scores, centers, widths = (np.empty(len(y)) for _ in range(3))
    for rows, forecast in parts:
        scores[rows] = forecast.scores(y[rows], floor)
        centers[rows] = forecast.center
        widths[rows] = 1.0 if forecast.spread is None else np.maximum(forecast.spread, floor)
    if exact is not None:
        check_number(int(exact.sum()))
        X, y, scores, centers, widths = (one[exact] for one in (X, y, scores, centers, widths))
        families = None if families is None else families[exact]
        noise = None if noise is None else noise[exact]
    kind = parts[0][1].kind
    largest = np.finfo(np.float32).max  # infinity would be no feature
    features = np.clip(X, -largest, largest).astype(np.float32)
    # every scale of a target is increasing, so that ranks are those in its unit
    ranking = rank_evidence(y, centers)
    found = Calibration(scores, kind, origin, floor, features, families, ranking)
    if noise is None or kind == "quantile":
        return found
    return replace(
        found, noise=noise / widths, typical_noise=float(np.sqrt(np.mean(np.square(noise))))
    )


def score_rows(
    regressor: Predictor, X: FloatArray, kind: ScoreKind | None = None, *, noisy: bool = False
) -> Scored:
    """Return the forecast of a fitted regressor for rows of features, shape (n, d).

    `noisy`: without quantiles, because the noise of the targets is known.
    """
    if kind is None:
        if not noisy and regressor.predict_quantiles(X[:1]) is not None:
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


def predictive(
    forecast: Scored,
    calibration: Calibration,
    scale: TargetTransform,
    *,
    families: NDArray[np.int64] | None = None,
    level: float = LEVEL,
    weights: tuple[FloatArray, FloatArray] | None = None,
    noise: FloatArray | None = None,
) -> PredictiveDistribution:
    """Return the predictive distributions of rows.

    They are those of values that are measured as the calibration rows were; with a calibration
    `Calibration.without_noise` those of true values.

    Parameters
    ----------
    forecast : Scored
        Forecast of the calibrated regressor for m rows, of the same kind as the calibration.
    calibration : Calibration
        Conformity scores of the regressor.
    scale : TargetTransform
        Transform of the target to the scale of the regressor.
    families : ndarray of int64, shape (m,), optional
        Chemical family of each row, for one law of scores per family.
    level : float
        Level at which each family has a finite bound, see `Calibration.laws_by_family`.
    weights : pair of ndarray of float64, shapes (n,) and (m,), optional
        Density ratio of the calibration and of the new rows.
    noise : ndarray of float64, shape () or (m,), optional
        Standard deviation of new measurements on the scale of the regressor, if the uncertainties
        of the calibration rows are known: the distributions are those of such measurements.

    Raises
    ------
    ConfigError
        If both families and weights are given, or the families of the calibration rows are unknown.
    """
    m = len(forecast.center)
    error = 1.0
    if noise is not None:
        error, calibration = calibration.model_error, calibration.without_noise()
    laws: tuple[ScoreLaw, ...] = (calibration.law,)
    places, own = np.zeros(m, dtype=np.int64), np.ones(m)
    if families is not None and weights is not None:
        raise ConfigError("intervals are weighted or by family, not both; choose one")
    if families is not None:
        laws, places = calibration.laws_by_family(families, level)
    if weights is not None:
        laws, own = (ScoreLaw.of(calibration.scores, weights[0]),), weights[1]
    low, high = forecast.quantiles or (forecast.center, forecast.center)
    width = np.ones(m)
    if forecast.spread is not None:
        width = np.maximum(forecast.spread, calibration.floor)
    if noise is not None:
        width = np.hypot(width, noise / error)
    middle = np.clip(forecast.center, low, high)
    return PredictiveDistribution(
        scale, middle, low, high, width, laws, places, own, calibration.start
    )


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
            f"{plural(n, 'row')} to calibrate intervals; at least {MIN_CALIBRATION} are needed "
            "(9 give no finite interval above 90 %)"
        )
