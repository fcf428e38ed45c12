"""The error to expect in a region without labels, from regions that imitate it.

A hold-out of labelled materials (proxy) has an error, a disagreement between methods, and a typical
distance of the predictions from the middle of the targets. The last two are known for candidates
too: where methods disagree more, or predict more extreme values, errors are larger.

===========================================  =========================
symbol                                       variable
===========================================  =========================
error e_p of a proxy p, e_c of candidates    ``error``
disagreement s of the methods                ``disagreement``
distance v of predictions from the middle    ``level``
log e_c = mean over p of (log e_p,           `expect_error`
weighted by the square root of its size,
+ a log s_c / s_p + b log v_c / v_p) + r
===========================================  =========================

The coefficients and the quantiles of the rest r were measured on hold-outs of real tables, see
docs/science/judging.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DISAGREEMENT = 0.2
LEVEL = 0.6
"""`DISAGREEMENT`, `LEVEL`: the coefficients a and b."""
EXCESS = 1.07
"""Median of exp(r): candidates are a little less like the table than their proxies."""
RANGE = (0.645, 1.59)
"""The error over the expected one: 10 and 90 % quantiles."""
_MOST = 10.0
"""Largest factor by which one quantity changes the error, so that a proxy that all methods predict
alike does not decide."""


@dataclass(frozen=True)
class Hold:
    """What is known about some materials without their targets, in the unit of the target."""

    disagreement: float
    """Mean over materials of the standard deviation of the predictions of several methods; NaN
    with one method."""
    level: float
    """Mean distance of the predictions from the median of all targets."""
    n: int = 1
    """Number of materials."""


class Expected(NamedTuple):
    """The mean absolute error to expect, and a range that holds it in eight of ten cases."""

    mae: float
    low: float
    high: float


def expect_error(proxies: Sequence[tuple[float, Hold]], candidates: Hold) -> Expected:
    """Return the error to expect for candidates.

    Parameters
    ----------
    proxies : sequence of (float, Hold), at least one
        Mean absolute error of a method on each proxy, above 0, and what is known of the proxy.
    candidates : Hold
        What is known of the candidates.

    Examples
    --------
    >>> proxy = Hold(disagreement=0.2, level=1.0)
    >>> round(expect_error([(0.5, proxy)], proxy).mae, 3)
    0.535
    >>> round(expect_error([(0.5, proxy)], Hold(disagreement=0.4, level=1.0)).mae, 3)
    0.615
    """
    logs = [
        np.log(error)
        + DISAGREEMENT * _log_ratio(candidates.disagreement, hold.disagreement)
        + LEVEL * _log_ratio(candidates.level, hold.level)
        for error, hold in proxies
    ]
    weights = np.sqrt([hold.n for _, hold in proxies])
    middle = EXCESS * float(np.exp(np.average(logs, weights=weights)))
    return Expected(middle, RANGE[0] * middle, RANGE[1] * middle)


def _log_ratio(one: float, other: float) -> float:
    """Return the logarithm of a ratio, within bounds; 0 if it is not known."""
    if not (np.isfinite([one, other]).all() and max(one, other) > 0):
        return 0.0
    with np.errstate(divide="ignore"):
        return float(np.clip(np.log(one) - np.log(other), -np.log(_MOST), np.log(_MOST)))
