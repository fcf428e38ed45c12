"""The folder of a run: finished tasks, so that it can be resumed, and the assembled results."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xtalshift.errors import ConfigError, DataError

__all__ = ["RESULTS_FILE", "SCHEMA_VERSION", "RunFolder", "write_json"]

SCHEMA_VERSION = 1
RESULTS_FILE = "results.json"
HEADER_FILE = "run.json"


@dataclass(frozen=True)
class RunFolder:
    """One folder per run; a task is finished when its record file exists.

    Attributes
    ----------
    path : Path
        The folder.
    """

    path: Path

    @classmethod
    def open(cls, path: Path, header: dict[str, Any], *, overwrite: bool = False) -> RunFolder:
        """Open a new run, or one with the same header to resume it.

        Parameters
        ----------
        path : Path
            Made if it does not exist.
        header : dict
            Configuration and data hash; finished tasks are reused only if it is the same.
        overwrite : bool
            Begin anew whatever the folder holds of an earlier run.

        Raises
        ------
        ConfigError
            If the folder holds another run or other files.
        DataError
            If it cannot be written.
        """
        folder = cls(Path(path))
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            probe = folder.path / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise DataError(
                f"cannot write to {path}: {error.strerror}; choose another --out"
            ) from error
        header_file = folder.path / HEADER_FILE
        header = json.loads(json.dumps(header))
        if header_file.exists():
            if _read_json(header_file) == header and not overwrite:
                return folder
            if not overwrite:
                raise ConfigError(
                    f"{path} holds a run with other settings, data or version; "
                    "choose another --out, or give --overwrite to replace it"
                )
            shutil.rmtree(folder.path / "tasks", ignore_errors=True)
        elif any(folder.path.iterdir()) and not overwrite:
            raise ConfigError(
                f"{path} is not empty and holds no run; choose another --out, or give --overwrite"
            )
        write_json(header_file, header)
        return folder

    def task(self, method: str, fit: str, seed: int) -> Path:
        """Return the folder of a task."""
        return self.path / "tasks" / f"{method}-{fit.replace(':', '_')}-{seed}"

    def load_task(self, folder: Path) -> dict[str, Any] | None:
        """Return the record of a finished task that did not fail, else None."""
        record = folder / "task.json"
        if not record.exists():
            return None
        task: dict[str, Any] = _read_json(record)
        return task if task["status"] == "ok" else None

    def save_task(self, folder: Path, task: dict[str, Any], predictions: pd.DataFrame) -> None:
        """Write a task; the record comes last and atomically, so a killed task is not finished."""
        folder.mkdir(parents=True, exist_ok=True)
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        write_json(folder / "task.json", task)


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically, non-finite numbers as null."""
    text = json.dumps(_finite(values), indent=1, ensure_ascii=False, allow_nan=False)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105 - Path.replace returns a path nobody needs


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _finite(values: Any) -> Any:
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {str(key): _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return values
