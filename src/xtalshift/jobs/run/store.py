"""The folder of a run: finished tasks, so that it can be resumed, and the assembled results."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xtalshift.benchmark.records import RESULTS_FILE
from xtalshift.errors import ConfigError, DataError
from xtalshift.jsonio import read_json, write_json

__all__ = ["RunFolder"]

HEADER_FILE = "run.json"
OUTPUT_FILES = (RESULTS_FILE, "config.toml", "predictions.parquet", "map.parquet", "report.html")
OUTPUT_FOLDERS = ("tasks", "model")


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
            Begin anew: what an earlier run left in the folder is removed; other files stay.

        Raises
        ------
        ConfigError
            If the folder holds another run or other files.
        DataError
            If it cannot be written.
        """
        folder = cls(Path(path))
        header = json.loads(json.dumps(header))
        resumes = folder._admits(header, overwrite=overwrite)
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            probe = folder.path / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise DataError(
                f"cannot write to {path}: {error.strerror}; choose another --out"
            ) from error
        if not resumes:
            folder._clear()
            write_json(folder.path / HEADER_FILE, header)
        return folder

    def _admits(self, header: dict[str, Any], *, overwrite: bool) -> bool:
        """Return whether a run of this header is to be continued; raise if it may not start."""
        held = {item.name for item in self.path.iterdir()} if self.path.is_dir() else set()
        if HEADER_FILE in held:
            if overwrite:
                return False
            if changed := _differences(read_json(self.path / HEADER_FILE), header):
                raise ConfigError(
                    f"{self.path} holds a run with other settings, data or version "
                    f"({', '.join(changed[:4])}); choose another --out, or give --overwrite to "
                    "replace it"
                )
            return True
        if held and not overwrite:
            raise ConfigError(
                f"{self.path} is not empty and holds no run; choose another --out, or give "
                "--overwrite to add a run to what is there"
            )
        if taken := sorted(held.intersection(OUTPUT_FILES + OUTPUT_FOLDERS)):
            raise ConfigError(
                f"{self.path} holds no run but {taken[0]!r}, which a run would replace; "
                "choose another --out"
            )
        return False

    def _clear(self) -> None:
        for name in OUTPUT_FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in OUTPUT_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def task(self, method: str, fit: str, seed: int) -> Path:
        """Return the folder of a task."""
        return self.path / "tasks" / f"{method}-{fit.replace(':', '_')}-{seed}"

    def load_task(self, folder: Path) -> dict[str, Any] | None:
        """Return the record of a finished task that did not fail, else None."""
        needed = [folder / name for name in ("task.json", "predictions.parquet", "model")]
        if not all(path.exists() for path in needed):
            return None
        task: dict[str, Any] = read_json(needed[0])
        return task if task["status"] == "ok" else None

    def save_task(self, folder: Path, task: dict[str, Any], predictions: pd.DataFrame) -> None:
        """Write a task; the record comes last and atomically, so a killed task is not finished."""
        folder.mkdir(parents=True, exist_ok=True)
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        write_json(folder / "task.json", task)


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Return the dotted names of the values that differ between two nested dictionaries."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [name.removeprefix("config.")]
    return [
        found
        for key in sorted(old.keys() | new.keys())
        for found in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    ]
