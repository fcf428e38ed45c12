"""Predictions for the rows of a table of any length, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.formulas import Notation
from xtalshift.data.files import (
    check_feature_columns,
    check_new_columns,
    file_kind,
    naming_table,
)
from xtalshift.data.materials import Materials
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import ConfigError, DataError, NotConformalizedError
from xtalshift.metrics.checks import check_level
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.predicted_rows import add_columns
from xtalshift.registry import near_miss
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.data.frames import RawTable
    from xtalshift.uncertainty.weighted import ShiftWeights

IntervalKind = Literal["plain", "family", "weighted"]

SHIFT_ROWS = 5000


@dataclass(frozen=True)
class TablePredictor:
    """A model and settings for its predictions; adds the columns of predictions to a table."""

    model: FittedModel | FittedClassifier
    """Model that predicts."""
    level: float = LEVEL
    """Level of the intervals, in (0, 1)."""
    intervals: IntervalKind = "plain"
    """All calibration rows together; each chemical family separately; or calibration rows weighted
    by their similarity to the rows to predict, which needs `shift`."""
    explain: bool = False
    """Whether to add a column of reasons."""
    reading: ReadingOptions = BY_DEFAULT
    """How the table is read; what is left open about formulas is as in training."""
    shift: ShiftWeights | None = None
    """See `learn_shift`."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.intervals not in get_args(IntervalKind):
            raise ConfigError(
                f"intervals = {self.intervals!r}; expected {', '.join(get_args(IntervalKind))}"
            )
        if self.intervals != "plain" and self.model.calibration is None:
            raise NotConformalizedError(
                f"intervals = {self.intervals!r}: the model was saved without calibration; train "
                "it again"
            )

    @property
    def notation(self) -> Notation:
        """How formulas are read that can be read in two ways."""
        return self.reading.notation_like(self.model.featurizer.notation)

    def for_file(self, path: Path) -> Self:
        """Return the same for a file, whose column of formulas is that of training if it has it.

        A folder of structure files does not take them from another one.
        """
        from xtalshift.data.formula_texts import prefer_column  # pyarrow, not needed at the prompt

        reading = self.reading
        if reading.structures is not None and file_kind(path) == "structures":
            reading = reading.model_copy(update={"structures": None, "structure_col": None})
        reading = prefer_column(path, reading, self.model.card.formula_col)
        if self.model.featurizer.needs_structures:
            from xtalshift.data.formula_texts import name_structures

            reading = name_structures(path, reading)
        return replace(self, reading=reading)

    def for_other(self, path: Path) -> Self:
        """Return the same for a further table beside the one that `reading` is about."""
        from xtalshift.data.formula_texts import options_for

        crystals = self.model.featurizer.needs_structures
        own = options_for(path, self.reading, crystals=crystals)
        return replace(self, reading=own).for_file(path)

    def predict(self, rows: RawTable | pd.DataFrame, source: str) -> pd.DataFrame:
        """Return the rows of a table, in order, with the columns of predictions added.

        See `predict_table`.
        """
        return self.predict_table(rows, source)[0]

    def predict_table(
        self, rows: RawTable | pd.DataFrame, source: str, materials: Materials | None = None
    ) -> tuple[pd.DataFrame, Any]:
        """Return the rows of a table, in order, with the columns of predictions added, and these.

        Parameters
        ----------
        rows : RawTable or pandas.DataFrame, n rows
            Table with formulas and the feature columns of the model.
        source : str
            Name of the table in messages.
        materials : Materials, optional
            What `read` returned for the rows.

        Raises
        ------
        DataError
            If a column is missing, or one has the name of a column to add.
        """
        if self.intervals == "weighted" and self.shift is None:
            raise ConfigError("weighted intervals need shift: see learn_shift")
        materials = self.read(rows, source) if materials is None else materials
        frame = shown_table(rows, materials)
        wanted = [*self.model.predicted_columns, *(["explanation"] if self.explain else [])]
        check_new_columns(wanted, frame.columns, source)
        found = self.predict_materials(materials)
        return add_columns(frame, found.columns()), found

    def predict_formulas(
        self, formulas: Sequence[str], given: Mapping[str, str | float] | None = None
    ) -> Any:
        """Return the predictions of formulas, see `parse_formulas`."""
        return self.predict_materials(self.parse_formulas(formulas, given))

    def parse_formulas(
        self, formulas: Sequence[str], given: Mapping[str, str | float] | None = None
    ) -> Materials:
        """Return formulas as materials.

        Parameters
        ----------
        formulas : sequence of str, length n
            Formulas; bad ones have a reason.
        given : mapping, optional
            Value of each feature column of the model, the same for all formulas.

        Raises
        ------
        DataError
            If a feature column is missing, unknown or no number, or the intervals are weighted.
        """
        if self.intervals == "weighted":
            raise DataError(
                f"{len(formulas)} formulas at the prompt: weighted intervals need a file of at "
                "least 50 rows of the new region. Use plain intervals"
            )
        columns = self.model.card.feature_cols
        conditions = _read_conditions(given or {}, columns)
        return Materials.parse(
            list(formulas),
            notation=self.notation,
            extra=[conditions] * len(formulas),
            extra_names=columns,
        )

    def predict_materials(self, materials: Materials) -> Any:
        """Return the predictions of materials that `read` returned, of numbers or of classes."""
        if isinstance(self.model, FittedClassifier):
            if self.intervals == "family":
                raise ConfigError("intervals = 'family' is for numbers; use plain or weighted")
            return self.model.predict(
                materials, level=self.level, shift=self.shift, explain=self.explain
            )
        return self.model.predict(
            materials,
            level=self.level,
            by_family=self.intervals == "family",
            shift=self.shift,
            explain=self.explain,
        )

    def read(self, rows: RawTable | pd.DataFrame, source: str) -> Materials:
        """Return the materials of a table, with the feature columns that the model needs.

        Raises
        ------
        DataError
            If a column is missing.
        """
        return read_materials(
            rows, source, self.reading, self.notation, self.model.card.feature_cols
        )

    def units(self) -> dict[str, str]:
        """Return the unit of each added column that has one."""
        return self.model.column_units


