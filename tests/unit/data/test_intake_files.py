"""Tables as other programs write them."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.data import Dataset, iter_raw, read_raw, read_table
from xtalshift.data.formula_texts import find_formulas, iter_formulas
from xtalshift.data.frames import read_frame
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import DataError, UsageError
from xtalshift.jobs.featurize import FeaturizeSettings, iter_features
from xtalshift.screening.inputs import Inputs

PERCENT = {"Fe": 71.0, "C": 0.1, "Cr": 18.0, "Ni": 8.0}
WEIGHTS = {"Fe": 55.845, "C": 12.011, "Cr": 51.996, "Ni": 58.693}  # IUPAC
ATOMS = {element: PERCENT[element] / WEIGHTS[element] for element in PERCENT}
STEEL = {element: amount / sum(ATOMS.values()) for element, amount in ATOMS.items()}


def book(path, **sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


def fractions(text):
    compositions, reasons, _ = parse_formulas([text])
    assert reasons[0] == ""
    found = compositions.element_fractions()[0]
    return {SYMBOLS[z + 1]: found[z] for z in np.flatnonzero(found)}


def test_excel_as_a_careful_person_reads_it(tmp_path):
    path = book(
        tmp_path / "in.xlsx",
        notes=[["measured by us"]],
        data=[
            ["Table 1"],
            ["formula", "gap", "T", "day", "ok", "x"],
            ["", "eV", "K", "", "", ""],
            ["NaCl", 8.5, 300, dt.datetime.fromisoformat("2024-05-01"), True, "#N/A"],
            ["KCl", 8.25, 300.0, dt.datetime.fromisoformat("2024-05-02T12:30"), False, 1],
            [None, None, None, None, None, None],
            ["Fe2O3\n(s)", 2.2, 20],
        ],
    )
    raw = read_raw(path)
    assert raw.layout.describe() == "Excel, sheet 'data'"
    assert raw.frame["formula"].tolist() == ["NaCl", "KCl", "Fe2O3 (s)"]
    assert raw.frame["gap"].tolist() == [8.5, 8.25, 2.2]
    assert raw.frame["T"].tolist() == [300, 300, 20]
    assert raw.frame["day"].tolist() == ["2024-05-01", "2024-05-02 12:30:00", ""]
    assert raw.frame["ok"].tolist() == ["TRUE", "FALSE", ""]
    assert raw.numbers("x")[1].tolist() == ["missing", "", "missing"]
    assert read_table(path, target="gap").unit == "eV"
    assert next(iter_formulas(path, 9, BY_DEFAULT)).texts == ["NaCl", "KCl", "Fe2O3 (s)"]
    assert sum(block.rows for block in Inputs([path]).blocks(2)) == 3


def test_the_sheet_can_be_named(tmp_path):
    path = book(tmp_path / "in.xlsx", a=[["formula"], ["NaCl"]], b=[["formula"], ["KCl"]])
    raw = read_raw(path)
    assert raw.frame["formula"].tolist() == ["NaCl"]
    assert raw.layout.describe() == "Excel, sheet 'a', not sheet 'b'"
    assert read_raw(path, ReadingOptions(sheet="b")).frame["formula"].tolist() == ["KCl"]
    with pytest.raises(DataError, match=r"no sheet 'c'. Sheets: a, b"):
        read_raw(path, ReadingOptions(sheet="c"))
    (tmp_path / "in.csv").write_text("formula\nNaCl\n")
    with pytest.raises(DataError, match="--sheet is for Excel files"):
        read_raw(tmp_path / "in.csv", ReadingOptions(sheet="a"))


@pytest.mark.parametrize(
    "content",
    [
        [{"formula": "NaCl", "gap": 8.5}, {"formula": "KCl", "gap": 8.4}],
        {"formula": {"r1": "NaCl", "r2": "KCl"}, "gap": {"r1": 8.5, "r2": 8.4}},
        {"r1": {"formula": "NaCl", "gap": 8.5}, "r2": {"formula": "KCl", "gap": 8.4}},
        {"columns": ["formula", "gap"], "index": [0, 1], "data": [["NaCl", 8.5], ["KCl", 8.4]]},
        {
            "schema": {"fields": [{"name": "index"}], "primaryKey": ["index"]},
            "data": [
                {"index": 0, "formula": "NaCl", "gap": 8.5},
                {"index": 1, "formula": "KCl", "gap": 8.4},
            ],
        },
        {"results": [{"formula": {"Na": 1, "Cl": 1, "K": None}, "gap": 8.5},
                     {"formula": {"K": 1.0, "Cl": 1.0}, "gap": 8.4}]},
        {"data": [{"attributes": {"formula": "NaCl", "gap": 8.5}},
                  {"attributes": {"formula": "KCl", "gap": 8.4}}]},
    ],
)  # fmt: skip
def test_json_layouts(tmp_path, content):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(content))
    raw = read_raw(path)
    assert raw.frame.to_dict("list") == {"formula": ["NaCl", "KCl"], "gap": [8.5, 8.4]}
    (block,) = Inputs([path]).blocks(5)
    assert block.parse(["formula", "gap"])[0].to_pydict() == {
        "formula": ["NaCl", "KCl"], "gap": ["8.5", "8.4"],
    }  # fmt: skip


def test_answers_of_optimade_are_flat(tmp_path):
    row = {
        "id": "mp-149", "type": "structures",
        "attributes": {"chemical_formula_reduced": "Si", "id": "x", "_mp_band_gap": 0.61},
    }  # fmt: skip
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"data": [row], "meta": {"x": 1}}))
    data = read_table(path, target="_mp_band_gap")
    assert data.formulas.tolist() == ["Si"]
    assert data.ids.tolist() == ["mp-149"]
    assert data.columns["attributes.id"].tolist() == ["x"]


def test_parquet_of_structs_categories_and_decimals(tmp_path):
    path = tmp_path / "in.parquet"
    table = pa.table(
        {
            "composition": [{"Fe": 2.0, "O": 3.0}, {"Fe": None, "O": 1.0}],
            "gap": pa.array([Decimal("2.20"), None], pa.decimal128(5, 2)),
            "sites": [[1, 2], []],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    pq.write_table(table, path)
    raw = read_raw(path)
    assert raw.frame["composition"].tolist() == ["Fe2O3", "O"]
    assert raw.frame["gap"].tolist()[0] == 2.2
    assert raw.frame["kind"].tolist() == ["a", "b"]
    assert next(iter_formulas(path, 9, BY_DEFAULT)).texts == ["Fe2O3", "O"]
    (piece,) = iter_raw(path, 9)
    assert piece.formulas(BY_DEFAULT).texts == ["Fe2O3", "O"]
    (block,) = Inputs([path]).blocks(9)
    assert block.parse(["composition"])[1].formulas(BY_DEFAULT).texts == ["Fe2O3", "O"]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("alloy,Fe,C,Cr,Ni,strength", {"amounts": "wt"}),
        ("alloy,Fe wt%,C wt%,Cr wt%,Ni wt%,strength", {}),
        ("alloy,Fe (wt%),C (wt%),Cr (wt%),Ni (wt%),strength", {}),
        ("alloy,Fe_wt,C_wt,Cr_wt,Ni_wt,strength", {}),
        ("alloy,Fe,C,Cr,Ni,V", {"amounts": "wt", "composition_columns": "Fe,C,Cr,Ni"}),
    ],
)
def test_one_column_for_each_element(tmp_path, header, options):
    path = tmp_path / "in.csv"
    path.write_text(f"{header}\nA0,71,0.1,18,8,800\nA1,100,,0,-,300\nA2,x,0.1,18,8,1\n")
    reading = ReadingOptions(**options)
    raw = read_raw(path, reading)
    found = raw.formulas(reading)
    assert fractions(found.texts[0]) == pytest.approx(STEEL, rel=1e-4)
    assert fractions(found.texts[1]) == {"Fe": 1.0}
    assert found.texts[2] == ""
    assert "'x' is no amount of an element" in found.faults[2]
    assert list(found.notes) == [0, 2]
    assert found.notes[0].startswith("amounts of elements add up to neither 100 nor 1: 97.1 (")
    assert next(iter_formulas(path, 9, reading)) == found
    data = read_table(path, target=header.rsplit(",", 1)[1], options=reading)
    assert data.y[:2].tolist() == [800, 300]
    assert "no amount of an element" in data.materials.reasons[2]


def test_amounts_of_elements_need_a_meaning(tmp_path):
    with pytest.raises(DataError, match=r"Fe, C, Cr are amounts .*--amounts wt or --amounts at"):
        find_formulas(["alloy", "Fe", "C", "Cr"], BY_DEFAULT)
    found = find_formulas(["Fe", "Cr"], ReadingOptions(amounts="at"))
    texts = found.texts(lambda name: ["3"] if name == "Fe" else ["1"])
    assert fractions(texts.texts[0]) == {"Fe": 0.75, "Cr": 0.25}
    # a column of formulas wins
    assert find_formulas(["formula", "Fe", "Cr"], BY_DEFAULT).names == ("formula",)
    with pytest.raises(DataError, match="no column of an element 'Ni'"):
        find_formulas(["Fe"], ReadingOptions(composition_columns="Fe,Ni", amounts="at"))
    with pytest.raises(DataError, match="column 'x' is not named by an element"):
        find_formulas(["Fe", "x"], ReadingOptions(composition_columns="Fe,x", amounts="at"))


def test_fractions_read_back_exactly():
    rng = np.random.default_rng(0)
    amounts = rng.random((50, 3))
    found = find_formulas(["Fe", "Cr", "Ni"], ReadingOptions(amounts="at"))
    columns = dict(zip(["Fe", "Cr", "Ni"], amounts.T, strict=True))
    texts = found.texts(lambda name: columns[name].tolist())
    compositions, _, _ = parse_formulas(texts.texts)
    wanted = amounts / amounts.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(compositions.amounts.reshape(50, 3), wanted)


def test_people_see_rounded_fractions_while_rows_are_grouped_by_exact_ones(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("Fe wt%,Cr wt%,Ni wt%,y\n70,20,10,1\n70,20.01,10,2\n7,2,1,3\n")
    data = read_table(path, target="y")
    shown = "Fe0.693103Cr0.212688Ni0.0942095"
    assert data.formulas.tolist() == [shown, "Fe0.693029Cr0.212772Ni0.0941994", shown]
    assert data.groups[0] == data.groups[2] == "Cr212688Fe693103Ni94209"
    assert Dataset.of([shown]).groups[0] == "Cr212688Fe693103Ni94210"  # the text is rounded twice
    assert data.groups[1] != data.groups[0]
    (found,) = iter_formulas(path, 9, BY_DEFAULT)
    assert found.names == data.formulas.tolist()
    (formulas, *_), *_ = iter_features(path, FeaturizeSettings())
    assert formulas == found.names


def test_exports_of_the_materials_project(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("material_id,composition,formula_pretty,gap\nmp-149,{'Si': 2.0},Si,0.61\n")
    assert read_table(path, target="gap").formulas.tolist() == ["Si"]


def test_another_column_of_formulas_is_named(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula,name_,gap\n" + "".join(f"ab{n},Fe{n}O,1\n" for n in range(2, 9)))
    message = r"column 'formula' has no readable .*row 1: .*but column 'name_' has formulas: --f"
    for read in (read_raw, lambda path: list(iter_formulas(path, 9, BY_DEFAULT))):
        with pytest.raises(DataError, match=message):
            read(path)
    with pytest.raises(DataError, match=message):
        Inputs([path])
    assert len(read_raw(path, ReadingOptions(formula_col="formula"))) == 7
    assert read_table(path, target="gap", formula_col="name_").groups[0] == "Fe2O"
    path.write_text("Probe,gap\nFe2O3,1\nNaCl,2\nKCl,3\n")
    message = r"in\.csv: there is no column named 'formula', but .*: --formula-col 'Probe'"
    with pytest.raises(DataError, match=message):
        read_raw(path)
    assert len(read_frame(path)) == 3


def test_a_table_without_a_line_of_names(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("Fe2O3,1\nNaCl,2\nKCl,3\nKBr,4\n")
    with pytest.raises(DataError, match="the first line begins with the formula 'Fe2O3': it must"):
        read_raw(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"separator": "x"}, {"amounts": "g"}, {"hydrates": "drop"}, {"encoding": "latin-99"},
        {"encoding": "rot13"},
        {"decimal": ";"}, {"thousands": "x"}, {"composition_columns": "Fe,Fe"},
        {"composition_columns": ","},
    ],
)  # fmt: skip
def test_wrong_options_are_wrong_usage(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ReadingOptions.from_dict(wrong)


def test_a_formula_of_excel_without_its_value_is_refused(tmp_path):
    book = openpyxl.Workbook()
    for row in (["formula", "gap"], ["NaCl", 8.5], ["KCl", "=B2*2"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="cell B3 of sheet 'Sheet' is a formula of Excel"):
        read_raw(tmp_path / "a.xlsx")


def test_a_model_knows_what_the_numbers_of_elements_are_unless_the_header_says_it(tmp_path):
    (tmp_path / "a.csv").write_text("Fe,Cr\n50,50\n")
    (tmp_path / "b.csv").write_text("Fe at%,Cr at%\n50,50\n")
    plain, named = (read_raw(tmp_path / name) for name in ("a.csv", "b.csv"))
    with pytest.raises(DataError, match="Give --amounts wt or --amounts at"):
        plain.formulas(ReadingOptions())
    by_weight = fractions(plain.formulas(ReadingOptions(), "wt").texts[0])
    assert by_weight["Cr"] == pytest.approx(0.5178, abs=1e-4)
    assert fractions(named.formulas(ReadingOptions(), "wt").texts[0]) == {"Fe": 0.5, "Cr": 0.5}
    given = ReadingOptions(amounts="at")
    assert fractions(plain.formulas(given, "wt").texts[0]) == {"Fe": 0.5, "Cr": 0.5}


PIF = {
    "chemicalFormula": "GaN",
    "uid": "a1",
    "references": [{"doi": "10.1/x"}],
    "properties": [
        {"name": "Band gap", "scalars": [{"value": 3.4}], "units": "eV"},
        {"name": "Color", "scalars": "white"},
    ],
}


@pytest.mark.parametrize("scalars", [[{"value": "3.4"}], [3.4], 3.4, {"value": 3.4}])
@pytest.mark.parametrize("lines", [True, False])
def test_physical_information_files(tmp_path, scalars, lines):
    gap = {"name": "Band gap", "scalars": scalars, "units": "eV"}
    systems = [{**PIF, "properties": [gap, PIF["properties"][1]]}, {**PIF, "properties": []}]
    path = tmp_path / ("in.jsonl" if lines else "in.json")
    path.write_text("\n".join(map(json.dumps, systems)) if lines else json.dumps(systems))
    data = read_table(path, target="Band gap (eV)")
    assert data.formulas.tolist() == ["GaN", "GaN"]
    assert data.y[0] == 3.4
    assert np.isnan(data.y[1])
    assert data.unit == "eV"
    assert data.columns["Color"][0] == "white"


def test_conditions_and_ranges_of_a_physical_information_file(tmp_path):
    path = tmp_path / "in.json"
    kelvin = {"name": "Temperature", "scalars": [{"value": 300}], "units": "K"}
    gap = {"name": "Gap", "scalars": [{"minimum": 1, "maximum": 2}], "conditions": [kelvin]}
    path.write_text(json.dumps([PIF, {**PIF, "properties": [{**gap, "units": "eV"}]}]))
    data = read_table(path, target="Band gap (eV)")
    assert data.columns["Gap, Temperature (K)"][1] == 300
    assert data.columns["Gap (eV)"][1] == '{"minimum": 1, "maximum": 2}'


def test_several_scalars_of_a_physical_information_file_are_no_number(tmp_path):
    path = tmp_path / "in.json"
    gap = {"name": "Band gap", "scalars": [{"value": 3.4}, {"value": 3.2}], "units": "eV"}
    path.write_text(json.dumps([PIF, {**PIF, "properties": [gap]}]))
    data = read_table(path, target="Band gap (eV)")
    assert data.problems[1] == "several values: '3.4; 3.2'"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subSystems": [PIF]}, "the PIF system 'GaN' has sub-systems"),
        ({"properties": PIF["properties"][:1] * 2}, r"has the property 'Band gap \(eV\)' twice"),
    ],
)
def test_deeper_physical_information_files_are_refused(tmp_path, changes, message):
    path = tmp_path / "in.json"
    path.write_text(json.dumps([{**PIF, **changes}]))
    with pytest.raises(DataError, match=message):
        read_table(path)
