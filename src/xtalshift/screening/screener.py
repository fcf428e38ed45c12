"""What a worker does: predict a block and return a part of the output and its best rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.chem.formulas import Notation
from xtalshift.data import RawTable
from xtalshift.data.arrow_texts import text_array
from xtalshift.data.formula_texts import find_formulas
from xtalshift.data.sources import pack_table
from xtalshift.errors import XtalshiftError
from xtalshift.screening.inputs import Block
from xtalshift.screening.settings import ScreenSettings
from xtalshift.screening.top import chances, pick

COUNTS = ("rows", "ok", "errors", "duplicates", "in_domain", "clipped")
"""What is counted in every block."""
_DUPLICATE = "an earlier row has the same reduced formula"
_TEXT = ("status", "reason", "unseen_elements", "nearest_formula")


@dataclass(frozen=True)
class ModelInfo:
    """What the driver, which does not load the model, needs to know about it."""

    notation: Notation
    """How formulas are read that can be read in two ways."""
    feature_cols: tuple[str, ...]
    """Columns that the model needs besides the formula."""
    added: tuple[str, ...]
    """Columns that it adds."""
    has_intervals: bool
    has_domain: bool
    """`has_intervals`, `has_domain`: whether it was calibrated, and saved with its domain."""
    one_width: bool
    """Whether its plain intervals all have the same width."""


@dataclass(frozen=True)
class Screened:
    """Result of a block."""

    counts: dict[str, int]
    """The numbers of `COUNTS`."""
    part: bytes | None = field(repr=False)
    """Its rows as a Parquet file, if any are written."""
    best: bytes | None = field(repr=False)
    """Its best rows as an Arrow stream, if a table of the best is wanted."""


class Screener:
    """A loaded model that predicts blocks.

    Its libraries are imported when it is made, so that the driver need not load them.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    settings : ScreenSettings
        Settings.

    Raises
    ------
    ModelFormatError
        If the model cannot be read.
    NotConformalizedError
        If the settings ask for intervals that the model does not have.
    """

    def __init__(self, model: Path, settings: ScreenSettings) -> None:
        from xtalshift.model import load_model
        from xtalshift.model.table_predictor import TablePredictor

        loaded = load_model(model, device=settings.device)
        self.settings = settings
        self.predictor = TablePredictor(
            loaded, settings.level, settings.intervals, reading=settings
        )

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], settings: ScreenSettings) -> Self:
        """Return a screener with the model of some files, for a machine that lacks its folder."""
        with TemporaryDirectory(prefix="xtalshift-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            return cls(Path(folder), settings)

    @cached_property
    def info(self) -> ModelInfo:
        """Properties of the model."""
        from xtalshift.model.predictions import PREDICTED_COLUMNS

        model = self.predictor.model
        return ModelInfo(
            self.predictor.notation,
            model.card.feature_cols,
            PREDICTED_COLUMNS,
            model.calibration is not None,
            model.domain is not None,
            model.one_width,
        )

    def screen(self, block: Block) -> Screened:
        """Predict the rows of a block; an invalid formula becomes a row with a reason.

        Raises `DataError` if the block is malformed.
        """
        settings = self.settings
        formulas = find_formulas(
            block.layout.columns, settings, self.predictor.notation.amounts
        ).names
        table, rows = block.parse(dict.fromkeys([*formulas, *self.info.feature_cols]))
        try:
            columns, ranks = self.predict(rows, block)
        except XtalshiftError as error:
            raise type(error)(f"{block.where}: {error}") from error
        for name, values in columns.items():
            table = table.append_column(_field(name, values, self._units), arrow_column(values))
        status = columns["status"]
        counts = (
            len(status),
            np.sum(status == "ok"),
            np.sum(status == "error"),
            np.sum(status == "duplicate"),
            np.sum(columns["in_domain"]),
            np.sum(columns["n_clipped"] > 0),
        )
        part = best = None
        if settings.top is not None:
            best = pack_table(pick(table, {**columns, **ranks}, settings.top, block.first))
        if settings.keep != "top":
            kept = table.filter(pa.array(status == "ok")) if settings.keep == "ok" else table
            part = parquet_bytes(kept)
        named = {name: int(count) for name, count in zip(COUNTS, counts, strict=True)}
        return Screened(named, part, best)

    @cached_property
    def _units(self) -> dict[str, str]:
        return self.predictor.units()

    def predict(
        self, rows: RawTable, block: Block
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float64]]]:
        """Return the columns of predictions, and what else rows are ranked by.

        Repeated rows have the status ``"duplicate"``.
        """
        top = self.settings.top
        fresh = np.ones(block.rows, np.bool_) if block.repeated is None else ~block.repeated
        frame, found = self.predictor.predict_table(
            rows if fresh.all() else rows.take(fresh), block.layout.source
        )
        columns = {name: frame[name].to_numpy() for name in self.info.added}
        ranks = {} if top is None else chances(found, top)
        if fresh.all():
            return columns, ranks
        spread = [
            {name: _spread(values, name, fresh) for name, values in part.items()}
            for part in (columns, ranks)
        ]
        return spread[0], spread[1]


def _spread(values: NDArray[Any], name: str, fresh: NDArray[np.bool_]) -> NDArray[Any]:
    fill: Any = {"f": np.nan, "b": False, "i": 0, "u": 0}.get(values.dtype.kind, "")
    fill = {"status": "duplicate", "reason": _DUPLICATE}.get(name, fill)
    spread = np.full(len(fresh), fill, dtype=values.dtype)
    spread[fresh] = values
    return spread


def _field(name: str, values: NDArray[Any], units: Mapping[str, str]) -> pa.Field:
    kinds = {"f": pa.float64(), "b": pa.bool_(), "i": pa.int64()}
    kind = kinds.get(values.dtype.kind, pa.string())
    return pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)


def arrow_column(values: NDArray[Any]) -> pa.Array:
    """Return a column of predictions as an Arrow array."""
    return text_array(values.tolist()) if values.dtype.kind == "O" else pa.array(values)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file; equal tables give equal bytes."""
    sink = io.BytesIO()
    # dictionaries only where values repeat: building them for others takes half of the time
    repeating = [name for name in _TEXT if name in table.column_names]
    pq.write_table(table, sink, compression="zstd", use_dictionary=repeating)
    return sink.getvalue()
