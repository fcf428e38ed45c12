"""One executor: a function on many items, in this process, in others, or on a Ray cluster.

Nothing here knows tasks, blocks or models. ::

    executor = make_executor("local", workers=4)
    for outcome in executor.map(fit_fold, folds, setup=partial(load_rows, rows)):
        print(outcome.item, outcome.value)
"""

from xtalshift.errors import ConfigError
from xtalshift.parallel.events import EmitProgress, ProgressEvent, emit
from xtalshift.parallel.executor import Executor, InProcessExecutor, Outcome, Policy, Workers
from xtalshift.parallel.here_first import map_here_first
from xtalshift.parallel.threads import check_count, count_cores, limited_threads
from xtalshift.registry import near_miss

__all__ = [
    "EmitProgress",
    "Executor",
    "InProcessExecutor",
    "Outcome",
    "Policy",
    "ProgressEvent",
    "Workers",
    "check_count",
    "count_cores",
    "emit",
    "limited_threads",
    "make_executor",
    "map_here_first",
]

_NAMES = ("local", "ray")


def make_executor(
    name: str = "local",
    *,
    workers: int | None = None,
    threads: int = 1,
    address: str | None = None,
) -> Executor:
    """Return the executor that the options of a command describe.

    Parameters
    ----------
    name : {"local", "ray"}
        Processes of this machine, or tasks of a Ray cluster.
    workers : int, optional
        Workers at once; by default one for each `threads` cores.
    threads : int, default 1
        Threads of each worker. Results may depend on it in the last digits. On this machine each
        number is at most 16 per core.
    address : str, optional
        Address of a running Ray cluster; by default Ray starts one on this machine.

    Raises
    ------
    ConfigError
        If there is no such executor, or `address` is given without Ray.
    UsageError
        If this machine cannot start so many workers or threads.
    """
    if name not in _NAMES:
        raise ConfigError(f"no executor {name!r}{near_miss(name, _NAMES)}. Known: local, ray")
    if name == "ray":
        from xtalshift.parallel.ray_tasks import RayExecutor

        return RayExecutor(threads, workers, address)
    if address is not None:
        raise ConfigError("--address is for --executor ray")
    from xtalshift.parallel.processes import ProcessExecutor

    check_count(threads, "threads")
    if workers is None:
        workers = max(1, count_cores() // threads)
    return ProcessExecutor(threads, check_count(workers, "workers"))
