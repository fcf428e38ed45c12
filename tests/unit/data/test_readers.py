import numpy as np
import pandas as pd
import pytest

from xtalshift.data import find_formula_column, read_table, table_from_frame
from xtalshift.errors import DataError


@pytest.fixture
def csv(tmp_path):
    def write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("columns", "requested", "found"),
    [
        (["id", "Formula"], None, "Formula"),
        (["composition", "formula"], None, "formula"),
        (["Composition", "pretty_formula"], None, "pretty_formula"),
        (["formula", "material"], "material", "material"),
    ],
)
def test_formula_column(columns, requested, found):
    assert find_formula_column(columns, requested) == found


def test_formula_column_not_found_lists_what_is_there():
    with pytest.raises(DataError, match=r"did you mean 'Formulae'.*Columns: Formulae, y"):
        find_formula_column(["Formulae", "y"])
    with pytest.raises(DataError, match=r"no formula column 'formla' \(did you mean 'formula'"):
        find_formula_column(["formula", "y"], "formla")
    with pytest.raises(DataError, match=r"folder of their files \(--structures\).*Columns: id, n"):
        find_formula_column(["id", "n"])


def test_structures_beside_formulas_are_told_if_they_are_not_read(csv):
    path = csv('id,formula,y,cif\na,NaCl,1,"data_x\n_cell 1"\nb,KCl,2,\n')
    (found,) = read_table(path, target="y").reading.findings
    assert found.describe() == (
        "a crystal structure in column 'cif' that the features leave out for the formula (1 row). "
        "To read it give --structure-col cif."
    )
    assert found.show() == ("row 1: data_x _cell 1",)
    words = csv("formula,y,structure\nNaCl,1,rock salt\nKCl,2,rock salt\n")
    assert read_table(words, target="y").reading.findings == ()


def test_file_with_one_number_needs_no_target(csv):
    path = csv("material_id,formula,note,gap\nm1,NaN,x,1.5\nm2,Fe,y,0\n")
    table = read_table(path, unit="eV")
    assert (table.target_name, table.unit, table.source) == ("gap", "eV", "mine.csv")
    assert table.ids.tolist() == ["m1", "m2"]
    assert table.formulas.tolist() == ["NaN", "Fe"]
    assert table.targets.tolist() == [1.5, 0.0]
    assert list(table.columns.columns) == ["note"]


def test_which_target(csv):
    many = csv("formula,gap,T,index\nFe,1,300,0\n")
    with pytest.raises(DataError, match=r"more than one column can be the target.*: gap, T$"):
        read_table(many)
    assert read_table(many, target="T").targets.tolist() == [300.0]
    assert read_table(csv("formula,T,target\nFe,300,7\n")).target_name == "target"
    with pytest.raises(DataError, match="no column of plain numbers to use as the target"):
        read_table(csv("formula,note\nFe,x\n"))


def test_wrong_target_has_a_hint_and_the_choice(csv):
    path = csv("formula,band_gap,note\nFe,1,x\n")
    with pytest.raises(
        DataError, match=r"'bandgap' \(did you mean 'band_gap'.*Columns: formula, band_gap, note$"
    ):
        read_table(path, target="bandgap")
    with pytest.raises(DataError, match=r"no usable number .row 1: not a number: 'x'.*band_gap"):
        read_table(path, target="note")
    with pytest.raises(DataError, match="has the formulas"):
        read_table(path, target="formula")


def test_empty_target_column(csv):
    with pytest.raises(DataError, match=r"has no usable number .row 1: missing"):
        read_table(csv("formula,gap\nFe,\nCo,\n"), target="gap")


def test_bad_targets_stay_as_rows_with_a_reason(csv):
    table = read_table(csv("formula,gap\nFe,1\nCo,n.d.\nNi,\n"), target="gap")
    assert table.problems.tolist() == ["", "not a number: 'n.d.'", "missing"]
    assert np.isnan(table.targets).tolist() == [False, True, True]


def test_ids(csv):
    assert read_table(csv("formula,y\nFe,1\nCo,2\n")).ids.tolist() == ["1", "2"]
    repeated = csv("id,formula,y\na,Fe,1\na,Co,2\n")
    assert read_table(repeated, target="y").ids.tolist() == ["1", "2"]
    assert read_table(repeated, target="y", id_col="id").ids.tolist() == ["a", "a"]
    assert read_table(csv("sample,formula,y\n007,Fe,1\n"), id_col="sample").ids.tolist() == ["007"]
    with pytest.raises(DataError, match="no id column 'x1'"):
        read_table(repeated, id_col="x1", target="y")


def test_neither_file_nor_name(tmp_path):
    with pytest.raises(
        DataError, match=r"neither a file nor a data set \(did you mean 'ricci_seeb"
    ):
        read_table("ricci_seebek")
    with pytest.raises(DataError, match="has no structure file"):
        read_table(tmp_path)


def test_rows_to_predict_have_no_target():
    frame = pd.DataFrame({"formula": ["Fe"], "T": [300], "cell": [[1, 2]]})
    table = table_from_frame(frame, target=None)
    assert table.targets is None
    assert list(table.columns.columns) == ["T"]
    assert list(frame.columns) == ["formula", "T", "cell"]
