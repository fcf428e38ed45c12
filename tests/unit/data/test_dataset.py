import dataclasses

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.dataset import Dataset, DatasetDescription
from xtalshift.errors import DataError, SplitError


def make(**changes):
    values = {
        "ids": ["a", "b", "c"],
        "formulas": ["NaN", "Fe2O3", "NA"],
        "targets": np.array([1.0, np.nan, 3.0]),
        "columns": pd.DataFrame(
            {"T": [300, 400, 500], "note": ["x", "", "y"], "p": [1.0, None, 2]}
        ),
        "target_name": "S",
        "unit": "uV/K",
        "source": "s.csv",
        "problems": np.array(["", "missing", ""], dtype=object),
    }
    return Dataset.of(**(values | changes))


def test_take_keeps_everything_of_a_row():
    taken = make().take([2, 0, 2])
    assert taken.formulas.tolist() == ["NA", "NaN", "NA"]
    assert taken.targets.tolist() == [3.0, 1.0, 3.0]
    assert taken.columns["T"].tolist() == [500, 300, 500]
    assert taken.columns.index.tolist() == [0, 1, 2]
    assert taken.problems.tolist() == ["", "", ""]
    assert (taken.target_name, taken.unit, taken.source) == ("S", "uV/K", "s.csv")
    assert len(make().take(np.array([], dtype=int))) == 0


def test_is_frozen_and_does_not_share_the_callers_targets():
    targets = np.array([1.0, 2.0, 3.0])
    table = make(targets=targets)
    targets[0] = 99.0
    assert table.targets[0] == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.unit = "eV"


@pytest.mark.parametrize("name", ["targets", "columns", "problems"])
def test_lengths_must_agree(name):
    wrong = pd.DataFrame({"T": [1]}) if name == "columns" else np.array([1.0])
    with pytest.raises(DataError, match=f"{name} has 1 rows, but there are 3 formulas"):
        make(**{name: wrong})


def test_feature_columns_in_the_order_asked_for():
    columns = pd.DataFrame({"T": ["300", "4e2", " 500"], "p": [1, 2, 3]})
    found = make(columns=columns).feature_columns(["p", "T"])
    assert found.tolist() == [[1, 300], [2, 400], [3, 500]]
    assert make().feature_columns([]).shape == (3, 0)


def test_feature_columns_name_the_row_the_value_and_the_near_miss():
    with pytest.raises(DataError, match=r"'p', row 2 \(id b\): missing; 1 of 3 rows"):
        make().feature_columns(["T", "p"])
    with pytest.raises(DataError, match=r"'note', row 1 \(id a\): not a number: 'x'"):
        make().feature_columns(["note"])
    columns = pd.DataFrame({"Temperature": [1, 2, 3]})
    with pytest.raises(DataError, match=r"no column 'temperature'.*did you mean 'Temperature'"):
        make(columns=columns).feature_columns(["temperature"])


def test_hash_tells_every_cell_apart_and_nothing_else():
    reference = make().sha256()
    assert make(source="other.csv", unit="V/K").sha256() == reference
    assert len(reference) == 64
    changes = [
        {"ids": ["a", "b", "d"]},
        {"formulas": ["NaN", "Fe2O3", "Na"]},
        {"targets": np.array([1.0, np.nan, np.nextafter(3.0, 4.0)])},
        {"columns": pd.DataFrame({"T": [300, 400, 501]})},
        {"target_name": "S_n"},
        {"targets": None},
    ]
    hashes = [make(**change).sha256() for change in changes]
    assert len({reference, *hashes}) == len(changes) + 1


def test_a_table_to_predict_has_no_targets():
    table = Dataset.of(["Fe"])
    assert table.targets is None
    assert len(table) == 1
    assert table.take([0, 0]).formulas.tolist() == ["Fe", "Fe"]
    assert table.take([0, 0]).targets is None
    with pytest.raises(DataError, match="the table has no target column"):
        _ = table.y
    with pytest.raises(DataError, match=r"s\.csv has no target column"):
        _ = make(targets=None).y


def test_description_counts_materials_and_names_the_target():
    table = make(formulas=["Fe2O3", "Fe4O6", "NaCl"], conditions="300 K")
    assert table.description == DatasetDescription(
        source="s.csv",
        sha256=table.sha256(),
        rows=3,
        materials=2,
        target="S",
        unit="uV/K",
        conditions="300 K",
    )


@pytest.mark.parametrize(
    "cells",
    [
        [True, False, True], ["yes", "no", "YES"], ["true", " false", "True"], [1, 0, 1.0],
        ["1", "0", "1"],
    ],
)  # fmt: skip
def test_flags_are_read_from_words_and_numbers(cells):
    flags = make(columns=pd.DataFrame({"polar": cells})).flags("polar")
    assert flags.dtype == bool
    assert flags.tolist() == [True, False, True]


def test_flags_refuse_other_values_and_empty_cells():
    table = make(columns=pd.DataFrame({"polar": [1, 2, 0], "gaps": [1, None, 0]}))
    with pytest.raises(SplitError, match=r"column 'polar', Fe2O3 \(id b\): 2 is not a flag"):
        table.flags("polar")
    with pytest.raises(DataError, match=r"column 'gaps', row 2 \(id b\): missing"):
        table.flags("gaps")
    with pytest.raises(DataError, match=r"no column 'pola' .*did you mean 'polar'"):
        table.flags("pola")


def test_a_column_is_parsed_cell_by_cell():
    values, problems = make().parse_column("p")
    np.testing.assert_array_equal(values, [1.0, np.nan, 2.0])
    assert problems.tolist() == ["", "missing", ""]


def test_a_column_that_was_cut_at_its_comma_is_named_with_quotes():
    columns = pd.DataFrame({"T, K": [300.0], "note": ["a"]})
    data = Dataset.of(["NaCl"], columns=columns, source="gaps.csv")
    assert data.parse_column("T, K")[0].tolist() == [300.0]
    with pytest.raises(DataError) as error:
        data.parse_column("T")
    assert str(error.value) == (
        "gaps.csv has no column 'T' besides formula and target; put double quotes around a name "
        'with a comma: \'"T, K"\'. Columns: "T, K", note'
    )
    with pytest.raises(DataError, match=r"gaps\.csv has no column 'notes'.*did you mean 'note'"):
        data.parse_column("notes")
