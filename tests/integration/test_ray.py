"""The benchmark on a Ray cluster of two nodes, one of whose workers is killed."""

from __future__ import annotations

import pytest

from benchmark_toys import make_shared
from integration.test_benchmark import PLUGIN
from xtalshift.benchmark.executors import LocalExecutor
from xtalshift.benchmark.executors_ray import RayExecutor
from xtalshift.benchmark.plugins import load_plugins
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.store import MACHINE_KEYS
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.errors import ConfigError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "seconds").write_text("0.5")
    (tmp_path / "deaths").write_text("1")
    plugins = {"plugin.py": PLUGIN.replace("FOLDER", str(tmp_path))}
    load_plugins(plugins)
    spec = BenchmarkSpec.from_dict(
        {
            "data": {"toy": {"dataset": "toy.csv"}},
            "splits": {"shift": {"scheme": "prior"}},
            "methods": ["ridge", "slow", "fatal", "target-ridge"],
            "budgets": [10],
        }
    ).check_methods()
    shared = make_shared(seeds=4, plugins=plugins, budgets=(10,))
    return plan_tasks(spec, shared), shared, TaskContext.of(spec)


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    options = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    cluster.add_node(**options)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def numbers(records):
    """Return the records without what differs between two runs."""
    return {
        record["id"]: str({k: v for k, v in record.items() if k not in MACHINE_KEYS})
        for record in records
    }


def test_two_nodes_give_the_records_of_this_machine(plan, cluster, tmp_path, monkeypatch):
    tasks, shared, context = plan
    shipped = []
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda value: shipped.append(put(value)) or shipped[-1])
    executor = RayExecutor(threads=1, address=cluster.address)
    found = []
    for record in executor.run(tasks, shared, context):
        found.append(record)
        if len(found) == len(tasks) - 1:
            places = ray.experimental.get_object_locations(shipped[:1])
    assert (tmp_path / "deaths").read_text() == "0"  # a worker was killed, its task begun again
    assert {record["status"] for record in found} == {"ok"}
    # the rows were put into the store once, and lie once on each node
    assert len(shipped) == 2
    (rows,) = places.values()
    assert 1 <= len(rows["node_ids"]) <= 2
    assert len(set(rows["node_ids"])) == len(rows["node_ids"])
    here = LocalExecutor(2, 1, tmp_path / "shared").run(tasks, shared, context)
    assert numbers(found) == numbers(here)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_line(address, plan):
    with pytest.raises(ConfigError, match="cannot reach the Ray cluster"):
        list(RayExecutor(1, address).run(*plan))
