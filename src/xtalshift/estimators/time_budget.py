"""A budget of wall time: what is left, what work will take, and an end to it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from xtalshift.errors import ConfigError, TrainingError
from xtalshift.progress import Progress, Task


class OutOfTimeError(TrainingError):
    """Work has taken longer than it may."""


class TimeBudget:
    """Wall time for work in pieces, whose rough relative efforts are known.

    Parameters
    ----------
    minutes : float, optional
        Wall minutes for everything; None for any.
    spent : float, default 0
        Seconds that were spent before, by a process that was stopped.

    Raises
    ------
    ConfigError
        If `minutes` is not positive.
    """

    def __init__(self, minutes: float | None, spent: float = 0.0) -> None:
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"minutes = {minutes}; expected a positive number, or None")
        self.seconds = math.inf if minutes is None else 60.0 * minutes
        self._began = time.monotonic() - spent
        self._expected = self._measured = 0.0

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left; negative if more were spent."""
        return self.seconds - self.spent

    def expect(self, effort: float) -> float:
        """Return the seconds that work of some effort will take.

        Efforts are seconds on a machine that is as fast as the measured work says.
        """
        return effort * (self._measured / self._expected if self._expected > 0 else 1.0)

    def note(self, effort: float, seconds: float) -> None:
        """Learn from work that is done how fast this machine is."""
        self._expected += effort
        self._measured += seconds

    def watch(self, progress: Progress, seconds: float) -> Progress:
        """Return a listener that ends work after some seconds, at its next report.

        The work then raises `OutOfTimeError`.
        """
        return progress if math.isinf(seconds) else _Watch(progress, time.monotonic() + seconds)


class _Watch:
    def __init__(self, listener: Progress, end: float) -> None:
        self.listener, self.end = listener, end

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        with self.listener.task(name, total) as task:
            yield _WatchedTask(task, self.end)

    def say(self, text: str) -> None:
        self.listener.say(text)


class _WatchedTask:
    def __init__(self, task: Task, end: float) -> None:
        self.task, self.end = task, end

    def advance(self, steps: int = 1, **info: float | str) -> None:
        self.task.advance(steps, **info)
        if time.monotonic() > self.end:
            raise OutOfTimeError("it took longer than expected, and the time was over")

    def say(self, text: str) -> None:
        self.task.say(text)


def describe_seconds(seconds: float) -> str:
    """Return a time as people say it, such as ``3.5 minutes`` or ``40 seconds``."""
    if seconds < 60:  # noqa: PLR2004
        return f"{max(seconds, 0.0):.0f} seconds"
    return f"{seconds / 60:.1f} minutes"
