import numpy as np
import pandas as pd
import pytest

from xtalshift.data.number_texts import NumberStyle
from xtalshift.data.numbers import cause_of, parse_numbers, plain_numbers, read_numbers


def test_text_becomes_exact_floats_with_reasons():
    cells = pd.Series([" 1.5 ", "1e-3", "0.1234567890123456789", "", "n/a", "NaN", "3 (2)", "-inf"])
    values, problems = parse_numbers(cells)
    assert values[:3].tolist() == [1.5, 0.001, float("0.1234567890123456789")]
    assert np.isnan(values[3:7]).all()
    assert values[7] == -np.inf
    assert problems.tolist() == [
        "", "", "", "missing", "missing", "missing", "not a number: '3 (2)'", "infinite",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["1_000", "0x1F", "5 GPx", "١", "12 of 20", "2H", "5,"])
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


def test_numbers_beside_text_keep_their_point_where_text_has_commas():
    cells = pd.Series([1.5, "2,5", "3.5", None, 4], dtype=object)
    values, problems = parse_numbers(cells, NumberStyle(","))
    assert values[[0, 1, 4]].tolist() == [1.5, 2.5, 4.0]
    assert problems[2:4].tolist() == [
        "another decimal mark: '3.5'; the table has ','", "missing",
    ]  # fmt: skip


def test_one_unit_is_read_and_noted():
    column = read_numbers(pd.Series(["20 K", "30K", "40", "n/a"]))
    assert column.values[:3].tolist() == [20.0, 30.0, 40.0]
    assert column.notes.tolist() == [
        "a unit: '20 K'", "a unit: '30K'", "no unit: '40' where others have one", "",
    ]  # fmt: skip
    assert not column.complete


@pytest.mark.parametrize(
    ("cells", "unit", "values"),
    [
        (["1.2 eV", "1.3 eV", "320 meV"], "", [1.2, 1.3, None]),
        (["1.2 eV", "320 meV"], "", [None, None]),
        (["1.2", "1.3", "320 meV"], "", [1.2, 1.3, None]),
        (["1.2", "1.3", "320 meV"], "meV", [1.2, 1.3, 320]),
        (["0.4", "12%", "13 %"], "", [0.4, 12, 13]),
        (["0.4", "0.5", "13 %"], "", [0.4, 0.5, None]),
        (["3 \u00b5V/K", "4 \u03bcV K\u207b\u00b9", "5 uV/K"], "", [3, None, 5]),
    ],
)
def test_numbers_of_another_unit_are_refused(cells, unit, values):
    column = read_numbers(pd.Series(cells), unit=unit)
    assert [None if np.isnan(value) else value for value in column.values] == values
    wrong = [cause_of(problem) for problem in column.problems if problem]
    assert wrong == ["another unit"] * values.count(None)


def test_what_is_known_of_refused_numbers():
    column = read_numbers(pd.Series(["<4.2", ">300", "19-21", "7", "x", ""]))
    assert np.isnan(column.values[[0, 1, 2, 4, 5]]).all()
    assert column.lower.tolist() == [-np.inf, 300, 19, 7, -np.inf, -np.inf]
    assert column.upper.tolist() == [4.2, np.inf, 21, 7, np.inf, np.inf]
    assert [cause_of(p) for p in column.problems] == [
        "a bound", "a bound", "a range", "", "not a number", "missing",
    ]  # fmt: skip


def test_a_column_of_text_is_numbers_only_if_numbers_are_all_it_says():
    def read(*cells):
        values = plain_numbers(pd.Series(cells), NumberStyle())
        return None if values is None else values.tolist()

    assert read("\u22121.5", "2", "1 x 10^3") == [-1.5, 2.0, 1000.0]
    assert read("1", "inf") == [1.0, np.inf]
    assert np.isnan(read("", "3")[0])
    for cell in ["20 K", "5%", "1.2(1)", "~3", "<4", "1-2", "2H", "1,234"]:
        assert read("1", cell) is None
    assert read("", "-") is None
