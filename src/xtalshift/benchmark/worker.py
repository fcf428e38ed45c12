"""Run one task: fit a method to the rows of a fold, and score it."""

from __future__ import annotations

import platform
import shutil
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.choice_rows import predict_unseen
from xtalshift.benchmark.class_scores import class_frame, evaluate_classes, evaluate_rows
from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.plugins import load_plugins, register_own
from xtalshift.benchmark.problem import FoldRows, Problem, Shared
from xtalshift.benchmark.records import (
    CHOICE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    TRUST_COLUMNS,
    Role,
    Score,
    TaskRecord,
)
from xtalshift.benchmark.row_intervals import RowIntervals, evaluate_intervals
from xtalshift.benchmark.scores import evaluate
from xtalshift.benchmark.store import CHECKPOINT
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.benchmark.tune import tune
from xtalshift.data.writers import write_frame
from xtalshift.jsonio import write_json
from xtalshift.metrics.classification import log_loss
from xtalshift.model import FitRows, FittedClassifier, FittedModel, save_model
from xtalshift.model.fitting import held_out_errors
from xtalshift.parallel import EmitProgress, Outcome
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import hash_file, peak_memory_mib

MODEL_FOLDER = "model"


def prepare_worker(shared: Shared, context: TaskContext) -> tuple[Shared, TaskContext]:
    """Load the plugins and return what the tasks of a worker share."""
    load_plugins(shared.plugins)
    register_own(shared.own_methods)
    return shared, context


def work(state: tuple[Shared, TaskContext], task: Task) -> TaskRecord:
    """Run a task in a worker and return its record."""
    return run_task(task, *state, EmitProgress())


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in the folder of a task, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


def task_folder(keep: Path, task_id: str) -> Path:
    """Return the folder in which a task saves its predictions and model."""
    return keep / "tasks" / task_id


def run_task(
    task: Task, shared: Shared, context: TaskContext, progress: Progress = NO_PROGRESS
) -> TaskRecord:
    """Run a task and return its record; a failure is a record too.

    Parameters
    ----------
    task : Task
        What to run.
    shared : Shared
        Rows and folds.
    context : TaskContext
        Settings.
    progress : Progress
        Reports the progress of the training.
    """
    record = describe_task(task, shared)
    memory = _PeakMemory()
    started, cpu = time.perf_counter(), time.process_time()
    try:
        record = _run(record, task, shared, context, progress)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failed method is a record, not the end of the job
        record = replace(
            record,
            status="failed",
            reason=f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
            seconds=time.perf_counter() - started,
        )
    return replace(
        record,
        cpu_seconds=time.process_time() - cpu,
        peak_mib=memory.rise(),
        host=platform.node(),
    )


def describe_task(task: Task, shared: Shared) -> TaskRecord:
    """Return a record that describes its task but has no results yet."""
    fold = shared.folds[task.fold]
    return TaskRecord(
        id=task.id,
        name=task.name,
        method=task.method,
        features=task.features,
        data=fold.data,
        split=fold.split,
        fold=fold.fold,
        fold_name=fold.name,
        seed=fold.seed,
        budget=task.budget,
        n_train=len(fold.train),
        n_val=len(fold.val),
        n_id=len(fold.id_rows),
        n_test=len(fold.test_rows),
    )


def outcome_record(outcome: Outcome[Task, TaskRecord], shared: Shared) -> TaskRecord:
    """Return the record of a task that a worker has finished, or that killed the worker."""
    if outcome.error is None:
        return replace(outcome.value, attempts=outcome.attempts)
    return replace(
        describe_task(outcome.item, shared),
        status="failed",
        reason=str(outcome.error),
        attempts=outcome.attempts,
    )


