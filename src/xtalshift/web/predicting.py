"""Predictions of formulas and of tables of any length."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from xtalshift.config import Settings
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.data.structure_texts import CELLS_NAME_FILES
from xtalshift.errors import FormulaError
from xtalshift.jobs.predict import AnyPredictor, PredictionCounts, predict_file
from xtalshift.jsonio import Plain, finite
from xtalshift.model import ClassPredictions, Predictions
from xtalshift.model.several import FittedModels, SeveralPredictions
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.progress import Task
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.web.models import AnyModel
from xtalshift.web.problems import RequestError
from xtalshift.web.settings import ServeConfig

AnyPredictions: TypeAlias = Predictions | ClassPredictions | SeveralPredictions
_ROWS = 5000


class SentReading(ReadingOptions):
    """How a table is read that was sent: it names no files of the server."""

    structures: None = None
    """Not for a table that was sent: put the text of the structures into a column."""


class PredictOptions(Settings):
    """The options of ``xtalshift predict``."""

    level: float = Field(default=LEVEL, gt=0, lt=1)
    """Share of the true values that intervals should contain."""
    intervals: Literal["plain", "family", "weighted"] = "plain"
    """Which calibration rows count: all; those of the chemical family; or weighted by similarity to
    the rows of the table (at least 50)."""
    explain: bool = False
    """Whether to add a column of reasons."""
    strict: bool = False
    """Whether a bad row is an error."""


class TableQuery(PredictOptions, SentReading):
    """How a table is read and predicted."""

    @property
    def reading(self) -> SentReading:
        """How it is read."""
        names = set(SentReading.model_fields)
        return SentReading.from_dict(self.model_dump(include=names, exclude_unset=True))


class PredictRequest(PredictOptions):
    """Formulas to predict."""

    formulas: tuple[str, ...] = Field(min_length=1)
    """Chemical formulas."""
    given: dict[str, float | str] = Field(default={}, alias="with")
    """Value of each further column of the model, the same for all formulas."""
    intervals: Literal["plain", "family"] = "plain"
    """Which calibration rows count: all, or those of the chemical family."""


@contextmanager
def cells_are_content() -> Iterator[None]:
    """Let no cell of a table name a file of this machine."""
    before = CELLS_NAME_FILES.set(False)
    try:
        yield
    finally:
        CELLS_NAME_FILES.reset(before)


def predictor_of(
    model: AnyModel, asked: PredictOptions, reading: ReadingOptions = BY_DEFAULT
) -> AnyPredictor:
    """Return a model, of one target or of several, with the options of a request.

    Raises
    ------
    ConfigError
        If it has no intervals of the kind that is asked for.
    """
    how = (asked.level, asked.intervals, asked.explain, reading)
    if isinstance(model, FittedModels):
        return SeveralPredictor.of(model, *how)
    return TablePredictor(model, *how)


def predict_formulas(model: AnyModel, asked: PredictRequest) -> AnyPredictions:
    """Return the predictions of formulas.

    Raises
    ------
    DataError
        If a feature column is missing or unknown, or a formula is bad (`strict`).
    """
    predictor = predictor_of(model, asked)
    with cells_are_content():
        found: AnyPredictions = predictor.predict_formulas(asked.formulas, asked.given)
    bad = np.flatnonzero(found.reason != "")
    if asked.strict and bad.size:
        row = int(bad[0])
        error = FormulaError(f"row {row + 1}: {found.formula[row]}: {found.reason[row]}")
        error.row, error.value = row + 1, str(found.formula[row])
        cause, _, remedy = str(found.reason[row]).rpartition("; ")
        error.remedy = remedy if cause else None
        raise error
    return found


@dataclass
class Limits:
    """A progress that ends a prediction with too many rows, too long, or that nobody waits for."""

    config: ServeConfig
    gone: Event = field(default_factory=Event)
    """Set when the client has closed the connection."""
    rows: int = 0
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:  # noqa: ARG002
        """Begin a piece of work."""
        self.rows = 0
        yield self

    def say(self, text: str) -> None:
        """Ignore a line: the answer says what was read as what."""

    def advance(self, steps: int = 1, **info: float | str) -> None:  # noqa: ARG002
        """Count rows.

        Raises
        ------
        RequestError
            If a limit is reached.
        """
        self.rows += steps
        if self.rows > self.config.max_rows:
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the table has more than {self.config.max_rows:,} rows; send it in parts",
            )
        if time.monotonic() - self.began > self.config.max_seconds:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the prediction took more than {self.config.max_seconds:g} s, of which "
                f"{self.rows:,} rows; send the table in parts",
            )
        if self.gone.is_set():
            raise RequestError(HTTPStatus.BAD_REQUEST, "the client has closed the connection")


def predict_table(
    model: AnyModel, source: Path, out: Path, query: TableQuery, limits: Limits
) -> PredictionCounts:
    """Write the predictions of a table, see `xtalshift.jobs.predict.predict_file`."""
    predictor = predictor_of(model, query, query.reading)
    with cells_are_content():
        return predict_file(predictor, source, out, strict=query.strict, progress=limits)


def json_rows(path: Path, head: Plain) -> Iterator[bytes]:
    """Yield a JSON object with the rows of a Parquet file, some thousand at a time."""
    import pyarrow.parquet as pq

    yield json.dumps(finite(head), allow_nan=False).encode()[:-1] + b', "predictions": ['
    comma = b""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS):
            rows: list[dict[str, Any]] = batch.to_pylist()
            texts = (json.dumps(finite(row), allow_nan=False, default=str) for row in rows)
            yield comma + b",".join(text.encode() for text in texts)
            comma = b","
    yield b"]}\n"
