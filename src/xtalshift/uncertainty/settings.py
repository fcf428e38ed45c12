"""Which rows tell how wide prediction intervals must be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xtalshift.config import Settings

__all__ = ["IntervalConfig"]


class IntervalConfig(Settings):
    """Which rows tell `train` how wide prediction intervals must be.

    Attributes
    ----------
    method : str
        ``held-out``: a share of the rows is kept from training; ``cross``: no row is kept, and as
        many further models as there are folds are trained, each without one part; ``auto``: cross
        below `small` rows; ``none``: no intervals.
    share : float
        Share of rows kept.
    folds : int
        Further trainings.
    small : int
        Number of rows.
    """

    method: Literal["auto", "held-out", "cross", "none"] = "auto"
    share: float = Field(default=0.1, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)
    small: int = Field(default=1000, ge=0)

    def how(self, n_rows: int) -> Literal["held-out", "cross", "none"]:
        """Return what ``auto`` means for a table of so many rows."""
        if self.method != "auto":
            return self.method
        return "cross" if n_rows < self.small else "held-out"
