"""Predictions that a reader of the page looks at: kept until many newer ones are there."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xtalshift.errors import DataError, NotFoundError
from xtalshift.jsonio import Plain, read_json, write_json

MOST_KEPT = 200
"""Older ones are removed."""
_SHARE = 0.25
"""Share of the store that predictions may take: nobody can delete one."""
PREDICTED = "predictions.parquet"
"""Name of the table of the predictions."""

_ID = re.compile("prediction-[0-9a-f]{16}")
_NOTES = "prediction.json"


@dataclass(frozen=True)
class StoredPrediction:
    """A table that a model has predicted."""

    id: str
    model: str
    """Name of the model."""
    source: str
    """Name of the file that was sent, or empty for formulas that were typed."""
    file: str
    """Name of the input in its folder."""
    rows: int
    bad: int
    """`rows`, `bad`: numbers of rows, and of those without a prediction."""
    asked: Plain = field(default_factory=dict)
    """The options."""
    created: float = 0.0
    """Seconds since 1970."""
    checksum: str = ""
    """That of the model: another one may get its name."""


class PredictionStore:
    """Predictions by their ids, each in a folder of its own."""

    def __init__(self, store: Path, most_mb: float, checksum: Callable[[str], str]) -> None:
        """Keep predictions in a store of so many 10^6 bytes.

        `checksum` is that of the present model of a name, see `xtalshift.web.models.Shelf`.
        """
        self._checksum = checksum
        self._most_bytes = most_mb * 1e6 * _SHARE
        self._folder = store / "predictions"
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(
        self, scratch: Path, work: Callable[[Path], tuple[int, int]], *, model: str, **said: Any
    ) -> StoredPrediction:
        """Keep what `work` writes into a folder.

        Parameters
        ----------
        scratch : Path
            A folder of this prediction alone, with its input; it is moved, complete or not at all.
        work : callable
            Writes `PREDICTED` into it, and returns the numbers of rows and of bad ones.
        model : str
            Name of the model.
        **said
            Other fields of `StoredPrediction`.
        """
        said["checksum"] = self._checksum(model)
        rows, bad = work(scratch)
        id_ = f"prediction-{secrets.token_hex(8)}"
        found = StoredPrediction(id_, model=model, rows=rows, bad=bad, created=time.time(), **said)
        write_json(scratch / _NOTES, asdict(found))
        scratch.rename(self._folder / id_)
        self._shrink()
        return found

    def get(self, id: str, model: str) -> StoredPrediction:  # noqa: A002 - as of tables and jobs
        """Return a prediction of a model.

        Raises
        ------
        NotFoundError
            If there is none of this id, or not any more, or its model has gone.
        """
        notes = self._folder / id / _NOTES
        if not _ID.fullmatch(id) or not notes.is_file():
            raise NotFoundError(
                f"there is no prediction {id[:100]!r}; the newest {MOST_KEPT} are kept: predict "
                "again"
            )
        found = StoredPrediction(**read_json(notes))
        if found.model != model:
            raise NotFoundError(f"prediction {id} is of the model {found.model!r}")
        if found.checksum != self._checksum(model):
            raise NotFoundError(
                f"prediction {id} was made by an earlier model {model!r}; predict again"
            )
        return found

    def forget(self, model: str) -> None:
        """Remove the predictions of a model that has been deleted."""
        for folder in self._folder.iterdir():
            with suppress(DataError):  # removed meanwhile
                if read_json(folder / _NOTES)["model"] == model:
                    try:
                        self.get(folder.name, model)
                    except NotFoundError:
                        shutil.rmtree(folder, ignore_errors=True)

    def path(self, found: StoredPrediction, name: str = PREDICTED) -> Path:
        """Return a file of a prediction: its table, or its input by the name in `found`."""
        return self._folder / found.id / name

    def _shrink(self) -> None:
        with suppress(FileNotFoundError):  # another request removes the same ones
            kept = sorted(self._folder.iterdir(), key=lambda one: -one.stat().st_mtime)
            taken = 0
            for number, folder in enumerate(kept):
                taken += sum(file.stat().st_size for file in folder.iterdir())
                if number and (number >= MOST_KEPT or taken > self._most_bytes):
                    shutil.rmtree(folder, ignore_errors=True)
