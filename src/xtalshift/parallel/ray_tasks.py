"""Workers on a Ray cluster: the only file that imports Ray."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xtalshift.errors import ConfigError, WorkerDiedError
from xtalshift.parallel.executor import (
    LONG_LIVED,
    Executor,
    Job,
    Policy,
    Reply,
    Setup,
    Workers,
    portable,
)
from xtalshift.parallel.threads import limited_threads

PROBE_SECONDS = 10.0
HEAD_SECONDS = 30.0
"""How long the head of the cluster may be away, for instance to start anew. After 60 s Ray ends
this process with a message of its own; 15 s after the end of the node here, without one."""
_CHECK_SECONDS = 2.0
_STATE: dict[str, tuple[Any, ...]] = {}  # in a worker: the state of the job it works for


@dataclass(frozen=True)
class RayExecutor(Executor):
    """Tasks of a Ray cluster, whose nodes need this package but no shared files.

    The setup is put into the object store once. Ray copies it once to each machine, where all
    processes read its arrays from the same memory.
    """

    threads: int = 1
    """Threads, and reserved processors, of each task."""
    workers: int | None = None
    """Most tasks at once; by default as many as there are processors."""
    address: str | None = None
    """Address of a running cluster (``auto``, ``host:6379``, ``ray://host:10001``); by default a
    cluster is started on this machine and stopped at the end."""
    shares_files = False

    def open(self, setup: Setup | None = None, policy: Policy = LONG_LIVED) -> Workers:
        """Return tasks of the cluster; see `Executor.open`.

        Raises
        ------
        ConfigError
            If Ray is not installed or the cluster cannot be reached.
        """
        return _Tasks(self, setup, policy)


class _Tasks(Workers):
    def __init__(self, executor: RayExecutor, setup: Setup | None, policy: Policy) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "the executor ray needs Ray: pip install 'xtalshift[ray]', or --executor local"
            ) from error
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, executor)
        processors = int(self._ray.cluster_resources().get("CPU", 1))
        queued = 1 if policy.fresh else 2  # so that no processor waits for this process
        self.slots = executor.workers or queued * max(1, processors // executor.threads)
        # in a list the reference travels instead of its content: only the first task of a process
        # fetches it
        self._setup = ([ray.put(setup)], uuid.uuid4().hex, executor.threads)
        options: Any = {
            "num_cpus": executor.threads,
            "num_gpus": int(policy.gpu),
            "max_retries": 0,  # `Workers.map` tries again
        }
        self._work = ray.remote(**options)(_work)
        self._running: dict[Any, Job] = {}
        self._head, self._node = _addresses(ray)
        self._checked = time.monotonic()
        self._away: float | None = None  # since when the head does not answer

    def begin(self, job: Job) -> None:
        self._running[self._work.remote(job.function, job.item, *self._setup)] = job

    def wait(self) -> list[tuple[Job, Reply]]:
        found: list[Any] = []
        while not found:
            found, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_CHECK_SECONDS)
            self._check_cluster()
        (done,) = found
        job = self._running.pop(done)
        try:
            kind, content = self._ray.get(done)
        except self._ray.exceptions.RayTaskError:
            raise  # not of the function, whose errors are replies
        except self._ray.exceptions.RayError as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return [(job, Reply(died=f"died ({reason})"))]
        if kind == "setup":
            raise content
        return [(job, Reply(**{kind: content}))]

    def _check_cluster(self) -> None:
        """Raise if the cluster is gone, before Ray ends this process for it."""
        now = time.monotonic()
        if now < self._checked + _CHECK_SECONDS:
            return
        self._checked = now
        try:
            _probe(self._node)
        except OSError as error:
            raise _gone(f"its node here, {self._node}, does not answer: {error}") from error
        try:
            _probe(self._head)
            self._away = None
        except OSError as error:
            self._away = now if self._away is None else self._away
            if now > self._away + HEAD_SECONDS:
                raise _gone(f"its head, {self._head}, does not answer: {error}") from error

    def cancel(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()

    def close(self) -> None:
        self.cancel()
        if self._own:
            self._ray.shutdown()


def _addresses(ray: Any) -> tuple[str | None, str | None]:
    """Return the addresses of the head and of the node that this process belongs to.

    A client (``ray://``) has none: it may not see them, and Ray notices that its server is gone.
    """
    if ray.util.client.ray.is_connected():
        return None, None
    here = ray.get_runtime_context()
    (node,) = (node for node in ray.nodes() if node["NodeID"] == here.get_node_id())
    return here.gcs_address, f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"


def _gone(why: str) -> WorkerDiedError:
    return WorkerDiedError(
        f"the Ray cluster is gone ({why}). Finished work is kept; run the same command to continue"
    )


def _connect(ray: Any, executor: RayExecutor) -> None:
    """Connect to a cluster, or start one."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if executor.address:
        options["address"] = executor.address
    elif executor.workers:
        options["num_cpus"] = executor.workers * executor.threads
    try:
        _probe(executor.address)
        ray.init(**options)
    except Exception as error:  # Ray raises plain ones, for instance if a busy machine is too slow
        what = f"reach the Ray cluster {executor.address}" if executor.address else "start Ray here"
        raise ConfigError(f"cannot {what}: {error}") from error
    # `log_to_driver` leaves what the nodes report: of a dead one, pages of its log
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001


def _probe(address: str | None) -> None:
    """Raise `OSError` if nothing listens at ``host:port``; Ray would wait for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "//" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()


def _work(
    function: Callable[..., Any], item: Any, setup: list[Any], key: str, threads: int
) -> tuple[str, Any]:
    with limited_threads(threads):
        try:
            if key not in _STATE:
                import ray

                make = ray.get(setup[0])
                _STATE.clear()
                _STATE[key] = () if make is None else (make(),)
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return "setup", portable(error)
        try:
            return "value", function(*_STATE[key], item)
        except Exception as error:  # noqa: BLE001 - the caller of `map` decides
            return "error", portable(error)
