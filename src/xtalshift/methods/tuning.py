"""What tuning may choose: argument of a regressor -> range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Range = tuple[Any, ...]
"""``(kind, low, high)`` of kind ``log``, ``float`` or ``int``, or ``("choice", a, b, ...)``."""

BOOSTING: dict[str, Range] = {"learning_rate": ("log", 0.01, 0.2), "num_leaves": ("int", 7, 255)}
RATES: dict[str, Range] = {
    "learning_rate": ("log", 3e-4, 1e-2),
    "weight_decay": ("log", 1e-4, 1.0),
}
CAL_EPS0: dict[str, Range] = {
    **{f"settings.{name}": span for name, span in RATES.items()},
    "settings.partial_fraction": ("float", 0.1, 1.0),
}
CAL: dict[str, Range] = {**CAL_EPS0, "settings.epsilon": ("log", 0.02, 1.0)}
ADAPTATION: dict[str, Range] = {
    "settings.learning_rate": ("log", 5e-5, 5e-3),
    "settings.steps": ("int", 50, 1000),
}


def inner(space: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of a regressor that another one wraps."""
    return {f"estimator__{name}": span for name, span in space.items()}
