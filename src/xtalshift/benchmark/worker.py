"""Run one task: train a method on the rows of a fold, and score it."""

from __future__ import annotations

import platform
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from xtalshift.benchmark.fit import fit_method
from xtalshift.benchmark.plugins import load_plugins
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.scores import evaluate
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.benchmark.tune import tune
from xtalshift.methods.inputs import target_transform
from xtalshift.model.dataset import spread_rows
from xtalshift.parallel import Outcome
from xtalshift.provenance import peak_memory_mib

__all__ = ["describe_task", "outcome_record", "prepare_worker", "run_task", "work"]


def prepare_worker(shared: Shared, context: TaskContext) -> tuple[Shared, TaskContext]:
    """Return what the tasks of a worker share, once their plugins are loaded."""
    load_plugins(shared.plugins)
    return shared, context


def work(state: tuple[Shared, TaskContext], task: Task) -> dict[str, Any]:
    """Return the record of a task; the function of a worker."""
    return run_task(task, *state)


def run_task(task: Task, shared: Shared, context: TaskContext) -> dict[str, Any]:
    """Return the record of a task; a failure is a record too.

    Parameters
    ----------
    task : Task
        What to run.
    shared : Shared
        Rows and folds.
    context : TaskContext
        Settings.

    Returns
    -------
    dict
        Plain values, see `xtalshift.benchmark.scores.evaluate` for ``results``. ``seconds``
        is the time of training, ``cpu_seconds`` the processor time of the whole task, which other
        work on the machine hardly changes. ``peak_mib`` is what the task used beyond what the
        process had before; None where it cannot be told.
    """
    record = describe_task(task, shared)
    memory = _PeakMemory()
    started, cpu = time.perf_counter(), time.process_time()
    try:
        record |= _run(task, shared, context)
        record["status"] = "ok"
    except Exception as error:  # noqa: BLE001 - a failed method is a record, not the end of the job
        record |= {
            "status": "failed",
            "reason": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
        }
        record.setdefault("seconds", time.perf_counter() - started)
    record["cpu_seconds"] = time.process_time() - cpu
    return {**record, "peak_mib": memory.rise(), "host": platform.node()}


def describe_task(task: Task, shared: Shared) -> dict[str, Any]:
    """Return what a record says of its task, whatever becomes of it."""
    fold = shared.folds[task.fold]
    sizes = {f"n_{part}": len(rows) for part, rows in fold.parts.items() if part != "target"}
    return {
        "id": task.id,
        "name": task.name,
        "method": task.method,
        "features": task.features,
        "data": fold.data,
        "split": fold.split,
        "fold": fold.fold,
        "fold_name": fold.name,
        "seed": fold.seed,
        "budget": task.budget,
        **sizes,
    }


def outcome_record(outcome: Outcome[Task, dict[str, Any]], shared: Shared) -> dict[str, Any]:
    """Return the record of a task that a worker has finished, or died of."""
    if outcome.error is None:
        return {**outcome.value, "attempts": outcome.attempts}
    return {
        **describe_task(outcome.item, shared),
        "status": "failed",
        "reason": str(outcome.error),
        "traceback": "",
        "seconds": None,
        "attempts": outcome.attempts,
    }


def _run(task: Task, shared: Shared, context: TaskContext) -> dict[str, Any]:
    fold = shared.folds[task.fold]
    problem = shared.problems[fold.data]
    params = dict(task.params)
    started = time.perf_counter()
    found: dict[str, Any] = {}
    if context.trials:
        params, found["tuning"] = tune(task, problem, fold, context)
    regressor = fit_method(task, params, problem, fold, context)
    found["seconds"] = time.perf_counter() - started
    rows = np.concatenate([fold.parts[part] for part in ("val", "id", "test")])
    X, inverse = (
        problem.X[task.features],
        target_transform(regressor, problem.info["transform"]).inverse,
    )
    started = time.perf_counter()
    variants = {
        name: spread_rows(inverse(values), rows, len(problem.y))
        for name, values in regressor.predict_variants(X[rows]).items()
    }
    std = None
    if problem.info["transform"] == "none":  # else it is on another scale
        std = regressor.predict_std(X[rows])
    found["predict_seconds"] = time.perf_counter() - started
    val = fold.parts["val"]
    found["val_mae"] = float(np.mean(np.abs(variants[""][val] - problem.y[val])))
    cap = getattr(regressor, "max_rows", None)
    if cap is not None:
        found |= {"row_cap": cap, "n_used": getattr(regressor, "n_rows_used_", None)}
    spread = None if std is None else spread_rows(std, rows, len(problem.y))
    found["results"] = evaluate(problem, fold, variants, spread)
    return found


class _PeakMemory:
    """How far the memory of this process rises from now on."""

    def __init__(self) -> None:
        self._start = None
        try:  # Linux: the peak is counted anew, so that earlier tasks of a process do not count
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = _read_status("VmRSS")
        except OSError:
            self._first = peak_memory_mib()

    def rise(self) -> float | None:
        """Return MiB."""
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
