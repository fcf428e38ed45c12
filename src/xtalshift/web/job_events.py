"""The progress of a job as lines of a file, which outlive the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

from xtalshift.jsonio import Plain, finite
from xtalshift.progress import Task

SECONDS = 0.5
"""How often the steps of a task are reported."""
_MOST_BYTES = 8_000_000
"""Size of the file from which on steps are not reported."""


class EventLog:
    """A progress that appends each event to a file as a line of JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)
        self._lock = Lock()
        self._size = path.stat().st_size if path.exists() else 0
        if self._size:  # a killed process may have left a part of a line
            self._append(b"\n")

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        """Report the begin and the end of a piece of work."""
        task = _LoggedTask(self, next(self._numbers))
        self.write({"event": "begin", "task": task.number, "name": name, "total": total})
        try:
            yield task
        finally:
            self.write({"event": "end", "task": task.number, "done": task.done})

    def say(self, text: str) -> None:
        """Report a line of text."""
        self.write({"event": "say", "text": text})

    def write(self, event: Plain, *, always: bool = True) -> None:
        """Append an event; one that is not needed `always` is left out of a long file."""
        if always or self._size < _MOST_BYTES:
            self._append(json.dumps(finite(event), ensure_ascii=True, default=str).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        with self._lock, self._path.open("ab") as file:
            file.write(line)
            self._size += len(line)


@dataclass
class _LoggedTask:
    log: EventLog
    number: int
    done: int = 0
    said: float = float("-inf")

    def advance(self, steps: int = 1, **info: float | str) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.said >= SECONDS:
            self.said = now
            event = {"event": "advance", "task": self.number, "done": self.done, "info": info}
            self.log.write(event, always=False)

    def say(self, text: str) -> None:
        self.log.say(text)


def read_events(path: Path, at: int) -> Iterator[tuple[int, Plain]]:
    """Yield the complete events of a file behind a place, each with the place behind it."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(at)
        for line in file:
            if not line.endswith(b"\n"):
                return
            at += len(line)
            try:
                event = json.loads(line)
            except ValueError:  # of a killed process, or a place within a line
                continue
            if isinstance(event, dict):
                yield at, event
