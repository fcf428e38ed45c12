"""Errors of a method on test rows, as every page and table shows them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DUMMY", "Score"]

DUMMY = "dummy"
"""Method that predicts the mean of the training targets."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over seeds (and folds) for one method on one set of test rows; None if unknown.

    Attributes
    ----------
    mae, mae_sd, rmse : float or None
        In the unit of the target; `mae_sd` is the standard deviation over seeds.
    r2 : float or None
        Coefficient of determination.
    mae_over_dummy, mae_over_dummy_sd : float or None
        Relative to the error of the dummy.
    id_mae, gap : float or None
        For OOD rows: error on the ID rows of the same split, and `mae` over it.
    seconds : float or None
        Time of one fit.
    failed : int
        Runs that failed.
    """

    mae: float | None = None
    mae_sd: float | None = None
    rmse: float | None = None
    r2: float | None = None
    mae_over_dummy: float | None = None
    mae_over_dummy_sd: float | None = None
    id_mae: float | None = None
    gap: float | None = None
    seconds: float | None = None
    failed: int = 0

    def describe(self) -> str:
        """Return ``mae (mae_over_dummy)`` for a table of text; an empty text without an error."""
        if self.mae is None:
            return ""
        ratio = "" if self.mae_over_dummy is None else f" ({self.mae_over_dummy:.2f})"
        return f"{self.mae:.4g}{ratio}"
