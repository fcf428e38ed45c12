"""What is odd about a column: planted faults are found, clean columns are silent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.number_findings import (
    REMEDIES,
    UNIT_FACTORS,
    find_bias,
    find_doubtful_sentinels,
    find_outliers,
    find_sentinels,
    find_unit_mix,
    number_findings,
)
from xtalshift.data.numbers import read_numbers

RNG = np.random.default_rng(7)
GAPS = RNG.uniform(0.2, 5, 60).round(3)


def findings_of(cells, name="gap"):
    cells = pd.Series([str(cell) for cell in cells])
    return {f.kind: f for f in number_findings(read_numbers(cells), cells, name)}


def test_every_cause_has_count_examples_and_remedy():
    found = findings_of([*GAPS, "<4.2", "2-3", "x", "y", "1.2(1)", ""])
    assert [(kind, f.count) for kind, f in found.items()] == [
        ("gap: not a number", 2), ("gap: a bound", 1), ("gap: a range", 1), ("gap: missing", 1),
        ("gap: an uncertainty", 1), ("gap: rows at the lower end are left out", 1),
    ]  # fmt: skip
    first = found["gap: not a number"]
    assert [(e.row, e.value) for e in first.examples] == [(63, "x"), (64, "y")]
    assert first.remedy == REMEDIES["not a number"]
    assert found["gap: a bound"].examples[0].reason == "a bound: '<4.2'"


@pytest.mark.parametrize("value", [-9999, -999, 9999, 99999, 999.9, -9999.99, 8888, -32768])
def test_sentinels_far_from_all_others(value):
    values = np.array([*GAPS, value, np.nan])
    assert np.flatnonzero(find_sentinels(values)).tolist() == [60]
    found = findings_of(values[:61])
    assert found["gap: a sentinel"].examples[0].row == 61
    assert "gap: outliers" not in found


def test_99_is_a_sentinel_only_if_it_repeats():
    assert not find_sentinels(np.array([*GAPS, 99])).any()
    assert find_outliers(np.array([*GAPS, 99])).tolist() == [60]
    assert find_outliers(np.zeros(60)).size == 0
    assert find_sentinels(np.array([*GAPS, 99, 99])).sum() == 2


def test_what_only_looks_like_a_sentinel():
    kelvin = RNG.uniform(10, 900, 50)
    assert not find_sentinels(np.array([*kelvin, 999, 999])).any()  # near the others
    assert not find_sentinels(np.array([*GAPS, 1234, 9989])).any()  # another form
    assert not find_sentinels(np.array([1.0, 2, -9999])).any()  # too few others
    many = np.array([*RNG.uniform(10, 600, 50), 999, 999, 999])
    assert find_doubtful_sentinels(many).sum() == 3
    assert not find_doubtful_sentinels(kelvin).any()


def test_minus_one_among_numbers_that_cannot_be_negative():
    assert find_doubtful_sentinels(np.array([*GAPS, -1, -1, -1])).sum() == 3
    assert not find_doubtful_sentinels(np.array([*GAPS, -1, -1, -1, -0.5])).any()
    assert not find_doubtful_sentinels(np.array([1.0, 2, 3, 4, 5, -1, -1, -1])).any()


@pytest.mark.parametrize("factor", list(UNIT_FACTORS))
@pytest.mark.parametrize("larger", [True, False])
def test_a_mix_of_units(factor, larger):
    values = np.random.default_rng(3).normal(3, 0.2, 80)
    values[10:19] *= factor if larger else 1 / factor
    mix = find_unit_mix(values)
    if mix is None:  # few small values with a narrow gap could be chance
        assert not larger
        assert factor < 4
        return
    assert mix.rows.tolist() == list(range(10, 19))
    assert factor in mix.factors
    assert mix.larger == larger
    what = "times the others" if larger else "times smaller than the others"
    assert mix.describe().startswith(f"about {mix.factors[0]:g} {what}: ")


def test_a_few_outliers_of_a_heavy_tail_are_no_mix_of_units():
    usual = np.exp(np.linspace(0.3, 2.2, 320) ** 2 / 2)  # up to 11, with a tail to the right
    few = np.array([36.0, 38.0, 40.0])
    assert find_unit_mix(np.concatenate([usual, few])) is None
    mix = find_unit_mix(np.concatenate([usual, np.full(3, 2000.0)]))
    assert mix is not None
    assert mix.rows.tolist() == [320, 321, 322]


def test_columns_without_a_fault_have_no_findings():
    rng = np.random.default_rng(0)
    alarms = 0
    for n in (20, 60, 300, 2000):
        for values in (
            rng.standard_normal(n), rng.lognormal(0, 1, n), rng.lognormal(0, 3, n),
            rng.uniform(0, 5, n), np.round(rng.exponential(1, n), 3), rng.integers(0, 1000, n),
            np.where(rng.random(n) < 0.3, 0, rng.exponential(2, n)), np.full(n, 3.0),
        ):  # fmt: skip
            alarms += len(findings_of(values))
    assert alarms == 0


def test_outliers_are_far_on_both_scales_furthest_first():
    values = RNG.lognormal(0, 1, 200)
    values[[3, 8]] = 1e7, 1e9
    assert find_outliers(values).tolist() == [8, 3]
    values = RNG.normal(0, 1, 200)
    values[[3, 8]] = -30, 20
    assert find_outliers(values).tolist() == [3, 8]
    assert find_outliers(values[:19]).size == 0


def bias_of(cells):
    column = read_numbers(pd.Series([str(cell) for cell in cells]))
    leaves = column.problems != ""
    found = find_bias(column.lower, column.upper, leaves, "y")
    return [] if found is None else [(found.kind, found.count)]


def test_rows_that_leave_at_one_end_are_a_bias():
    assert bias_of(GAPS) == []
    assert bias_of([*GAPS, ">3"]) == [("y: rows at the upper end are left out", 1)]
    assert bias_of([*GAPS, "<3", "<2"]) == [("y: rows at the lower end are left out", 2)]
    assert bias_of([*GAPS, "<3", ">4"]) == []
    assert bias_of([*GAPS, "4-6", "5-7", "6-8"]) == [("y: rows at the upper end are left out", 3)]
    assert bias_of([*GAPS, "0-1", "2-3", "4-6"]) == []
    assert bias_of([*GAPS, *["x"] * 6]) == []
    assert bias_of([*GAPS, *["x"] * 7]) == [("y: 10% of the rows are left out", 7)]


def test_rows_that_leave_for_their_formula_can_be_a_bias_too():
    values = np.array([*GAPS, 1000, 2000, 3000])
    leaves = values > 900
    finding = find_bias(values, values, leaves, "y")
    assert (finding.kind, finding.count) == ("y: rows at the upper end are left out", 3)
    assert [(e.row, e.value) for e in finding.examples] == [
        (61, "1000"),
        (62, "2000"),
        (63, "3000"),
    ]
    assert finding.remedy


def test_a_bias_is_named_once():
    column = read_numbers(pd.Series([*map(str, GAPS), *["<3"] * 2, *["x"] * 8]))
    finding = find_bias(column.lower, column.upper, column.problems != "", "y")
    assert finding.describe().startswith(
        "y: rows at the lower end are left out (2 rows): only bounds from above are known of them; "
        "in all, 14% of the rows are left out. A model without them is biased"
    )
    assert "at that end" in finding.remedy
    plain = find_bias(np.zeros(9), np.zeros(9), np.arange(9) == 0, "y")
    assert plain.kind == "y: 11% of the rows are left out"
    assert "at that end" not in plain.remedy


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("c12_sentinel.csv", {"gap: a sentinel": 6, "gap: 15% of the rows are left out": 6}),
        ("c12_unitmix.csv", {"gap: perhaps a mix of units": 4}),
        ("d_conflict.csv", {"gap: perhaps a mix of units": 10}),
    ],
)
def test_small_tables_with_one_fault_each(file, kinds):
    path = Path(os.environ["XTALSHIFT_DATA"]) / "intake" / file
    found = findings_of(pd.read_csv(path, dtype=str, keep_default_na=False)["gap"])
    assert {kind: finding.count for kind, finding in found.items()} == kinds
