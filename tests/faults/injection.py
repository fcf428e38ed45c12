"""Stop a process, or let the system refuse, at any one of the calls that change files."""

from __future__ import annotations

import builtins
import errno
import io
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAULT = 75
"""Exit code of a child that was stopped where it should be."""
_CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "chmod",
          "truncate", "ftruncate", "close")  # fmt: skip


class Injector:
    """Counts calls that change files; call `at` is stopped or fails.

    Parameters
    ----------
    at : int
        Which call, from 0.
    kill : bool
        Whether the process ends there, as by SIGKILL; otherwise the disk is full for that call.
        Of a write, the first half reaches the file.
    """

    def __init__(self, at: int, *, kill: bool) -> None:
        self.at, self.kill, self.count = at, kill, 0

    def step(self, half: Callable[[], object] = lambda: None) -> None:
        if self.count == self.at:
            half()
            self.count += 1
            if self.kill:
                os._exit(FAULT)
            raise OSError(errno.ENOSPC, "No space left on device")
        self.count += 1

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the calls in this process for a while."""
        calls = {name: getattr(os, name) for name in _CALLS}
        kept, injector = io.open, self

        class Raw(io.FileIO):
            def write(self, data, /):
                content = bytes(data)
                injector.step(lambda: io.FileIO.write(self, content[: len(content) // 2]))
                return super().write(content)

        def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **how):
            if not isinstance(file, str | os.PathLike) or not set(mode) & set("wax+"):
                return kept(file, mode, buffering, encoding, errors, newline, **how)
            injector.step()
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            stream = io.BufferedWriter(raw) if "+" not in mode else io.BufferedRandom(raw)
            if "b" in mode:
                return stream
            return io.TextIOWrapper(stream, encoding or "utf-8", errors, newline)

        for name, call in calls.items():
            setattr(os, name, self._counted(call, name))
        io.open = builtins.open = opened
        try:
            yield
        finally:
            for name, call in calls.items():
                setattr(os, name, call)
            io.open = builtins.open = kept

    def _counted(self, call: Callable, name: str) -> Callable:
        def counted(*args, **how):
            if name == "write":
                self.step(lambda: call(args[0], bytes(args[1])[: len(args[1]) // 2]))
            elif name == "close":  # the system closes the file, then says that it could not write
                self.step(lambda: call(*args, **how))
            elif not (name == "open" and args[1] == os.O_RDONLY):
                self.step()
            return call(*args, **how)

        return counted


def run_here(work: Callable[[], object]) -> tuple[int, str]:
    """Run `work`; return an exit code and the error that it raised, as text.

    The exit code is 0, 1 after an error of the package, 2 after any other.
    """
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - told to the caller
        ours = type(error).__module__.startswith("xtalshift.")
        return (1, str(error)) if ours else (2, traceback.format_exc())
    return 0, ""


def run_child(work: Callable[[], object], *, uid: int | None = None) -> tuple[int, str]:
    """Do the same in a forked child, which `work` may kill."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if uid is not None:
            os.setgid(uid)
            os.setuid(uid)
        code, text = run_here(work)
        os.write(writing, text.encode()[-4000:])
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
