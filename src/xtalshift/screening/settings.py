"""Settings of a screening."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xtalshift.config import Settings
from xtalshift.metrics.checks import check_level
from xtalshift.uncertainty.settings import LEVEL

__all__ = ["Keep", "Rank", "ScreenSettings", "TopSettings"]

Rank = Literal["prediction", "probability", "lower", "upper", "uncertainty"]
Keep = Literal["all", "ok", "top"]


class TopSettings(Settings):
    """Which rows the table of the best rows has.

    Attributes
    ----------
    k : int
        Number of rows; of equal rows the earlier ones.
    by : {"prediction", "probability", "lower", "upper", "uncertainty"}
        Rank by the prediction, the probability that the target lies beyond `threshold`, a bound of
        the interval, or the standard deviation.
    lowest : bool
        Rank the lowest first. For probabilities: that the target lies below the threshold.
    threshold : float, optional
        In the unit of the target; for probabilities only.
    in_domain : bool
        Only rows in the domain of the model.
    max_ood : float, optional
        Only rows with at most this OOD score.
    """

    k: int = Field(ge=1)
    by: Rank = "prediction"
    lowest: bool = False
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    in_domain: bool = False
    max_ood: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        if (self.by == "probability") != (self.threshold is not None):
            raise ValueError("by = 'probability' and threshold go together: give both or neither")
        return self


class ScreenSettings(Settings):
    """Everything that the result depends on, besides the model and the rows.

    Attributes
    ----------
    level : float
        Coverage of the intervals.
    intervals : {"plain", "family"}
        One calibration for all rows, or one for each chemical family.
    formula_col : str, optional
        Column of the formulas; by default found by its name.
    hydrates : {"refuse", "expand"}, optional
        By default as in training.
    distinct : bool
        Predict each material once: a row with the reduced formula (and the values of the model's
        feature columns) of an earlier row gets ``status = "duplicate"``.
    keep : {"all", "ok", "top"}
        Rows to write: all, those with a prediction, or only the table of the best.
    top : TopSettings, optional
        The table of the best rows; by default there is none.
    chunk_rows : int
        Rows that are predicted at once and written to one file.
    limit_rows : int, optional
        Stop after this number of rows.
    threads : int
        Threads of each process; results depend on it in the last digits.
    device : str
        Device of a network.
    """

    level: float = LEVEL
    intervals: Literal["plain", "family"] = "plain"
    formula_col: str | None = None
    hydrates: Literal["refuse", "expand"] | None = None
    distinct: bool = False
    keep: Keep = "all"
    top: TopSettings | None = None
    chunk_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    limit_rows: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    device: str = "auto"

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_level(self.level)
        if self.keep == "top" and self.top is None:
            raise ValueError("keep = 'top' needs the number of rows to keep: top.k (--top)")
        return self
