"""Formulas of a file to a table of features, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.chem.formulas import Hydrates
from xtalshift.data.formula_texts import iter_formulas
from xtalshift.errors import FormulaError
from xtalshift.featurize.composition import CHUNK_ROWS, Blocks, composition_features

__all__ = ["FeaturizeSettings", "iter_feature_tables"]


@dataclass(frozen=True)
class FeaturizeSettings:
    """How a file of formulas becomes features.

    Attributes
    ----------
    blocks, impute_nan, hydrates
        See `xtalshift.featurize.CompositionFeaturizer`.
    formula_col : str, optional
        Column of the formulas; by default the usual names.
    strict : bool
        Whether a bad row is an error.
    """

    blocks: Blocks = "magpie"
    impute_nan: bool = True
    hydrates: Hydrates = "refuse"
    formula_col: str | None = None
    strict: bool = False


def iter_feature_tables(source: Path, settings: FeaturizeSettings) -> Iterator[pa.Table]:
    """Compute the features of a file, piece by piece in the order of its rows.

    Parameters
    ----------
    source : Path
        As `xtalshift.data.frames.read_frame` takes it.
    settings : FeaturizeSettings
        Features, and how formulas are read.

    Yields
    ------
    pyarrow.Table
        ``formula`` as written, one column per feature (null if missing), ``status`` (``ok`` or
        ``error``) and ``reason``; at least one table.

    Raises
    ------
    ConfigError
        If a setting is unknown.
    DataError
        If the file cannot be read.
    FormulaError
        If a row is bad and `settings.strict` is set.
    """
    first = 1
    for formulas in iter_formulas(source, CHUNK_ROWS, formula_col=settings.formula_col):
        features = composition_features(
            formulas,
            settings.blocks,
            impute_nan=settings.impute_nan,
            hydrates=settings.hydrates,
            order="F",
        )
        bad = features.reasons != ""
        if settings.strict and bad.any():
            row = int(bad.argmax())
            raise FormulaError(f"row {first + row}: {features.reasons[row]}")
        columns = [
            _texts(formulas),
            *map(_numbers, features.values.T),
            _texts(np.where(bad, "error", "ok").tolist()),
            _texts(features.reasons.tolist()),
        ]
        names = ["formula", *features.names, "status", "reason"]
        yield pa.Table.from_arrays(columns, names)
        first += len(formulas)


# Arrays from buffers: pyarrow.array imports pandas, which takes as long as 100,000 formulas.


def _numbers(values: NDArray[np.float64]) -> pa.Array:
    """Return a column of numbers; NaN is null."""
    known = ~np.isnan(values)
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])


def _texts(texts: list[str]) -> pa.Array:
    """Return a column of texts; a lone surrogate, which UTF-8 lacks, becomes ``?``."""
    joined = "".join(texts)
    cells = texts if joined.isascii() else [text.encode("utf-8", "replace") for text in texts]
    starts = np.cumsum([0, *map(len, cells)], dtype=np.int32)
    data = joined.encode("utf-8", "replace")
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(starts), pa.py_buffer(data))
