"""What predictions of numbers, of classes and of several targets share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.data.materials import Materials

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]


class _HasColumns(Protocol):
    @property
    def formula(self) -> TextArray: ...
    @property
    def id(self) -> TextArray | None: ...
    @property
    def reason(self) -> TextArray: ...
    def columns(self) -> dict[str, NDArray[Any]]: ...


class PredictedTable:
    """Formulas, with columns of one entry each.

    A subclass has `formula`, `id`, `reason` and `columns`; integers that are missing are masked.
    """

    @property
    def status(self: _HasColumns) -> TextArray:
        """``ok`` or ``error`` for each row, shape (n,)."""
        return np.where(self.reason == "", "ok", "error").astype(object)

    def rows(self: _HasColumns) -> list[dict[str, object]]:
        """Return the formula and all columns of each material as plain values."""
        columns = {**_names(self), **self.columns()}
        cells = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in cells]

    @property
    def frame(self: _HasColumns) -> pd.DataFrame:
        """The formulas and all columns as a table, as ``xtalshift predict`` writes it."""
        import pandas as pd  # a few predictions are printed without it

        return add_columns(pd.DataFrame(_names(self)), self.columns())


def _names(found: _HasColumns) -> dict[str, TextArray]:
    """Return what tells rows apart; polymorphs have one formula."""
    ids = {} if found.id is None else {"id": found.id}
    return {**ids, "formula": found.formula}


def add_columns(frame: pd.DataFrame, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Return a table with columns of predictions added, masked integers as missing ones."""
    import pandas as pd

    added: dict[str, Any] = {**columns}
    for name, values in columns.items():
        if isinstance(values, np.ma.MaskedArray):
            added[name] = pd.arrays.IntegerArray(values.data, np.ma.getmaskarray(values))
    return frame.assign(**added)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PredictedRows(PredictedTable):
    """What is known of each row beside its prediction, see `xtalshift.model.Predictions`."""

    formula: TextArray
    ood_score: FloatArray
    in_domain: NDArray[np.bool_]
    unseen_elements: TextArray
    nearest_formula: TextArray
    nearest_distance: FloatArray
    n_clipped: NDArray[np.int64]
    n_imputed: NDArray[np.int64]
    reason: TextArray
    id: TextArray | None = None
    nearest_id: TextArray | None = None
    nearest_space_group: NDArray[np.int64] | None = None
    explanation: TextArray | None = None


def optional_columns(
    found: PredictedRows, more: Mapping[str, NDArray[Any] | None] = MappingProxyType({})
) -> dict[str, NDArray[Any]]:
    """Return the columns that are there, also of `more`; an unknown space group is masked."""
    groups = found.nearest_space_group
    columns = {
        "nearest_id": found.nearest_id,
        "nearest_space_group": None if groups is None else np.ma.masked_equal(groups, 0),
        **more,
        "explanation": found.explanation,
    }
    return {name: values for name, values in columns.items() if values is not None}


def blank_rows(
    materials: Materials, reasons: TextArray, *, explain: bool, crystals: bool
) -> dict[str, Any]:
    """Return the fields of `PredictedRows`, n rows with nothing filled in yet."""
    n = len(materials)
    return {
        "formula": materials.formulas,
        "id": None if materials.structures is None else materials.ids,
        "ood_score": np.full(n, np.nan),
        "in_domain": np.zeros(n, dtype=bool),
        "unseen_elements": blank_texts(n),
        "nearest_formula": blank_texts(n),
        "nearest_distance": np.full(n, np.nan),
        "n_clipped": np.zeros(n, dtype=np.int64),
        "n_imputed": np.zeros(n, dtype=np.int64),
        "reason": reasons,
        "nearest_id": blank_texts(n) if crystals else None,
        "nearest_space_group": np.zeros(n, dtype=np.int64) if crystals else None,
        "explanation": blank_texts(n) if explain else None,
    }


def blank_texts(n: int) -> TextArray:
    """Return n empty texts."""
    return np.full(n, "", dtype=object)
