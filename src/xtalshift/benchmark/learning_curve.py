"""Errors with fewer training rows, which tell whether more rows would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.explain_settings import ExplainConfig
from xtalshift.benchmark.explanation import CurvePoint, LearningCurve
from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.records import TaskRecord
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.methods import METHODS
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed

FAST_LEARNER = "lightgbm"
"""Takes the place of a method whose trainings are too long."""

_FEWEST = 40
_MOST_SIZES = 4
_LONGEST = 4.0  # `Method.cost` of a method that is measured itself


def pick_learner(method: str) -> str | None:
    """Return the method whose errors are measured in place of `method`: itself if it is fast.

    None for a constant, which does not learn.
    """
    facts = METHODS[method]
    if facts.family == "constant":
        return None
    return method if facts.cost <= _LONGEST and facts.family == "classical" else FAST_LEARNER


def subset_sizes(n: int, most: int) -> list[int]:
    """Return numbers of training rows: halves of halves of `n`, up to `most`, largest first.

    Examples
    --------
    >>> subset_sizes(1000, 4000), subset_sizes(18_600, 4000), subset_sizes(60, 4000)
    ([500, 250, 125, 62], [2325, 1162, 581, 290], [])
    """
    sizes: list[int] = []
    size = n // 2
    while size >= _FEWEST and len(sizes) < _MOST_SIZES:
        if size <= most:
            sizes.append(size)
        size //= 2
    return sizes


def measure_learning(
    learner: str,
    features: str,
    problem: Problem,
    folds: Sequence[FoldRows],
    context: TaskContext,
    records: Sequence[TaskRecord],
    settings: ExplainConfig,
    progress: Progress = NO_PROGRESS,
) -> LearningCurve | None:
    """Train a method on parts of the training rows and measure its errors on all test rows.

    Parameters
    ----------
    learner, features : str
        The method and its features.
    problem, folds : Problem, sequence of FoldRows
        The table, and the folds of one seed.
    context : TaskContext
        Settings of all methods.
    records : sequence of TaskRecord
        Of the folds; the errors with all training rows are taken from them if the method is there.
    settings : ExplainConfig
        Numbers of rows and draws.
    progress : Progress
        Reports the trainings.

    Returns
    -------
    LearningCurve or None
        None if there are too few training rows for a single subset.
    """
    n = min(len(fold.train) for fold in folds)
    sizes = subset_sizes(n, settings.most_rows)
    if not sizes:
        return None
    points: list[CurvePoint] = []
    parts = [
        (fold, draw, size) for fold in folds for draw in range(settings.draws) for size in sizes
    ]
    with progress.task("learning curve", len(parts)) as bar:
        for fold in folds:
            known = [one for one in records if one.name == learner and one.split == fold.split]
            points += (
                _known_errors(known[0], fold)
                if known and known[0].ok
                else _errors(learner, features, problem, fold, fold, context, 0)
            )
        for fold, draw, size in parts:
            less = draw_subset(fold, size, draw)
            points += _errors(learner, features, problem, fold, less, context, draw)
            bar.advance()
    return LearningCurve(learner, n, tuple(points))


def draw_subset(fold: FoldRows, size: int, draw: int) -> FoldRows:
    """Return a fold with fewer training and validation rows, in the same proportion.

    Subsets of one draw are nested. Its seed, and so that of the training, is one of its own.
    """
    share = size / len(fold.train)
    seed = derive_seed(fold.seed, "learning curve", draw)

    def fewer(rows: NDArray[np.int64], count: int, name: str) -> NDArray[np.int64]:
        order = np.random.default_rng(derive_seed(seed, name)).permutation(len(rows))
        return np.sort(rows[order[:count]])

    return replace(
        fold,
        seed=seed,
        train=fewer(fold.train, size, "training"),
        val=fewer(fold.val, max(1, round(share * len(fold.val))), "validation"),
    )


def _errors(
    learner: str,
    features: str,
    problem: Problem,
    fold: FoldRows,
    less: FoldRows,
    context: TaskContext,
    draw: int,
) -> Iterator[CurvePoint]:
    task = Task("", fold.key, learner, learner, features, {}, 0)
    # the log loss of classes is that of calibrated probabilities: one number, from the ID rows
    of_classes = problem.data.classes is not None
    model = fit_task(task, {}, problem, less, context, calibrate=of_classes)
    X, y = problem.X[features], problem.data.y
    for split, role, rows in _tests(fold):
        error = model.row_errors(X[rows], y[rows]).mean()
        if np.isfinite(error):
            yield CurvePoint(split, role, draw, len(less.train), float(error))


def _known_errors(record: TaskRecord, fold: FoldRows) -> Iterator[CurvePoint]:
    wanted = {(split, role) for split, role, _ in _tests(fold)}
    for score in record.results:
        if not score.variant and (score.split, score.role) in wanted and score.error is not None:
            yield CurvePoint(score.split, score.role, 0, len(fold.train), score.error)


def _tests(fold: FoldRows) -> list[tuple[str, str, NDArray[np.int64]]]:
    """Return the OOD rows of each split, and the ID rows of a split that has no others."""
    shifted = {test.split for test in fold.tests if test.role == "ood"}
    return [
        (test.split, test.role, test.rows)
        for test in fold.tests
        if test.role == "ood" or test.split not in shifted
    ]
