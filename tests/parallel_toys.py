"""Cheap functions that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from threadpoolctl import threadpool_info

from xtalshift.parallel import EmitProgress, emit


def square(item):
    return item * item


def nap_and_square(item):
    """Take longer for the first items."""
    time.sleep(0.2 if item < 2 else 0)
    return item * item


def pid_of(item):
    return os.getpid()


def reciprocal(item):
    return 1 / item


class AwkwardError(Exception):
    """Can be pickled, but not read again."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def fail_awkwardly(item):
    raise AwkwardError(item, item)


def return_a_lock(item):
    import threading

    return threading.Lock()


def die(folder, item):
    """Kill this process as often as the file of an item says."""
    path = Path(folder) / str(item)
    left = int(path.read_text()) if path.exists() else 0
    if left:
        path.write_text(str(left - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def leave(item):
    os._exit(3)


def interrupt_self(item):
    os.kill(os.getpid(), signal.SIGINT)
    return item


def nap(seconds):
    time.sleep(seconds)


def counter():
    return [os.getpid(), 0]


def count(state, item):
    state[1] += 1
    return tuple(state)


def fail_to_start():
    raise ValueError("no such model")


def arrays(*values):
    return values


def look_at(state, item):
    return [
        (values.dtype.str, values.flags.writeable, values.flags.f_contiguous, values.tolist(),
         values.ctypes.data % 64, values.flags.owndata)
        for values in state
    ]  # fmt: skip


def threads_here(item):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
    pools = {pool["num_threads"] for pool in threadpool_info()}
    return [os.environ.get(name) for name in names], pools


def tell(item):
    for number in range(100):
        emit((item, number))
    emit("last", urgent=True)
    return item


def work_with_progress(item):
    progress = EmitProgress()
    with progress.task("erm", 2) as task:
        task.advance(2, loss=0.5)
        task.say("best so far")
    progress.say("done")


def tell_pid_and_nap(item):
    emit(os.getpid())
    time.sleep(60)


def burn(state, item):
    """Take a little processor time, and say where and with what."""
    until = time.process_time() + 0.02
    while time.process_time() < until:
        pass
    return os.getpid(), state, item
