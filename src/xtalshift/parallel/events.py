"""Events that a function sends to the caller of `Executor.map` while it works on an item."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

INTERVAL = 0.2
"""Seconds between two events of a worker; those in between are dropped."""

Listener = Callable[[Any], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_LAST: ContextVar[float] = ContextVar("last", default=-INTERVAL)


def emit(event: Any, *, urgent: bool = False) -> None:
    """Send an event to the caller of `Executor.map`; outside an executor, do nothing.

    Parameters
    ----------
    event : object
        Small and picklable.
    urgent : bool
        Send it even if another one was sent less than `INTERVAL` seconds ago.
    """
    listener = _LISTENER.get()
    now = time.monotonic()
    if listener is not None and (urgent or now - _LAST.get() >= INTERVAL):
        _LAST.set(now)
        listener(event)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Pass the events of this thread to `listener`."""
    token, last = _LISTENER.set(listener), _LAST.set(-INTERVAL)
    try:
        yield
    finally:
        _LISTENER.reset(token)
        _LAST.reset(last)


@dataclass(frozen=True)
class ProgressEvent:
    """State of a piece of long work.

    Attributes
    ----------
    name : str
        Name of the work, such as the method that is trained; empty for a message.
    total : int or None
        Number of steps, if known.
    done : int
        Steps done so far.
    info : dict
        Figures of the last step, such as a loss.
    text : str
        Message for the user; empty if there is none.
    """

    name: str = ""
    total: int | None = None
    done: int = 0
    info: dict[str, float | str] = field(default_factory=dict)
    text: str = ""


class EmitProgress:
    """A `xtalshift.progress.Progress` that emits a `ProgressEvent` for each step and message."""

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[_EmitTask]:
        """Begin a piece of work."""
        yield _EmitTask(name, total)

    def say(self, text: str) -> None:
        """Emit a message."""
        emit(ProgressEvent(text=text), urgent=True)


class _EmitTask:
    def __init__(self, name: str, total: int | None) -> None:
        self._name, self._total, self._done = name, total, 0

    def advance(self, steps: int = 1, **info: float | str) -> None:
        self._done += steps
        emit(ProgressEvent(self._name, self._total, self._done, info))

    def say(self, text: str) -> None:
        emit(ProgressEvent(self._name, self._total, self._done, text=text), urgent=True)
