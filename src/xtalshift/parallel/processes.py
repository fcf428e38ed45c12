"""Workers in processes of this machine."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import queue
import shutil
import signal
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.util import Finalize, get_temp_dir
from pathlib import Path
from typing import Any

from xtalshift.files import make_temporary_folder
from xtalshift.parallel.events import listening
from xtalshift.parallel.executor import (
    LONG_LIVED,
    Executor,
    InProcessExecutor,
    Job,
    Policy,
    Reply,
    Setup,
    Workers,
    portable,
)
from xtalshift.parallel.threads import limited_threads, thread_environment

_AHEAD = 2  # jobs at a long-lived worker, so that it never waits for this process
_ALIGNMENT = 64
_SOCKET_NAME, _SOCKET_PATH = 55, 103  # characters, with the folders below the temporary one


@dataclass(frozen=True)
class ProcessExecutor(Executor):
    """Processes of this machine.

    They end when this process dies, and leave Ctrl-C to it.
    """

    threads: int = 1
    """Threads of each."""
    workers: int = 1
    """Processes at once. A single long-lived worker is this process itself: another one would only
    cost memory and time."""

    def open(self, setup: Setup | None = None, policy: Policy = LONG_LIVED) -> Workers:
        """Return workers; see `Executor.open`."""
        if self.workers == 1 and not policy.fresh:
            return InProcessExecutor(self.threads).open(setup)
        return _Processes(setup, policy, self.workers, self.threads)


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    jobs: deque[Job] = field(default_factory=deque)


class _Processes(Workers):
    def __init__(self, setup: Setup | None, policy: Policy, workers: int, threads: int) -> None:
        self._most, self._threads, self._fresh = workers, threads, policy.fresh
        self.slots = workers if policy.fresh else _AHEAD * workers
        self._context = _start_method(policy.preload)
        self._workers: list[_Worker] = []
        self._setup = _temporary_folder(os.getpid()) / f"setup-{uuid.uuid4().hex}"
        try:
            _write_mapped(setup, self._setup)
            if not policy.fresh:
                for _ in range(workers):
                    self._start()
        except BaseException:
            self.close()
            raise

    def begin(self, job: Job) -> None:
        for idle in [one for one in self._workers if not one.jobs]:
            if idle.connection.poll():  # it died, which is not the fault of this job
                self._receive(idle)
        worker = min(self._workers, key=lambda one: len(one.jobs), default=None)
        if worker is None or (worker.jobs and len(self._workers) < self._most):
            worker = self._start()
        worker.jobs.append(job)
        with suppress(OSError):  # it died, which `wait` will see
            worker.connection.send((job.function, job.item, job.on_event is not None))

    def wait(self) -> list[tuple[Job, Reply]]:
        found: list[tuple[Job, Reply]] = []
        while not found:
            sources: dict[Any, _Worker] = {one.connection: one for one in self._workers}
            sources |= {one.process.sentinel: one for one in self._workers}
            for worker in dict.fromkeys(sources[item] for item in wait(list(sources))):
                found += self._receive(worker)
        return found

    def cancel(self) -> None:
        for worker in [one for one in self._workers if one.jobs]:
            worker.process.kill()
            self._remove(worker)

    def close(self) -> None:
        for worker in list(self._workers):
            worker.process.kill()
            self._remove(worker)
        self._setup.unlink(missing_ok=True)

    def _start(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        arguments = (theirs, self._setup, self._threads, self._fresh)
        for again in (True, False):
            process = self._context.Process(target=_work, args=arguments, daemon=True)
            try:
                with thread_environment(self._threads):
                    process.start()
                break
            except (EOFError, OSError):  # the process server was killed; it starts anew
                if not again:
                    raise
        theirs.close()
        self._workers.append(_Worker(process, mine))
        return self._workers[-1]

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()

    def _receive(self, worker: _Worker) -> list[tuple[Job, Reply]]:
        """Read what a worker has sent, or see to the jobs of one that died."""
        found: list[tuple[Job, Reply]] = []
        try:
            while worker.connection.poll():
                kind, content = worker.connection.recv()
                if kind == "event":
                    job = worker.jobs[0]
                    if job.on_event is not None:
                        job.on_event(job.item, content)
                elif kind == "setup":
                    raise content
                else:
                    found.append((worker.jobs.popleft(), Reply(**{kind: content})))
                    if self._fresh:
                        self._remove(worker)
                        return found
            if worker.process.exitcode is None:
                return found
        except (EOFError, OSError):
            pass
        self._remove(worker)
        if worker.jobs:
            found.append((worker.jobs.popleft(), Reply(died=_describe(worker.process.exitcode))))
        for job in worker.jobs:  # they were only queued behind it
            self.begin(job)
        return found


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = f" ({signal.Signals(-code).name})" if -code in set(signal.Signals) else ""
    return f"was killed by signal {-code}{name}"


def _start_method(preload: tuple[str, ...]) -> Any:
    """Return how processes start: forked from a server that has loaded the libraries once."""
    # its server listens at a socket in the temporary folder, whose path may be too long for one
    too_long = len(tempfile.gettempdir()) + _SOCKET_NAME > _SOCKET_PATH
    if too_long or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload([__name__, "threadpoolctl", *preload])
    return context


@cache
def _temporary_folder(process: int) -> Path:  # noqa: ARG001 - a forked process needs another
    """Return the folder of all temporary files of this process, which its workers may remove.

    That of `multiprocessing`, with the socket of the process server, lies in it: a process that is
    killed would leave it.
    """
    folder = make_temporary_folder()
    kept, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        get_temp_dir()
    finally:
        tempfile.tempdir = kept
    # after `multiprocessing` has removed its own, which has the priority -100
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)
    return folder


def _work(connection: Connection, place: Path, threads: int, fresh: bool) -> None:  # noqa: FBT001
    """Work on jobs until the driver stops this process, or on one if it is `fresh`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs, place.parent), daemon=True).start()
    with limited_threads(threads):
        try:
            setup = _read_mapped(place)
            state = () if setup is None else (setup(),)
        except Exception as error:  # noqa: BLE001 - the driver raises it
            connection.send(("setup", portable(error)))
            return
        while True:
            job = jobs.get()
            try:
                function, item, wants_events = pickle.loads(job)  # noqa: S301 - from the driver
                with listening(_send_events(connection) if wants_events else None):
                    connection.send(("value", function(*state, item)))
            except Exception as error:  # noqa: BLE001 - the caller of `map` decides
                connection.send(("error", portable(error)))
            if fresh:
                return


