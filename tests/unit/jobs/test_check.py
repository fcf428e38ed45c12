"""Check a table: what is read as what, findings, a corrected table."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from xtalshift.data.settings import DataConfig
from xtalshift.data.writers import write_frame
from xtalshift.errors import DataError
from xtalshift.jobs.check import check_table, fix_table
from xtalshift.model.predictions import PREDICTED_COLUMNS

TABLES = sorted((Path(os.environ.get("XTALSHIFT_DATA", "")) / "intake").glob("*"))


def check(tmp_path, text, **settings):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return check_table(DataConfig(dataset=str(path), **settings))


def test_what_is_read_as_what(tmp_path):
    text = "# made 2024\nsample;formula;gap (eV);T\na;NaCl;8,5;300\nb;KCl;8,4;300\n"
    checked = check(tmp_path, text, target="gap (eV)")
    reading = dict(checked.table.reading.lines())
    assert reading["Format"] == (
        "text table, utf-8; separator semicolon; lines above the header skipped: 1"
    )
    assert reading["Formulas"] == "column 'formula'"
    assert reading["Numbers"] == "decimal comma"
    assert reading["Target"] == "column 'gap (eV)'"
    assert checked.table.y.tolist() == [8.5, 8.4]
    assert checked.findings == ()


def test_what_is_left_out_in_reading_targets_is_a_finding(tmp_path):
    checked = check(tmp_path, "formula;gap\nNaCl;8,5\nKCl;ca. 8,4\nKBr;7,4 ± 0,1\n", target="gap")
    assert checked.table.y.tolist() == [8.5, 8.4, 7.4]
    assert {one.kind: [example.row for example in one.examples] for one in checked.findings} == {
        "gap: approximate": [2],
        "gap: an uncertainty": [3],
    }


def test_the_options_that_were_settled_read_the_table_in_the_same_way(tmp_path):
    text = "formula;gap\nTi-6Al-4V;8,5\nNaCl;1.234,5\n"
    checked = check(tmp_path, text, amounts="wt")
    options = checked.table.reading.options
    assert options == {
        "separator": "semicolon", "decimal": ",", "thousands": ".", "encoding": "utf-8",
        "formula_col": "formula", "amounts": "wt",
    }  # fmt: skip
    again = check(tmp_path, text, **options)
    assert again.table.sha256() == checked.table.sha256()
    assert again.table.reading.options == options


def test_without_a_clear_target_columns_of_numbers_are_named(tmp_path):
    checked = check(tmp_path, "formula,a,b\nNaCl,1,2\n")
    assert checked.table.targets is None
    assert dict(checked.table.reading.lines())["Target"] == "none named; columns of numbers: a, b"


def test_columns_of_numbers_that_are_text_are_looked_at_without_a_target(tmp_path):
    rows = "NaCl,8 eV,a,2021-01-02\nKCl,9 eV,b,2021-01-03\nKBr,<7 eV,1,2021-01-04\n"
    checked = check(tmp_path, f"formula,gap,sample,day\n{rows}")
    assert checked.table.targets is None
    assert {finding.kind for finding in checked.numbers} >= {"gap: a bound"}
    assert all(finding.kind.startswith("gap") for finding in checked.numbers)


def test_findings_have_counts_examples_and_remedies(tmp_path):
    rows = "".join(f"Na{k}Cl,{k / 10}\n" for k in range(1, 20))
    checked = check(tmp_path, f"formula,gap\nTi02,3.2\nTi-6Al-4V,1\n{rows}KCl,-9999\nKBr,-9999\n")
    found = {finding.kind: finding for finding in checked.findings}
    assert found["formula: a zero for the letter O"].count == 1
    assert found["formula: a zero for the letter O"].examples[0].row == 1
    assert found["formula: an alloy or mixture"].remedy == "Give --amounts wt, at or mol"
    assert found["target: a sentinel"].count == 2
    assert found["gap: 17% of the rows are left out"].warns
    assert checked.inspection.bad.tolist() == [0, 1, 21, 22]


def test_nothing_is_said_twice(tmp_path):
    rows = "".join(f"Na{k}Cl,{k / 10}\n" for k in range(1, 20))
    text = f"formula,gap\n{rows}KCl,-9999\nKBr,-9999\nMgO,\nD2O,1.5 eV\nPb(Mg1/3Nb2/3)O3,1\n"
    found = {one.kind: one for one in check(tmp_path, text, target="gap").findings}
    assert found["target: a sentinel"].describe() == (
        "target: a sentinel (2 rows): '-9999'. Leave the cells empty; this number stands for a "
        "missing value."
    )
    assert found["target: a sentinel"].show() == ("row 20: -9999; row 21: -9999",)
    assert found["target: missing"].first() == "row 22"
    assert found["target: missing"].show() == ("row 22: blank",)
    assert found["a fraction read as a number"].show() == ("row 24: Pb(Mg1/3Nb2/3)O3: 1/3; 2/3",)


def test_marks_that_are_not_settled_are_not_called_settled(tmp_path):
    checked = check(tmp_path, "formula;Rm\nLiO;1.708\nNaO;319\nKO;1.880\n")
    reading = dict(checked.table.reading.lines())
    assert reading["Numbers"] == "decimal comma; not settled, see ambiguous numbers"


@pytest.mark.shared_data
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_findings_of_tables_say_nothing_twice(path):
    elements = {"amounts": "wt"} if path.name == "c07_wide.csv" else {}
    checked = check_table(DataConfig(dataset=str(path), **elements))
    lines = [line for one in checked.findings for line in (one.describe(), *one.show())]
    assert len(set(lines)) == len(lines)
    for one in checked.findings:
        phrases = re.findall(r"[a-z]{2,}(?: [a-z]+){2,}", one.describe())
        assert len(set(phrases)) == len(phrases), one.describe()
    assert sum(one.warns for one in checked.findings) <= 1
    assert sum("a mix of units" in one.kind for one in checked.findings) <= 1


def test_rows_of_one_formula_that_differ_in_a_condition(tmp_path):
    rows = "".join(f"Na{k}Cl,{t},{k + t / 100}\n" for k in range(1, 6) for t in (300, 400))
    checked = check(tmp_path, f"formula,temperature,gap\n{rows}", target="gap")
    (found,) = (one for one in checked.findings if "temperature" in one.kind)
    assert found.count == 10
    assert "--feature-cols" in found.remedy
    settings = {"target": "gap", "feature_cols": ("temperature",)}
    again = check(tmp_path, f"formula,temperature,gap\n{rows}", **settings)
    assert not any("temperature" in one.kind for one in again.findings)


def test_a_table_is_corrected_where_there_is_one_likely_correction(tmp_path):
    text = (
        "formula,gap,note\nTi02,3.2 eV,a\nFe<sub>2</sub>O<sub>3</sub>,2.1,b\nXx2,1,c\n"
        "NaCl,8.5 eV,d\nK Cl,<8,e\nTiO2 (anatase),3.2 eV,f\n"
    )
    fixed = fix_table(check(tmp_path, text, target="gap"))
    assert fixed["formula"].tolist() == ["TiO2", "Fe2O3", "Xx2", "NaCl", "K Cl", "TiO2"]
    assert fixed["gap"].tolist() == ["3.2", "2.1", "1", "8.5", "<8", "3.2"]
    assert fixed["note"].tolist() == list("abcdef")
    assert fixed["changed"].tolist() == [
        "formula: 'Ti02' -> 'TiO2'; gap: '3.2 eV' -> '3.2'",
        "formula: 'Fe<sub>2</sub>O<sub>3</sub>' -> 'Fe2O3'",
        "",
        "gap: '8.5 eV' -> '8.5'",
        "",
        "formula: 'TiO2 (anatase)' -> 'TiO2'; gap: '3.2 eV' -> '3.2'",
    ]
    assert (fixed["problem"] == "").tolist() == [True, True, False, True, False, True]
    assert "an unknown element" in fixed["problem"][2]
    assert "a bound" in fixed["problem"][4]


def test_mixtures_and_joined_parts_are_written_as_what_they_were_read(tmp_path):
    text = "formula,y\nTi-6Al-4V,1\nCaO.2Al2O3,2\nMgCl2·2H2O,3\nNaCl,4\n"
    fixed = fix_table(check(tmp_path, text, amounts="at", hydrates="expand"))
    assert fixed["formula"].tolist() == ["Ti90Al6V4", "CaO7Al4", "MgCl2H4O2", "NaCl"]
    assert set(fixed["problem"]) == {""}


def test_corrected_formulas_are_short(tmp_path):
    text = "formula,y\nTi-6Al-4V,1\nPb(Mg1/3Nb2/3)O3,2\nFe70.1Cr19.3Ni10.6,3\n"
    fixed = fix_table(check(tmp_path, text, amounts="wt"))
    assert fixed["formula"].tolist() == [
        "Ti86.2044Al10.1955V3.60008", "Pb3MgNb2O9", "Fe70.1Cr19.3Ni10.6",
    ]  # fmt: skip


def test_a_column_in_capitals_is_refused_and_corrected(tmp_path):
    names = ["AL2O3", "SIO2", "CUO", "MGO", "BN"]
    checked = check(tmp_path, "formula,y\n" + "".join(f"{name},1\n" for name in names))
    assert checked.inspection.bad.tolist() == [0, 1, 2, 3]
    fixed = fix_table(checked)
    assert fixed["formula"].tolist() == ["Al2O3", "SiO2", "CuO", "MgO", "BN"]
    assert set(fixed["problem"]) == {""}


def test_a_line_that_cannot_be_split_stays_an_error(tmp_path):
    fixed = fix_table(check(tmp_path, "formula,note\nNaCl,a\n(Ba,Sr)TiO3,b\nKCl,c\n"))
    assert (fixed["problem"] == "").tolist() == [True, False, True]
    assert "line 3" in fixed["problem"][1]


def test_a_table_with_a_column_of_the_corrected_one_is_refused(tmp_path):
    checked = check(tmp_path, "formula,problem\nNaCl,a\n")
    with pytest.raises(DataError, match="already has a column 'problem'"):
        fix_table(checked)


def test_a_row_that_stays_wrong_has_the_reason_of_the_check(tmp_path):
    fixed = fix_table(check(tmp_path, "formula,y\nNaCl,8 eV\nKCl,9 eV\nKBr,700 meV\n", target="y"))
    assert fixed["y"].tolist() == ["8.0", "9.0", "700 meV"]
    assert fixed["problem"][2] == "target: another unit: '700 meV'; most cells have eV"


def test_predictions_can_be_added_to_a_corrected_table(tmp_path):
    fixed = fix_table(check(tmp_path, "formula,y\nNaCl,1\n"))
    assert not set(fixed.columns) & {*PREDICTED_COLUMNS, "explanation"}


def test_nothing_is_changed_in_a_clean_table(tmp_path):
    text = "formula,gap\nFe2O3,2.1\nNaCl,8.50\n"
    checked = check(tmp_path, text)
    pd.testing.assert_frame_equal(
        fix_table(checked)[["formula", "gap"]], checked.raw.frame[["formula", "gap"]]
    )


ODD = (
    "formula,gap,T,note\nTi02,3.20,300 K,a\nNaCl,~8.5,310 K,b\nKCl,8.4,nope,c\n"
    "KBr,7,320 K,d,e\nTi-6Al-4V,1,300 K,\nAL2O3,<4,20 K,x\n"
)


@pytest.mark.parametrize("text", [ODD, "formula,gap\nNaCl,8 eV\nKCl,9\n", "formula,gap\nNaCl,1\n"])
def test_a_corrected_table_is_corrected_to_the_same_bytes(tmp_path, text):
    columns = ("T",) if "T" in text.partition("\n")[0] else ()
    source = tmp_path / "table.csv"
    source.write_text(text)
    written = []
    for number in range(3):
        settings = DataConfig(dataset=str(source), target="gap", feature_cols=columns)
        source = tmp_path / f"fixed{number}.csv"
        write_frame(fix_table(check_table(settings)), source)
        written.append(source.read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_corrected_table_that_was_mended_by_hand_has_no_problem(tmp_path):
    text = "formula,gap,changed,problem\nTiO2,3,formula: 'Ti02' -> 'TiO2',\nNaCl,8,,a bound\n"
    fixed = fix_table(check(tmp_path, text + "Sn02,3,note: x,old\n", target="gap"))
    assert fixed["problem"].tolist() == ["", "", ""]
    assert fixed["changed"].tolist() == [
        "formula: 'Ti02' -> 'TiO2'", "", "note: x; formula: 'Sn02' -> 'SnO2'",
    ]  # fmt: skip


def test_feature_columns_are_corrected_and_can_be_the_problem(tmp_path):
    fixed = fix_table(check(tmp_path, ODD, target="gap", feature_cols=("T",)))
    assert fixed["T"].tolist()[:3] == ["300.0", "310.0", "nope"]
    assert fixed["problem"][2] == "column 'T': not a number: 'nope'"


def test_the_unit_of_the_target_is_that_of_its_cells(tmp_path):
    text = "formula,gap\nNaCl,8 eV\nKCl,9 eV\nKBr,7\n"
    checked = check(tmp_path, text, target="gap")
    assert checked.table.unit == "eV"
    assert checked.table.reading.target == "column 'gap' (eV, as its cells say)"
    with pytest.raises(DataError, match="another unit: '8 eV'; the column is in meV"):
        check(tmp_path, "formula,gap\nNaCl,8 eV\n", target="gap", unit="meV")
    with pytest.raises(DataError, match="another unit: '8 eV'; the column is in meV"):
        check(tmp_path, "formula,gap [meV]\nNaCl,8 eV\n", target="gap [meV]")
    mixed = check(tmp_path, "formula,gap\nNaCl,8 eV\nKCl,9000 meV\nKBr,7\n", target="gap")
    assert mixed.table.unit == ""


def test_repeated_and_blank_ids_and_rows_that_are_the_same(tmp_path):
    rows = "a,NaCl,8\nb,KCl,9\na,KBr,7\n,LiF,6\nb,KCl,9\n"
    checked = check(tmp_path, f"id,formula,gap\n{rows}", target="gap")
    assert checked.table.ids.tolist() == ["1", "2", "3", "4", "5"]
    found = {one.kind: one for one in checked.findings}
    repeated = found["an id of column 'id' that an earlier row has"]
    assert [(one.row, one.value, one.reason) for one in repeated.examples] == [
        (3, "a", "as row 1"), (5, "b", "as row 2"),
    ]  # fmt: skip
    assert repeated.remedy.startswith("Row numbers are the ids")
    assert [one.row for one in found["no id in column 'id'"].examples] == [4]
    same = found["a row that is the same as an earlier one"]
    assert [(one.row, one.value, one.reason) for one in same.examples] == [(5, "KCl", "as row 2")]
    named = check(tmp_path, f"id,formula,gap\n{rows}", target="gap", id_col="id")
    assert named.table.ids.tolist() == ["a", "b", "a", "", "b"]
    assert named.findings[0].remedy.endswith("or leave --id-col out")
    assert check(tmp_path, "id,formula,gap\na,NaCl,8\nb,NaCl,8\n", target="gap").findings == ()


def test_the_scale_of_the_targets_is_advised(tmp_path):
    formulas = ("NaCl", "KCl", "LiF", "GaN", "ZnO", "SiC", "MgO", "CaO")
    rows = "".join(f"{one},{0.01 * 3**k}\n" for k, one in enumerate(formulas))
    (advice,) = check(tmp_path, "formula,k\n" + rows, target="k").advice
    assert "all targets are positive" in advice
    zeros = "formula,gap\nNaCl,8.5\nFe,0\nCu,0\nGaN,3.2\n"
    (advice,) = check(tmp_path, zeros, target="gap").advice
    assert advice.startswith("50% of the targets are exactly 0")
    assert check(tmp_path, "formula,gap\nNaCl,8.5\nGaN,3.2\n", target="gap").advice == ()
