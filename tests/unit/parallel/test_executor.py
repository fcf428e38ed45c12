"""What every executor promises: order, errors, state, events, back-pressure."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from functools import partial

import numpy as np
import pytest

import parallel_toys as toys
from xtalshift.errors import ConfigError, WorkerDiedError
from xtalshift.parallel import (
    InProcessExecutor,
    Policy,
    ProgressEvent,
    emit,
    limited_threads,
    make_executor,
)
from xtalshift.parallel.events import listening
from xtalshift.parallel.executor import Reply, Workers
from xtalshift.parallel.processes import ProcessExecutor
from xtalshift.parallel.ray_tasks import RayExecutor

EXECUTORS = {
    "here": (InProcessExecutor(), Policy()),
    "long-lived": (ProcessExecutor(workers=2), Policy()),
    "fresh": (ProcessExecutor(workers=2), Policy(fresh=True)),
}


@pytest.fixture(params=EXECUTORS)
def run(request):
    """Return the `map` of an executor."""
    executor, policy = EXECUTORS[request.param]
    return partial(executor.map, policy=policy)


def test_outcomes_have_the_order_of_the_items(run):
    outcomes = list(run(toys.nap_and_square, range(6)))
    assert [outcome.item for outcome in outcomes] == list(range(6))
    assert [outcome.value for outcome in outcomes] == [0, 1, 4, 9, 16, 25]
    assert {outcome.attempts for outcome in outcomes} == {1}
    assert list(run(toys.square, [])) == []


def test_outcomes_come_as_they_finish():
    executor = ProcessExecutor(workers=2)
    found = [outcome.item for outcome in executor.map(toys.nap, [1.5, 0, 0], ordered=False)]
    assert sorted(found) == [0, 0, 1.5]
    assert found[0] == 0


def test_an_error_is_an_outcome_and_keeps_its_traceback(run):
    good, bad, last = run(toys.reciprocal, [1, 0, 2])
    assert (good.value, last.value) == (1, 0.5)
    assert isinstance(bad.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        bad.value  # noqa: B018
    lines = "".join(getattr(caught.value, "__notes__", [])) or str(caught.traceback[-1])
    assert "reciprocal" in lines


@pytest.mark.parametrize("policy", [Policy(), Policy(fresh=True)])
def test_what_cannot_be_sent_is_an_error_of_its_item(policy):
    executor = ProcessExecutor(workers=2)
    (outcome,) = executor.map(toys.fail_awkwardly, [1], policy=policy)
    with pytest.raises(RuntimeError, match="AwkwardError: 1 and 1"):
        outcome.value  # noqa: B018
    (outcome,) = executor.map(toys.return_a_lock, [1], policy=policy)
    with pytest.raises(TypeError, match="cannot pickle"):
        outcome.value  # noqa: B018
    with pytest.raises(TypeError, match="cannot pickle"):
        list(executor.map(toys.square, [threading.Lock()], policy=policy))


def test_the_state_is_made_once_per_worker():
    (first, second) = InProcessExecutor().map(toys.count, [0, 0], setup=toys.counter)
    assert first.value == (os.getpid(), 1)
    assert second.value == (os.getpid(), 2)
    outcomes = ProcessExecutor(workers=2).map(toys.count, range(9), setup=toys.counter)
    found = [one.value for one in outcomes]
    for pid in {pid for pid, _ in found}:
        assert pid != os.getpid()
        numbers = [number for one, number in found if one == pid]
        assert numbers == list(range(1, len(numbers) + 1))
    fresh = ProcessExecutor().map(
        toys.count, range(3), setup=toys.counter, policy=Policy(fresh=True)
    )
    found = [one.value for one in fresh]
    assert [number for _, number in found] == [1, 1, 1]
    assert len({pid for pid, _ in found}) == 3


def test_a_setup_that_fails_is_raised(run):
    with pytest.raises(ValueError, match="no such model"):
        list(run(toys.count, [1, 2, 3], setup=toys.fail_to_start))


def test_workers_keep_their_state_between_maps():
    with ProcessExecutor(workers=2).open(toys.counter) as workers:
        (first,) = workers.map(toys.count, [0])
        (second,) = workers.map(toys.count, [0])
    assert second.value == (first.value[0], 2)


def test_a_single_long_lived_worker_is_this_process():
    (outcome,) = ProcessExecutor(workers=1).map(toys.pid_of, [0])
    assert outcome.value == os.getpid()


def test_jobs_of_an_iterator_that_was_closed_do_not_come_back():
    with ProcessExecutor(workers=2).open() as workers:
        with closing(workers.map(toys.nap, [0, 60, 60])) as outcomes:
            next(outcomes)
        (outcome,) = workers.map(toys.square, [3])
    assert outcome.value == 9


class Held(Workers):
    """Workers that reply when told to, the last job first."""

    def __init__(self, slots):
        self.slots, self.jobs, self.cancelled = slots, [], False

    def begin(self, job):
        self.jobs.append(job)

    def wait(self):
        return [(self.jobs.pop(), Reply(value=None))]

    def cancel(self):
        self.cancelled = True


@pytest.mark.parametrize("ordered", [True, False])
def test_items_are_taken_when_they_can_be_begun(ordered):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    workers = Held(3)
    outcomes = workers.map(toys.square, items(), ordered=ordered)
    assert taken == []
    ahead = []
    for done, outcome in enumerate(outcomes):
        ahead.append(len(taken) - done)
        assert outcome.item == done or not ordered
        if done == 89:
            break
    # outcomes that wait for the first one are held, but only so many;
    # the free worker gets an item before an outcome is handed out
    assert max(ahead) == (7 if ordered else 4)
    outcomes.close()
    assert workers.cancelled


class Mortal(Held):
    """Workers of which the first ones die."""

    def __init__(self, deaths):
        super().__init__(1)
        self.deaths, self.attempts = deaths, []

    def wait(self):
        job = self.jobs.pop()
        self.attempts.append((job.item, job.attempt))
        died = "was killed by signal 9 (SIGKILL)" if len(self.attempts) <= self.deaths else ""
        return [(job, Reply(value=job.item, died=died))]


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_an_item_has_two_attempts(deaths):
    workers = Mortal(deaths)
    first, second = workers.map(toys.square, ["a", "b"])
    assert (
        workers.attempts == [("a", 1), ("b", 1)] if deaths == 0 else [("a", 1), ("a", 2), ("b", 1)]
    )
    assert (second.value, second.attempts) == ("b", 1)
    assert first.attempts == min(deaths + 1, 2)
    if deaths < 2:
        assert first.value == "a"
        return
    with pytest.raises(WorkerDiedError) as caught:
        first.value  # noqa: B018
    assert str(caught.value) == (
        "the worker process was killed by signal 9 (SIGKILL) in 2 attempts; if memory ran out, "
        "use fewer workers"
    )


def test_events_reach_the_caller(run):
    found = []
    list(run(toys.tell, [7, 8], on_event=lambda item, event: found.append((item, event))))
    for item in (7, 8):
        events = [event for of, event in found if of == item]
        assert events[0] == (item, 0)
        assert events[-1] == "last"
        assert len(events) < 50  # the others came too soon after the one before
    assert [one.value for one in run(toys.tell, [7])] == [7]  # nobody listens


def test_emit_does_nothing_outside_an_executor():
    found = []
    with listening(found.append):
        emit("heard", urgent=True)
    emit("unheard", urgent=True)
    assert found == ["heard"]


def test_progress_becomes_events(run):
    found = []
    list(run(toys.work_with_progress, [0], on_event=lambda _, event: found.append(event)))
    assert found == [
        ProgressEvent("erm", 2, 2, {"loss": 0.5}),
        ProgressEvent("erm", 2, 2, text="best so far"),
        ProgressEvent(text="done"),
    ]


@pytest.mark.parametrize(
    "executor", [InProcessExecutor(2), ProcessExecutor(2, 2)], ids=["here", "there"]
)
def test_threads_are_limited_in_the_worker_only(executor):
    before = toys.threads_here(None)
    (outcome,) = executor.map(toys.threads_here, [None])
    names, pools = outcome.value
    assert names == ["2", "2", "PASSIVE", "0"]
    assert pools <= {2}
    assert toys.threads_here(None) == before


def test_threads_of_torch_are_limited():
    import torch

    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_arrays_here_are_those_of_the_caller():
    values = np.arange(3.0)
    (outcome,) = InProcessExecutor().map(
        lambda state, _: state[0], [0], setup=partial(toys.arrays, values)
    )
    assert outcome.value is values


def test_executors_by_name():
    assert make_executor("local", workers=3, threads=2) == ProcessExecutor(2, 3)
    assert make_executor().workers >= 1
    assert make_executor("ray", threads=2, address="auto") == RayExecutor(2, None, "auto")
    with pytest.raises(
        ConfigError, match=r"executor 'rya' \(did you mean 'ray'\?\)\. Known: local"
    ):
        make_executor("rya")
    with pytest.raises(ConfigError, match="--address is for --executor ray"):
        make_executor("local", address="auto")
