"""The verdict about candidates."""

import numpy as np
import pytest

from xtalshift.benchmark.answer import ProxyResult
from xtalshift.benchmark.verdict import Grounds, decide, grounds_of

GOOD = Grounds(0.4, 0.5, 0.6, 0.8, 0.6, 0.9, 0.9)


def proxy(**changes):
    """Return the result of a proxy."""
    usual = {
        "name": "Se", "reason": "", "n": 20, "distance_ratio": 1.0, "mae": 1.0, "mae_dummy": 2.0,
        "mae_own_median": 4.0, "spearman": 0.5, "coverage": 0.9, "found": (0.5, 0.5),
        "covered": (0.9, 0.9), "n_measured": 10, "mae_before": 2.0,
        "mae_after": 1.0, "methods": {"ridge": 1.0},
    }  # fmt: skip
    return ProxyResult(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "trust"),
        ({"coverage": 0.8}, "ranking"),
        ({"coverage": np.nan}, "ranking"),
        ({"value": 0.9}, "ranking"),
        ({"inside": 1.0}, "ranking"),
        ({"expected": 0.9}, "ranking"),
        ({"order": 0.3}, "no"),
        ({"least_order": 0.0}, "no"),
        ({"order": 0.3, "measured": 0.7}, "measure"),
        ({"order": 0.3, "measured": np.nan}, "no"),
    ],
)
def test_verdicts(changes, verdict):
    assert decide(GOOD._replace(**changes)) == verdict


def test_grounds():
    found = grounds_of(
        [proxy(), proxy(mae=4.0, spearman=None, coverage=None, mae_before=None, mae_after=None)],
        3.0,
    )
    assert found.value == pytest.approx(np.sqrt(0.5 * 2.0))
    assert found.expected == pytest.approx(1.5)
    assert found.inside == pytest.approx(np.sqrt(0.25 * 1.0))
    assert (found.order, found.least_order) == (0.25, 0.125)  # no order counts as 0
    assert (found.coverage, found.measured) == (0.9, 0.5)


def test_what_was_not_simulated_is_not_known():
    found = grounds_of([proxy(coverage=None, mae_before=None, mae_after=None)], 1.0)
    assert np.isnan(found.coverage)
    assert np.isnan(found.measured)
