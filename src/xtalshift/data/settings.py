"""The settings of a table: its rows, features and targets."""

from __future__ import annotations

from typing import Literal

from xtalshift.config import Settings


class DataConfig(Settings):
    """Where the rows come from and how features and targets are made."""

    dataset: str = "ricci_seebeck"
    """Name in the catalogue, or a file."""
    target: str | None = None
    formula_col: str | None = None
    id_col: str | None = None
    """`target`, `formula_col`, `id_col`: names of columns; a data set of the catalogue has a
    default target."""
    unit: str = ""
    """Unit of the target of a file."""
    feature_cols: tuple[str, ...] = ()
    """Extra numeric columns to use as features (temperature, pressure, doping)."""
    features: str = "magpie"
    """Blocks of features, see `xtalshift.featurize.CompositionFeaturizer`."""
    impute_nan: bool = True
    """Whether an element without a tabulated property gets the mean over the elements."""
    transform: Literal["none", "log", "log1p", "asinh", "clip"] = "none"
    """Transform of the target: ``none``, ``log``, ``log1p``, ``asinh`` or ``clip``."""
    duplicates: Literal["keep", "mean", "median", "lowest", "highest"] = "mean"
    """``keep``, or merge rows of one reduced formula by ``mean``, ``median``, ``lowest`` or
    ``highest`` target."""
    hydrates: Literal["refuse", "expand"] = "refuse"
    """``refuse`` or ``expand`` formulas such as ``CuSO4*5H2O``."""
    strict: bool = False
    """Whether an unusable row is an error."""
