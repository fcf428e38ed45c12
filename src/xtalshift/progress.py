"""How long work says where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of long work that is under way."""

    def advance(self, steps: int = 1, **info: float | str) -> None:
        """Report `steps` more steps done, with figures worth showing (such as a loss)."""

    def say(self, text: str) -> None:
        """Show one line of text."""


class Progress(Protocol):
    """A listener; the command line has one with bars and one with plain lines."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Task]:
        """Begin a piece of work of `total` steps (None: unknown)."""

    def say(self, text: str) -> None:
        """Show one line of text."""


class _Silent:
    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[_Silent]:  # noqa: ARG002
        yield self

    def advance(self, steps: int = 1, **info: float | str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


NO_PROGRESS: Progress = _Silent()
"""The default listener: says nothing."""
