"""Errors of point predictions of a regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import DataError
from xtalshift.metrics.checks import as_pair
from xtalshift.metrics.ranking import spearman


class RegressionScores(NamedTuple):
    """Errors of one method on one set of rows.

    `r2` compares with the mean of these rows, which is unknown before they are measured. The skill
    relative to the dummy is ``1 - rmse_over_dummy**2``.

    Attributes
    ----------
    n : int
        Number of rows.
    mae, rmse : float
        Mean absolute and root mean square error, in the unit of the target.
    r2 : float
        Coefficient of determination; NaN if the targets do not vary.
    mae_over_dummy : float
        `mae` over the mean absolute error of the dummy, the mean of the training targets. 1 means
        no better than the dummy; NaN if the dummy makes no error.
    spearman : float
        Rank correlation of targets and predictions; NaN if either does not vary.
    rmse_over_dummy : float
        `rmse` over that of the dummy; NaN if the dummy makes no error.
    """

    n: int
    mae: float
    rmse: float
    r2: float
    mae_over_dummy: float
    spearman: float
    rmse_over_dummy: float


def regression_scores(
    targets: ArrayLike, predictions: ArrayLike, *, train_mean: float
) -> RegressionScores:
    """Return the errors of `predictions`, absolute and relative to the dummy.

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
    >>> scores = regression_scores([0.0, 4.0], [0.0, 2.0], train_mean=0.0)
    >>> scores.mae, scores.r2, scores.mae_over_dummy, scores.rmse_over_dummy
    (1.0, 0.5, 0.5, 0.5)
    """
    y, z = as_pair(targets, predictions)
    if not np.isfinite(train_mean):
        raise DataError(f"{train_mean=}: the dummy needs a finite mean of the training targets")
    error = z - y
    mae = float(np.mean(np.abs(error)))
    rmse = float(np.sqrt(np.mean(error**2)))
    spread = float(np.sum((y - y.mean()) ** 2))
    dummy = float(np.mean(np.abs(y - train_mean)))
    dummy_rmse = float(np.sqrt(np.mean((y - train_mean) ** 2)))
    varies = y.max() > y.min() and spread > 0  # the squares of tiny numbers are 0
    rounding = 1e-12 * float(np.max(np.abs(y)))
    return RegressionScores(
        n=int(y.size),
        mae=mae,
        rmse=rmse,
        r2=1.0 - float(np.sum(error**2)) / spread if varies else float("nan"),
        mae_over_dummy=mae / dummy if dummy > rounding else float("nan"),
        spearman=spearman(y, z),
        rmse_over_dummy=rmse / dummy_rmse if dummy_rmse > rounding else float("nan"),
    )
