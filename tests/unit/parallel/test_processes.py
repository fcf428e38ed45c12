"""Processes: deaths, signals, shared memory, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import parallel_toys as toys
from xtalshift.errors import WorkerDiedError
from xtalshift.parallel import Policy
from xtalshift.parallel.processes import ProcessExecutor, _temporary_folder

POLICIES = [Policy(), Policy(fresh=True)]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def wait_until_gone(pids):
    end = time.monotonic() + 20
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < end, alive
        time.sleep(0.02)


@pytest.fixture
def setups():
    """Return a function that lists what executors of this process have in its folder."""
    return lambda: list(_temporary_folder(os.getpid()).glob("setup-*"))


@pytest.mark.parametrize("policy", POLICIES)
def test_an_item_whose_process_is_killed_is_tried_once_more(policy, tmp_path):
    (tmp_path / "2").write_text("1")
    (tmp_path / "4").write_text("2")
    executor = ProcessExecutor(workers=2)
    outcomes = list(executor.map(partial(toys.die, tmp_path), range(8), policy=policy))
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 2, 1, 2, 1, 1, 1]
    assert (tmp_path / "4").read_text() == "0"
    with pytest.raises(WorkerDiedError, match=r"was killed by signal 9 \(SIGKILL\) in 2 attempts"):
        outcomes.pop(4).value  # noqa: B018
    assert [outcome.value for outcome in outcomes] == [0, 1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_process_that_ends_by_itself_has_died(policy):
    (outcome,) = ProcessExecutor(workers=2).map(toys.leave, [1], policy=policy)
    assert "ended with exit code 3 in 2 attempts" in str(outcome.error)


def test_idle_workers_that_die_are_replaced():
    with ProcessExecutor(workers=2).open() as workers:
        for _ in range(2):
            list(workers.map(toys.square, range(20)))
            for worker in workers._workers:
                worker.process.kill()
                worker.process.join()
        (outcome,) = workers.map(toys.square, [3])
    assert outcome.value == 9


@pytest.mark.parametrize("policy", POLICIES)
def test_ctrl_c_is_left_to_the_caller(policy):
    (outcome,) = ProcessExecutor(workers=2).map(toys.interrupt_self, [1], policy=policy)
    assert (outcome.value, outcome.attempts) == (1, 1)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_is_left_when_the_iterator_is_closed(policy, setups):
    outcomes = ProcessExecutor(workers=2).map(toys.pid_of, range(100), policy=policy)
    pids = {next(outcomes).value for _ in range(3)}
    assert len(setups()) == 1
    outcomes.close()
    assert not any(map(is_running, pids))
    assert setups() == []


DRIVER = """
import sys
from pathlib import Path
import parallel_toys as toys
from xtalshift.parallel import Policy
from xtalshift.parallel.processes import ProcessExecutor

if __name__ == "__main__":
    with ProcessExecutor(workers=2).open(policy=Policy(fresh=sys.argv[1] == "True")) as workers:
        for outcome in workers.map(toys.pid_of, [0]):
            print(outcome.value, flush=True)
        for _ in workers.map(toys.tell_pid_and_nap, [0, 0], on_event=lambda _, pid: print(pid, flush=True)):
            pass
"""  # noqa: E501


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("fresh", [True, False])
def test_workers_end_with_the_process_that_waits_for_them(blow, fresh, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = os.pathsep.join([str(Path(toys.__file__).parent), *filter(None, sys.path)])
    process = subprocess.Popen(
        [sys.executable, driver, str(fresh)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)},
    )  # fmt: skip
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert all(lines), process.communicate()[1]
        pids = [int(line) for line in lines]
        assert len(list(folder.iterdir())) == 1
        assert all(map(is_running, pids[1:]))
        process.send_signal(blow)
        process.communicate(timeout=20)
    finally:
        process.kill()
    wait_until_gone(pids)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_arrays_of_the_setup_are_mapped(policy):
    values = (
        np.arange(7, dtype=np.int8),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["GaN", "H2O"]),
        np.empty(0),
    )
    (outcome,) = ProcessExecutor(workers=2).map(
        toys.look_at, [0], setup=partial(toys.arrays, *values), policy=policy
    )
    for before, (dtype, writeable, fortran, content, place, copied) in zip(
        values, outcome.value, strict=True
    ):
        assert (dtype, fortran) == (before.dtype.str, before.flags.f_contiguous)
        assert content == before.tolist()
        assert place == 0
        assert not writeable
        assert not copied
