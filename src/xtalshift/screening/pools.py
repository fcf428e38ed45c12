"""Where blocks are screened: in this process, or in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from xtalshift.errors import DataError, XtalshiftError
from xtalshift.screening.blocks import Block
from xtalshift.screening.outcome import ModelInfo, Outcome
from xtalshift.screening.plan import ScreenSettings

__all__ = ["ATTEMPTS", "LocalPool", "Pool", "SamePool"]

ATTEMPTS = 2
"""How often a block is begun whose process dies."""
_AHEAD = 2  # blocks at a worker, so that it never waits for the driver
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Pool(Protocol):
    """Screens blocks somewhere; what comes out does not depend on where.

    Attributes
    ----------
    window : int
        Most blocks to submit before the outcome of the first is taken.
    """

    window: int

    def info(self) -> ModelInfo:
        """Return what is to be known of the model."""

    def submit(self, block: Block) -> None:
        """Take over a block."""

    def result(self, block: Block) -> Outcome:
        """Wait for the outcome of a submitted block."""

    def close(self) -> None:
        """Stop what is running."""


class SamePool:
    """Blocks in the process of the driver, without any other.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    settings : ScreenSettings
        What is wanted.
    """

    window = 1

    def __init__(self, model: Path, settings: ScreenSettings) -> None:
        from xtalshift.screening.work import Screener

        self._screener = Screener(model, settings)

    def info(self) -> ModelInfo:
        """Return what is to be known of the model."""
        return self._screener.info

    def submit(self, block: Block) -> None:
        """Do nothing yet."""

    def result(self, block: Block) -> Outcome:
        """Screen a block."""
        return self._screener.screen(block)

    def close(self) -> None:
        """Do nothing."""


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    blocks: deque[Block] = field(default_factory=deque)


class LocalPool:
    """So many processes of this machine, each with the model.

    The block at which a process dies (killed, out of memory) is begun once more, then it is an
    error. If the driver dies, the processes end too.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    settings : ScreenSettings
        What is wanted.
    workers : int
        Processes.
    """

    def __init__(self, model: Path, settings: ScreenSettings, workers: int) -> None:
        self.window = _AHEAD * workers + 2
        self._arguments = (model, settings)
        self._queue: deque[Block] = deque()
        self._done: dict[int, Outcome | Exception] = {}
        self._deaths: dict[int, int] = {}
        self._info: ModelInfo | None = None
        self._forks = _start_method()
        self._workers: list[_Worker] = []
        with _thread_environment(settings.threads):
            for _ in range(workers):
                self._start()

    def info(self) -> ModelInfo:
        """Return what is to be known of the model, when the first process has loaded it."""
        while self._info is None:
            self._receive()
        return self._info

    def submit(self, block: Block) -> None:
        """Queue a block."""
        self._queue.append(block)
        self._feed()

    def result(self, block: Block) -> Outcome:
        """Wait for the outcome of a submitted block.

        Raises
        ------
        DataError
            If the process of the block died twice.
        XtalshiftError
            Whatever a process raised.
        """
        while block.number not in self._done:
            self._receive()
        found = self._done.pop(block.number)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Stop all processes."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _start(self) -> None:
        mine, theirs = self._forks.Pipe()
        arguments = (theirs, *self._arguments)
        for again in (True, False):
            process = self._forks.Process(target=_work, args=arguments, daemon=True)
            try:
                process.start()
                break
            except (EOFError, OSError):  # the server of processes was killed; it starts anew
                if not again:
                    raise
        theirs.close()
        self._workers.append(_Worker(process, mine))

    def _feed(self) -> None:
        for _ in range(_AHEAD):
            for worker in self._workers:
                if self._queue and len(worker.blocks) < _AHEAD:
                    block = self._queue.popleft()
                    worker.blocks.append(block)
                    try:
                        worker.connection.send(block)
                    except OSError:
                        return  # it died; `_receive` sees to its blocks

    def _receive(self) -> None:
        """Wait until a process says something or ends, and see to it."""
        pipes: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        ends = {worker.process.sentinel: worker for worker in self._workers}
        sources = pipes | ends
        for worker in dict.fromkeys(sources[item] for item in wait(list(sources))):
            self._hear(worker)
        self._feed()

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv() if worker.connection.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            self._replace(worker)
        elif isinstance(message, ModelInfo):
            self._info = message
        elif worker.blocks:
            self._done[worker.blocks.popleft().number] = message
        else:  # the model could not be loaded
            raise message

    def _replace(self, worker: _Worker) -> None:
        """Start a process instead of one that died, and give its blocks to the next free one."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        key = worker.blocks[0].number if worker.blocks else -1
        self._deaths[key] = self._deaths.get(key, 0) + 1
        if self._deaths[key] >= ATTEMPTS:
            what = worker.blocks[0].where if worker.blocks else "the start of a worker"
            raise DataError(
                f"{what}: the process {how}, {ATTEMPTS} times; is the memory enough? Fewer "
                "--workers or smaller --chunk-rows need less"
            )
        self._queue.extendleft(reversed(worker.blocks))
        self._start()


def _start_method() -> Any:
    """Return the way to start processes: from a server that has loaded the libraries once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["xtalshift.screening.work"])
    return forks


@contextmanager
def _thread_environment(threads: int) -> Iterator[None]:
    """Set what libraries read when they are loaded, for the processes started meanwhile."""
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _work(connection: Connection, model: Path, settings: ScreenSettings) -> None:
    """Screen blocks in this process until the driver ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    blocks: queue.SimpleQueue[Block] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, blocks), daemon=True).start()
    from xtalshift.screening.work import Screener

    try:
        screener = Screener(model, settings)
        connection.send(screener.info)
    except XtalshiftError as error:
        connection.send(error)
        return
    while True:
        block = blocks.get()
        try:
            connection.send(screener.screen(block))
        except XtalshiftError as error:
            connection.send(error)
        except Exception as error:  # noqa: BLE001 - the driver is told and ends
            connection.send(RuntimeError(f"{block.where}: {type(error).__name__}: {error}"))


def _listen(connection: Connection, blocks: queue.SimpleQueue[Block]) -> None:
    """Take blocks at once, so that the driver never waits; end with the driver."""
    try:
        while True:
            blocks.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)
