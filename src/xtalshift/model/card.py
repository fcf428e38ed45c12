"""What the numbers of a model mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelCard:
    """What the numbers of a model mean, saved with it.

    Attributes
    ----------
    target_name, unit, conditions, source : str
        What is predicted, in which unit, in which state, and where the labels came from.
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
