"""Commands in processes of their own that start at once: forks of one that has loaded the package.

A new Python needs some seconds for its imports, and tests that kill commands start many.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

_WAYS = multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in _WAYS else "spawn")


class Command:
    """A command line that runs.

    Parameters
    ----------
    folder : Path
        Where its output is kept.
    *arguments : object
        The words of the command.
    before : callable, optional
        Called in its process first; a function of a module.
    """

    def __init__(
        self, folder: Path, *arguments: object, before: Callable[[], None] | None = None
    ) -> None:
        number = len(list(folder.glob("*.err")))
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        words = [str(argument) for argument in arguments]
        self._process = _CONTEXT.Process(target=_run, args=(words, self._out, self._err, before))
        self._err.touch()
        self._process.start()

    @property
    def code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send(self, blow: signal.Signals) -> None:
        """Send a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, blow)

    def wait(self) -> tuple[int, str]:
        """Return the exit status and what it said on standard error."""
        self._process.join(120)
        assert self.code is not None, self._err.read_text()
        return self.code, self._err.read_text()


def write_often() -> None:
    """Write a checkpoint after every epoch, not every 20 seconds, and do all in one process."""
    from xtalshift import parallel
    from xtalshift.estimators import network

    network.Checkpoint = functools.partial(network.Checkpoint, seconds=0.0)
    parallel.make_executor = lambda **_: parallel.InProcessExecutor()


def _run(words: list[str], out: Path, err: Path, before: Callable[[], None] | None) -> None:
    for number, path in ((1, out), (2, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    from xtalshift.cli.main import main

    if before is not None:
        before()
    main(words)
