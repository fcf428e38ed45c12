"""The settings of interval calibration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xtalshift.config import Settings

LEVEL = 0.9
"""Default level of prediction intervals; reports use it too."""


class IntervalConfig(Settings):
    """The rows on which `train` calibrates prediction intervals."""

    method: Literal["auto", "held-out", "cross", "none"] = "auto"
    """``held-out``: a share of the rows that is not trained on; ``cross``: all rows, each predicted
    by a model of the other folds; ``auto``: cross below `small` rows and for methods that cross-fit
    anyway, else held-out; ``none``: no intervals."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of held-out rows."""
    folds: int = Field(default=5, ge=2, le=1000)
    """Number of folds of ``cross``; each takes one more training."""
    small: int = Field(default=1000, ge=0)
    """Number of rows below which ``auto`` is ``cross``."""

    def how(self, n_rows: int, *, cross_fits: bool) -> Literal["held-out", "cross", "none"]:
        """Return the method for a table of `n_rows` rows, with ``auto`` resolved.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        cross_fits : bool
            Whether the regressor cross-fits, see `xtalshift.estimators.base.Regressor.cross_fits`.
        """
        if self.method != "auto":
            return self.method
        return "cross" if cross_fits or n_rows < self.small else "held-out"
