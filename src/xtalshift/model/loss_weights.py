"""How much each row counts in the loss of a fit.

A row whose measurement has the standard deviation s_i has the weight ``w_i / (tau^2 + s_i^2)``,
where w_i is its own weight and tau the error that a model would have on exact values: below tau, a
better measurement says little more. tau is that of gradient-boosted trees on cross-fitted
residuals (see `xtalshift.uncertainty.noise`), whatever the method: the weights hardly depend on it,
and a second fit of a slow method would double its time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import DataError
from xtalshift.estimators.base import MIN_ROWS_TO_SPLIT, FitData, Labelled, deal_folds
from xtalshift.estimators.baselines import LightGBMRegressor
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.noise import model_error

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

FOLDS = 5
MOST_ROWS = 5000
"""Rows that estimate the error of a model; more only cost time."""


def loss_weights(
    data: Dataset,
    X: FloatArray,
    rows: Rows | None = None,
    *,
    scale: TargetTransform,
    seed: int | None = 0,
    progress: Progress = NO_PROGRESS,
) -> FloatArray | None:
    """Return the weights of the rows of a clean data set in the loss.

    Parameters
    ----------
    data : Dataset
        n rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    rows : ndarray of int64, optional
        Those that are learned from, by default all. Their weights have the mean 1: only ratios
        matter, and penalties mean the same as without weights.
    scale : TargetTransform
        Scale of the loss; uncertainties are those on it to first order.
    seed : int, optional
        Draws the folds for tau.
    progress : Progress
        Receives tau.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None if all count the same; NaN for other rows, if targets have uncertainties.
    """
    learned = np.arange(len(data)) if rows is None else rows
    if (data.weights is None and data.noise is None) or not len(learned):
        return None
    weights = np.ones(len(data)) if data.weights is None else data.weights
    noise = scaled_noise(data, scale, learned)
    if noise is not None:
        error = _error_of_trees(data, X, learned, noise, scale, seed)
        progress.say(
            f"Uncertainties of the targets: {np.median(noise[learned]):.3g} (median), error of a "
            f"model without them: about {error:.3g}"
            + ("" if scale.name in ("none", "clip") else f" (on the scale {scale.name})")
        )
        weights = weights / (error**2 + noise**2)
    return np.asarray(weights / weights[learned].mean())


def scaled_noise(
    data: Dataset, scale: TargetTransform, rows: Rows | None = None
) -> FloatArray | None:
    """Return the uncertainties of targets on the scale of a regressor, to first order.

    Parameters
    ----------
    data : Dataset
        n rows.
    scale : TargetTransform
        Takes the targets of `rows`.
    rows : ndarray of int64, optional
        By default all; others are NaN.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None if the data set has none.
    """
    if data.noise is None:
        return None
    known = np.arange(len(data)) if rows is None else rows
    found = np.full(len(data), np.nan)
    found[known] = data.noise[known] * scale.slope(data.y[known])
    return found


def for_one_measurement(calibration: Calibration | None, data: Dataset) -> Calibration | None:
    """Return a calibration whose usual new measurement is a single one, not a mean of replicates.

    Parameters
    ----------
    calibration : Calibration or None
        Of rows of `data`, each merged from replicates.
    data : Dataset
        As `xtalshift.clean_table` returned it.
    """
    if calibration is None or calibration.noise is None or data.intake is None:
        return calibration
    typical = data.intake.noise_of_one * calibration.typical_noise
    return replace(calibration, typical_noise=typical)


def _error_of_trees(
    data: Dataset,
    X: FloatArray,
    rows: Rows,
    noise: FloatArray,
    scale: TargetTransform,
    seed: int | None,
) -> float:
    rng = np.random.default_rng(derive_seed(seed or 0, "model error"))
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    z = scale.forward(data.y[rows], data.row_numbers[rows])
    center = np.full(len(z), z.mean())
    folds = deal_folds(data.groups[rows].astype(str), FOLDS, rng)
    if len(rows) >= MIN_ROWS_TO_SPLIT and len(np.unique(folds)) > 1:
        train = Labelled(X[rows], z)
        center = LightGBMRegressor().cross_fit(FitData(train, train, None, rng), folds).predictions
    try:
        return model_error(z - center, noise[rows])
    except DataError:  # equal, exact targets: every error is alike
        return 1.0