def _read_conditions(given: Mapping[str, str | float], columns: tuple[str, ...]) -> list[float]:
    """Return the values of the feature columns, in order."""
    for name in given:
        if name not in columns:
            raise DataError(
                f"--with {name!r}: the model has no such feature column"
                f"{near_miss(name, columns)}. Columns: {', '.join(columns) or 'none'}"
            )
    missing = [name for name in columns if name not in given]
    if missing:
        raise DataError(
            f"the model needs {', '.join(missing)} besides the formula: give --with "
            f"{missing[0]}=VALUE"
        )
    numbers = []
    for name in columns:
        try:
            numbers.append(float(given[name]))
        except ValueError:
            raise DataError(f"--with {name}={given[name]}: expected a number") from None
    return numbers


def read_materials(
    rows: RawTable | pd.DataFrame,
    source: str,
    reading: ReadingOptions,
    notation: Notation,
    feature_cols: tuple[str, ...],
) -> Materials:
    """Return the materials of a table without targets, with their feature columns.

    Parameters
    ----------
    rows : RawTable or pandas.DataFrame, n rows
        Table with formulas and the feature columns.
    source : str
        Name of the table in messages.
    reading : ReadingOptions
        How the table is read.
    notation : Notation
        How formulas are read that can be read in two ways.
    feature_cols : tuple of str
        Names of the feature columns.

    Raises
    ------
    DataError
        If a column is missing.
    """
    from xtalshift.data.frames import RawTable  # pandas, which a table has loaded

    raw = RawTable.of(rows)
    with naming_table(source):
        found = raw.formulas(reading, notation.amounts)
    check_feature_columns(feature_cols, raw.frame.columns, source)
    extra = [raw.numbers(name)[0] for name in feature_cols]
    return found.materials(
        notation,
        extra=np.column_stack([np.empty((len(raw), 0)), *extra]),
        extra_names=feature_cols,
    )


def shown_table(rows: RawTable | pd.DataFrame, materials: Materials) -> pd.DataFrame:
    """Return the columns of a table to which those of predictions are added.

    The status of ``xtalshift split`` is left out: predictions have their own.
    """
    from xtalshift.data.frames import RawTable  # pandas, which a table has loaded

    frame = RawTable.of(rows).shown(materials)
    if {"fold", "part", "status", "reason"} <= set(frame.columns):
        return frame.drop(columns=["status", "reason"])
    return frame


def learn_shift(
    predictor: TablePredictor, tables: Iterable[RawTable], source: Path
) -> ShiftWeights:
    """Return how the rows of a table differ from the calibration rows.

    Parameters
    ----------
    predictor : TablePredictor
        The model and its settings.
    tables : iterable of RawTable
        The table in pieces; a uniform sample of 5,000 usable rows is kept.
    source : Path
        Name of the table in messages.

    Raises
    ------
    DataError
        If fewer than 50 rows are usable.
    """
    from xtalshift.uncertainty.weighted import MIN_TARGET

    rng = np.random.default_rng(0)
    model = predictor.model
    kept: NDArray[np.float64] | None = None
    keys = np.empty(0)
    for raw in tables:
        features = model.featurize(predictor.read(raw, str(source)))
        rows, good = features.values, features.reasons == ""
        # the rows with the smallest random keys are a uniform sample of all rows so far
        rows, drawn = rows[good], rng.random(int(np.sum(good)))
        pooled = rows if kept is None else np.concatenate([kept, rows])
        keys = np.concatenate([keys, drawn])
        best = np.argsort(keys, kind="stable")[:SHIFT_ROWS]
        kept, keys = pooled[best], keys[best]
    if kept is None or len(kept) < MIN_TARGET:
        found = 0 if kept is None else len(kept)
        raise DataError(
            f"{source} has {found} usable rows; weighted intervals need at least {MIN_TARGET} to "
            "estimate how they differ from the training data. Use plain intervals"
        )
    return model.weigh_shift(kept)
