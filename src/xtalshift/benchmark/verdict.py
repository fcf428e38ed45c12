"""The verdict about candidates, from what happened on the hold-outs that imitate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xtalshift.benchmark.answer import ProxyResult, Verdict

VALUE = 0.65
"""Values are of use if the error is at most this part of that of the training mean."""
EXPECTED = 0.8
"""They are of use if the error to expect is at most this part of that of the training mean on the
hold-outs."""
INSIDE = 0.9
"""They are of use if the error is at most this part of that of a constant of the hold-out's own."""
ORDER = 0.4
"""An order is of use if the median rank correlation is at least this."""
LEAST_ORDER = 0.2
"""The same for the hold-out whose order is (nearly) the worst."""
COVERED = 0.85
"""Coverage from which on 90 % intervals are said to hold."""
HELPS = 0.85
"""Measuring helps if it leaves at most this part of the error."""
_NEARLY_ALL = 0.25


class Grounds(NamedTuple):
    """What a verdict rests on; NaN where it is not known."""

    value: float
    """Geometric mean of the error over that of the training mean."""
    expected: float
    """The error to expect for the candidates over the geometric mean of that of the training mean
    on the hold-outs."""
    inside: float
    """Geometric mean of the error over that of the median of each hold-out's own targets."""
    order: float
    """Median rank correlation."""
    least_order: float
    """Its 25 % quantile."""
    coverage: float
    """Mean coverage of 90 % intervals."""
    measured: float
    """What measuring some materials leaves of the error."""


def grounds_of(proxies: Sequence[ProxyResult], expected_mae: float) -> Grounds:
    """Return what a verdict rests on, from at least one hold-out and the error to expect."""
    rank = [0.0 if one.spearman is None else one.spearman for one in proxies]
    covered = [one.coverage for one in proxies if one.coverage is not None]
    pairs = [(one.mae_before, one.mae_after) for one in proxies]
    left = [after / before for before, after in pairs if before and after]
    return Grounds(
        value=_mean_ratio([(one.mae, one.mae_dummy) for one in proxies]),
        expected=_mean_ratio([(expected_mae, one.mae_dummy) for one in proxies]),
        inside=_mean_ratio([(one.mae, one.mae_own_median) for one in proxies]),
        order=float(np.median(rank)),
        least_order=float(np.quantile(rank, _NEARLY_ALL)),
        coverage=float(np.mean(covered)) if covered else np.nan,
        measured=float(np.exp(np.mean(np.log(left)))) if left else np.nan,
    )


def decide(grounds: Grounds) -> Verdict:
    """Return the verdict.

    ``trust`` if values, their order within a hold-out and the intervals are of use; ``ranking`` if
    only the order is; ``measure`` if neither is, but some measurements reduce the error; else
    ``no``.
    """
    ordered = grounds.order >= ORDER and grounds.least_order >= LEAST_ORDER
    valued = grounds.value <= VALUE and grounds.expected <= EXPECTED and grounds.inside <= INSIDE
    if ordered and valued and grounds.coverage >= COVERED:
        return "trust"
    if ordered:
        return "ranking"
    return "measure" if grounds.measured <= HELPS else "no"


def _mean_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the geometric mean of the ratios of errors; infinite over an error of 0."""
    tiny = float(np.finfo(np.float64).tiny)
    return float(np.exp(np.mean([np.log(max(a, tiny) / max(b, tiny)) for a, b in pairs])))
