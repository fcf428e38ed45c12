import json

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import advise_on_range, advise_on_zeros
from xtalshift.data.readers import read_table
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError


def table_of(formulas, targets, **more):
    ids = [f"id{i}" for i in range(len(formulas))]
    return Dataset.of(formulas, list(targets), ids=ids, **more)


def test_every_fault_is_counted_once_with_examples():
    formulas = ["Fe2O3", "NaN", "Xx2", "", "SiO2", "GaAs", "Qq"]
    table = table_of(formulas, [1, 2, 3, 4, np.nan, np.inf, np.nan], unit="eV")
    cleaned = clean_table(table)
    report = cleaned.intake
    assert cleaned.formulas.tolist() == ["Fe2O3", "NaN"]
    assert cleaned.groups.tolist() == ["Fe2O3", "NaN"]
    assert cleaned.materials.compositions.reduced_formulas().tolist() == cleaned.groups.tolist()
    kinds = {finding.kind: finding.count for finding in report.dropped}
    assert kinds == {
        "formula: an unknown element": 2, "formula: no formula": 1, "target: missing": 1,
        "target: infinite": 1,
    }  # fmt: skip
    first = report.dropped[0].examples
    assert [(e.row, e.id, e.value) for e in first] == [
        (3, "id2", "Xx2"), (7, "id6", "Qq"),
    ]  # fmt: skip
    assert all(example.reason for example in first)
    assert (report.rows_read, report.rows_kept, report.rows_dropped) == (7, 2, 5)
    assert report.unit == "eV"


def test_examples_stop_at_five():
    report = clean_table(table_of(["Fe"] + ["?"] * 9, range(10))).intake
    assert report.dropped[0].count == 9
    assert [example.row for example in report.dropped[0].examples] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("rule", "targets"),
    [
        ("mean", [4.0, 7.0]), ("median", [2.0, 7.0]), ("lowest", [1.0, 7.0]),
        ("highest", [9.0, 7.0]), ("keep", [9.0, 7.0, 1.0, 2.0]),
    ],
)  # fmt: skip
def test_rules_for_duplicates(rule, targets):
    notes = pd.DataFrame({"note": ["first", "b", "c", "d"]})
    table = table_of(["Fe2O3", "SiO2", "Fe4O6", "O3Fe2"], [9, 7, 1, 2], columns=notes)
    cleaned = clean_table(table, duplicates=rule)
    report = cleaned.intake
    assert cleaned.targets.tolist() == targets
    assert cleaned.formulas[:2].tolist() == ["Fe2O3", "SiO2"]
    assert cleaned.ids[:2].tolist() == ["id0", "id1"]
    assert cleaned.columns["note"].tolist()[:2] == ["first", "b"]
    assert len(cleaned.materials.compositions) == len(cleaned) == report.rows_kept
    # |9-4| + |1-4| + |2-4| = 10 over the three rows; |9-2| + |1-2| + |2-2| = 8 over all four
    assert report.duplicate_scatter == pytest.approx(10 / 3)
    assert report.error_floor == pytest.approx(8 / 4)
    assert (report.duplicate_groups, report.duplicate_rows) == (1, 3)
    assert report.rows_merged == (0 if rule == "keep" else 2)
    assert table.targets.tolist() == [9, 7, 1, 2]
    assert table.intake is None


def test_rows_at_another_temperature_are_no_duplicates():
    columns = pd.DataFrame({"T": [300, 300, 400, None, "warm"]})
    table = table_of(["Fe", "Fe2", "Fe", "Fe", "Fe"], [1, 3, 10, 5, 6], columns=columns)
    cleaned = clean_table(table, feature_cols=["T"])
    assert cleaned.targets.tolist() == [2.0, 10.0]
    assert cleaned.feature_columns(["T"]).tolist() == [[300.0], [400.0]]
    assert cleaned.materials.extra.tolist() == [[300.0], [400.0]]
    assert cleaned.materials.extra_names == ("T",)
    assert cleaned.groups.tolist() == ["Fe", "Fe"]
    kinds = {finding.kind: finding.count for finding in cleaned.intake.dropped}
    assert kinds == {"column 'T': missing": 1, "column 'T': not a number": 1}
    assert clean_table(table).targets.tolist() == [5.0]


def test_features_that_came_with_the_materials_count_like_columns():
    table = table_of(["Fe", "Fe", "Fe", "Co"], [1, 3, 10, 5], extra=[[300], [300], [400], [np.nan]])
    cleaned = clean_table(table)
    assert cleaned.targets.tolist() == [2.0, 10.0]
    assert cleaned.materials.extra.tolist() == [[300.0], [400.0]]
    assert cleaned.materials.extra_names == ("x0",)
    assert [finding.kind for finding in cleaned.intake.dropped] == ["column 'x0': missing"]


