"""Progress: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xtalshift.progress import Progress, Task

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0


def make_progress() -> Progress:
    """Return bars if standard error is a terminal, else plain lines; both go to standard error."""
    return _TerminalProgress() if sys.stderr.isatty() else _PlainProgress()


class _TerminalProgress:
    """One display with a bar for each running task."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._bars: Bars | None = None

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        if self._bars is None:
            self._bars = self._make_bars()
            self._bars.start()
        bars, task = self._bars, self._bars.add_task(name, total=total, info="")
        try:
            yield _TerminalTask(bars, task)
        finally:
            bars.remove_task(task)
            if not bars.task_ids:
                bars.stop()
                self._bars = None

    def _make_bars(self) -> Bars:
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}", style="bold"),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[info]}", style="dim"),
        )
        return progress.Progress(*columns, console=self._console, transient=True)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)


class _TerminalTask:
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: int = 1, **info: float | str) -> None:
        self._bars.update(self._task, advance=steps, info=_format(info))

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False)


class _PlainProgress:
    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        yield _PlainTask(name, total)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class _PlainTask:
    """Reports at most every ten seconds, so that a log stays readable."""

    def __init__(self, name: str, total: int | None) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._started = self._said = time.monotonic()

    def advance(self, steps: int = 1, **info: float | str) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._said < PLAIN_SECONDS:
            return
        self._said = now
        left = ""
        if self._total and self._done:
            seconds = (now - self._started) / self._done * (self._total - self._done)
            left = f", about {seconds:.0f} s left"
        of = f"/{self._total:,}" if self._total else ""
        self.say(f"  {self._name}: {self._done:,}{of}{left}  {_format(info)}".rstrip())

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def _format(info: dict[str, float | str]) -> str:
    parts = (
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in info.items()
    )
    return "  ".join(parts)
