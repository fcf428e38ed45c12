"""The table that every other part works on: materials, a target, and other columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.numbers import parse_numbers
from xtalshift.errors import DataError, SplitError
from xtalshift.provenance import hash_text
from xtalshift.registry import near_miss

__all__ = ["MaterialsTable"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class MaterialsTable:
    """Materials with a target; never changed in place, `take` and cleaning return new tables.

    Parameters
    ----------
    ids : numpy.ndarray of shape (n,)
        One text per row.
    formulas : numpy.ndarray of shape (n,)
        Formula text exactly as read (``"NaN"`` is sodium nitride).
    targets : numpy.ndarray of shape (n,) or None
        The property in `unit`; NaN where a cell holds no number. None for rows to predict.
    extra : pandas.DataFrame
        The other columns, n rows (by default none).
    target_name, unit, source, conditions : str
        What the target is, its unit (``""``: unknown), the file or catalogue name, and the state
        (temperature, doping) it is for.
    problems : numpy.ndarray of shape (n,) or None
        Why a target is unusable, as `xtalshift.data.numbers.parse_numbers` words it; None if
        every target is a number or no reader was involved.
    groups : numpy.ndarray of shape (n,) or None
        Reduced formula per row; filled by cleaning.

    Raises
    ------
    DataError
        If the columns differ in length.
    """

    ids: ObjectArray
    formulas: ObjectArray
    targets: FloatArray | None = None
    extra: pd.DataFrame = field(default_factory=pd.DataFrame)
    target_name: str = ""
    unit: str = ""
    source: str = ""
    conditions: str = ""
    problems: ObjectArray | None = None
    groups: ObjectArray | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "formulas", "problems", "groups"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _as_text(values))
        if self.targets is not None:
            object.__setattr__(self, "targets", np.array(self.targets, dtype=np.float64))
        n = len(self.ids)
        extra = self.extra.reset_index(drop=True)
        if not len(extra.columns):
            extra = pd.DataFrame(index=pd.RangeIndex(n))
        object.__setattr__(self, "extra", extra)
        for name in ("formulas", "targets", "extra", "problems", "groups"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise DataError(f"{name} has {len(values)} rows, ids has {n}; they must agree")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: npt.NDArray[np.integer] | Sequence[int]) -> MaterialsTable:
        """Return the rows at `indices`, in that order (rows may repeat)."""
        chosen = np.asarray(indices, dtype=np.intp)
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("ids", "formulas", "targets", "problems", "groups"):
            values[name] = None if values[name] is None else values[name][chosen]
        values["extra"] = self.extra.iloc[chosen]
        return MaterialsTable(**values)

    def feature_columns(self, names: Sequence[str]) -> FloatArray:
        """Return extra columns as numbers.

        Parameters
        ----------
        names : sequence of str
            Columns of `extra`, such as ``["temperature"]``.

        Returns
        -------
        numpy.ndarray of shape (n, len(names))
            Finite float64 values.

        Raises
        ------
        DataError
            If a column does not exist, or a cell is missing or not a finite number; the message
            names the row (1 is the first) and the value.
        """
        numbers = np.empty((len(self), len(names)))
        for position, name in enumerate(names):
            numbers[:, position], problems = self.parse_extra(name)
            bad = np.flatnonzero(problems != "")
            if bad.size:
                row = int(bad[0])
                raise DataError(
                    f"column {name!r}, row {row + 1} (id {self.ids[row]}): {problems[row]}; "
                    f"{bad.size} of {len(self)} rows have no usable {name!r}. Fill the cells, "
                    "drop the rows, or leave the column out of the feature columns"
                )
        return numbers

    def parse_extra(self, name: str) -> tuple[FloatArray, ObjectArray]:
        """Return one extra column as numbers with a problem per row.

        Returns
        -------
        values : numpy.ndarray of shape (n,)
            float64, NaN where there is no number.
        problems : numpy.ndarray of shape (n,)
            As `xtalshift.data.numbers.parse_numbers`.

        Raises
        ------
        DataError
            If the column does not exist.
        """
        if name not in self.extra.columns:
            columns = [str(column) for column in self.extra.columns]
            raise DataError(
                f"no column {name!r} beside formula and target{near_miss(name, columns)}; "
                f"there is: {', '.join(columns) or 'none'}"
            )
        return parse_numbers(self.extra[name])

    def flags(self, column: str) -> npt.NDArray[np.bool_]:
        """Return a column of flags (true and false, yes and no, 1 and 0), shape (n,).

        Raises
        ------
        DataError
            If the column does not exist or a cell is empty.
        SplitError
            If a cell is no flag; the message names formula and id.
        """
        if column in self.extra.columns and self.extra[column].dtype == bool:
            return np.asarray(self.extra[column], dtype=bool)
        words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
        if column in self.extra.columns:
            texts = self.extra[column].astype(str).str.strip().str.casefold()
            if texts.isin(list(words)).all():
                return np.asarray(texts.map(words) == 1.0, dtype=bool)
        values = self.feature_columns([column])[:, 0]
        bad = np.flatnonzero((values != 0) & (values != 1))
        if bad.size:
            raise SplitError(
                f"column {column!r}, {self.formulas[bad[0]]} (id {self.ids[bad[0]]}): "
                f"{values[bad[0]]:g} is no flag; use 0 and 1, or true and false"
            )
        return np.asarray(values == 1, dtype=bool)

    def sha256(self) -> str:
        """Return the hash of all rows (ids, formulas, targets, extra columns and their names)."""
        columns = [self.ids, self.formulas]
        if self.targets is not None:
            columns.append(self.targets.astype(object))
        columns.extend(self.extra[name].to_numpy(dtype=object) for name in self.extra.columns)
        header = repr((self.target_name, [str(name) for name in self.extra.columns]))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return hash_text([header, *map(repr, rows)])

    def describe(self) -> dict[str, Any]:
        """Return what identifies a cleaned table, for provenance."""
        return {
            "source": self.source,
            "sha256": self.sha256(),
            "rows": len(self),
            "materials": len(set(self.formulas if self.groups is None else self.groups)),
            "target": self.target_name,
            "unit": self.unit,
            "conditions": self.conditions,
        }


def _as_text(values: ObjectArray) -> ObjectArray:
    """Return a new object array of str."""
    array = np.empty(len(values), dtype=object)
    array[:] = [value if type(value) is str else str(value) for value in values]
    return array