def _run(
    record: TaskRecord, task: Task, shared: Shared, context: TaskContext, progress: Progress
) -> TaskRecord:
    fold = shared.folds[task.fold]
    problem = shared.problems[fold.data]
    X = problem.X[task.features]
    folder = None if context.keep is None else task_folder(context.keep, task.id)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed task left
        folder.mkdir(parents=True)
    params, tuning = dict(task.params), None
    started = time.perf_counter()
    if context.trials:
        params, tuning = tune(task, problem, fold, context)
    model = fit_task(
        task,
        params,
        problem,
        fold,
        context,
        calibrate=True,
        domain=shared.domains.get((task.fold, task.features)),
        progress=progress,
        checkpoint=None if folder is None else folder.with_suffix(CHECKPOINT),
    )
    seconds = time.perf_counter() - started
    if isinstance(model, FittedClassifier):
        judged = _judge_classes(model, task, problem, X, fold)
    else:
        judged = _judge(model, task, problem, X, fold)
    if folder is not None:
        if shared.choice is not None and shared.choice.fold == task.fold:
            unseen = predict_unseen(
                model, task, params, problem, shared.choice, fold, context, progress
            )
            write_frame(unseen, folder / CHOICE_FILE)
        if not model.learned.unsaved:
            save_model(model, folder / MODEL_FOLDER)
        write_frame(judged.frame, folder / PREDICTIONS_FILE)
        write_json(folder / HISTORY_FILE, getattr(model.learned, "history_", None) or [])
    return replace(
        record,
        seconds=seconds,
        predict_seconds=judged.predict_seconds,
        **judged.validation,
        tuning=tuning,
        row_cap=getattr(model.learned, "max_rows", None),
        n_used=getattr(model.learned, "n_rows_used_", None),
        best_epoch=getattr(model.learned, "best_epoch_", None),
        results=judged.results,
        files=None if folder is None else hash_files(folder),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """What the test rows say of the model of a task."""

    results: tuple[Score, ...]
    frame: pd.DataFrame
    """The test rows with their predictions."""
    validation: dict[str, Any]
    """Error on the validation rows, by its name in `TaskRecord`."""
    predict_seconds: float


def _judge_classes(
    model: FittedClassifier, task: Task, problem: Problem, X: NDArray[np.float64], fold: FoldRows
) -> _Judged:
    started = time.perf_counter()
    rows = evaluate_rows(model, problem, X, fold)
    predict_seconds = time.perf_counter() - started
    y = problem.data.y[fold.val].astype(np.int64)
    return _Judged(
        evaluate_classes(problem, fold, rows),
        class_frame(task.name, problem, fold, rows),
        {"val_log_loss": log_loss(y, rows.probabilities[fold.val])},
        predict_seconds,
    )


def _judge(
    model: FittedModel, task: Task, problem: Problem, X: NDArray[np.float64], fold: FoldRows
) -> _Judged:
    y = problem.data.y
    started = time.perf_counter()
    rows = np.unique(np.concatenate([fold.val, fold.id_rows, fold.test_rows]))
    variants = {
        name: _spread(model.scale.inverse(values), rows, len(y))
        for name, values in model.regressor.predict_variants(X[rows]).items()
    }
    intervals = evaluate_intervals(model, problem.data, X, fold)
    predict_seconds = time.perf_counter() - started
    bounded = problem.data.bounded
    errors, held_out = held_out_errors(model, y, X, FitRows(fold.train, fold.val), bounded)
    usual = np.isin(held_out, fold.val)  # as for other methods, if a stack held such rows out
    results = evaluate(problem, fold, variants, intervals)
    failed = {(score.split, score.role) for score in results if not score.ok}
    return _Judged(
        results,
        _predictions(task.name, problem, fold, variants, intervals, failed),
        {"val_mae": float(np.mean(errors[usual] if usual.any() else errors))},
        predict_seconds,
    )


def _spread(values: NDArray[np.float64], rows: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return values by row number of a table of n rows, NaN for the other rows."""
    spread = np.full(n, np.nan)
    spread[rows] = values
    return spread


def _predictions(
    name: str,
    problem: Problem,
    fold: FoldRows,
    variants: dict[str, NDArray[np.float64]],
    intervals: RowIntervals,
    failed: set[tuple[str, Role]],
) -> pd.DataFrame:
    """Return each test row once per variant and split; only the variant ``""`` has intervals.

    The variant ``""`` has no rows where it `failed`.
    """
    data, parts = problem.data, []
    for variant, values in variants.items():
        said = RowIntervals.empty(len(data)) if variant else intervals
        for test in fold.tests:
            if not variant and (test.split, test.role) in failed:
                continue
            if test.role == "id" and test.split != fold.tests[0].split:
                continue  # all splits have the same ID rows
            rows = test.rows
            frame = pd.DataFrame(
                {
                    "method": f"{name}:{variant}" if variant else name,
                    "split": test.split,
                    "role": test.role,
                    "seed": fold.seed,
                    "id": data.ids[rows],
                    "formula": data.formulas[rows],
                    "target": data.y[rows],
                    "prediction": values[rows],
                    **{column: getattr(said, column)[rows] for column in TRUST_COLUMNS},
                }
            )
            # true, false or missing instead of 1.0
            parts.append(frame.astype({"in_domain": "boolean"}))
    return pd.concat(parts, ignore_index=True)


class _PeakMemory:
    """Measures by how much the memory of this process rises from now on."""

    def __init__(self) -> None:
        self._start = None
        try:  # Linux: reset the peak, so that earlier tasks of the process do not count
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = _read_status("VmRSS")
        except OSError:
            self._first = peak_memory_mib()

    def rise(self) -> float | None:
        """Return the rise in MiB, None if it is unknown."""
        if self._start is not None:
            return round(_read_status("VmHWM") - self._start, 1)
        last = peak_memory_mib()
        if self._first is None or last is None or last == self._first:
            return None  # hidden below an earlier peak
        return round(last - self._first, 1)


def _read_status(name: str) -> float:
    """Return a size in ``/proc/self/status`` in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return float(value.split()[0]) / 1024
    raise OSError(name)
