"""Run a benchmark: plan, resume, execute, summarise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from xtalshift.benchmark.audits import AUDIT_FILE, audit_splits
from xtalshift.benchmark.choice_rows import choice_rows
from xtalshift.benchmark.choice_settings import ChoiceConfig
from xtalshift.benchmark.fit_task import find_domains
from xtalshift.benchmark.plugins import use_plugins
from xtalshift.benchmark.prepare import Table, prepare_shared
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import JOINT, SUMMARY_FILE, TaskRecord
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.store import RECORDS_FILE, RecordStore, describe_kept
from xtalshift.benchmark.summary import rank_so_far, summarise
from xtalshift.benchmark.summary_records import BenchmarkSummary
from xtalshift.benchmark.tasks import Task, TaskContext, plan_tasks
from xtalshift.benchmark.worker import (
    hash_files,
    outcome_record,
    prepare_worker,
    task_folder,
    work,
)
from xtalshift.data.writers import refuse_existing
from xtalshift.errors import ConfigError
from xtalshift.files import lock_folder, replace_file
from xtalshift.jsonio import to_json, write_json
from xtalshift.methods import METHODS
from xtalshift.nn.device import describe_device, resolve_device
from xtalshift.parallel import Executor, Policy, ProgressEvent, make_executor
from xtalshift.progress import NO_PROGRESS, Progress, resumable
from xtalshift.progress import Task as ProgressTask
from xtalshift.provenance import collect_provenance, hash_text
from xtalshift.words import plural

SPEC_FILE = "benchmark.toml"
LEADERBOARD_SECONDS = 60.0
_PRELOAD = ("xtalshift.benchmark.worker", "lightgbm", "sklearn.ensemble")
_PRELOAD_NETWORKS = ("xtalshift.estimators.network",)
"""Loads PyTorch, which takes a process about 2 s."""
_WITHOUT_NETWORKS = frozenset({"constant", "classical", "importance", "target-only"})
"""Families of methods."""


@dataclass(frozen=True)
class RunOptions:
    """Options of `run_benchmark` that do not belong to the specification."""

    overwrite: bool = False
    """Whether to replace the records in the folder."""
    retry: bool = False
    """Whether to run failed tasks again."""
    limit_seconds: float | None = None
    """Time after which no further task is started."""
    shard: tuple[int, int] = (1, 1)
    """``(k, n)``: run only every n-th task, starting with the k-th (from 1), so that n machines
    share the work; their stores are merged afterwards."""
    merge: tuple[Path, ...] = ()
    """Folders of other stores, whose records are added first."""
    keep: bool = False
    """Whether each task saves its predictions, its model and its training history in ``tasks/``.
    Folds with other rows then count as another benchmark."""
    choose: ChoiceConfig | None = None
    """Whether tasks of the first seed also predict, without having seen them, the rows that no test
    set holds, so that one of the methods can be chosen; for a benchmark of one table."""


@dataclass(frozen=True)
class BenchmarkRun:
    """The tables, folds and records of a benchmark."""

    summary: BenchmarkSummary
    """Content of ``summary.json``."""
    records: tuple[TaskRecord, ...]
    """Records of the tasks that have one, in the order of the plan."""
    shared: Shared
    """Rows and folds."""
    tables: dict[str, Table]
    """Tables by name."""


def run_benchmark(
    spec: BenchmarkSpec,
    out: Path,
    executor: Executor | None = None,
    *,
    folder: Path = Path(),
    options: RunOptions = RunOptions(),
    progress: Progress = NO_PROGRESS,
) -> BenchmarkRun:
    """Run the tasks of a benchmark that have no record yet, and write the summary.

    Parameters
    ----------
    spec : BenchmarkSpec
        What to compare.
    out : Path
        Folder of ``records.jsonl``, ``summary.json``, ``benchmark.toml`` and ``audit.json``.
    executor : Executor, optional
        Runs the tasks; by default one process per core, with one thread each.
    folder : Path
        Folder of the specification, where its plugins are.
    options : RunOptions
        What to do with existing records, and which part to run.
    progress : Progress
        Reports the progress of the benchmark.

    Returns
    -------
    BenchmarkRun

    Raises
    ------
    XtalshiftError
        If the specification, the data, a split or the folder cannot be used, or if another process
        writes to the folder. A task that fails is a record.
    """
    with lock_folder(out), resumable(partial(describe_kept, out)):
        if not (out / RECORDS_FILE).exists():  # otherwise the store says whether it continues
            names = (SUMMARY_FILE, SPEC_FILE, AUDIT_FILE, "report.html")
            own = (
                Path(name).name
                for name in spec.all_plugins
                if (out / Path(name).name).resolve() != (folder / name).resolve()
            )
            refuse_existing(out, (*names, *own), "other results", overwrite=options.overwrite)
        return run_locked(spec, out, executor, folder=folder, options=options, progress=progress)


def run_locked(
    spec: BenchmarkSpec,
    out: Path,
    executor: Executor | None = None,
    *,
    folder: Path = Path(),
    options: RunOptions = RunOptions(),
    begin: Callable[[], None] | None = None,
    progress: Progress = NO_PROGRESS,
) -> BenchmarkRun:
    """Run a benchmark as `run_benchmark` does, in a folder that the caller has locked.

    `begin` is called once tables and splits are known to be usable, before anything is written.
    """
    executor = executor or make_executor()
    if options.keep and not executor.shares_files:
        raise ConfigError("predictions and models are kept on this machine only: use local workers")
    plugins = use_plugins(spec.all_plugins, folder, [entry.method for entry in spec.methods])
    spec = spec.check_methods().model_copy(update={"threads": executor.threads})
    device = describe_device(resolve_device(spec.device))
    provenance = collect_provenance(device=device, threads=spec.threads)
    shared, tables = prepare_shared(spec, plugins, progress)
    if options.choose is not None:
        names = {JOINT, *(name for name, split in spec.splits.items() if split.is_id)}
        choice = choice_rows(shared, spec.seed, names, options.choose)
        shared = replace(shared, choice=choice)
    header = {
        "versions": provenance.versions,
        "data": {n: one.data.description.sha256 for n, one in shared.problems.items()},
        "threads": spec.threads,
        "device": device,
    }
    if options.keep:
        header["folds"] = hash_text(fold.sha256() for fold in shared.folds.values())[:16]
    if begin is not None:
        begin()
    store = RecordStore.open(out, header, overwrite=options.overwrite)
    _keep_spec(spec, plugins, out)
    for other in options.merge:
        progress.say(f"{plural(store.merge(other), 'record')} added from {other}")
    audits = audit_splits(shared, tables, out, progress) if spec.audit else {}
    everything = plan_tasks(spec, shared)
    tasks = everything[options.shard[0] - 1 :: options.shard[1]]
    open_tasks = [task for task in tasks if _is_open(task, store, options)]
    progress.say(
        f"{plural(len(tasks), 'task')}, {len(tasks) - len(open_tasks):,} of them done before"
    )
    try:
        _execute(executor, open_tasks, shared, spec, store, options, progress)
    finally:  # also after Ctrl-C: summarise the finished tasks
        records = [
            # the record may come from a benchmark with another name for the method
            replace(store.records[task.id], name=task.name)
            for task in everything
            if task.id in store.records
        ]
        summary = summarise(spec, shared, records, len(everything), audits, provenance)
        write_json(out / SUMMARY_FILE, to_json(summary))
    return BenchmarkRun(summary, tuple(records), shared, tables)


def _keep_spec(spec: BenchmarkSpec, plugins: dict[str, str], out: Path) -> None:
    """Write the specification and its plugins to a folder from which it can be run again."""
    names = []
    for name, text in plugins.items():
        names.append(Path(name).name)
        replace_file(out / names[-1], text)
    kept = spec.model_copy(update={"plugins": tuple(names)})
    replace_file(out / SPEC_FILE, kept.to_toml())


def count_tasks(spec: BenchmarkSpec, folder: Path, progress: Progress = NO_PROGRESS) -> str:
    """Return the number of tasks of a benchmark in one line, see `run_benchmark`."""
    plugins = use_plugins(spec.all_plugins, folder, [entry.method for entry in spec.methods])
    spec = spec.check_methods()
    shared, _ = prepare_shared(spec, plugins, progress, compute=False)
    tasks = plan_tasks(spec, shared)
    names = len({(task.name, task.budget) for task in tasks})
    folds = len({(fold.data, fold.split, fold.fold) for fold in shared.folds.values()})
    return (
        f"{plural(len(tasks), 'task')}: {plural(names, 'method')} (each label budget counts) on "
        f"{plural(folds, 'fold')} of {plural(len(spec.splits), 'split')}, "
        f"{plural(spec.seeds, 'seed')}"
    )


def _is_open(task: Task, store: RecordStore, options: RunOptions) -> bool:
    """Return whether a task is to be run: it has no record, or its files are gone or altered."""
    record = store.records.get(task.id)
    if record is None or not record.ok:
        return record is None or options.retry
    return options.keep and record.files != hash_files(task_folder(store.path.parent, task.id))


def _any_network(tasks: Sequence[Task]) -> bool:
    """Return whether a task may train a network."""
    return any(METHODS[task.method].family not in _WITHOUT_NETWORKS for task in tasks)


def _execute(
    executor: Executor,
    tasks: Sequence[Task],
    shared: Shared,
    spec: BenchmarkSpec,
    store: RecordStore,
    options: RunOptions,
    progress: Progress,
) -> None:
    """Run tasks and store their records as they finish."""
    if not tasks:
        return
    if options.keep:
        shared = replace(shared, domains=find_domains(shared, tasks, progress))
    limit = _TimeLimit(options.limit_seconds)
    keep = store.path.parent.absolute() if options.keep else None
    context = TaskContext.of(spec, keep)
    done: list[TaskRecord] = []
    said = time.monotonic()
    with (
        ExitStack() as stack,
        progress.task("benchmark", len(tasks)) as bar,
        _TrainingBars(progress) as bars,
    ):
        outcomes = executor.map(
            work,
            limit.watch(tasks),
            setup=partial(prepare_worker, shared, context),
            # a process per task, so that the memory of a task is free for the next
            policy=Policy(
                fresh=True,
                gpu=context.settings.device.startswith("cuda"),
                preload=(*_PRELOAD, *(_PRELOAD_NETWORKS if _any_network(tasks) else ())),
            ),
            ordered=False,
            on_event=bars.show,
        )
        stack.enter_context(closing(outcomes))
        for outcome in outcomes:
            record = outcome_record(outcome, shared)
            bars.close(outcome.item)
            store.add(record)
            done.append(record)
            bar.advance(task=f"{record.name} on {record.split}, seed {record.seed}")
            for split, reason in record.failures.items():
                progress.say(
                    f"  {record.name} failed on {split} fold {record.fold}, seed "
                    f"{record.seed}: {reason}"
                )
            if time.monotonic() - said > LEADERBOARD_SECONDS:
                said = time.monotonic()
                progress.say(f"  so far, OOD error relative to the dummy: {rank_so_far(done)}")
    if limit.skipped:
        left = plural(len(tasks) - len(done), "task", "is", "are")
        progress.say(f"The time limit is reached; {left} left. Run the same command to continue")


@dataclass
class _Bar:
    stack: ExitStack
    bar: ProgressTask
    done: int = 0


class _TrainingBars:
    """Shows the progress of trainings in other processes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], _Bar] = {}
        self._said: set[str] = set()  # several tasks may send the same text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._bars):
            self._end(key)

    def show(self, task: Task, event: ProgressEvent) -> None:
        """Show an event that a task sent."""
        if event.text and event.text not in self._said:
            self._said.add(event.text)
            self._progress.say(event.text)
        if not event.name:
            return
        key = (task.id, event.name)
        if key not in self._bars:
            for other in [other for other in self._bars if other[0] == task.id]:
                self._end(other)
            stack = ExitStack()
            bar = stack.enter_context(self._progress.task(task.name, event.total))
            self._bars[key] = _Bar(stack, bar)
        shown = self._bars[key]
        if event.done > shown.done:
            shown.bar.advance(event.done - shown.done, **event.info)
            shown.done = event.done

    def close(self, task: Task) -> None:
        """Remove the bars of a finished task."""
        for key in [key for key in self._bars if key[0] == task.id]:
            self._end(key)

    def _end(self, key: tuple[str, str]) -> None:
        self._bars.pop(key).stack.close()


class _TimeLimit:
    """Yields tasks until the time is over."""

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
