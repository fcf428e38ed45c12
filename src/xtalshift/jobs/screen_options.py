"""The table of the best rows, as the options of ``xtalshift screen`` say it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.metrics.pareto import read_goals
from xtalshift.model.several_folder import holds_several, saved_targets


class TopOptions(Settings):
    """Which rows the table of the best has."""

    top: int | None = Field(default=None, ge=1)
    """Write so many of the best rows to top.csv."""
    by: str | None = None
    """prediction (default), probability, lower, upper or uncertainty."""
    goal: str | None = None
    """Models of several targets: max, min or - (does not matter) for each, in their order."""
    lowest: bool = False
    """Whether the lowest are best."""
    threshold: float | None = None
    """Rank by the probability to be above this (below with `lowest`)."""
    of_class: str | None = Field(default=None, alias="class")
    """Of a model of classes: rank by the probability of this one."""
    in_domain: bool = False
    """Only rows in the domain."""
    max_ood: float | None = None
    """Only rows with at most this OOD score."""
    diverse: str | None = None
    """chemsys or family: few rows of each."""
    per_group: int | None = Field(default=None, ge=1)
    """With `diverse`: rows of each group."""
    min_plausibility: float | None = None
    """Only compositions that are at least so plausible (0 to 1)."""
    max_above_hull: float | None = None
    """Only rows predicted to be at most so far above the hull of known compounds."""

    def settings_of(self, model: Path) -> dict[str, object]:
        """Return settings of a screening, by their names with dots.

        Parameters
        ----------
        model : Path
            Folder of the saved model, which is not loaded.

        Raises
        ------
        ConfigError
            If there are options of the table but not its number of rows.
        UsageError
            If the goals do not fit the targets of the model.
        """
        by = self.by
        if by is None and (self.threshold is not None or self.of_class is not None):
            by = "probability"
        values = {
            "by": by,
            "goals": None if self.goal is None else _goals(self.goal, model),
            "lowest": self.lowest or None,
            "threshold": self.threshold,
            "of_class": self.of_class,
            "in_domain": self.in_domain or None,
            "max_ood": self.max_ood,
            "diverse": self.diverse,
            "per_group": self.per_group,
            "min_plausibility": self.min_plausibility,
            "max_above_hull": self.max_above_hull,
        }
        given = {name: value for name, value in values.items() if value is not None}
        if self.top is None and given:
            names = {"goals": "goal", "of_class": "class"}
            options = (f"--{names.get(name, name).replace('_', '-')}" for name in given)
            raise ConfigError(f"{', '.join(options)} need --top K, the table of the best")
        given |= {} if self.top is None else {"k": self.top}
        return {f"top.{name}": value for name, value in given.items()}


def _goals(text: str, model: Path) -> tuple[str, ...]:
    if not holds_several(model):
        raise ConfigError(f"{model} is a model of one target: leave out --goal")
    return read_goals(text, saved_targets(model))
