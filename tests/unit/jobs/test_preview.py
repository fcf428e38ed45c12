"""The first rows of a table, as written and as read."""

from __future__ import annotations

import pandas as pd
import pytest

from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError
from xtalshift.jobs.preview import SHOWN, preview_table


def preview(tmp_path, text: str, name: str = "t.csv", **said):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return preview_table(DataConfig.from_dict({"dataset": str(path), **said}))


def test_cells_are_shown_as_they_are_written_and_read_as_numbers(tmp_path):
    found = preview(tmp_path, "formula;gap (eV);note\nGaN;3,4;a\nPbTe;0,31;\n")
    assert found.rows == (("GaN", "3,4", "a"), ("PbTe", "0,31", ""))
    assert [(one.name, one.role, one.numbers) for one in found.columns] == [
        ("formula", "formula", False), ("gap (eV)", "target", True), ("note", "", False)
    ]  # fmt: skip
    assert (found.target, found.unit, found.candidates) == ("gap (eV)", "eV", ("gap (eV)",))
    assert (found.options["decimal"], found.options["separator"]) == (",", "semicolon")
    assert (found.whole, found.problem, found.reading["Numbers"]) == (True, None, "decimal comma")


def test_of_a_long_table_some_rows_are_shown(tmp_path):
    found = preview(tmp_path, "formula,a,b\n" + "GaN,1,2\n" * 5000)
    assert (len(found.rows), found.whole) == (SHOWN, False)
    assert (found.target, found.candidates) == ("", ("a", "b"))


def test_classes_are_named(tmp_path):
    found = preview(
        tmp_path, "formula,kind\nGaN,semi\nFe,metal\nPbTe,semi\nCu,metal\n", target="kind"
    )
    assert (found.target, found.classes) == ("kind", ("metal", "semi"))


def test_rows_that_make_no_sense_are_shown_with_the_problem(tmp_path):
    found = preview(tmp_path, "Verbindung,gap\nGaN,3.4\n")
    assert found.rows == (("GaN", "3.4"),)
    assert "--formula-col" in str(found.problem)
    assert found.candidates == ("gap",)
    named = preview(tmp_path, "Verbindung,gap\nGaN,3.4\n", formula_col="Verbindung", target="gpa")
    assert "did you mean 'gap'" in str(named.problem)


def test_a_header_alone_has_no_rows(tmp_path):
    found = preview(tmp_path, "formula,gap\n")
    assert (found.rows, [one.name for one in found.columns]) == ((), ["formula", "gap"])


def test_what_is_no_table_is_an_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"%PDF-1.7\n\x00\x01\x02\x00\xff\xfe binary")
    with pytest.raises(DataError):
        preview_table(DataConfig(dataset=str(path)))


def test_sheets_are_named(tmp_path):
    path = tmp_path / "t.xlsx"
    table = pd.DataFrame({"formula": ["GaN"], "gap": [3.4]})
    with pd.ExcelWriter(path) as writer:
        table.to_excel(writer, sheet_name="first", index=False)
        table.to_excel(writer, sheet_name="second", index=False)
    found = preview_table(DataConfig(dataset=str(path)))
    assert (found.sheets, found.rows) == (("first", "second"), (("GaN", "3.4"),))
    other = preview_table(DataConfig(dataset=str(path), sheet="second"))
    assert other.sheets[0] == "second"


def test_parquet_and_json_have_types(tmp_path):
    pd.DataFrame({"formula": ["GaN", "PbTe"], "gap": [3.4, None]}).to_parquet(
        tmp_path / "t.parquet"
    )
    found = preview_table(DataConfig(dataset=str(tmp_path / "t.parquet")))
    assert (found.rows, found.target) == ((("GaN", "3.4"), ("PbTe", "")), "gap")
    lines = preview(tmp_path, '{"formula": "GaN", "gap": 3.4}\n', "t.jsonl")
    assert (lines.rows, lines.target) == ((("GaN", "3.4"),), "gap")
