"""Fit the method of a task to the rows that it may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.beside import fit_beside
from xtalshift.benchmark.problem import FoldRows, Problem, Shared
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.featurize.blocks import Blocks
from xtalshift.methods import METHODS
from xtalshift.model import FitRows, FittedClassifier, FittedModel, fit
from xtalshift.model.fitting import find_domain, keeps_budget
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.uncertainty.settings import IntervalConfig

MAX_UNLABELLED = 2000
"""Largest number of target rows whose features a method without labels sees."""


def fit_task(
    task: Task,
    params: Mapping[str, Any],
    problem: Problem,
    fold: FoldRows,
    context: TaskContext,
    *,
    labels: NDArray[np.int64] | None = None,
    calibrate: bool = False,
    domain: ApplicabilityDomain | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> FittedModel | FittedClassifier:
    """Return the fitted model of a task.

    Parameters
    ----------
    task : Task
        Method, features and budget.
    params : mapping
        Arguments of the regressor that differ from the settings.
    problem : Problem
        The table.
    fold : FoldRows
        Training, validation and target rows; labels of test rows are not used. A method sees only
        its declared part of the target domain: nothing, features of up to 2,000 held-out rows, or
        features and labels of the first `budget` target rows.
    context : TaskContext
        Settings.
    labels : ndarray of int64, optional
        Rows to use instead of the first `budget` target rows.
    calibrate : bool
        Whether to calibrate intervals on the ID test rows.
    domain : ApplicabilityDomain, optional
        See `find_domains`.
    progress, checkpoint
        As in `xtalshift.fit`.
    """
    sees = METHODS[task.method].target_access
    target = fold.target[:0]
    if sees == "features":
        rows = np.concatenate([fold.target, fold.test_rows])
        # in random order, because tables are sorted and a method may use only the first rows
        draw = np.random.default_rng(derive_seed(fold.seed, "unlabelled"))
        target = draw.permutation(rows)[:MAX_UNLABELLED]
    elif sees == "labels":
        target = fold.target[: task.budget] if labels is None else labels
    inside = fold.id_rows if calibrate else fold.id_rows[:0]
    budgeted = context.minutes is not None and keeps_budget(
        problem.build(task.method, context.settings, seed=None)
    )
    minutes = context.minutes if budgeted else None
    if problem.beside(task.method):
        return fit_beside(
            problem,
            task.method,
            task.features,
            FitRows(fold.train, fold.val, inside),
            context.settings,
            hidden=fold.hidden,
            params=params,
            intervals=IntervalConfig(method="none"),
            domain=domain or False,
            seed=fold.seed,
            minutes=minutes,
            progress=progress,
            checkpoint=checkpoint,
        )
    fitted: FittedModel | FittedClassifier = fit(
        problem.data,
        task.method,
        features=problem.featurizer(task.features),
        transform=problem.settings.transform,
        settings=context.settings,
        params=params,
        intervals=IntervalConfig(method="none"),
        rows=FitRows(fold.train, fold.val, inside, target),
        X=problem.X[task.features],
        domain=domain or False,
        seed=fold.seed,
        minutes=minutes,
        progress=progress,
        checkpoint=checkpoint,
    )
    return fitted


def find_domains(
    shared: Shared, tasks: Iterable[Task], progress: Progress = NO_PROGRESS
) -> dict[tuple[str, Blocks], ApplicabilityDomain]:
    """Return the domain of the training rows of each fold, which all methods share."""
    wanted = list(dict.fromkeys((task.fold, task.features) for task in tasks))
    found = {}
    with progress.task("domain", len(wanted)) as bar:
        for key, features in wanted:
            fold = shared.folds[key]
            problem = shared.problems[fold.data]
            names = problem.featurizer(features).get_feature_names_out()
            found[key, features] = find_domain(
                problem.data,
                problem.X[features],
                FitRows(fold.train, fold.val, fold.id_rows),
                (*map(str, names), *problem.settings.feature_cols),
                fold.seed,
            )
            bar.advance()
    return found
