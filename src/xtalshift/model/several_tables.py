"""Predictions of several targets for the rows of a table of any length, piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from xtalshift.chem.formulas import Notation
from xtalshift.data.files import check_new_columns
from xtalshift.data.materials import Materials
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import ConfigError
from xtalshift.model.predicted_rows import add_columns
from xtalshift.model.several import FittedModels, SeveralPredictions, suffixed
from xtalshift.model.table_predictor import (
    IntervalKind,
    TablePredictor,
    shown_table,
)
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.data.frames import RawTable


@dataclass(frozen=True)
class SeveralPredictor:
    """Models of several targets that add the columns of their predictions to a table."""

    models: FittedModels
    """Models that predict."""
    one: TablePredictor
    """How the first of them reads tables."""

    @classmethod
    def of(
        cls,
        models: FittedModels,
        level: float = LEVEL,
        intervals: IntervalKind = "plain",
        explain: bool = False,  # noqa: FBT001, FBT002 - as `TablePredictor`
        reading: ReadingOptions = BY_DEFAULT,
    ) -> Self:
        """Return models with settings, see `TablePredictor`.

        Raises
        ------
        ConfigError
            If the intervals are to be weighted: the calibration rows of each target would have
            weights of their own.
        """
        if intervals == "weighted":
            raise ConfigError(
                "intervals = 'weighted' is for one target; predict with the model of one, a folder "
                "inside that of all"
            )
        return cls(models, TablePredictor(models.first, level, intervals, explain, reading))

    @property
    def level(self) -> float:
        """Level of the intervals, in (0, 1)."""
        return self.one.level

    @property
    def intervals(self) -> IntervalKind:
        """Which calibration rows an interval is from."""
        return self.one.intervals

    @property
    def reading(self) -> ReadingOptions:
        """How the table is read."""
        return self.one.reading

    @property
    def notation(self) -> Notation:
        """How formulas are read that can be read in two ways."""
        return self.one.notation

    def for_file(self, path: Path) -> Self:
        """Return the same for a file, see `TablePredictor.for_file`."""
        return replace(self, one=self.one.for_file(path))

    def read(self, rows: RawTable | pd.DataFrame, source: str) -> Materials:
        """Return the materials of a table, see `TablePredictor.read`."""
        return self.one.read(rows, source)

    def predict_formulas(
        self, formulas: Sequence[str], given: Mapping[str, str | float] | None = None
    ) -> SeveralPredictions:
        """Return the predictions of formulas, see `TablePredictor.parse_formulas`."""
        return self.predict_materials(self.one.parse_formulas(formulas, given))

    def predict_materials(self, materials: Materials) -> SeveralPredictions:
        """Return the predictions of materials that `read` returned."""
        one = self.one
        return self.models.predict(
            materials, level=one.level, by_family=one.intervals == "family", explain=one.explain
        )

    def predict(self, rows: RawTable | pd.DataFrame, source: str) -> pd.DataFrame:
        """Return the rows of a table, in order, with the columns of predictions added.

        See `predict_table`.
        """
        return self.predict_table(rows, source)[0]

    def predict_table(
        self, rows: RawTable | pd.DataFrame, source: str, materials: Materials | None = None
    ) -> tuple[pd.DataFrame, SeveralPredictions]:
        """Return the rows of a table with the columns of predictions added, and these.

        Parameters
        ----------
        rows : RawTable or pandas.DataFrame, n rows
            Table with formulas and the feature columns of the models.
        source : str
            Name of the table in messages.
        materials : Materials, optional
            What `read` returned for the rows.

        Raises
        ------
        DataError
            If a column is missing, or one has the name of a column to add.
        """
        materials = materials or self.read(rows, source)
        frame = shown_table(rows, materials)
        explained = (suffixed("explanation", name) for name in self.models.targets)
        wanted = [*self.models.predicted_columns, *(explained if self.one.explain else ())]
        check_new_columns(wanted, frame.columns, source)
        found = self.predict_materials(materials)
        return add_columns(frame, found.columns()), found

    def units(self) -> dict[str, str]:
        """Return the unit of each added column that has one."""
        return self.models.column_units
