import numpy as np
import pandas as pd
import pytest

from xtalshift.data.numbers import parse_numbers


def test_text_becomes_exact_floats_with_reasons():
    cells = pd.Series([" 1.5 ", "1e-3", "0.1234567890123456789", "", "n/a", "NaN", "3(2)", "-inf"])
    values, problems = parse_numbers(cells)
    assert values[:3].tolist() == [1.5, 0.001, float("0.1234567890123456789")]
    assert np.isnan(values[3:7]).all()
    assert values[7] == -np.inf
    assert problems.tolist() == [
        "", "", "", "missing", "missing", "missing", "not a number: '3(2)'", "infinite",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["1_000", "1,000", "0x1F", "5 GPa", "١"])
def test_what_only_looks_like_a_number_is_none(text):
    values, problems = parse_numbers(np.array([text], dtype=object))
    assert np.isnan(values[0])
    assert problems[0] == f"not a number: {text!r}"


def test_numbers_booleans_and_none_of_other_types():
    assert parse_numbers(np.array([True, False]))[0].tolist() == [1.0, 0.0]
    assert parse_numbers(np.array([2, 3], dtype=np.int8))[0].tolist() == [2.0, 3.0]
    values, problems = parse_numbers(pd.Series([2.5, None, "x"], dtype=object))
    assert values[0] == 2.5
    assert problems.tolist() == ["", "missing", "not a number: 'x'"]
    values, problems = parse_numbers(pd.Series([1, None], dtype="Int64"))
    assert problems.tolist() == ["", "missing"]
    assert np.isnan(values[1])


def test_exact_rounding_of_every_printed_float():
    numbers = np.random.default_rng(0).standard_normal(2000) * 1e3
    text = np.array([repr(float(x)) for x in numbers], dtype=object)
    assert (parse_numbers(text)[0] == numbers).all()


def test_numbers_out_of_range_keep_their_value_and_have_a_problem():
    values, problems = parse_numbers(pd.Series(["0", "1e30", "-1e-30", "1e31", "-5e-324", "-0.0"]))
    assert values.tolist() == [0.0, 1e30, -1e-30, 1e31, -5e-324, 0.0]
    assert problems[[0, 1, 2, 5]].tolist() == [""] * 4
    assert problems[3] == "out of range: 1e+31 (0, or 1e-30 to 1e+30 in size; use another unit)"
    assert problems[4].startswith("out of range: -4.94066e-324 ")
