"""The model card: the meaning of the numbers of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    """

    target_name: str = "target"
    unit: str = ""
    conditions: str = ""
    source: str = ""
    feature_cols: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
