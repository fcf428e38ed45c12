"""The error to expect in a region without labels, from regions that imitate it.

A hold-out of labelled materials (proxy) has an error, a disagreement between methods, and a typical
distance of the predictions from the middle of the targets. The last two are known for candidates
too: where methods disagree more, or predict more extreme values, errors are larger.

===========================================  =========================
symbol                                       variable
===========================================  =========================
error e_p of a proxy p, e_c of candidates    ``mae``
disagreement s of the methods                ``disagreement``
distance v of predictions from the middle    ``level``
number n of materials                        ``n``
v_p = log e_p + a log s_c / s_p              ``logs``
+ b log v_c / v_p
log e_c = mean of v_p, weighted by the       ``middle``
square root of n_p, + r
scale of r: r_0^2 + c^2 (1 / n_c +           ``spread``
1 / sum n_p) + variance of v_p / 2
relative deviation c of the errors of the    ``variation``
materials of a proxy
===========================================  =========================

The coefficients and the quantiles of r were measured on hold-outs of real tables, see
docs/science/judging.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DISAGREEMENT = 0.4
LEVEL = 0.5
"""`DISAGREEMENT`, `LEVEL`: the coefficients a and b."""
LEAST_SPREAD = 0.15
"""r_0: the scale of r for many materials and proxies that agree."""
BETWEEN = 0.5
"""Share of the variance between proxies that counts."""
QUANTILES = (-1.03, 0.1, 1.45)
"""The 10, 50 and 90 % quantiles of r in units of its scale."""
INSIDE = 0.8
"""How often the range of a log loss is to hold it."""
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
    n: int
    """Number of materials."""


class ProxyError(NamedTuple):
    """The errors of a method on a proxy."""

    mae: float
    """Mean absolute error, above 0."""
    variation: float
    """Standard deviation of the absolute errors over their mean."""
    hold: Hold
    """What is known without the targets."""


class Expected(NamedTuple):
    """The mean absolute error to expect, and a range that holds it in eight of ten cases."""

    mae: float
    low: float
    high: float


def expect_error(proxies: Sequence[ProxyError], candidates: Hold) -> Expected:
    """Return the error to expect for candidates.

    Parameters
    ----------
    proxies : sequence of ProxyError, at least one
        Errors on the proxies.
    candidates : Hold
        What is known of the candidates.

    Examples
    --------
    >>> proxy = ProxyError(0.5, 0.8, Hold(disagreement=0.2, level=1.0, n=30))
    >>> alike = expect_error([proxy], Hold(disagreement=0.2, level=1.0, n=30))
    >>> wilder = expect_error([proxy], Hold(disagreement=0.4, level=1.0, n=30))
    >>> round(alike.mae, 3), round(wilder.mae / alike.mae, 3)
    (0.513, 1.32)
    """
    logs = np.array(
        [
            np.log(one.mae)
            + DISAGREEMENT * _log_ratio(candidates.disagreement, one.hold.disagreement)
            + LEVEL * _log_ratio(candidates.level, one.hold.level)
            for one in proxies
        ]
    )
    n = np.array([one.hold.n for one in proxies], dtype=np.float64)
    middle = np.average(logs, weights=np.sqrt(n))
    variation = np.average([one.variation**2 for one in proxies], weights=n)
    spread = np.sqrt(
        LEAST_SPREAD**2 + variation * (1 / candidates.n + 1 / n.sum()) + BETWEEN * logs.var()
    )
    low, typical, high = (float(np.exp(middle + one * spread)) for one in QUANTILES)
    return Expected(typical, low, high)


class ExpectedLoss(NamedTuple):
    """The log loss to expect, and a range that holds it in eight of ten cases."""

    log_loss: float
    low: float | None
    high: float | None
    """`low`, `high`: None with a single proxy, which does not say how much regions differ."""


def expect_loss(losses: Sequence[float]) -> ExpectedLoss:
    """Return the log loss to expect in a region, from those of proxies.

    The value is their geometric mean. The range is Student's for one more draw,
    ``m +- t s sqrt(1 + 1/n)`` with mean m and standard deviation s of the n logarithms: it holds in
    eight of ten cases if regions are drawn alike and the logarithms are normal.

    Parameters
    ----------
    losses : sequence of float, at least one
        Log losses on the proxies, above 0.

    Examples
    --------
    >>> [round(float(one), 3) for one in expect_loss([0.3, 0.4, 0.5])]
    [0.391, 0.224, 0.684]
    """
    logs, n = np.log(losses), len(losses)
    middle = float(np.exp(logs.mean()))
    if n < 2:  # noqa: PLR2004
        return ExpectedLoss(middle, None, None)
    from scipy.stats import t

    wide = float(t.ppf(0.5 + INSIDE / 2, n - 1) * logs.std(ddof=1) * np.sqrt(1 + 1 / n))
    return ExpectedLoss(middle, middle * np.exp(-wide), middle * np.exp(wide))


def _log_ratio(one: float, other: float) -> float:
    """Return the logarithm of a ratio, within bounds; 0 if it is not known."""
    if not (np.isfinite([one, other]).all() and max(one, other) > 0):
        return 0.0
    with np.errstate(divide="ignore"):
        return float(np.clip(np.log(one) - np.log(other), -np.log(_MOST), np.log(_MOST)))
