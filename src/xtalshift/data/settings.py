"""The settings of a table: how it is read, its rows, features and targets."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import field_validator, model_validator

from xtalshift.chem.formulas import Hydrates, Notation
from xtalshift.chem.mixtures import Amounts
from xtalshift.config import Settings, split_names
from xtalshift.errors import ConfigError
from xtalshift.registry import near_miss

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
"""What may stand between the cells of a text file, with its name."""


class ReadingOptions(Settings):
    """How a table is read, where a reader cannot know or would find something else."""

    formula_col: str | None = None
    """Column of the formulas; by default found by its name."""
    structure_col: str | None = None
    """Column of crystal structures: text of CIF, POSCAR, extended XYZ or JSON files, or names of
    such files. By default structures are read where there is no formula, or a model needs them."""
    structures: str | None = None
    """Folder or archive of the files that `structure_col`, by default the column of ids, names."""
    composition_columns: Literal["auto"] | tuple[str, ...] = "auto"
    """One column for each element instead of formulas: their names, or ``auto`` to take the columns
    named by element symbols if there is no column of formulas."""
    amounts: Amounts | None = None
    """Meaning of the numbers of alloys and mixtures (``Ti-6Al-4V``, columns of elements): ``at``,
    ``wt`` or ``mol``; by default as in the training of a model, else refused."""
    hydrates: Hydrates | None = None
    """``refuse`` or ``expand`` formulas such as ``CuSO4*5H2O``; by default as in the training of a
    model, else refused."""
    separator: Literal[",", ";", "\t", "|"] | None = None
    """Between the cells of a text file (also by name: comma, semicolon, tab, pipe)."""
    decimal: Literal[".", ","] | None = None
    thousands: Literal["", ",", ".", " ", "'"] | None = None
    """`decimal`, `thousands`: marks in numbers."""
    encoding: str | None = None
    """Encoding of a text file, such as ``cp1252`` or ``gbk``."""
    sheet: str | None = None
    """Sheet of an Excel file; by default the first with a column of formulas."""

    @field_validator("composition_columns", mode="before")
    @classmethod
    def _split_columns(cls, value: object) -> object:
        if isinstance(value, str) and value != "auto":
            return tuple(split_names(value))
        return value

    @field_validator("composition_columns")
    @classmethod
    def _check_columns(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if value == ():
            raise ValueError("name columns (Fe,Cr,Ni) or write auto")
        if len(set(value)) < len(value) and value != "auto":
            raise ValueError("a column is named twice")
        return value

    @field_validator("separator", mode="before")
    @classmethod
    def _name_separator(cls, value: object) -> object:
        named = {name: mark for mark, name in SEPARATORS.items()} | {"\\t": "\t"}
        if not isinstance(value, str) or value in SEPARATORS:
            return value
        if value not in named:
            names = list(SEPARATORS.values())
            hint = near_miss(value, names)
            raise ValueError(
                f"no such separator{hint}; write {', '.join(names[:-1])} or {names[-1]}"
            )
        return named[value]

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except (LookupError, ValueError) as error:
                raise ValueError(
                    "no such encoding; known are utf-8, utf-16, cp1252, gbk, big5, shift_jis ..."
                ) from error
        return value

    @property
    def notation(self) -> Notation:
        """How formulas are read that can be read in two ways."""
        return self.notation_like(Notation())

    def notation_like(self, default: Notation) -> Notation:
        """Return the notation of these options; what they leave open is that of `default`."""
        return Notation(self.hydrates or default.hydrates, self.amounts or default.amounts)


BY_DEFAULT = ReadingOptions()
"""Everything as the reader finds it."""


class DataConfig(ReadingOptions):
    """Where the rows come from and how features and targets are made."""

    dataset: str = "ricci_seebeck"
    """Name in the catalogue, or a file."""
    target: str | None = None
    id_col: str | None = None
    """`target`, `id_col`: names of columns; a data set of the catalogue has a default target."""
    weight_col: str | None = None
    """Column of row weights: how much each row counts in the loss of a fit."""
    uncertainty_col: str | None = None
    """Column of the standard deviation of each measured target, in its unit; ``replicates`` (if no
    column has this name) takes the scatter of rows of one material for all rows."""
    unit: str = ""
    """Unit of the target of a file."""
    task: Literal["auto", "regression", "classification", "ordinal"] = "auto"
    """What the target is: a number, a class, or one of classes whose order counts; ``auto``: words,
    booleans and columns of 0 and 1 are classes."""
    class_order: tuple[str, ...] = ()
    """All classes of an ordinal target, the lowest first."""
    feature_cols: tuple[str, ...] = ()
    """Extra numeric columns to use as features (temperature, pressure, doping)."""
    features: str | None = None
    """Blocks of features, see `xtalshift.featurize.CompositionFeaturizer`; by default those that a
    method usually gets, to which ``+structure`` adds. With structures this is the default."""
    impute_nan: bool = True
    """Whether an element without a tabulated property gets the mean over the elements."""
    transform: Literal["none", "log", "log1p", "asinh", "clip"] = "none"
    """Transform of the target: ``none``, ``log``, ``log1p``, ``asinh`` or ``clip``."""
    duplicates: Literal["keep", "mean", "median", "lowest", "highest"] = "mean"
    """``keep``, or merge rows of one reduced formula by ``mean``, ``median``, ``lowest`` or
    ``highest`` target."""
    bounds: Literal["drop", "use", "tobit"] = "drop"
    """Cells such as ``<4.2`` and ``19-21``: ``drop`` such rows, ``use`` what they say, or take them
    into the loss of methods that can (``tobit``)."""
    strict: bool = False
    """Whether an unusable row is an error."""

    @property
    def blocks(self) -> str:
        """The blocks of features, ``magpie`` if none are named, or if some are only added."""
        given = self.features or "magpie"
        return f"magpie{given}" if given.startswith("+") else given

    @field_validator("feature_cols", "class_order", mode="before")
    @classmethod
    def _split_features(cls, value: object) -> object:
        return split_names(value) if isinstance(value, str) else value


class FidelityConfig(Settings):
    """Which rows of a table are predicted, and which cheaper ones are learned from beside them."""

    column: str | None = None
    """Column that says how each value was found; None if all rows are alike."""
    values: tuple[str, ...] = ()
    """Its value for the rows to predict, and the one to learn from beside them, see
    `xtalshift.data.fidelities.part_fidelities`."""

    @model_validator(mode="after")
    def _needs_column(self) -> Self:
        if self.values and self.column is None:
            raise ValueError(
                "--fidelity is a value of the column that --fidelity-col names; give it"
            )
        return self


Config = TypeVar("Config", bound=DataConfig)
_OF_NUMBERS: dict[str, Any] = {"transform": "none", "bounds": "drop", "unit": ""}
"""Settings that classes cannot have, with their usual values."""


def without_scale(settings: Config) -> Config:
    """Return settings without what only numbers have: transform, bounds and unit."""
    return settings.model_copy(update=_OF_NUMBERS)


def refuse_of_numbers(settings: DataConfig) -> None:
    """Raise `ConfigError` for settings of numbers, where the target is a class."""
    for name, usual in _OF_NUMBERS.items():
        if (given := getattr(settings, name)) != usual:
            raise ConfigError(
                f"--{name} {given} is about numbers, and {settings.target or 'the target'} is a "
                "class; leave it out, or give --task regression"
            )
