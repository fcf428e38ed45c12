"""What belongs to a model beside its parameters: what its numbers mean, and labelled formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

__all__ = ["FormulaLabels", "ModelCard"]


@dataclass(frozen=True)
class ModelCard:
    """What the numbers of a model mean, saved with it.

    Attributes
    ----------
    target_name, unit, conditions, source : str
        What is predicted, in which unit, in which state, and where the labels came from.
    feature_cols : tuple of str
        Names of the extra numeric columns, in order.
    provenance : dict
        Versions, hardware and data hash of the training.
    """

    target_name: str = "target"
    unit: str = ""
    conditions: str = ""
    source: str = ""
    feature_cols: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


class FormulaLabels(NamedTuple):
    """Formulas (n), their values (n,) or None, and further features (n, m) or None."""

    X: Sequence[str]
    y: ArrayLike | None
    extra: ArrayLike | None = None
