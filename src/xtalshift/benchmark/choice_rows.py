"""Predict the rows that choose among methods, each row by a model that did not see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.choice_settings import ChoiceConfig
from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.problem import ChoiceRows, FoldRows, Problem, Shared
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.data import Dataset
from xtalshift.estimators.class_predictors import spread_out
from xtalshift.estimators.stack import CrossFitted
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.metrics.classification import log_losses
from xtalshift.model import FittedClassifier, FittedModel, draw_rows
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit
from xtalshift.uncertainty.probabilities import fit_probabilities

_FEWEST = 20
"""Fewest rows outside all test sets; with fewer, the validation rows choose."""

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def choice_rows(shared: Shared, seed: int, names: set[str], settings: ChoiceConfig) -> ChoiceRows:
    """Return the rows that choose among methods: those that no test set of the seed holds.

    Parameters
    ----------
    shared : Shared
        One table with its folds.
    seed : int
        The seed that counts.
    names : set of str
        Splits whose training rows follow the distribution of the table.
    settings : ChoiceConfig
        Whether and how these rows are cross-fitted.
    """
    folds = [fold for fold in shared.folds.values() if fold.seed == seed]
    fold = next(fold for fold in folds if fold.split in names)
    groups = shared.problems[fold.data].data.groups
    tested = np.concatenate([test.rows for one in folds for test in one.tests])
    free = np.setdiff1d(np.arange(len(groups)), tested)
    inside = np.intersect1d(free, np.concatenate([fold.train, fold.val]))
    n_formulas = len(np.unique(groups[inside]))
    if len(inside) < _FEWEST or n_formulas < 2:  # noqa: PLR2004 - nothing could be held out
        return ChoiceRows(fold.key, fold.val)
    if len(inside) >= settings.small:
        return ChoiceRows(fold.key, np.intersect1d(inside, fold.val))
    return ChoiceRows(fold.key, inside, min(settings.folds, n_formulas), settings.repeats)


def predict_unseen(
    model: FittedModel | FittedClassifier,
    task: Task,
    params: Mapping[str, Any],
    problem: Problem,
    choice: ChoiceRows,
    fold: FoldRows,
    context: TaskContext,
    progress: Progress = NO_PROGRESS,
) -> pd.DataFrame:
    """Return predictions of the rows that choose, by models that were not fitted to them.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        The model of the task.
    task, params, problem, fold, context
        As in `fit_task`.
    choice : ChoiceRows
        The rows, and how they are cross-fitted.
    progress : Progress
        Reports the further trainings.

    Returns
    -------
    DataFrame
        Columns ``row``, ``repeat``, ``fold`` and ``prediction``, the latter in the unit of the
        target; of classes ``error``, the log loss, instead. A stack is judged by its own folds,
        with weights from the other folds; other methods by the rows that are new to the encoder of
        their features, if they use one.
    """
    data = problem.data
    own = getattr(model.learned, "out_of_fold_", None)
    if own is not None:
        rows = np.concatenate([fold.train, fold.val])[own.rows]
        counts = _counted(data, rows)
        judged = np.isin(rows, choice.rows) & ~data.bounded[rows]
        if isinstance(model, FittedClassifier):
            losses = _own_losses(model, own, data, rows, counts, calibrated=not choice.repeats)
            frame = _frame(rows[judged], 0, own.folds[judged], np.nan)
            return frame.assign(error=losses[judged])
        z = model.scale.forward(data.y[rows], data.row_numbers[rows])
        found = model.scale.inverse(own.without_own_weights(z, data.groups[rows], counts))
        return _frame(rows[judged], 0, own.folds[judged], found[judged])
    encoder = encoder_of(task.features)
    fresh = ~data.bounded  # a bound has no error
    if encoder is not None:
        fresh &= ~encoder.knows(data.groups)
    X = problem.X[task.features]
    parts = [_frame(*[np.zeros(0)] * 4)]
    if getattr(model.learned, "cross_fits", False):  # too few rows for folds: all were fitted
        return parts[0]
    if not choice.repeats:
        rows = choice.rows[fresh[choice.rows]]
        return _predicted(model, X, data.y, rows, 0, 0) if len(rows) else parts[0]
    share = len(fold.val) / (len(fold.train) + len(fold.val))
    told: list[tuple[int, int, Rows, FloatArray]] = []
    with progress.task("further trainings", choice.repeats * choice.n_folds) as bar:
        for repeat in range(choice.repeats):
            split = KFoldSplit(choice.n_folds, derive_seed(fold.seed, "choice", repeat))
            divided = split.split(choice.rows, None, data.groups[choice.rows])
            for number, (train, out) in enumerate(divided):
                seed = derive_seed(fold.seed, "choice", repeat, number)
                drawn = draw_rows(
                    data.groups, validation_share=share, seed=seed, within=choice.rows[train]
                )
                part = replace(fold, seed=seed, train=drawn.train, val=drawn.validation)
                fitted = fit_task(task, params, problem, part, context)
                rows = choice.rows[out]
                rows = rows[fresh[rows]]
                if len(rows) and isinstance(fitted, FittedClassifier):
                    told.append((repeat, number, rows, fitted.predict_features(X[rows])))
                elif len(rows):
                    parts.append(_predicted(fitted, X, data.y, rows, repeat, number))
                bar.advance()
    return pd.concat([*parts, *_calibrated(told, data.y)], ignore_index=True)


def _own_losses(
    model: FittedClassifier,
    own: CrossFitted,
    data: Dataset,
    rows: Rows,
    share: FloatArray | None,
    *,
    calibrated: bool,
) -> FloatArray:
    """Return the log losses of the folds of a stack, calibrated as those of other methods are.

    `calibrated`: as the model is, instead of on the same rows.
    """
    y, present = data.y[rows], model.classifier.present_
    numbers = np.searchsorted(present, y).astype(np.float64)
    found = own.without_own_weights(numbers, data.groups[rows], share)
    p = spread_out(found, present, len(model.classes))
    if not calibrated:
        return _losses(p, y)
    if model.calibration is not None:
        p = model.calibration.probabilities.apply(p)
    return log_losses(y.astype(np.int64), p)


def _losses(p: FloatArray, y: FloatArray) -> FloatArray:
    """Return the log losses of out-of-fold probabilities with the temperature of all these rows.

    The chosen model gets its temperature in the same way. One number from all rows favours no
    method; without it the choice would be of the best calibrated one.
    """
    learned = fit_probabilities(p, y, "temperature")
    return log_losses(y.astype(np.int64), learned.apply(p))


def _calibrated(
    told: Sequence[tuple[int, int, Rows, FloatArray]], y: FloatArray
) -> Iterator[pd.DataFrame]:
    """Yield the log losses of classes in each repeat, fold by fold."""
    for repeat in dict.fromkeys(one[0] for one in told):
        own = [one for one in told if one[0] == repeat]
        rows = np.concatenate([one[2] for one in own])
        folds = np.concatenate([np.full(len(one[2]), one[1]) for one in own])
        losses = _losses(np.concatenate([one[3] for one in own]), y[rows])
        yield _frame(rows, repeat, folds, np.nan).assign(error=losses)


def _predicted(
    model: FittedModel | FittedClassifier,
    X: FloatArray,
    y: FloatArray,
    rows: NDArray[np.int64],
    repeat: int,
    fold: int,
) -> pd.DataFrame:
    if isinstance(model, FittedClassifier):
        frame = _frame(rows, repeat, fold, np.nan)
        return frame.assign(error=model.row_errors(X[rows], y[rows]))
    return _frame(rows, repeat, fold, model.predict_features(X[rows]))


def _counted(data: Dataset, rows: Rows) -> NDArray[np.float64] | None:
    """Return how much the error of each row counts: of a bound, which has none, nothing."""
    if data.weights is None and not data.bounded.any():
        return None
    share = np.ones(len(rows)) if data.weights is None else data.weights[rows]
    return np.where(data.bounded[rows], 0.0, share)


def _frame(rows: Any, repeat: Any, fold: Any, prediction: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"row": rows, "repeat": repeat, "fold": fold, "prediction": prediction})
    return frame.astype({"row": "int64", "repeat": "int64", "fold": "int64"})
