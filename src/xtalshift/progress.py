"""How long work says where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    def __repr__(self) -> str:
        return "NO_PROGRESS"

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[_Silent]:  # noqa: ARG002
        yield self

    def advance(self, steps: int = 1, **info: float | str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


NO_PROGRESS: Progress = _Silent()
"""The default listener: says nothing."""


CONTINUE = "Finished work is kept; run the same command to continue."


@contextmanager
def resumable(kept: Callable[[], str]) -> Iterator[None]:
    """Let an interruption by Ctrl-C say what is kept of the work.

    Parameters
    ----------
    kept : callable
        Called after the interruption; returns a sentence, an empty text if there is nothing.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        said = kept()
        if said:
            stop.add_note(said)
        raise
