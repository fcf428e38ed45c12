"""Predictions of formulas and of tables of any length."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.model.predicted_rows import TextArray

AnyPredictions: TypeAlias = Predictions | ClassPredictions | SeveralPredictions
_ROWS = 5000
_AT_ONCE = 1000
"""Formulas that are predicted between two looks at the limits."""


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


@dataclass(frozen=True)
class FormulaPredictions:
    """The predictions of formulas, which were predicted some at a time."""

    parts: Sequence[AnyPredictions]
    """At least one."""

    @property
    def frame(self) -> pd.DataFrame:
        """All rows as a table."""
        import pandas as pd

        return pd.concat([one.frame for one in self.parts], ignore_index=True)

    @property
    def formula(self) -> TextArray:
        """Shape (n,). The formulas as they were given."""
        return np.concatenate([one.formula for one in self.parts])

    @property
    def reason(self) -> TextArray:
        """Shape (n,). Why a formula is not predicted; empty if it is."""
        return np.concatenate([one.reason for one in self.parts])

    def rows(self) -> list[dict[str, object]]:
        """Return the formula and all columns of each row as plain values."""
        return [row for one in self.parts for row in one.rows()]


def predict_formulas(model: AnyModel, asked: PredictRequest, limits: Limits) -> FormulaPredictions:
    """Return the predictions of formulas.

    Raises
    ------
    DataError
        If a feature column is missing or unknown, or a formula is bad (`strict`).
    RequestError
        If it takes too long, or the client has gone.
    """
    predictor = predictor_of(model, asked)
    parts: list[AnyPredictions] = []
    with cells_are_content():
        for first in range(0, len(asked.formulas), _AT_ONCE):
            some = asked.formulas[first : first + _AT_ONCE]
            parts.append(predictor.predict_formulas(some, asked.given))
            limits.advance(len(some))
    found = FormulaPredictions(parts)
    reasons = found.reason
    bad = np.flatnonzero(reasons != "")
    if asked.strict and bad.size:
        row = int(bad[0])
        formula, reason = str(found.formula[row]), str(reasons[row])
        error = FormulaError(f"row {row + 1}: {formula}: {reason}")
        error.row, error.value = row + 1, formula
        cause, _, remedy = reason.rpartition("; ")
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
        self.check("prediction", f", of which {self.rows:,} rows; send the table in parts")

    def check(self, what: str, more: str) -> None:
        """Raise `RequestError` if the time is over, or the client has gone."""
        seconds = self.config.max_seconds
        if time.monotonic() - self.began > seconds:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the {what} took more than {seconds:g} s{more}"
            )
        if self.gone.is_set():
            raise RequestError(HTTPStatus.BAD_REQUEST, "the client has closed the connection")


class ExplanationLimits(Limits):
    """The same for explanations, which compare materials that are no rows of a table."""

    def advance(self, steps: int = 1, **info: float | str) -> None:  # noqa: ARG002
        """Look at the time."""
        self.check("explanation", "; ask for one formula at a time, and for fewer substitutions")


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
