"""The settings of a table: its rows, features and targets."""

from __future__ import annotations

from typing import Literal

from xtalshift.config import Settings


class DataConfig(Settings):
    """Where the rows come from and how features and targets are made.

    Attributes
    ----------
    dataset : str
        Name in the catalogue, or a file.
    target, formula_col, id_col : str, optional
        Names of columns; a data set of the catalogue has a default target.
    unit : str
        Unit of the target of a file.
    feature_cols : list of str
        Extra numeric columns to use as features (temperature, pressure, doping).
    features : str
        Blocks of features, see `xtalshift.featurize.CompositionFeaturizer`.
    impute_nan : bool
        Whether an element without a tabulated property gets the mean over the elements.
    transform : str
        Transform of the target: ``none``, ``log``, ``log1p``, ``asinh`` or ``clip``.
    duplicates : str
        ``keep``, or merge rows of one reduced formula by ``mean``, ``median``, ``lowest`` or
        ``highest`` target.
    hydrates : str
        ``refuse`` or ``expand`` formulas such as ``CuSO4*5H2O``.
    strict : bool
        Whether an unusable row is an error.
    """

    dataset: str = "ricci_seebeck"
    target: str | None = None
    formula_col: str | None = None
    id_col: str | None = None
    unit: str = ""
    feature_cols: tuple[str, ...] = ()
    features: str = "magpie"
    impute_nan: bool = True
    transform: Literal["none", "log", "log1p", "asinh", "clip"] = "none"
    duplicates: Literal["keep", "mean", "median", "lowest", "highest"] = "mean"
    hydrates: Literal["refuse", "expand"] = "refuse"
    strict: bool = False
