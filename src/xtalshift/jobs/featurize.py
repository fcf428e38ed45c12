"""Compute a table of features from a file of formulas, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.formula_texts import iter_formulas, name_structures
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import FormulaError
from xtalshift.featurize.blocks import Blocks, needs_structures
from xtalshift.featurize.composition import CHUNK_ROWS, composition_features
from xtalshift.featurize.features import Features

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class FeaturizeSettings:
    """Settings for the features of a file of formulas."""

    blocks: Blocks = "magpie"
    impute_nan: bool = True
    """`blocks`, `impute_nan`: see `xtalshift.featurize.CompositionFeaturizer`."""
    reading: ReadingOptions = BY_DEFAULT
    """How the table is read."""
    strict: bool = False
    """Whether a bad row is an error."""


def iter_features(
    source: Path, settings: FeaturizeSettings
) -> Iterator[tuple[list[str], Features, list[str]]]:
    """Compute the features of a file, piece by piece in the order of its rows.

    Parameters
    ----------
    source : Path
        As `xtalshift.data.frames.read_raw` takes it.
    settings : FeaturizeSettings
        Settings of features and formulas.

    Yields
    ------
    formulas : list of str, length n
        Formulas as written.
    features : Features
        n rows; the columns of the values are contiguous.
    ids : list of str, length n
        Ids of rows with structures; empty for formulas, and for a table without ids.

    Raises
    ------
    ConfigError
        If a setting is unknown.
    DataError
        If the file cannot be read.
    FormulaError
        If a row is bad and `settings.strict` is set.
    """
    first, reading = 1, settings.reading
    if needs_structures(settings.blocks):
        reading = name_structures(source, reading)
    for found in iter_formulas(source, CHUNK_ROWS, reading):
        formulas = found.names
        materials = found.materials(settings.reading.notation)
        features = composition_features(
            materials.compositions,
            settings.blocks,
            structures=materials.structures,
            impute_nan=settings.impute_nan,
            order="F",
        )
        refused = materials.reasons != ""
        features.reasons[refused] = materials.reasons[refused]
        bad = np.flatnonzero(features.reasons != "")
        if settings.strict and bad.size:
            raise FormulaError(f"row {first + bad[0]}: {features.reasons[bad[0]]}")
        yield formulas, features, found.ids
        first += len(formulas)


def feature_table(formulas: list[str], features: Features, ids: Sequence[str] = ()) -> pa.Table:
    """Return the table of some rows.

    Parameters
    ----------
    formulas, features, ids
        As `iter_features` yields them.

    Returns
    -------
    pyarrow.Table
        ``id`` (of structures), ``formula``, one column per feature (null if missing), ``status``
        (``ok`` or ``error``) and ``reason``.
    """
    import pyarrow as pa

    from xtalshift.data.arrow_texts import text_array

    # from buffers, because pyarrow.array would import pandas, which takes longer than all of this
    def numbers(values: NDArray[np.float64]) -> pa.Array:
        known = ~np.isnan(values)
        valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
        return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])

    status = np.where(features.reasons == "", "ok", "error").tolist()
    return pa.Table.from_arrays(
        [
            *([text_array(ids)] if ids else []),
            text_array(formulas),
            *map(numbers, features.values.T),
            text_array(status),
            text_array(features.reasons.tolist()),
        ],
        [*(["id"] if ids else []), "formula", *features.names, "status", "reason"],
    )
