"""P values of many tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["correct_holm"]


def correct_holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values corrected for their number.

    If each of the corrected values is compared with the same level, the chance that any true null
    hypothesis is rejected is at most that level, however the tests depend on each other.

    Parameters
    ----------
    p_values : ndarray of float64, shape (n,)
        NaN, a test that could not be done, counts as no test.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the same order, NaN where `p_values` is.

    References
    ----------
    Holm, Scand. J. Statist. 6, 65 (1979).

    Examples
    --------
    >>> correct_holm(np.array([0.5, 0.25, np.nan])).tolist()
    [0.5, 0.5, nan]
    """
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int(np.isfinite(p_values).sum())]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected
