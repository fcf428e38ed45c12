"""What merging rows of one formula would hide."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.merging import UNITS_WITHIN
from xtalshift.data.readers import read_table
from xtalshift.errors import DataError

FORMULAS = [f"{metal}{n}O" for metal in ("Li", "Na", "K", "Rb", "Cs") for n in (1, 2, 3, 4)]


def table_of(targets, formulas, **columns):
    return Dataset.of(formulas, targets, columns=pd.DataFrame(columns))


def findings(table, **options):
    return {f.kind: f for f in clean_table(table, **options).intake.findings}


def test_another_temperature_within_a_formula_is_named():
    formulas = np.repeat(FORMULAS, 5)
    kelvin = np.tile([300, 400, 500, 600, 700], 20)
    table = table_of(np.arange(100.0) // 5 + kelvin / 1e4, formulas, temperature=kelvin)
    finding = findings(table)["'temperature' differs within a formula"]
    assert finding.count == 100
    assert finding.examples[0].reason == "20 materials, whose rows are merged"
    assert finding.examples[1].row == 6
    assert finding.examples[1].value == "Li2O: 300, 400, 500, 600, 700"
    assert "--feature-cols 'temperature'" in finding.remedy
    assert not findings(table, feature_cols=["temperature"])
    kept = findings(table, duplicates="keep")["'temperature' differs within a formula"]
    assert kept.examples[0].reason == "20 materials"


def test_conditions_are_told_from_properties():
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(20.0), 2)
    table = table_of(
        targets,
        np.repeat(FORMULAS, 2),
        density=rng.uniform(1, 9, 40),  # a property: as many values as rows
        route=np.tile([1, 2], 20),  # few values
        **{"P (GPa)": rng.uniform(0, 9, 40), "T": [str(t) for t in range(40)], "note": ["x"] * 40},
    )
    assert set(findings(table)) == {
        f"{name!r} differs within a formula" for name in ("route", "P (GPa)", "T")
    }


def test_scatter_within_formulas_beside_all_targets():
    rng = np.random.default_rng(0)
    base = np.repeat(np.arange(20.0), 2)
    assert not findings(table_of(base, np.repeat(FORMULAS, 2)))
    found = findings(table_of(base + rng.normal(0, 6, 40), np.repeat(FORMULAS, 2)))
    finding = found["targets differ within a formula"]
    assert finding.count == 40
    assert "20 materials, whose rows are merged; they differ by " in finding.examples[0].reason
    assert not findings(table_of(base, [*FORMULAS, *(f"{f}S" for f in FORMULAS)]))


def test_a_factor_of_units_within_formulas():
    values = np.random.default_rng(0).uniform(0.01, 9, 20)
    twice = np.concatenate([values, values[:3] * 27.2114])
    finding = findings(table_of(twice, [*FORMULAS, *FORMULAS[:3]]))[UNITS_WITHIN]
    assert finding.count == 6
    assert finding.examples[0].reason == (
        "3 materials with values that differ by a factor of 27.2114: eV beside hartree"
    )
    twice = np.concatenate([values, values[:3] * 30])
    assert UNITS_WITHIN not in findings(table_of(twice, [*FORMULAS, *FORMULAS[:3]]))


def test_chance_makes_no_mix_of_units():
    rng = np.random.default_rng(0)
    formulas = [f"Li{a}Na{b}O" for a in range(1, 41) for b in range(41, 81)]
    table = table_of(rng.uniform(0, 5, 2 * len(formulas)), formulas * 2)
    assert set(findings(table)) == {"targets differ within a formula"}


def test_sentinels_leave_and_bias_is_named():
    values = [*np.random.default_rng(0).uniform(1, 5, 20), -9999, -9999, -9999]
    table = table_of(values, [*FORMULAS, "MgO", "CaO", "SrO"])
    intake = clean_table(table).intake
    assert [(f.kind, f.count) for f in intake.dropped] == [("target: a sentinel", 3)]
    assert intake.dropped[0].remedy.startswith("Leave the cells empty")
    assert intake.dropped[0].examples[0].value == "-9999"
    assert [f.kind for f in intake.findings] == ["target: 13% of the rows are left out"]
    assert "findings" in intake.to_dict()


def test_sentinels_in_a_feature_column_leave_too():
    kelvin = [*range(300, 320), 310, -999]
    table = table_of(np.arange(22.0), [*FORMULAS, "MgO", "CaO"], T=kelvin)
    intake = clean_table(table, feature_cols=["T"]).intake
    assert [(f.kind, f.count) for f in intake.dropped] == [("column 'T': a sentinel", 1)]


def test_bounds_in_a_file_are_a_bias(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{formula},{1 + 0.1 * n:.1f}" for n, formula in enumerate(FORMULAS)]
    path.write_text("\n".join(["formula,Tc", *rows, "MgO,<4.2", "Xx,9", ""]))
    intake = clean_table(read_table(path, target="Tc")).intake
    assert {f.kind: f.count for f in intake.dropped} == {
        "target: a bound": 1, "formula: an unknown element": 1,
    }  # fmt: skip
    (finding,) = intake.findings
    assert (finding.kind, finding.count) == ("Tc: rows at the lower end are left out", 1)
    assert (finding.examples[0].row, finding.examples[0].value) == (21, "< 4.2")


def test_targets_of_two_readings_are_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("formula;Rm\nLiO;1.708\nNaO;319\nKO;1.880\n")
    with pytest.raises(DataError, match=r"'Rm' has 2 numbers that can be read in two ways \(row 1"):
        clean_table(read_table(path, target="Rm"))


@pytest.mark.shared_data
def test_measurements_at_several_temperatures():
    path = Path(os.environ["XTALSHIFT_DATA"]) / "intake" / "c08_temps.csv"
    table = read_table(path, target="seebeck_coefficient(uV/K)")
    assert findings(table)["'temperature(K)' differs within a formula"].count == 100


@pytest.mark.shared_data
def test_a_formula_in_two_units():
    path = Path(os.environ["XTALSHIFT_DATA"]) / "intake" / "d_conflict.csv"
    found = findings(read_table(path, target="gap"))
    assert found["gap: perhaps a mix of units"].count == 10
    assert UNITS_WITHIN not in found  # said once
