"""Run a benchmark: plan, resume, execute, summarise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xtalshift.benchmark.audits import audit_splits
from xtalshift.benchmark.executors import Executor
from xtalshift.benchmark.plugins import load_plugins, read_plugins
from xtalshift.benchmark.prepare import (
    Space,
    make_folds,
    prepare_problem,
    wanted_features,
)
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import SUMMARY_FILE
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.store import RecordStore
from xtalshift.benchmark.summary import rank_so_far, summarise
from xtalshift.benchmark.tasks import Task, TaskContext, plan_tasks
from xtalshift.jsonio import write_json
from xtalshift.nn.device import describe_device, resolve_device
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import collect_provenance

__all__ = ["RunOptions", "count_tasks", "prepare_shared", "run_benchmark"]

SPEC_FILE = "benchmark.toml"
LEADERBOARD_SECONDS = 60.0


@dataclass(frozen=True)
class RunOptions:
    """What a call of `run_benchmark` does, beside the specification.

    Attributes
    ----------
    overwrite : bool
        Replace the records in the folder.
    retry : bool
        Begin failed tasks again.
    limit_seconds : float, optional
        After this time no further task is begun.
    shard : (int, int)
        ``(k, n)``: only every n-th task from the k-th (1 is the first) on, so that n machines share
        the work; their stores are merged afterwards.
    merge : tuple of Path
        Folders of other stores, whose records are taken over first.
    """

    overwrite: bool = False
    retry: bool = False
    limit_seconds: float | None = None
    shard: tuple[int, int] = (1, 1)
    merge: tuple[Path, ...] = ()


def run_benchmark(
    spec: BenchmarkSpec,
    out: Path,
    executor: Executor,
    *,
    folder: Path = Path(),
    options: RunOptions = RunOptions(),
    progress: Progress = NO_PROGRESS,
) -> dict[str, Any]:
    """Run the tasks of a benchmark that have no record yet, and write the summary.

    Parameters
    ----------
    spec : BenchmarkSpec
        What is compared.
    out : Path
        Folder of ``records.jsonl``, ``summary.json``, ``benchmark.toml`` and ``audit.json``.
    executor : Executor
        Where tasks run.
    folder : Path
        That of the specification, where its plugins lie.
    options : RunOptions
        What to do with records that are there, and which part to run.
    progress : Progress
        Told how far the benchmark is.

    Returns
    -------
    dict
        What ``summary.json`` holds, see `xtalshift.benchmark.summary.summarise`.

    Raises
    ------
    XtalshiftError
        If the specification, the data, a split or the folder cannot be used. A task that fails is a
        record.
    """
    plugins = read_plugins(spec.plugins, folder)
    load_plugins(plugins)
    spec = spec.check_methods().model_copy(update={"threads": executor.threads})
    device = describe_device(resolve_device(spec.device))
    provenance = collect_provenance(device=device, threads=spec.threads)
    shared, spaces = prepare_shared(spec, plugins, progress)
    header = {
        "versions": provenance["versions"],
        "data": {name: one.info["sha256"] for name, one in shared.problems.items()},
        "threads": spec.threads,
        "device": device,
    }
    with RecordStore.open(out, header, overwrite=options.overwrite) as store:
        _keep_spec(spec, plugins, out)
        for other in options.merge:
            progress.say(f"{store.merge(other):,} records taken over from {other}")
        audits = audit_splits(shared, spaces, out, progress)
        everything = plan_tasks(spec, shared)
        tasks = everything[options.shard[0] - 1 :: options.shard[1]]
        open_tasks = [task for task in tasks if _is_open(task, store, retry=options.retry)]
        progress.say(f"{len(tasks):,} tasks, {len(tasks) - len(open_tasks):,} of them done before")
        try:
            _execute(executor, open_tasks, shared, spec, store, options, progress)
        finally:  # also after Ctrl-C: the summary is of what there is
            records = [
                # a record may have been made under another name
                {**store.records[task.id], "name": task.name}
                for task in everything
                if task.id in store.records
            ]
            summary = summarise(spec, shared, records, len(everything), audits, provenance)
            write_json(out / SUMMARY_FILE, summary)
    return summary


def _keep_spec(spec: BenchmarkSpec, plugins: dict[str, str], out: Path) -> None:
    """Write the specification and its plugins, such that it can be run from where it lies."""
    names = []
    for name, text in plugins.items():
        names.append(Path(name).name)
        (out / names[-1]).write_text(text, encoding="utf-8")
    kept = spec.model_copy(update={"plugins": tuple(names)})
    (out / SPEC_FILE).write_text(kept.to_toml(), encoding="utf-8")


def count_tasks(spec: BenchmarkSpec, folder: Path, progress: Progress = NO_PROGRESS) -> str:
    """Return in one line how many tasks a benchmark has, see `run_benchmark`."""
    plugins = read_plugins(spec.plugins, folder)
    load_plugins(plugins)
    spec = spec.check_methods()
    shared, _ = prepare_shared(spec, plugins, progress)
    tasks = plan_tasks(spec, shared)
    names = len({(task.name, task.budget) for task in tasks})
    folds = len({(fold.data, fold.split, fold.fold) for fold in shared.folds.values()})
    return (
        f"{len(tasks):,} tasks: {names} methods (each label budget counts) on {folds} folds of "
        f"{len(spec.splits)} splits, {spec.seeds} seeds"
    )


def prepare_shared(
    spec: BenchmarkSpec, plugins: dict[str, str], progress: Progress = NO_PROGRESS
) -> tuple[Shared, dict[str, Space]]:
    """Return the rows and folds of a benchmark, and what splits and audits look at, by table."""
    features = wanted_features(spec)
    problems, folds, spaces = {}, {}, {}
    for name, data in spec.data.items():
        problems[name], table, spaces[name] = prepare_problem(name, data, features, progress)
        for fold in make_folds(spec, name, table, spaces[name].X, progress):
            folds[fold.key] = fold
    return Shared(problems, folds, plugins), spaces


def _is_open(task: Task, store: RecordStore, *, retry: bool) -> bool:
    record = store.records.get(task.id)
    return record is None or (retry and record["status"] != "ok")


def _execute(
    executor: Executor,
    tasks: Sequence[Task],
    shared: Shared,
    spec: BenchmarkSpec,
    store: RecordStore,
    options: RunOptions,
    progress: Progress,
) -> None:
    """Run tasks and store their records as they come."""
    if not tasks:
        return
    limit = _TimeLimit(options.limit_seconds)
    done: list[dict[str, Any]] = []
    said = time.monotonic()
    with (
        progress.task("benchmark", len(tasks)) as bar,
        closing(executor.run(limit.watch(tasks), shared, TaskContext.of(spec))) as records,
    ):
        for record in records:
            store.add(record)
            done.append(record)
            bar.advance(task=f"{record['name']} on {record['split']}, seed {record['seed']}")
            if record["status"] != "ok":
                progress.say(
                    f"  {record['name']} failed on {record['split']} fold {record['fold']}, seed "
                    f"{record['seed']}: {record['reason']}"
                )
            if time.monotonic() - said > LEADERBOARD_SECONDS:
                said = time.monotonic()
                progress.say(f"  so far, OOD error over the dummy's: {rank_so_far(done)}")
    if limit.skipped:
        progress.say(
            f"The time limit is reached, {len(tasks) - len(done):,} tasks are left; the same "
            "command continues"
        )


class _TimeLimit:
    """Hands on tasks until the time is over."""

    def __init__(self, seconds: float | None) -> None:
        self._end = np.inf if seconds is None else time.monotonic() + seconds
        self.skipped = False

    def watch(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield tasks while there is time."""
        for task in tasks:
            if time.monotonic() >= self._end:
                self.skipped = True
                return
            yield task
