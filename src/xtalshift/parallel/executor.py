"""The interface of all executors, and the one that works in this process.

An executor opens `Workers`. Each kind of workers can begin a job and wait for replies; order,
back-pressure and second attempts are written once, in `Workers.map`.
"""

from __future__ import annotations

import pickle
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

from xtalshift.errors import WorkerDiedError
from xtalshift.parallel.events import listening
from xtalshift.parallel.threads import limited_threads

ATTEMPTS = 2
"""How often an item is tried whose worker dies."""
_END = object()

Item = TypeVar("Item")
Value = TypeVar("Value")
Setup = Callable[[], Any]


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """The outcome of one item.

    Attributes
    ----------
    item : object
        Argument of the function.
    error : Exception or None
        What the function raised, or `WorkerDiedError`.
    attempts : int
        2 if the first worker died.
    value : object
        What the function returned. If there is an `error`, reading it raises the error.
    """

    item: Item
    error: Exception | None
    attempts: int
    _value: Value | None = field(default=None, repr=False)

    @property
    def value(self) -> Value:
        """Return what the function returned, or raise `error`."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]


@dataclass(frozen=True)
class Policy:
    """What a function needs from its workers.

    Attributes
    ----------
    fresh : bool
        Each item gets a new process, so that an item that needs much memory, or fails, leaves
        nothing to the next one. Otherwise workers keep their state. For `ProcessExecutor` only.
    gpu : bool
        Each worker uses a GPU; Ray reserves it.
    preload : tuple of str
        Modules that a process server loads once, before it forks workers.
    """

    fresh: bool = False
    gpu: bool = False
    preload: tuple[str, ...] = ()


LONG_LIVED = Policy()


@dataclass(frozen=True, eq=False)
class Job:
    """One item on its way to a worker, for the `attempt`-th time."""

    number: int
    function: Callable[..., Any]
    item: Any
    on_event: Callable[[Any, Any], None] | None
    attempt: int = 1


@dataclass(frozen=True)
class Reply:
    """What the function returned or raised, or how its worker died."""

    value: Any = None
    error: Exception | None = None
    died: str = ""


class Workers(ABC):
    """Open workers of an executor; a context manager that stops them at its end.

    Attributes
    ----------
    slots : int
        Jobs that may be begun at once.
    """

    slots: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(
        self,
        function: Callable[..., Value],
        items: Iterable[Item],
        *,
        ordered: bool = True,
        on_event: Callable[[Item, Any], None] | None = None,
    ) -> Generator[Outcome[Item, Value]]:
        """Yield the outcome of each item; see `Executor.map`."""
        left = enumerate(items)
        again: deque[Job] = deque()
        ready: dict[int, Outcome[Item, Value]] = {}
        taken = yielded = running = 0
        # outcomes that wait for an earlier one are held, but not without end; with one slot, an
        # item is taken when its predecessor is done
        most = 3 * self.slots - 2
        try:
            while True:
                while running < self.slots and (again or taken - yielded < most):
                    if again:
                        job = again.popleft()
                    else:
                        number, item = next(left, (0, _END))
                        if item is _END:
                            break
                        job, taken = Job(number, function, item, on_event), taken + 1
                    running += 1
                    self.begin(job)
                if ready and (not ordered or yielded in ready):
                    outcome = ready.pop(yielded if ordered else next(iter(ready)))
                    yielded += 1
                    yield outcome
                    continue
                if not running:
                    return
                for job, reply in self.wait():
                    running -= 1
                    if reply.died and job.attempt < ATTEMPTS:
                        again.append(replace(job, attempt=job.attempt + 1))
                    else:
                        ready[job.number] = _outcome(job, reply)
        finally:
            if running:
                self.cancel()

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Hand a job to a worker."""

    @abstractmethod
    def wait(self) -> list[tuple[Job, Reply]]:
        """Wait until one or more jobs have a reply."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop all jobs."""

    def close(self) -> None:
        """Stop all jobs and workers."""
        self.cancel()


def _outcome(job: Job, reply: Reply) -> Outcome[Any, Any]:
    error = reply.error
    if reply.died:
        error = WorkerDiedError(
            f"the worker process {reply.died} in {job.attempt} attempts; if memory ran out, use "
            "fewer workers"
        )
    return Outcome(job.item, error, job.attempt, reply.value)


def portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever its class does
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain
    return error


class Executor(ABC):
    """Runs a function on many items.

    Attributes
    ----------
    threads : int
        Threads of each worker. Results may depend on it in the last digits, and on nothing else of
        the executor.
    shares_files : bool
        Whether workers see the files of this machine.
    """

    threads: int
    shares_files: bool = True

    @abstractmethod
    def open(self, setup: Setup | None = None, policy: Policy = LONG_LIVED) -> Workers:
        """Return workers that keep their state over several calls of `Workers.map`.

        Parameters
        ----------
        setup : callable, optional
            See `map`.
        policy : Policy
            What the function needs.
        """

    def map(
        self,
        function: Callable[..., Value],
        items: Iterable[Item],
        *,
        setup: Setup | None = None,
        policy: Policy = LONG_LIVED,
        ordered: bool = True,
        on_event: Callable[[Item, Any], None] | None = None,
    ) -> Generator[Outcome[Item, Value]]:
        """Yield the outcome of each item.

        Parameters
        ----------
        function : callable
            Called with an item, or with the state and an item if there is a `setup`. Importable by
            name, or a `functools.partial` of such a function.
        items : iterable
            Consumed lazily: an item is taken when a worker can begin it (or queue it behind
            another one).
        setup : callable, optional
            Returns the state that a worker shares between its items; called once per worker.
            Arrays bound to it (with `functools.partial`) are stored once per machine and mapped
            into the memory of all workers, where they are read-only.
        policy : Policy
            What the function needs from its workers.
        ordered : bool, default True
            Yield outcomes in the order of the items, otherwise as they finish.
        on_event : callable, optional
            Called with an item and an event that its worker sent with `emit`. Ray drops events.

        Yields
        ------
        Outcome
            Of one item. An item whose worker dies is tried once more, then its outcome is a
            `WorkerDiedError`. Closing the generator stops what is running.

        Raises
        ------
        Exception
            Whatever `setup` raises.
        """
        with self.open(setup, policy) as workers:
            yield from workers.map(function, items, ordered=ordered, on_event=on_event)


@dataclass(frozen=True)
class InProcessExecutor(Executor):
    """Works in this process, one item after the other.

    Attributes
    ----------
    threads : int
        Threads, until the workers are closed.
    """

    threads: int = 1

    def open(self, setup: Setup | None = None, policy: Policy = LONG_LIVED) -> Workers:  # noqa: ARG002
        """Return this process as a worker; see `Executor.open`."""
        return _ThisProcess(setup, self.threads)


class _ThisProcess(Workers):
    slots = 1

    def __init__(self, setup: Setup | None, threads: int) -> None:
        with ExitStack() as stack:
            stack.enter_context(limited_threads(threads))
            self._state = () if setup is None else (setup(),)
            self._limits = stack.pop_all()
        self._jobs: list[Job] = []

    def begin(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self) -> list[tuple[Job, Reply]]:
        job = self._jobs.pop()
        with listening(job.on_event and partial(job.on_event, job.item)):
            try:
                return [(job, Reply(job.function(*self._state, job.item)))]
            except Exception as error:  # noqa: BLE001 - the caller decides
                return [(job, Reply(error=error))]

    def cancel(self) -> None:
        self._jobs.clear()

    def close(self) -> None:
        self._limits.close()
