"""What a worker does: a block of rows in, the part of the output and the best rows out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.data import find_formula_column
from xtalshift.errors import XtalshiftError
from xtalshift.model import load_model
from xtalshift.model.predictions import PREDICTED_COLUMNS
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.nn.device import limit_threads
from xtalshift.screening.blocks import Block, arrow_text, decode, pack_table
from xtalshift.screening.outcome import COUNTS, ModelInfo, Outcome
from xtalshift.screening.plan import ScreenSettings
from xtalshift.screening.top import pick

__all__ = ["Screener", "arrow_column", "parquet_bytes"]

_DUPLICATE = "an earlier row has the same reduced formula"
_TEXT = ("status", "reason", "unseen_elements", "nearest_formula")


class Screener:
    """A loaded model that predicts blocks.

    Parameters
    ----------
    model : Path
        Folder of a saved model.
    settings : ScreenSettings
        What is wanted.

    Raises
    ------
    ModelFormatError
        If the model cannot be read.
    NotConformalizedError
        If it has not the intervals that are wanted.
    """

    def __init__(self, model: Path, settings: ScreenSettings) -> None:
        limit_threads(settings.threads)
        loaded = load_model(model, device=settings.device)
        if settings.hydrates is not None:
            loaded = loaded.with_hydrates(settings.hydrates)
        self.settings = settings
        self.predictor = TablePredictor(
            loaded, settings.level, settings.intervals, formula_col=settings.formula_col
        )

    @cached_property
    def info(self) -> ModelInfo:
        """What is to be known of the model."""
        model = self.predictor.model
        calibration = model.calibration
        return ModelInfo(
            model.featurizer.hydrates,
            model.card.feature_cols,
            PREDICTED_COLUMNS,
            model.card.unit,
            calibration is not None,
            model.domain is not None,
            calibration is not None
            and calibration.kind == "absolute"
            and model.scale.name == "none",
        )

    def screen(self, block: Block) -> Outcome:
        """Predict the rows of a block.

        Raises
        ------
        DataError
            If the block is malformed; a formula that is, is a row with a reason.
        """
        settings = self.settings
        column = find_formula_column(block.layout.columns, settings.formula_col)
        others = tuple(name for name in self.info.feature_cols if name != column)
        table, frame = decode(block, column, others)
        try:
            columns = self.predict(frame, block)
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
            best = pack_table(pick(table, columns, settings.top, block.first))
        if settings.keep != "top":
            kept = table.filter(pa.array(status == "ok")) if settings.keep == "ok" else table
            part = parquet_bytes(kept)
        named = {name: int(count) for name, count in zip(COUNTS, counts, strict=True)}
        return Outcome(block.number, named, part, best)

    @cached_property
    def _units(self) -> dict[str, str]:
        return self.predictor.units()

    def predict(self, frame: pd.DataFrame, block: Block) -> dict[str, NDArray[Any]]:
        """Return the columns of predictions of the rows of a block; those of repeated rows say so.

        Parameters
        ----------
        frame : pandas.DataFrame, n rows
            What `decode` returns of the block.
        block : Block
            Where the rows come from, and which of them are repeated.
        """
        fresh = np.ones(block.rows, np.bool_) if block.repeated is None else ~block.repeated
        rows = frame if fresh.all() else frame[fresh].reset_index(drop=True)
        rows.attrs.update(frame.attrs)
        found = self.predictor.predict(rows, block.layout.source)
        columns = {name: found[name].to_numpy() for name in self.info.added}
        if fresh.all():
            return columns
        return {name: _spread(values, name, fresh) for name, values in columns.items()}


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
    """Return one column of predictions as Arrow holds it."""
    return arrow_text(values.tolist()) if values.dtype.kind == "O" else pa.array(values)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file; the same table gives the same bytes."""
    sink = io.BytesIO()
    # dictionaries only where values repeat: building them for others takes half of the time
    repeating = [name for name in _TEXT if name in table.column_names]
    pq.write_table(table, sink, compression="zstd", use_dictionary=repeating)
    return sink.getvalue()
