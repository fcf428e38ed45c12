"""Settings of a screening."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xtalshift.config import Settings
from xtalshift.data.settings import ReadingOptions
from xtalshift.metrics.checks import check_level
from xtalshift.metrics.pareto import Goal
from xtalshift.uncertainty.settings import LEVEL

Rank = Literal["prediction", "probability", "lower", "upper", "uncertainty"]
Keep = Literal["all", "ok", "top"]
Group = Literal["chemsys", "family"]


class TopSettings(Settings):
    """Which rows the table of the best rows has."""

    k: int = Field(ge=1)
    """Number of rows; of equal rows the earlier ones."""
    goals: tuple[Goal, ...] | None = None
    """For models of several targets: whether high values of each are good (``max``), low ones
    (``min``), or it does not matter (``-``). The table has k rows of the front of all rows: those
    that no other beats, chosen one after the other by the hypervolume that they add."""
    by: Rank = "prediction"
    """Rank by the prediction, the probability that the target lies beyond `threshold`, a bound of
    the interval, or the standard deviation."""
    lowest: bool = False
    """Rank the lowest first. For probabilities: that the target lies below the threshold."""
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """In the unit of the target; for probabilities only."""
    of_class: str | None = None
    """Class whose probability ranks, for models of classes."""
    in_domain: bool = False
    """Only rows in the domain of the model."""
    max_ood: float | None = Field(default=None, ge=0, le=1)
    """Only rows with at most this OOD score."""
    diverse: Group | None = None
    """At most `per_group` rows of each chemical system or family, see
    `xtalshift.chem.composition_labels`."""
    per_group: int = Field(default=1, ge=1)
    """Rows of each group, if the table is diverse."""
    min_plausibility: float | None = Field(default=None, ge=0, le=1)
    """Only compositions that are at least so plausible: by the column ``plausibility`` of the
    inputs, or `xtalshift.chem.plausibility.Plausibility`."""
    max_above_hull: float | None = Field(default=None, allow_inf_nan=False)
    """Only rows with at most this predicted energy above the hull of known compounds, in the unit
    of the model of formation energies."""

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        aims = [self.threshold, self.of_class]
        if aims.count(None) == 0 or (self.by == "probability") != (aims.count(None) == 1):
            raise ValueError(
                "by = 'probability' needs a threshold (--threshold) or, for classes, a class "
                "(--class), and nothing else does"
            )
        if self.goals is not None and (self.by != "prediction" or self.lowest or self.diverse):
            raise ValueError("goals rank rows by themselves: leave out by, lowest and diverse")
        if self.diverse is None and self.per_group != 1:
            raise ValueError(
                f"per_group = {self.per_group} needs groups: diverse = 'chemsys' or 'family' "
                "(--diverse)"
            )
        return self


class ScreenSettings(ReadingOptions):
    """Everything that the result depends on, besides the model and the rows."""

    level: float = LEVEL
    """Coverage of the intervals."""
    intervals: Literal["plain", "family"] = "plain"
    """One calibration for all rows, or one for each chemical family."""
    distinct: bool = False
    """Predict each material once: a row with the reduced formula (and the values of the model's
    feature columns) of an earlier row gets ``status = "duplicate"``."""
    keep: Keep = "all"
    """Rows to write: all, those with a prediction, or only the table of the best."""
    top: TopSettings | None = None
    """The table of the best rows; by default there is none."""
    chunk_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    """Rows that are predicted at once and written to one file."""
    limit_rows: int | None = Field(default=None, ge=1)
    """Stop after this number of rows."""
    threads: int = Field(default=1, ge=1)
    """Threads of each process; results depend on it in the last digits."""
    device: str = "auto"
    """Device of a network."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_level(self.level)
        if self.keep == "top" and self.top is None:
            raise ValueError("keep = 'top' needs the number of rows to keep: top.k (--top)")
        return self
