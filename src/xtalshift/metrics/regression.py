"""Point errors of a regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError

__all__ = ["RegressionScores", "regression_scores"]


class RegressionScores(NamedTuple):
    """Errors of one method on one set of rows.

    Attributes
    ----------
    n : int
        Number of rows.
    mae, rmse : float
        Mean absolute and root mean square error, in the unit of the target.
    r2 : float
        Coefficient of determination; NaN where the targets do not vary.
    mae_over_dummy : float
        `mae` over the mean absolute error of a constant, the mean of the training targets; 1 means
        no better than that constant; NaN where the constant makes no error.
    """

    n: int
    mae: float
    rmse: float
    r2: float
    mae_over_dummy: float


def regression_scores(
    targets: ArrayLike, predictions: ArrayLike, *, train_mean: float
) -> RegressionScores:
    """Return the errors of `predictions`.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the unit of the target.
    train_mean : float
        Mean of the training targets, the dummy's prediction.

    Raises
    ------
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    Examples
    --------
    >>> regression_scores([0.0, 2.0], [0.0, 1.0], train_mean=1.0)
    RegressionScores(n=2, mae=0.5, rmse=0.7071067811865476, r2=0.5, mae_over_dummy=0.5)
    """
    y, z = _vector(targets, "targets"), _vector(predictions, "predictions")
    if y.shape != z.shape or y.size == 0:
        raise DataError(f"{y.shape=} and {z.shape=}: expected equal lengths above 0")
    if not np.isfinite(train_mean):
        raise DataError(f"{train_mean=}: the dummy needs a finite mean of the training targets")
    error = z - y
    mae = float(np.mean(np.abs(error)))
    spread = float(np.sum((y - y.mean()) ** 2))
    dummy = float(np.mean(np.abs(y - train_mean)))
    varies = y.max() > y.min() and spread > 0  # the squares of tiny numbers are 0
    rounding = 1e-12 * float(np.max(np.abs(y)))
    return RegressionScores(
        n=int(y.size),
        mae=mae,
        rmse=float(np.sqrt(np.mean(error**2))),
        r2=1.0 - float(np.sum(error**2)) / spread if varies else float("nan"),
        mae_over_dummy=mae / dummy if dummy > rounding else float("nan"),
    )


def _vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; expected (n,)")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise DataError(f"{name}[{row}] is {array[row]}; errors need finite numbers")
    return array
