"""Run tasks on a Ray cluster: the only file that knows Ray."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from xtalshift.benchmark.executors import ATTEMPTS
from xtalshift.benchmark.plugins import load_plugins
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import TaskRecord
from xtalshift.benchmark.tasks import Task, TaskContext
from xtalshift.benchmark.worker import failed_record, run_task
from xtalshift.errors import ConfigError
from xtalshift.nn.device import limit_threads

__all__ = ["RayExecutor", "connect_ray"]

PROBE_SECONDS = 10.0


@dataclass
class RayExecutor:
    """Tasks on the processors of a cluster.

    The rows are put into the object store once; Ray copies them once to each machine, where all
    processes read the same memory. A task whose process or machine dies is begun once more.

    Attributes
    ----------
    threads : int
        Threads, and processors, of each task; results depend on the number.
    address : str, optional
        Of a running cluster (``auto``, ``host:6379``, ``ray://host:10001``); by default one is
        started on this machine for the time of the run.
    workers : int, optional
        Most tasks at once; by default as many as there are processors.
    """

    threads: int
    address: str | None = None
    workers: int | None = None

    def run(
        self, tasks: Iterable[Task], shared: Shared, context: TaskContext
    ) -> Generator[TaskRecord]:
        """Yield the record of each task as it finishes.

        Raises
        ------
        ConfigError
            If Ray is not installed or the cluster cannot be reached.
        """
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "the executor ray needs Ray: pip install 'xtalshift[ray]', or --executor local"
            ) from error
        own = not ray.is_initialized()
        if own:
            connect_ray(ray, self)
        gpus = 1 if context.settings.device.startswith("cuda") else 0
        options: Any = {"num_cpus": self.threads, "num_gpus": gpus, "max_retries": ATTEMPTS - 1}
        remote = ray.remote(**options)(_work)
        try:
            yield from self._drive(ray, remote, tasks, shared, context)
        finally:
            if own:
                ray.shutdown()

    def _drive(
        self, ray: Any, remote: Any, tasks: Iterable[Task], shared: Shared, context: TaskContext
    ) -> Iterator[TaskRecord]:
        slots = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
        rows = ray.put(shared)
        settings = ray.put(context)
        running: dict[Any, Task] = {}
        queue = iter(tasks)
        try:
            while True:
                while len(running) < slots:
                    task = next(queue, None)
                    if task is None:
                        break
                    running[remote.remote(task, rows, settings, self.threads)] = task
                if not running:
                    return
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                task = running.pop(done)
                try:
                    yield ray.get(done)
                except ray.exceptions.RayError as error:
                    reason = f"the process of the task died: {type(error).__name__}: {error}"
                    yield failed_record(task, shared, " ".join(reason.split()))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def connect_ray(ray: Any, executor: RayExecutor) -> None:
    """Connect to the cluster of an executor, or start one; refuse an address nobody listens at."""
    options: TaskRecord = {"log_to_driver": False, "logging_level": "error"}
    if executor.address:
        options["address"] = executor.address
    elif executor.workers:
        options["num_cpus"] = executor.workers * executor.threads
    try:
        _probe(executor.address)
        ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot reach the Ray cluster {executor.address}: {error}") from error


def _probe(address: str | None) -> None:
    """Raise `OSError` if nobody listens at ``host:port``: Ray would wait for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "//" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()


def _work(task: Task, shared: Shared, context: TaskContext, threads: int) -> TaskRecord:
    limit_threads(threads)
    load_plugins(shared.plugins)
    return run_task(task, shared, context)
