"""Conformity scores from folds, so that calibration takes no rows from training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from xtalshift.estimators.base import Regressor
from xtalshift.featurize import CompositionSource
from xtalshift.model.intervals import Scored, check_number, fold_number, join_scores, score_rows
from xtalshift.parallel import map_here_first
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.conformal import Calibration

FloatArray = NDArray[np.float64]


def cross_calibrate(
    regressor: Regressor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
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
    names = None if groups is None else np.asarray(groups)
    share = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    n_folds = fold_number(n_folds, len(targets) if names is None else len(np.unique(names)))
    split = KFoldSplit(n_folds, random_state=random_state)
    parts: list[tuple[NDArray[np.int64], Scored]] = []
    outcomes = map_here_first(
        _score_fold,
        list(split.split(features, targets, names)),
        workers=workers,
        setup=partial(
            _Rows,
            clone(regressor),
            features,
            targets,
            names,
            share,
            compositions,
            blocks,
            noise is not None,
        ),
        preload=(type(regressor).__module__,),
    )
    with progress.task("calibration", n_folds) as task, closing(outcomes):
        for outcome in outcomes:
            _, out = outcome.item
            parts.append((out, outcome.value))
            task.advance()
    return join_scores(
        parts, features, targets, origin="out-of-fold", families=families, noise=noise, exact=exact
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Data that all folds of a cross-calibration share."""

    regressor: Regressor
    X: FloatArray
    y: FloatArray
    groups: NDArray[Any] | None
    weights: FloatArray | None
    compositions: CompositionSource | None
    blocks: Mapping[str, range] | None
    noisy: bool


def _score_fold(rows: _Rows, fold: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Scored:
    """Return the forecast of a model of the training rows of a fold for the other rows."""
    train, out = fold
    model = clone(rows.regressor)
    model.fit(
        rows.X[train],
        rows.y[train],
        sample_weight=None if rows.weights is None else rows.weights[train],
        groups=None if rows.groups is None else rows.groups[train],
        origin=None if rows.compositions is None else rows.compositions.take(train),
        blocks=rows.blocks,
    )
    return score_rows(model, rows.X[out], noisy=rows.noisy)
