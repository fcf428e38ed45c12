"""Cores of the machine and threads of a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xtalshift.errors import UsageError

_PER_CORE = 16
_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# a waiting thread sleeps: beside other programs, spinning threads take cores from those that work
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def count_cores() -> int:
    """Return the number of cores that this process may use (macOS and Windows: all)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_count(count: int, what: str) -> int:
    """Return a number of threads or workers that this machine can start.

    Raises
    ------
    UsageError
        If it is not from 1 to 16 per core.
    """
    cores = count_cores()
    if not 1 <= count <= _PER_CORE * cores:
        raise UsageError(
            f"{count} {what}: expected 1 to {_PER_CORE * cores} on this machine with {cores} cores"
        )
    return count


@contextmanager
def thread_environment(threads: int) -> Iterator[None]:
    """Set the variables that numerical libraries read when they are loaded.

    They hold for libraries that this process loads, and for processes that it starts, meanwhile.
    """
    values = dict.fromkeys(_COUNTS, str(threads)) | _WAITING
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit the threads of tensors and linear algebra, in loaded libraries and those to come."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")  # if it is loaded later, it reads the environment
    before = torch.get_num_threads() if torch else 0
    with thread_environment(threads), threadpool_limits(threads):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
