"""The error to expect in a region without labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.uncertainty.expected_error import (
    BETWEEN,
    DISAGREEMENT,
    LEAST_SPREAD,
    LEVEL,
    QUANTILES,
    Hold,
    ProxyError,
    expect_error,
)

SIZES = st.floats(0.5, 2.0)


def proxy(mae, disagreement=0.3, level=2.0, n=20, variation=0.0):
    """Return the errors of a proxy."""
    return ProxyError(mae, variation, Hold(disagreement, level, n))


def candidates(disagreement=0.3, level=2.0, n=10**9):
    """Return many candidates."""
    return Hold(disagreement, level, n)


def centre(found):
    """Return the error before the quantile is added, where only the least spread counts."""
    return found.mae * np.exp(-QUANTILES[1] * LEAST_SPREAD)


def test_one_proxy_like_the_candidates():
    found = expect_error([proxy(2.0)], candidates())
    assert found == pytest.approx([2.0 * np.exp(q * LEAST_SPREAD) for q in (0.1, -1.03, 1.45)])


def test_several_proxies_count_by_the_square_root_of_their_size():
    found = expect_error([proxy(1.0, n=9), proxy(4.0, n=36)], candidates())
    middle = 2 / 3 * np.log(4.0)
    variance = np.log(4.0) ** 2 / 4  # of two equal parts
    spread = np.sqrt(LEAST_SPREAD**2 + BETWEEN * variance)
    assert np.log(found) == pytest.approx([middle + q * spread for q in (0.1, -1.03, 1.45)])


def test_more_disagreement_and_more_extreme_predictions_mean_larger_errors():
    wilder = expect_error([proxy(0.5, 0.2, 1.0)], candidates(0.6, 1.0))
    farther = expect_error([proxy(0.5, 0.2, 1.0)], candidates(0.2, 3.0))
    assert centre(wilder) == pytest.approx(0.5 * 3**DISAGREEMENT)
    assert centre(farther) == pytest.approx(0.5 * 3**LEVEL)


def test_few_materials_with_uneven_errors_widen_the_range():
    found = expect_error([proxy(1.0, variation=2.0, n=16)], candidates(n=4))
    spread = np.sqrt(LEAST_SPREAD**2 + 4.0 * (1 / 4 + 1 / 16))
    assert np.log(found.high / found.low) == pytest.approx(2.48 * spread)


def test_what_is_not_known_changes_nothing():
    unknown = expect_error([proxy(0.5, np.nan)], candidates(np.nan))
    assert centre(unknown) == pytest.approx(0.5)
    assert centre(expect_error([proxy(0.5, 0.0, 0.0)], candidates(0.0, 0.0))) == pytest.approx(0.5)


def test_one_quantity_counts_for_a_factor_of_ten_at_most():
    found = expect_error([proxy(0.5, 0.0, 1.0)], candidates(1.0, 1.0))
    assert centre(found) == pytest.approx(0.5 * 10**DISAGREEMENT)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=6), SIZES)
def test_it_does_not_depend_on_the_unit(proxies, unit):
    own = expect_error([proxy(*one) for one in proxies], candidates(1.0, 1.5))
    scaled = [proxy(*(unit * value for value in one)) for one in proxies]
    other = expect_error(scaled, candidates(unit, 1.5 * unit))
    assert other == pytest.approx([unit * value for value in own])
    assert other.low < other.mae < other.high
