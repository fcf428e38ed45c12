"""Run tasks in processes of this machine, each task in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import TaskRecord
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.benchmark.worker import failed_record, run_task
from xtalshift.nn.device import limit_threads

__all__ = ["ATTEMPTS", "Executor", "LocalExecutor"]

ATTEMPTS = 2
"""How often a task is begun whose process dies."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Executor(Protocol):
    """Runs tasks somewhere, each with so many `threads`."""

    threads: int

    def run(
        self, tasks: Iterable[Task], shared: Shared, context: TaskContext
    ) -> Generator[TaskRecord]:
        """Yield the record of each task as it finishes, in any order.

        The iterator takes a task from `tasks` when it can begin it. Closing the iterator stops what
        is running.
        """


@dataclass
class LocalExecutor:
    """One process per task, so many at once.

    A task whose process dies (killed, out of memory) is begun once more, then it has failed. If the
    process that waits for the records dies, the others end too.

    Attributes
    ----------
    workers : int
        Tasks at once.
    threads : int
        Threads of each; results depend on the number.
    folder : Path
        Where the shared rows are written, to be mapped by every process; removed at the end.
    """

    workers: int
    threads: int
    folder: Path
    _running: dict[Any, tuple[Any, Connection, Task, int]] = field(default_factory=dict)

    def run(
        self, tasks: Iterable[Task], shared: Shared, context: TaskContext
    ) -> Generator[TaskRecord]:
        """Yield the record of each task as it finishes."""
        shared.save(self.folder)
        queue = iter(tasks)
        again: deque[tuple[Task, int]] = deque()
        with _thread_environment(self.threads):
            forks = _start_method()
            try:
                while True:
                    while len(self._running) < self.workers:
                        task, attempt = again.popleft() if again else (next(queue, None), 1)
                        if task is None:
                            break
                        self._begin(forks, task, attempt, context)
                    if not self._running:
                        return
                    for connection in self._ready():
                        record, retry = self._finish(connection, shared)
                        if record is not None:
                            yield record
                        if retry is not None:
                            again.append(retry)
            finally:
                for process, connection, _, _ in self._running.values():
                    process.kill()
                    process.join()
                    connection.close()
                self._running.clear()
                shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, forks: Any, task: Task, attempt: int, context: TaskContext) -> None:
        mine, theirs = forks.Pipe()
        arguments = (theirs, self.folder, task, context, self.threads)
        for again in (True, False):
            process = forks.Process(target=_work, args=arguments, daemon=True)
            try:
                process.start()
                break
            except (EOFError, OSError):  # the server of processes was killed; it starts anew
                if not again:
                    raise
        theirs.close()
        # the record may be larger than the pipe holds, so it is read before the process ends
        self._running[mine] = (process, mine, task, attempt)

    def _ready(self) -> list[Connection]:
        """Wait for a record or the end of a process; return whose."""
        ends = {process.sentinel: mine for mine, (process, *_) in self._running.items()}
        found = wait([*self._running, *ends])
        return list(dict.fromkeys(ends.get(item, item) for item in found))

    def _finish(
        self, connection: Connection, shared: Shared
    ) -> tuple[TaskRecord | None, tuple[Task, int] | None]:
        """Return the record of a process that has one, or the task to begin once more."""
        process, _, task, attempt = self._running.pop(connection)
        try:
            record = connection.recv() if connection.poll() else None
        except (EOFError, OSError):  # nothing was sent, or it died while it sent
            record = None
        connection.close()
        process.join()
        if record is not None:
            return replace(record, attempts=attempt), None
        if attempt < ATTEMPTS:
            return None, (task, attempt + 1)
        code = process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = f"the process of the task {how}, {attempt} times; is the memory enough?"
        return replace(failed_record(task, shared, reason), attempts=attempt), None


def _start_method() -> Any:
    """Return the way to start processes: from a server that has loaded the libraries once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__, "lightgbm", "sklearn.ensemble"])
    return forks


@contextmanager
def _thread_environment(threads: int) -> Iterator[None]:
    """Set what libraries read when they are loaded, for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _work(
    connection: Connection, folder: Path, task: Task, context: TaskContext, threads: int
) -> None:
    """Run a task in this process and send its record."""
    from xtalshift.benchmark.plugins import load_plugins

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the waiting process decides
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    limit_threads(threads)
    shared = Shared.load(folder)
    load_plugins(shared.plugins)
    connection.send(run_task(task, shared, context))


def _end_with(connection: Connection) -> None:
    """End this process when the other end is closed because the waiting process has died."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)
