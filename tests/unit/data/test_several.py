"""One table with several targets: names, units, and rows that lack some."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.data.settings import DataConfig
from xtalshift.data.several import read_targets, settings_of_targets, split_units
from xtalshift.errors import ConfigError, DataError, UsageError


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "elastic.csv"
    path.write_text(
        'formula,bulk,"gap, eV",shear\n'
        "NaCl,24.5,8.5,\nMgO,160,7.8,130\nXx2,1,2,3\nSi,98,,66\nGe,,,\nKCl,17.5,8.4,9.4\n"
    )
    return path


def names(**settings):
    return list(settings_of_targets(DataConfig(**settings)))


def test_targets_are_split_at_commas_outside_quotes(table):
    assert names(dataset=str(table), target="bulk,shear") == ["bulk", "shear"]
    assert names(dataset=str(table), target='bulk, "gap, eV"') == ["bulk", "gap, eV"]
    assert names(dataset=str(table), target="bulk") == ["bulk"]
    # the whole text is a column: one target, as before
    assert names(dataset=str(table), target="gap, eV") == ["gap, eV"]
    assert names(dataset=str(table), target='"gap, eV"') == ["gap, eV"]
    with pytest.raises(UsageError, match="'bulk' is named twice"):
        names(dataset=str(table), target="bulk,shear,bulk")


def test_no_target_is_left_to_the_reader():
    (one,) = settings_of_targets(DataConfig(dataset="ricci_seebeck")).values()
    assert one.target is None


def test_units_belong_to_targets_by_order_or_by_name():
    targets = ["bulk", "gap", "shear"]
    assert split_units("GPa,eV,GPa", targets) == {"bulk": "GPa", "gap": "eV", "shear": "GPa"}
    assert split_units("gap=eV, bulk=GPa", targets) == {"gap": "eV", "bulk": "GPa"}
    assert split_units("", targets) == {}
    with pytest.raises(UsageError, match="1 unit for 3 targets; give one for each"):
        split_units("GPa", targets)
    with pytest.raises(UsageError, match=r"'bulks' is no target \(did you mean 'bulk'"):
        split_units("bulks=GPa", targets)


def test_one_unit_of_one_target_is_not_split(table):
    (one,) = settings_of_targets(DataConfig(dataset=str(table), target="bulk", unit="GPa")).values()
    assert one.unit == "GPa"


def test_a_column_of_uncertainties_is_for_one_target():
    data = DataConfig(dataset="x.csv", target="bulk,shear", uncertainty_col="error")
    with pytest.raises(ConfigError, match="is about one target"):
        settings_of_targets(data)


def test_each_target_has_its_rows_and_those_without_any(table):
    found = read_targets(table, ["bulk", "shear", "gap, eV"], units={"bulk": "GPa"})
    assert list(found) == ["bulk", "shear", "gap, eV"]
    assert found["bulk"].row_numbers.tolist() == [1, 2, 3, 4, 5, 6]
    assert found["shear"].row_numbers.tolist() == [2, 3, 4, 5, 6]
    assert found["gap, eV"].row_numbers.tolist() == [1, 2, 3, 5, 6]
    np.testing.assert_array_equal(found["shear"].y, [130, 3, 66, np.nan, 9.4])
    assert found["shear"].problems.tolist() == ["", "", "", "missing", ""]
    assert [one.unit for one in found.values()] == ["GPa", "", "eV"]
    # a target is no column of its own data set, the others are
    assert list(found["shear"].columns) == ["bulk", "gap, eV"]
    # the formulas are parsed once
    assert found["bulk"].materials.formulas[1] is found["shear"].materials.formulas[0]


def test_a_missing_column_is_named(table):
    with pytest.raises(DataError, match="no target column 'sheer'"):
        read_targets(table, ["bulk", "sheer"])


def test_a_data_set_of_the_catalogue_has_several_targets():
    found = read_targets("ricci_seebeck", ["S_p", "S_n"])
    assert [len(one) for one in found.values()] == [47737, 47737]
    assert found["S_n"].unit == found["S_p"].unit != ""
