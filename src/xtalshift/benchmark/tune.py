"""Choose arguments by validation error, with the same number of trainings for every method."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.errors import ConfigError
from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS
from xtalshift.seeding import derive_seed

MIN_LABELS = 10


def tune(task: Task, problem: Problem, fold: FoldRows, context: TaskContext) -> tuple[Plain, Plain]:
    """Return the arguments with the smallest error on selection rows, and a report of the search.

    Selection rows are the validation rows. For a method that uses target labels they are a fifth of
    the labels, which are then not used for training (with fewer than 10 labels, the validation
    rows).

    The first trial has the default arguments, so tuning is never worse on the selection rows. A
    method without a `space` is not tuned.

    Trials run one after the other in this process: each one is chosen by those before it, and the
    tasks of a benchmark take all cores already.

    Parameters
    ----------
    task : Task
        Method, features, budget and fixed arguments.
    problem, fold, context
        As in `xtalshift.benchmark.fit_task.fit_task`.

    Returns
    -------
    params : dict
        Arguments, including the fixed ones.
    report : dict
        ``trials``, ``failed``, ``params`` and ``val_mae`` of the best trial, and ``usual_val_mae``
        of the default arguments.

    Raises
    ------
    ConfigError
        If optuna is not installed.
    """
    space = {k: v for k, v in METHODS[task.method].space.items() if k not in task.params}
    if not space:
        return dict(task.params), {"trials": 0}
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("tuning needs optuna: pip install 'xtalshift[tune]'") from error
    logging.getLogger("optuna").setLevel(logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=derive_seed(fold.seed, "tuning"))
    study = optuna.create_study(sampler=sampler)
    usual = _error(task, dict(task.params), problem, fold, context)
    best, lowest, failed = dict(task.params), usual, 0
    for _ in range(context.trials - 1):
        trial = study.ask()
        params = {**task.params, **{k: _suggest(trial, k, v) for k, v in space.items()}}
        try:
            found = _error(task, params, problem, fold, context)
        except Exception:  # noqa: BLE001 - arguments that do not work are just a bad choice
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            failed += 1
            continue
        study.tell(trial, found)
        if found < lowest:
            best, lowest = params, found
    chosen = {key: best[key] for key in space if key in best}
    report = {"trials": context.trials, "failed": failed, "params": chosen}
    return best, report | {"val_mae": lowest, "usual_val_mae": usual}


def _suggest(trial: Any, name: str, choices: tuple[Any, ...]) -> Any:
    kind, *values = choices
    if kind == "choice":
        return trial.suggest_categorical(name, values)
    if kind == "int":
        return trial.suggest_int(name, *values)
    return trial.suggest_float(name, *values, log=kind == "log")


def _error(
    task: Task, params: Plain, problem: Problem, fold: FoldRows, context: TaskContext
) -> float:
    """Return the mean error on the selection rows, infinite if it is not finite."""
    train, rows = None, fold.val
    if METHODS[task.method].target_access == "labels":
        labels = fold.target[: task.budget]
        kept = len(labels) - len(labels) // 5
        if len(labels) >= MIN_LABELS:
            train, rows = labels[:kept], labels[kept:]
    model = fit_task(task, params, problem, fold, context, labels=train)
    rows = rows[~problem.data.bounded[rows]]
    errors = model.row_errors(problem.X[task.features][rows], problem.data.y[rows])
    weights = problem.data.weights
    error = float(np.average(errors, weights=None if weights is None else weights[rows]))
    return error if np.isfinite(error) else float("inf")
