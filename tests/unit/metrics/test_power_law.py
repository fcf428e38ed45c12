import numpy as np
import pytest

from xtalshift.errors import DataError
from xtalshift.metrics import fit_power_law


def test_a_known_law_is_found_and_continued():
    rows = np.array([50, 100, 200, 400])
    law = fit_power_law(rows, 3.0 * rows**-0.35)
    assert law.exponent == pytest.approx(0.35)
    assert law.factor == pytest.approx(3.0)
    assert law.error(4000) == pytest.approx(3.0 * 4000**-0.35)
    assert law.interval(4000) == pytest.approx((law.error(4000),) * 2)  # nothing is uncertain
    assert (law.n_sizes, law.largest) == (4, 400)


def test_draws_of_one_size_are_averaged_as_logarithms():
    rows = [100, 100, 200, 400, 400, 400]
    law = fit_power_law(rows, [2.0, 8.0, 2.0, 1.0, 1.0, 1.0])  # sqrt(2 * 8) = 4
    assert law.exponent == pytest.approx(1.0)
    assert law.error(100) == pytest.approx(4.0)


def test_the_interval_is_that_of_a_linear_regression():
    rows = np.array([100.0, 200.0, 400.0, 800.0])
    errors = np.array([1.0, 0.8, 0.7, 0.5])
    x, y = np.log(rows), np.log(errors)
    slope, cut = np.polyfit(x, y, 1)
    residual = np.sqrt(((y - cut - slope * x) ** 2).sum() / 2)
    at = np.log(8000)
    width = residual * np.sqrt(1 + 1 / 4 + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    width *= 2.919985580355516  # t quantile of 95 % with 2 degrees of freedom
    middle = np.exp(cut + slope * at)
    expected = (middle * np.exp(-width), middle * np.exp(width))
    assert fit_power_law(rows, errors).interval(8000) == pytest.approx(expected)


def test_the_interval_contains_the_next_point_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rows = np.array([100, 200, 400, 800])
    held = []
    for _ in range(2000):
        errors = 5.0 * rows**-0.3 * np.exp(0.05 * rng.standard_normal(4))
        low, high = fit_power_law(rows, errors).interval(8000)
        held.append(low <= 5.0 * 8000**-0.3 * np.exp(0.05 * rng.standard_normal()) <= high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("rows", "errors", "message"),
    [
        ([100, 200], [1.0, 0.5], "2 numbers of training rows; a power law needs at least 3"),
        ([100, 200, 400], [1.0, 0.5, 0.0], "must be positive"),
        ([0, 200, 400], [1.0, 0.5, 0.2], "must be positive"),
    ],
)
def test_what_cannot_be_fitted_says_why(rows, errors, message):
    with pytest.raises(DataError, match=message):
        fit_power_law(rows, errors)
