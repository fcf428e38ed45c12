"""Model error apart from measurement noise.

A residual is the error of the model plus that of the measurement, whose standard deviation s_i is
known. The variance of the model's error, tau^2, solves ``sum_i r_i^2 / (tau^2 + s_i^2) = n`` (Paule
and Mandel, J. Res. Natl. Bur. Stand. 87, 377, 1982, with a mean known to be 0): it is a moment
estimate that weighs each residual by its own precision, and the maximum of the restricted
likelihood is close to it (DerSimonian and Kacker, Contemp. Clin. Trials 28, 105, 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import DataError

FloatArray = NDArray[np.float64]


def model_error(residuals: FloatArray, noise: FloatArray) -> float:
    """Return tau, the standard deviation of the error of a model.

    Parameters
    ----------
    residuals : ndarray of float64, shape (n,)
        Errors on rows that were not fitted.
    noise : ndarray of float64, shape (n,)
        Standard deviation of the measurement of each, in the same unit, at least 0.

    Returns
    -------
    float
        At least the standard error of its estimate where tau is 0, ``(2 / sum_i s_i^-4)^(1/4)``:
        below that, residuals cannot tell it from 0.

    Raises
    ------
    DataError
        If there are no residuals, or all are 0 and exact.
    """
    from scipy.optimize import brentq  # takes longer than a prediction

    n = len(residuals)
    if not n:
        raise DataError("there are no residuals to estimate the error of the model from")
    squares, known = residuals**2, noise**2
    top = float(squares.max())
    if not top > 0:
        least = float(known.max())
        if not least > 0:
            raise DataError("all residuals are 0: there is no error of the model to estimate")
        top = least
    unit = max(top, float(known.max()))
    squares, known = squares / unit, known / unit
    least = 0.0
    if (known > 0).all():
        least = float(np.sqrt(2.0 / np.sum(known**-2)))

    def excess(tau2: float) -> float:
        return float(np.sum(squares / (tau2 + known)) - n)

    low = max(least, 1e-12)
    tau2 = low if excess(low) <= 0 else float(brentq(excess, low, n * 1.0 + 1.0, xtol=1e-14))
    return float(np.sqrt(tau2 * unit))
