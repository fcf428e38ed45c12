"""The model card: the meaning of the numbers of a model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xtalshift.errors import DataError
from xtalshift.jsonio import read_json


@dataclass(frozen=True)
class ModelCard:
    """The meaning of the numbers of a model, saved with it.

    Attributes
    ----------
    target_name, unit, conditions, source : str
        Name, unit and conditions of the target, and where the labels come from.
    feature_cols : tuple of str
        Names of the extra numeric columns, in order.
    provenance : mapping
        Method, versions and hash of the data, as plain values.
    formula_col : str
        Column of the formulas in the table of the labels; an empty text if there was none.
    """

    target_name: str = "target"
    unit: str = ""
    conditions: str = ""
    source: str = ""
    feature_cols: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    formula_col: str = ""


def first_model(folder: Path) -> Path:
    """Return the folder of a saved model, of several targets that of the first."""
    with suppress(DataError, KeyError, TypeError, IndexError):
        return folder / str(read_json(folder / "models.json")["targets"][0]["folder"])
    return folder


def saved_features(folder: Path) -> str:
    """Return the blocks of features of a saved model, without loading it, as below."""
    with suppress(DataError, KeyError, TypeError):
        return str(read_json(folder / "model.json")["pipeline"]["features"])
    return "magpie"


def saved_formula_col(folder: Path) -> str:
    """Return the column of formulas in the training of a saved model, without loading it.

    It is an empty text if the model does not say it, or is none, as loading it then tells.
    """
    with suppress(DataError, KeyError, TypeError):
        return str(read_json(folder / "model.json")["card"]["formula_col"])
    return ""
