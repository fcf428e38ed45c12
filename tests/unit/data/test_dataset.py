import dataclasses

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.table import MaterialsTable
from xtalshift.errors import DataError


def make(**changes):
    values = {
        "ids": np.array(["a", "b", "c"], dtype=object),
        "formulas": np.array(["NaN", "Fe2O3", "NA"], dtype=object),
        "targets": np.array([1.0, np.nan, 3.0]),
        "extra": pd.DataFrame({"T": [300, 400, 500], "note": ["x", "", "y"], "p": [1.0, None, 2]}),
        "target_name": "S",
        "unit": "uV/K",
        "source": "s.csv",
        "problems": np.array(["", "missing", ""], dtype=object),
    }
    return MaterialsTable(**(values | changes))


def test_take_keeps_everything_of_a_row():
    taken = make().take([2, 0, 2])
    assert taken.formulas.tolist() == ["NA", "NaN", "NA"]
    assert taken.targets.tolist() == [3.0, 1.0, 3.0]
    assert taken.extra["T"].tolist() == [500, 300, 500]
    assert taken.extra.index.tolist() == [0, 1, 2]
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


@pytest.mark.parametrize("name", ["formulas", "targets", "extra", "problems", "groups"])
def test_lengths_must_agree(name):
    wrong = pd.DataFrame({"T": [1]}) if name == "extra" else np.array([1.0])
    with pytest.raises(DataError, match=f"{name} has 1 rows, ids has 3"):
        make(**{name: wrong})


def test_feature_columns_in_the_order_asked_for():
    extra = pd.DataFrame({"T": ["300", "4e2", " 500"], "p": [1, 2, 3]})
    assert make(extra=extra).feature_columns(["p", "T"]).tolist() == [[1, 300], [2, 400], [3, 500]]
    assert make().feature_columns([]).shape == (3, 0)


def test_feature_columns_name_the_row_the_value_and_the_near_miss():
    with pytest.raises(DataError, match=r"'p', row 2 \(id b\): missing; 1 of 3 rows"):
        make().feature_columns(["T", "p"])
    with pytest.raises(DataError, match=r"'note', row 1 \(id a\): not a number: 'x'"):
        make().feature_columns(["note"])
    extra = pd.DataFrame({"Temperature": [1, 2, 3]})
    with pytest.raises(DataError, match=r"no column 'temperature'.*did you mean 'Temperature'"):
        make(extra=extra).feature_columns(["temperature"])


def test_hash_tells_every_cell_apart_and_nothing_else():
    reference = make().sha256()
    assert make(source="other.csv", unit="V/K").sha256() == reference
    assert len(reference) == 64
    changes = [
        {"ids": np.array(["a", "b", "d"], dtype=object)},
        {"formulas": np.array(["NaN", "Fe2O3", "Na"], dtype=object)},
        {"targets": np.array([1.0, np.nan, np.nextafter(3.0, 4.0)])},
        {"extra": pd.DataFrame({"T": [300, 400, 501]})},
        {"target_name": "S_n"},
        {"targets": None},
    ]
    hashes = [make(**change).sha256() for change in changes]
    assert len({reference, *hashes}) == len(changes) + 1


def test_a_table_to_predict_has_no_targets():
    table = MaterialsTable(ids=["1"], formulas=["Fe"])
    assert table.targets is None
    assert len(table) == 1
    assert table.take([0, 0]).formulas.tolist() == ["Fe", "Fe"]
