"""Settle the targets of which a data set knows only bounds, before a method is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators.base import FitData, Labelled, Regressor, deal_folds
from xtalshift.estimators.bounds import settle
from xtalshift.featurize import CompositionSource
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]

FOLDS = 5


def settle_targets(
    regressor: Regressor,
    data: Dataset,
    X: FloatArray,
    rows: NDArray[np.int64],
    z: FloatArray,
    scale: TargetTransform,
    *,
    weights: FloatArray | None = None,
    origin: CompositionSource | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> FloatArray:
    """Return targets in which bounds are replaced by what a model expects between them.

    Parameters
    ----------
    regressor : Regressor
        Not fitted; cross-fitted several times.
    data : Dataset
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    rows : ndarray of int64, shape (m,)
        Those that are learned from.
    z : ndarray of float64, shape (n,)
        Targets on the scale of the regressor; of bounded rows the bound.
    scale : TargetTransform
        That scale.
    weights : ndarray of float64, shape (n,), optional
        Of the rows in the loss.
    origin : CompositionSource of m rows, optional
        For regressors whose `fit` needs it.
    seed : int
        Draws the folds.
    progress : Progress
        Receives how many rows were replaced.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    if data.bounds is None or not data.bounded[rows].any():
        return z
    lower, upper = (scale.place(side[rows]) for side in data.bounds.T)
    lower, upper = (np.where(data.bounded[rows], side, z[rows]) for side in (lower, upper))
    share = None if weights is None else weights[rows]
    folds = deal_folds(
        data.groups[rows].astype(str), FOLDS, np.random.default_rng(derive_seed(seed, "bounds"))
    )

    def predict_unseen(targets: FloatArray) -> FloatArray:
        train = Labelled(X[rows], targets, share, origin=origin, groups=data.groups[rows])
        rng = np.random.default_rng(derive_seed(seed, "bounds", "fit"))  # the same in every round
        return regressor.cross_fit(FitData(train, train, None, rng), folds).predictions

    found = z.copy()
    if len(np.unique(folds)) > 1:
        found[rows] = settle(z[rows], lower, upper, predict_unseen)
    n = int(data.bounded[rows].sum())
    progress.say(f"{n:,} bounds of targets replaced by what fits expect of the values")
    return found
