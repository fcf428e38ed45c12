"""Screen blocks on a Ray cluster: the only file of this folder that knows Ray."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xtalshift.benchmark.executors_ray import RayExecutor, connect_ray
from xtalshift.errors import ConfigError, DataError, XtalshiftError
from xtalshift.screening.blocks import Block
from xtalshift.screening.outcome import ModelInfo, Outcome
from xtalshift.screening.plan import ScreenSettings
from xtalshift.screening.pools import ATTEMPTS
from xtalshift.screening.work import Screener

__all__ = ["RayPool"]

_LOADED: dict[str, Screener] = {}  # of a worker process: the model it has loaded


class RayPool:
    """Blocks as tasks of a cluster, whose nodes need this package but no shared files.

    The model is put into the object store once and loaded once by each process. A task whose
    process or node dies is begun once more.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    settings : ScreenSettings
        What is wanted.
    workers : int, optional
        Most tasks at once; by default as many as there are processors.
    address : str, optional
        Of a running cluster; by default one is started on this machine.

    Raises
    ------
    ConfigError
        If Ray is not installed or the cluster cannot be reached.
    """

    def __init__(
        self, model: Path, settings: ScreenSettings, workers: int | None, address: str | None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "the executor ray needs Ray: pip install 'xtalshift[ray]', or --executor local"
            ) from error
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            connect_ray(ray, RayExecutor(settings.threads, address, workers))
        processors = int(self._ray.cluster_resources().get("CPU", 1))
        self.window = workers or 2 * max(1, processors // settings.threads)
        files = {path.name: path.read_bytes() for path in sorted(model.glob("*")) if path.is_file()}
        digest = hashlib.sha256(settings.to_toml().encode())
        for content in files.values():
            digest.update(content)
        # in a list the reference travels, not the files: only the first task of a process gets them
        self._model = ([ray.put(files)], digest.hexdigest(), settings)
        options: Any = {
            "num_cpus": settings.threads,
            "num_gpus": 1 if settings.device.startswith("cuda") else 0,
            "max_retries": ATTEMPTS - 1,
        }
        self._screen = ray.remote(**options)(_screen)
        self._describe = ray.remote(**options)(_describe)
        self._running: dict[int, Any] = {}

    def info(self) -> ModelInfo:
        """Return what is to be known of the model, from a process that loads it."""
        info: ModelInfo = self._get(self._describe.remote(*self._model), "loading the model")
        return info

    def submit(self, block: Block) -> None:
        """Begin a task."""
        self._running[block.number] = self._screen.remote(block, *self._model)

    def result(self, block: Block) -> Outcome:
        """Wait for the outcome of a block.

        Raises
        ------
        DataError
            If its process died twice.
        XtalshiftError
            Whatever the task raised.
        """
        outcome: Outcome = self._get(self._running.pop(block.number), block.where)
        return outcome

    def close(self) -> None:
        """Stop all tasks, and a cluster that was started here."""
        for reference in self._running.values():
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._own:
            self._ray.shutdown()

    def _get(self, reference: Any, what: str) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, XtalshiftError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise DataError(f"{what}: the process died, {ATTEMPTS} times: {reason}") from error


def _screen(block: Block, model: list[Any], key: str, settings: ScreenSettings) -> Outcome:
    return _loaded(model, key, settings).screen(block)


def _describe(model: list[Any], key: str, settings: ScreenSettings) -> ModelInfo:
    return _loaded(model, key, settings).info


def _loaded(model: list[Any], key: str, settings: ScreenSettings) -> Screener:
    if key not in _LOADED:
        import ray

        with TemporaryDirectory(prefix="xtalshift-") as folder:
            for name, content in ray.get(model[0]).items():
                (Path(folder) / name).write_bytes(content)
            _LOADED.clear()
            _LOADED[key] = Screener(Path(folder), settings)
    return _LOADED[key]