def test_no_prediction_per_composition_beats_the_error_floor():
    rng = np.random.default_rng(0)
    formulas = np.array(["Fe", "Co", "Ni"])[rng.integers(0, 3, 40)]
    targets = rng.exponential(size=40)  # skewed, so that mean and median differ
    floor = clean_table(table_of(formulas, targets)).intake.error_floor
    # the error of a constant is convex with its corners at the targets: the least is at one of them
    least = [
        np.abs(targets[None, rows] - targets[rows, None]).sum(axis=1).min()
        for rows in (formulas == name for name in ("Fe", "Co", "Ni"))
    ]
    assert floor == pytest.approx(sum(least) / 40, rel=1e-12)


def test_a_unique_table_has_no_scatter():
    report = clean_table(table_of(["Fe", "Co"], [0.1, 0.3])).intake
    assert report.duplicate_scatter is None
    assert report.error_floor == 0.0


def test_notes_of_the_parser_are_kept():
    cleaned = clean_table(table_of(["D2O", "Fe"], [1, 2]))
    assert len(cleaned) == 2
    assert cleaned.intake.notes[0].count == 1
    assert cleaned.intake.notes[0].examples[0].value == "D2O"


def test_zero_inflation_has_a_remedy():
    inflated = clean_table(table_of(["Fe", "Co", "Ni", "Cu"], [0, 0, 1, 2])).intake
    assert inflated.zero_share == 0.5
    assert inflated.zero_inflated
    assert inflated.remedy.startswith("50% of the targets are exactly 0")
    fine = clean_table(table_of(["Fe", "Co"], [1, 2])).intake
    assert not fine.zero_inflated
    assert fine.remedy == ""


def test_report_is_plain_json():
    report = clean_table(table_of(["Fe", "Zz", "Fe"], [0, 1, 2])).intake
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["dropped"][0]["examples"][0]["value"] == "Zz"
    assert values["duplicate_scatter"] == 1.0
    assert (values["duplicate_groups"], values["duplicate_rows"]) == (1, 2)
    assert values["rows_dropped"] == 1
    assert values["zero_inflated"] is False


def test_strict_stops_at_the_first_bad_row():
    with pytest.raises(DataError, match=r"row 2 \(id id1\): formula: an unknown element: .*Zz"):
        clean_table(table_of(["Fe", "Zz", "Qq"], [1, 2, 3]), strict=True)


def test_nothing_left_says_why():
    with pytest.raises(DataError, match=r"none of the 2 rows .*1 x formula: an unknown element"):
        clean_table(table_of(["Zz", "Fe"], [1, np.nan]))
    with pytest.raises(DataError, match="has no rows"):
        clean_table(table_of([], []))


def test_wrong_use_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'median'"):
        clean_table(table_of(["Fe"], [1]), duplicates="medain")
    with pytest.raises(DataError, match="no target column"):
        clean_table(Dataset.of(["Fe"]))
    with pytest.raises(DataError, match="no column 'T'"):
        clean_table(table_of(["Fe"], [1]), feature_cols=["T"])


def test_text_of_a_bad_target_survives_to_the_report(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("formula,gap\nFe,n.d.\nSi,1.1\nGe,\n")
    report = clean_table(read_table(path, target="gap")).intake
    examples = {f.kind: f.examples[0] for f in report.dropped}
    assert examples["target: not a number"].value == "n.d."
    assert examples["target: not a number"].row == 1
    assert examples["target: missing"].row == 3


@pytest.mark.shared_data
def test_formation_energies_of_the_materials_project(shared_data):
    table = read_table(shared_data / "composition" / "mp_e_form.parquet", unit="eV/atom")
    cleaned = clean_table(table)
    report = cleaned.intake
    assert report.rows_read == 132752
    assert len(cleaned) == 95118
    assert len(set(cleaned.groups)) == 95118
    assert report.rows_dropped == 0
    assert report.error_floor == pytest.approx(0.02461, abs=1e-5)


def test_rows_keep_their_number_of_the_table_through_cleaning_and_selection():
    table = Dataset.of(["NaCl", "Xx", "KCl", "NaCl", "KBr"], [1.0, 2.0, 3.0, 4.0, -1.0])
    cleaned = clean_table(table)
    assert cleaned.row_numbers.tolist() == [1, 3, 5]
    assert cleaned.take([2, 0]).row_numbers.tolist() == [5, 1]
    with pytest.raises(DataError, match="cannot take row 5: -1"):
        TargetTransform("log").forward(cleaned.y, cleaned.row_numbers)
    (finding,) = clean_table(table.take([4, 1])).intake.dropped
    assert finding.examples[0].row == 2


def test_positive_targets_over_decades_call_for_a_log_scale():
    wide = np.geomspace(0.01, 100, 200)
    assert "span a factor of" in advise_on_range(wide)
    assert "--transform log" in advise_on_range(wide)
    assert advise_on_range(np.append(wide, 0.0)) == ""
    assert advise_on_range(np.linspace(1, 20, 50)) == ""
    assert advise_on_range(np.zeros(0)) == ""
    assert advise_on_zeros(0.51).startswith("51% of the targets are exactly 0")
    assert advise_on_zeros(0.09) == ""