def _send_events(connection: Connection) -> Callable[[Any], None]:
    return lambda event: connection.send(("event", event))


def _listen(connection: Connection, jobs: queue.SimpleQueue[bytes], folder: Path) -> None:
    """Take jobs at once, so that the driver never waits; end this process if the driver dies."""
    try:
        while True:
            jobs.put(connection.recv_bytes())
    except (EOFError, OSError):
        driver = multiprocessing.parent_process()
        assert driver is not None
        driver.join(timeout=0.5)
        if not driver.is_alive():
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


def _write_mapped(value: Any, path: Path) -> None:
    """Write a pickle whose arrays lie outside it, where `_read_mapped` maps them."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    with path.open("wb") as stream:
        pickle.dump((content, [view.nbytes for view in views]), stream)
        for view in views:
            stream.seek(-stream.tell() % _ALIGNMENT, os.SEEK_CUR)
            stream.write(view)
        stream.truncate()


def _read_mapped(path: Path) -> Any:
    """Return what `_write_mapped` wrote; arrays are read-only and lie once in memory."""
    with path.open("rb") as stream:
        content, sizes = pickle.load(stream)  # noqa: S301 - from the driver
        place = stream.tell()
        view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    buffers = []
    for size in sizes:
        place += -place % _ALIGNMENT
        buffers.append(view[place : place + size])
        place += size
    return pickle.loads(content, buffers=buffers)  # noqa: S301 - from the driver
