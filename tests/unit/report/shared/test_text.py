import pytest

from xtalshift.report.shared.text import (
    format_count,
    format_number,
    format_p,
    format_percent,
    format_ratio,
    format_seconds,
    format_spread,
    join_some,
    join_words,
)
from xtalshift.words import plural


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (-1.2345, "−1.23"),
        (99.94, "99.9"),
        (1234.5, "1,234"),
        (3.2e7, "3.20e+07"),
        (4.5e-5, "4.50e-05"),
    ],
)
def test_a_number_has_three_digits(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (28.81, 1.362, "28.8 ± 1.4"),
        (265.87, 0.219, "265.9 ± 0.2"),
        (1500.0, 120.0, "1,500 ± 120"),
        (28.81, None, "28.8"),
        (28.81, 0.0, "28.8 ± 0"),
        (2.0e-5, 1.0e-6, "2.00e-05 ± 1.00e-06"),
    ],
)
def test_a_mean_shows_the_first_digit_of_its_spread(mean, sd, text):
    assert format_spread(mean, sd) == text


def test_short_forms():
    assert format_percent(0.034) == "3.4 %"
    assert format_percent(0.76) == "76 %"
    assert [format_ratio(1.94), format_ratio(12.3)] == ["1.9", "12"]
    assert [format_seconds(v) for v in (0.01, 4.23, 1310.0, None)] == ["<0.1", "4.2", "1,310", "–"]
    assert [format_p(v) for v in (0.0004, 0.0344, None)] == ["<0.001", "0.034", "–"]
    assert [format_count(v) for v in (1200, None)] == ["1,200", "–"]
    assert [plural(v, "task") for v in (1, 0, 1200)] == ["1 task", "0 tasks", "1,200 tasks"]
    assert [plural(v, "row", "is", "are") for v in (1, 2)] == ["1 row is", "2 rows are"]
    assert [join_some("abcd"), join_some("abcde")] == ["a, b, c and d", "a, b, c and 2 more"]
    assert [join_words([]), join_words(["a"]), join_words("abc")] == ["", "a", "a, b and c"]
