"""A Ray cluster of two nodes, one of whose workers is killed."""

from __future__ import annotations

import gc
import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import parallel_toys as toys
from benchmark_toys import make_shared
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.benchmark.worker import outcome_record, prepare_worker, work
from xtalshift.errors import ConfigError, WorkerDiedError
from xtalshift.parallel import InProcessExecutor
from xtalshift.parallel.ray_tasks import RayExecutor

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def executor():
    """Return an executor on a cluster of two nodes of one processor each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        path = [str(Path(toys.__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))  # of the nodes
        options = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args=options)
        cluster.add_node(**options)
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield RayExecutor()
        ray.shutdown()
        cluster.shutdown()
        del cluster
        with warnings.catch_warnings():  # Ray closes neither its files nor its processes
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def test_outcomes_are_ordered_and_an_item_has_two_attempts(executor, tmp_path):
    (tmp_path / "1").write_text("1")
    (tmp_path / "3").write_text("2")
    outcomes = list(executor.map(partial(toys.die, tmp_path), range(6)))
    assert [outcome.attempts for outcome in outcomes] == [1, 2, 1, 2, 1, 1]
    with pytest.raises(WorkerDiedError, match=r"died \(.*\) in 2 attempts"):
        outcomes.pop(3).value  # noqa: B018
    assert [outcome.value for outcome in outcomes] == [0, 1, 2, 4, 5]


def test_errors_are_outcomes(executor):
    good, bad = executor.map(toys.reciprocal, [1, 0])
    assert good.value == 1
    assert isinstance(bad.error, ZeroDivisionError)
    with pytest.raises(ValueError, match="no such model"):
        list(executor.map(toys.count, [0], setup=toys.fail_to_start))


def test_the_setup_is_stored_once_per_node_and_made_once_per_process(executor, monkeypatch):
    shipped = []
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda value: shipped.append(put(value)) or shipped[-1])
    setup = partial(toys.arrays, np.arange(100_000))
    with executor.open(setup) as workers:
        for outcome in workers.map(toys.look_at, range(8)):
            ((dtype, writeable, *_),) = outcome.value
            assert (dtype, writeable) == ("<i8", False)
        (place,) = ray.experimental.get_object_locations(shipped).values()
    assert len(set(place["node_ids"])) == len(place["node_ids"]) <= 2
    found = [outcome.value for outcome in executor.map(toys.count, range(8), setup=toys.counter)]
    for pid in {pid for pid, _ in found}:
        numbers = sorted(number for one, number in found if one == pid)
        assert numbers == list(range(1, len(numbers) + 1))


def test_tasks_have_the_records_of_this_machine(executor):
    spec = BenchmarkSpec.from_dict(
        {
            "data": {"toy": {"dataset": "toy.csv"}},
            "splits": {"shift": {"scheme": "prior"}},
            "methods": ["ridge", "target-ridge"],
            "budgets": [10],
        }
    ).check_methods()
    shared = make_shared(seeds=2, budgets=(10,))
    tasks = plan_tasks(spec, shared)
    setup = partial(prepare_worker, shared, TaskContext.of(spec))

    def numbers(one):
        records = [outcome_record(outcome, shared) for outcome in one.map(work, tasks, setup=setup)]
        assert {record.status for record in records} == {"ok"}
        return [record.content() for record in records]

    assert str(numbers(executor)) == str(numbers(InProcessExecutor()))


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_line(address, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ConfigError, match="cannot reach the Ray cluster"):
        RayExecutor(address=address).open()


def test_a_cluster_that_does_not_start_is_one_line(monkeypatch):
    def fail(**_):
        raise Exception("The current node timed out during startup.")  # noqa: TRY002 - as Ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ConfigError, match="cannot start Ray here: The current node timed out"):
        RayExecutor().open()
