"""A data set: materials with a target, and the other columns of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.chem.formulas import Hydrates, Notation
from xtalshift.chem.mixtures import Amounts
from xtalshift.data.files import list_names
from xtalshift.data.intake import CleaningReport, Reading
from xtalshift.data.materials import Materials
from xtalshift.data.number_texts import POINT, NumberStyle
from xtalshift.data.numbers import parse_numbers
from xtalshift.errors import DataError, SplitError
from xtalshift.notebook import SHOWN_ROWS, html_table
from xtalshift.provenance import hash_text
from xtalshift.registry import near_miss

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]
IntArray: TypeAlias = npt.NDArray[np.int64]


_BY_ROW = ("problems", "weights", "noise", "row_problems", "bounds")
"""Optional arrays with one entry per row."""


@dataclass(frozen=True, kw_only=True)
class DatasetDescription:
    """Values that identify a data set; `materials` is its number of reduced formulas."""

    source: str = ""
    sha256: str = ""
    rows: int | None = None
    materials: int | None = None
    target: str = ""
    unit: str = ""
    conditions: str = ""
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Materials with a target. It never changes; `take` and cleaning return new data sets.

    Parameters
    ----------
    materials : Materials
        n rows.
    targets : ndarray of float64, shape (n,), or None
        The property in `unit`; NaN if a cell is not a number. None for rows to predict.
    columns : pandas.DataFrame
        The other columns, n rows (by default none).
    target_name, unit, source, conditions : str
        Name of the target, its unit (``""``: unknown), the file or catalogue name, and the
        conditions (temperature, doping) it is for.
    problems : ndarray of str, shape (n,), or None
        Why a target is unusable, in the words of `xtalshift.data.numbers.parse_numbers`; None if
        every target is a number or the data were not read from a file.
    weights : ndarray of float64, shape (n,), or None
        How much each row counts in the loss of a fit, at least 0; None if all count the same.
        Errors, coverage and other metrics count each row once.
    noise : ndarray of float64, shape (n,), or None
        Standard deviation of the measurement of each target, in `unit`; None if it is not known.
    row_problems : ndarray of str, shape (n,), or None
        Why a row cannot be used besides its formula and target, such as ``"weight: negative: -1"``;
        None if the data were not read from a file.
    bounds : ndarray of float64, shape (n, 2), or None
        What is known of each target, also of a cell such as ``<4.2``, from -inf to 4.2; see
        `xtalshift.data.numbers.NumberColumn`. None if the data were not read from a file, and after
        cleaning if no bound is used.
    bounds_in_loss : bool
        Whether a fit takes the bounds into its loss as they are (Tobit), in place of what fits
        expect of the values.
    classes : tuple of str, or None
        Names of the classes, if the target is one: `targets` are then their numbers, from 0. None
        for a target that is a number.
    ordered : bool
        Whether the order of the classes means something.
    intake : CleaningReport or None
        What cleaning dropped and merged; None before cleaning.
    style : NumberStyle
        How the numbers in text columns are written.
    reading : Reading or None
        What of the table was read as what; None if the data were not read from a table.
    row_numbers : ndarray of int64, shape (n,)
        Which row of the table each row is, for messages: 1 is the first below the header. `take`
        and cleaning keep it. By default 1 to n.

    Raises
    ------
    DataError
        If the columns differ in length.
    """

    materials: Materials
    targets: FloatArray | None = None
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)
    target_name: str = ""
    unit: str = ""
    source: str = ""
    conditions: str = ""
    problems: ObjectArray | None = None
    weights: FloatArray | None = None
    noise: FloatArray | None = None
    row_problems: ObjectArray | None = None
    bounds: FloatArray | None = None
    bounds_in_loss: bool = False
    classes: tuple[str, ...] | None = None
    ordered: bool = False
    intake: CleaningReport | None = None
    style: NumberStyle = POINT
    reading: Reading | None = None
    row_numbers: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if self.targets is not None:
            object.__setattr__(self, "targets", np.array(self.targets, dtype=np.float64))
        for name in ("weights", "noise"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.array(given, dtype=np.float64))
        n = len(self.materials)
        columns = self.columns.reset_index(drop=True)
        if not len(columns.columns):
            columns = pd.DataFrame(index=pd.RangeIndex(n))
        object.__setattr__(self, "columns", columns)
        if not len(self.row_numbers):
            object.__setattr__(self, "row_numbers", np.arange(1, n + 1))
        for name in ("targets", "columns", *_BY_ROW, "row_numbers"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise DataError(f"{name} has {len(values)} rows, but there are {n} formulas")

    @classmethod
    def of(
        cls,
        formulas: Sequence[Any] | npt.NDArray[Any],
        targets: npt.ArrayLike | None = None,
        *,
        ids: Sequence[Any] | npt.NDArray[Any] | None = None,
        extra: npt.ArrayLike | None = None,
        hydrates: Hydrates = "refuse",
        amounts: Amounts | None = None,
        **fields: Any,
    ) -> Self:
        """Return a data set of formulas and values, with the other `fields` by name.

        Words and booleans are classes, in alphabetical order; ``classes=`` names those of numbers
        0, 1 ...

        Examples
        --------
        >>> Dataset.of(["NaCl", "KCl"], [8.5, 8.4], unit="eV").groups.tolist()
        ['NaCl', 'KCl']
        """
        notation = Notation(hydrates, amounts)
        materials = Materials.parse(formulas, notation=notation, ids=ids, extra=extra)
        if targets is None:
            return cls(materials, **fields)
        values = np.asarray(targets)
        if fields.get("classes") is None and _are_words(values):
            fields |= _of_words(values, fields.pop("ordered", False))
            values = fields.pop("targets")
        return cls(materials, values, **fields)

    def __len__(self) -> int:
        return len(self.materials)

    def __repr__(self) -> str:
        """Return what it is in one line: rows, target with unit and range, source, cleaning."""
        parts = [repr(self.materials)[1:-1]]
        if self.classes is not None:
            joined = (" < " if self.ordered else ", ").join(self._counted())
            parts.append(f"{self.target_name or 'target'}: {joined}")
        elif self.targets is not None:
            y = self.targets[np.isfinite(self.targets)]
            spread = f" from {y.min():.4g} to {y.max():.4g}" if len(y) else ""
            unit = f" {self.unit}" if self.unit else ""
            parts.append(f"{self.target_name or 'target'}{spread}{unit}")
        if self.source:
            parts.append(f"source {self.source}")
        parts.append("not cleaned" if self.intake is None else "cleaned")
        return f"<Dataset: {'; '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        columns: list[ObjectArray | FloatArray] = [self.ids, self.formulas]
        head = ["id", "formula"]
        if self.targets is not None:
            columns.append(self.targets if self.classes is None else self.labels)
            head.append(self.target_name or "target")
        cells = [column[:SHOWN_ROWS].tolist() for column in columns]
        return html_table(repr(self)[1:-1], head, zip(*cells, strict=True))

    @property
    def ids(self) -> ObjectArray:
        """One text per row, shape (n,)."""
        return self.materials.ids

    @property
    def formulas(self) -> ObjectArray:
        """Formula text exactly as read, shape (n,)."""
        return self.materials.formulas

    @property
    def groups(self) -> ObjectArray:
        """Reduced formulas, shape (n,)."""
        return self.materials.groups

    @property
    def y(self) -> FloatArray:
        """The targets of a data set that must have them, shape (n,)."""
        if self.targets is None:
            raise DataError(f"{self.source or 'the table'} has no target column")
        return self.targets

    @property
    def task(self) -> Literal["regression", "classification", "ordinal"]:
        """What a model of the target is: a regression, or one of classes."""
        if self.classes is None:
            return "regression"
        return "ordinal" if self.ordered else "classification"

    @property
    def labels(self) -> ObjectArray:
        """Name of the class of each row, shape (n,); an empty text if it has none."""
        assert self.classes is not None, "the target is a number"
        known = np.isfinite(self.y)
        found = np.full(len(self), "", dtype=object)
        found[known] = np.array(self.classes, dtype=object)[self.y[known].astype(np.intp)]
        return found

    def _counted(self) -> list[str]:
        """Return the first classes with their numbers of rows."""
        assert self.classes is not None
        codes = self.y[np.isfinite(self.y)].astype(np.intp)
        counts = np.bincount(codes, minlength=len(self.classes)).tolist()
        shown = [f"{name} ({count})" for name, count in zip(self.classes, counts, strict=True)]
        return shown if len(shown) <= SHOWN_ROWS else [*shown[:SHOWN_ROWS], "..."]

    @property
    def bounded(self) -> npt.NDArray[np.bool_]:
        """Of which rows of a clean data set only bounds of the target are known, shape (n,).

        Their `targets` are the bound, or the middle of two.
        """
        if self.bounds is None or self.intake is None:
            return np.zeros(len(self), dtype=np.bool_)
        return np.asarray(self.bounds[:, 0] < self.bounds[:, 1])

    def take(self, rows: Any) -> Self:
        """Return the rows that an index or mask selects, in that order (rows may repeat)."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            materials=self.materials.take(chosen),
            targets=None if self.targets is None else self.targets[chosen],
            **{
                name: values[chosen]
                for name in _BY_ROW
                if (values := getattr(self, name)) is not None
            },
            columns=self.columns.iloc[chosen],
            row_numbers=self.row_numbers[chosen],
        )

    def feature_columns(self, names: Sequence[str]) -> FloatArray:
        """Return extra columns as numbers.

        Parameters
        ----------
        names : sequence of str
            Names in `columns`, such as ``["temperature"]``.

        Returns
        -------
        numpy.ndarray of shape (n, len(names))
            Finite float64 values.

        Raises
        ------
        DataError
            If a column does not exist, or a cell is no usable number; the message
            names the row of the table and the value.
        """
        numbers = np.empty((len(self), len(names)))
        for position, name in enumerate(names):
            numbers[:, position], problems = self.parse_column(name)
            bad = np.flatnonzero(problems != "")
            if bad.size:
                row = int(bad[0])
                raise DataError(
                    f"column {name!r}, row {self.row_numbers[row]} (id {self.ids[row]}): "
                    f"{problems[row]}; "
                    f"{bad.size} of {len(self)} rows have no usable {name!r}. Fill the cells, "
                    "drop the rows, or leave the column out of the feature columns"
                )
        return numbers

    def parse_column(self, name: str) -> tuple[FloatArray, ObjectArray]:
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
        if name not in self.columns.columns:
            columns = [str(column) for column in self.columns.columns]
            whole = next((one for one in columns if name in map(str.strip, one.split(","))), "")
            hint = near_miss(name, columns)
            if whole:  # it was cut at its comma
                hint = f"; put double quotes around a name with a comma: '\"{whole}\"'"
            raise DataError(
                f"{self.source or 'the table'} has no column {name!r} besides formula and target"
                f"{hint}. Columns: {list_names(columns)}"
            )
        return parse_numbers(self.columns[name], self.style)

    def flags(self, column: str) -> npt.NDArray[np.bool_]:
        """Return a column of flags (true and false, yes and no, 1 and 0), shape (n,).

        Raises
        ------
        DataError
            If the column does not exist or a cell is empty.
        SplitError
            If a cell is not a flag; the message names formula and id.
        """
        if column in self.columns.columns and self.columns[column].dtype == bool:
            return np.asarray(self.columns[column], dtype=bool)
        words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
        if column in self.columns.columns:
            texts = self.columns[column].astype(str).str.strip().str.casefold()
            if texts.isin(list(words)).all():
                return np.asarray(texts.map(words) == 1.0, dtype=bool)
        values = self.feature_columns([column])[:, 0]
        bad = np.flatnonzero((values != 0) & (values != 1))
        if bad.size:
            raise SplitError(
                f"column {column!r}, {self.formulas[bad[0]]} (id {self.ids[bad[0]]}): "
                f"{values[bad[0]]:g} is not a flag; use 0 and 1, or true and false"
            )
        return np.asarray(values == 1, dtype=bool)

    def sha256(self) -> str:
        """Return the hash of all rows (ids, formulas, targets, structures, other columns)."""
        columns = [self.ids, self.formulas]
        if self.materials.structures is not None:
            columns.append(self.materials.structures.keys)
        if self.targets is not None:
            columns.append(self.targets.astype(object))
        known = [values for values in (self.weights, self.noise) if values is not None]
        if self.bounded.any():
            assert self.bounds is not None
            known += list(self.bounds.T)
        columns.extend(values.astype(object) for values in known)
        columns.extend(self.columns[name].to_numpy(dtype=object) for name in self.columns.columns)
        named = [str(name) for name in self.columns.columns]
        header = repr((self.target_name, named))
        if self.classes is not None:
            header = repr((self.target_name, named, self.classes, self.ordered))
        if self.bounds_in_loss:
            header += " tobit"
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return hash_text([header, *map(repr, rows)])

    @cached_property
    def description(self) -> DatasetDescription:
        """Values that identify the data set, for provenance."""
        return DatasetDescription(
            source=self.source,
            sha256=self.sha256(),
            rows=len(self),
            materials=len(set(self.groups)),
            target=self.target_name,
            unit=self.unit,
            conditions=self.conditions,
            classes=self.classes,
        )


def _are_words(values: npt.NDArray[Any]) -> bool:
    """Return whether targets are booleans, or texts that are no numbers."""
    if values.dtype.kind not in "UTOb":
        return False
    if values.dtype.kind == "b":
        return True
    try:
        values.astype(np.float64)
    except (ValueError, TypeError):
        return any(isinstance(one, str) for one in values.tolist())
    return False


def _of_words(words: npt.NDArray[Any], ordered: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return the fields of a data set whose targets are words or booleans."""
    from xtalshift.data.classes import read_classes
    from xtalshift.data.numbers import read_numbers

    cells = pd.Series(words)
    task: Any = "classification"
    column = read_classes(cells, read_numbers(cells), "targets", task)
    assert column is not None
    return {
        "targets": column.codes,
        "classes": column.classes,
        "ordered": ordered,
        "problems": column.problems,
    }
