"""The targets of a model, as the screens name them."""

from __future__ import annotations

from dataclasses import dataclass

from xtalshift.data.units import name_with_unit
from xtalshift.model.several import FittedModels
from xtalshift.web.models import AnyModel


@dataclass(frozen=True)
class Target:
    """One target of a model, and the columns of its predictions."""

    name: str
    unit: str
    suffix: str
    """End of the names of its columns."""
    classes: tuple[str, ...] = ()

    def column(self, name: str) -> str:
        """Return the name of one of its columns."""
        return f"{name}{self.suffix}"

    @property
    def shown_unit(self) -> str:
        """The unit where it is to be said besides the name; empty if the name ends in it."""
        named = name_with_unit(self.name, self.unit) == self.name
        return "" if named or self.unit == "1" else self.unit


def targets_of(model: AnyModel) -> list[Target]:
    """Return the targets of a model, in order."""
    if isinstance(model, FittedModels):
        return [Target(name, one.card.unit, f"_{name}") for name, one in model.models.items()]
    classes = tuple(getattr(model, "classes", ()))
    return [Target(model.card.target_name, model.card.unit, "", classes)]
