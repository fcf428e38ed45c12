"""Conformity scores from folds, so that calibration takes no rows from training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from xtalshift.estimators.base import Regressor
from xtalshift.estimators.bounds import TargetBounds
from xtalshift.featurize import CompositionSource
from xtalshift.model.intervals import check_number, fold_number, join_scores, score_rows
from xtalshift.parallel import map_here_first
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration

FloatArray = NDArray[np.float64]
T = TypeVar("T")


def cross_calibrate(
    regressor: Regressor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    bounds: TargetBounds | None = None,
    n_folds: int = 5,
    random_state: int | None = None,
    compositions: CompositionSource | None = None,
    blocks: Mapping[str, range] | None = None,
    families: NDArray[np.int64] | None = None,
    noise: FloatArray | None = None,
    exact: NDArray[np.bool_] | None = None,
    workers: int = 1,
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
    sample_weight : array_like of float, shape (n,), optional
        Weight of each row in the loss; the score of each row counts once.
    bounds : TargetBounds of n rows, optional
        What the loss takes in the place of targets.
    n_folds : int, default 5
        Number of folds, at least 2; reduced to the number of formulas if that is smaller.
    random_state : int, optional
        Draws the folds.
    families, noise, exact
        As in `xtalshift.model.intervals.join_scores`.
    compositions : CompositionSource of n rows, optional
        For regressors whose `fit` needs it.
    blocks : mapping, optional
        Columns of each block of features, also for regressors whose `fit` needs it.
    workers : int, default 1
        Largest number of processes, see `xtalshift.parallel.map_here_first`.
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
    check_number(len(targets))
    parts = forecast_folds(
        regressor,
        features,
        targets,
        partial(score_rows, noisy=noise is not None),
        groups=groups,
        sample_weight=sample_weight,
        bounds=bounds,
        n_folds=n_folds,
        random_state=random_state,
        compositions=compositions,
        blocks=blocks,
        workers=workers,
        progress=progress,
    )
    return join_scores(
        parts, features, targets, origin="out-of-fold", families=families, noise=noise, exact=exact
    )


def forecast_folds(
    learner: Any,
    X: FloatArray,
    y: FloatArray,
    forecast: Callable[[Any, FloatArray], T],
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    bounds: TargetBounds | None = None,
    n_folds: int = 5,
    random_state: int | None = None,
    compositions: CompositionSource | None = None,
    blocks: Mapping[str, range] | None = None,
    options: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> list[tuple[NDArray[np.int64], T]]:
    """Return a forecast of the rows of each fold, from a model of the other folds.

    Parameters
    ----------
    learner : Regressor or Classifier
        Cloned for each fold.
    X, y : ndarrays of float64, shapes (n, d) and (n,)
        All training and validation rows.
    forecast : callable
        Takes a fitted learner and features; a function of a module, for other processes.
    options : mapping, optional
        Further arguments of `fit`.
    groups, sample_weight, bounds, n_folds, random_state, compositions, blocks, workers, progress
        As in `cross_calibrate`.

    Returns
    -------
    list of (ndarray of int64, result)
        Row numbers of each fold, and its forecast.

    Raises
    ------
    DataError, ConfigError
        As `cross_calibrate`.
    """
    names = None if groups is None else np.asarray(groups)
    share = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    n_folds = fold_number(n_folds, len(y) if names is None else len(np.unique(names)))
    split = KFoldSplit(n_folds, random_state=random_state)
    rows = partial(
        _Rows, clone(learner), X, y, names, share, bounds, compositions, blocks, options or {},
        forecast,
    )  # fmt: skip
    outcomes = map_here_first(
        _forecast_fold,
        list(split.split(X, y, names)),
        workers=workers,
        setup=rows,
        preload=(type(learner).__module__,),
    )
    parts: list[tuple[NDArray[np.int64], T]] = []
    with progress.task("calibration", n_folds) as task, closing(outcomes):
        for outcome in outcomes:
            _, out = outcome.item
            parts.append((out, outcome.value))
            task.advance()
    return parts


@dataclass(frozen=True, eq=False)
class _Rows:
    """Data that all folds of a cross-calibration share."""

    learner: Any
    X: FloatArray
    y: FloatArray
    groups: NDArray[Any] | None
    weights: FloatArray | None
    bounds: TargetBounds | None
    compositions: CompositionSource | None
    blocks: Mapping[str, range] | None
    options: Mapping[str, Any]
    forecast: Callable[[Any, FloatArray], Any]


def _forecast_fold(rows: _Rows, fold: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Any:
    """Return the forecast of a model of the training rows of a fold for the other rows."""
    train, out = fold
    model = clone(rows.learner)
    model.fit(
        rows.X[train],
        rows.y[train],
        sample_weight=None if rows.weights is None else rows.weights[train],
        groups=None if rows.groups is None else rows.groups[train],
        origin=None if rows.compositions is None else rows.compositions.take(train),
        blocks=rows.blocks,
        **({} if rows.bounds is None else {"bounds": rows.bounds.take(train)}),
        **rows.options,
    )
    return rows.forecast(model, rows.X[out])
