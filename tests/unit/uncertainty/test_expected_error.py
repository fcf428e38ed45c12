"""The error to expect in a region without labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.uncertainty.expected_error import (
    DISAGREEMENT,
    EXCESS,
    LEVEL,
    RANGE,
    Hold,
    expect_error,
)

SIZES = st.floats(0.5, 2.0)


def test_it_is_the_geometric_mean_where_the_proxies_are_like_the_candidates():
    like = Hold(0.3, 2.0)
    found = expect_error([(1.0, like), (4.0, like)], like)
    assert found.mae == pytest.approx(EXCESS * 2.0)
    assert found.low == pytest.approx(RANGE[0] * EXCESS * 2.0)
    assert found.high == pytest.approx(RANGE[1] * EXCESS * 2.0)


def test_larger_proxies_count_more():
    found = expect_error([(1.0, Hold(0.3, 2.0, 9)), (4.0, Hold(0.3, 2.0, 36))], Hold(0.3, 2.0, 5))
    assert np.log(found.mae / EXCESS) == pytest.approx(2 / 3 * np.log(4.0))


def test_more_disagreement_and_more_extreme_predictions_mean_larger_errors():
    proxy = Hold(0.2, 1.0)
    wilder = expect_error([(0.5, proxy)], Hold(0.6, 1.0)).mae
    farther = expect_error([(0.5, proxy)], Hold(0.2, 3.0)).mae
    assert wilder == pytest.approx(EXCESS * 0.5 * 3**DISAGREEMENT)
    assert farther == pytest.approx(EXCESS * 0.5 * 3**LEVEL)


def test_what_is_not_known_changes_nothing():
    assert expect_error([(0.5, Hold(np.nan, 1.0))], Hold(np.nan, 1.0)).mae == pytest.approx(
        EXCESS * 0.5
    )
    assert expect_error([(0.5, Hold(0.0, 0.0))], Hold(0.0, 0.0)).mae == pytest.approx(EXCESS * 0.5)


def test_one_quantity_counts_for_a_factor_of_ten_at_most():
    found = expect_error([(0.5, Hold(0.0, 1.0))], Hold(1.0, 1.0)).mae
    assert found == pytest.approx(EXCESS * 0.5 * 10**DISAGREEMENT)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=6), SIZES)
def test_it_does_not_depend_on_the_unit(proxies, unit):
    plain = [(error, Hold(s, v)) for error, s, v in proxies]
    scaled = [(unit * error, Hold(unit * s, unit * v)) for error, s, v in proxies]
    own = expect_error(plain, Hold(1.0, 1.5))
    other = expect_error(scaled, Hold(unit, 1.5 * unit))
    assert other.mae == pytest.approx(unit * own.mae)
    assert other.low < other.mae < other.high
