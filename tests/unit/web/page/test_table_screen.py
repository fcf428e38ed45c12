"""The screen of a table: what is read as what, what is odd, and mending it."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

from unit.web.test_jobs import wait_for
from xtalshift.web.table_settings import TableSettings

EVIL = "<script>alert(1)</script>"
GERMAN = f"Verbindung;Lücke (eV);T;{EVIL}\nGaN;3,4;300;{EVIL}\nPbTe;0,31;300;\nXx;1,5;400;\n"
CIF = """data_x
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
M1 {symbol} 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
ODD = "formula,gap\nGaN,3.4 eV\nPbTe,0.31\nZnO,3.3\nXx,1.0\n"


def send(client, text: str | bytes, name: str = "t.csv") -> str:
    content = text if isinstance(text, bytes) else text.encode()
    found = client.post("/tables", files={"table": (name, content)})
    assert found.status_code == 303, found.text
    return found.headers["location"]


def checked(client, place: str) -> str:
    """Return the part with the findings once the check has ended."""
    job = client.get("/api/v1/jobs").json()[0]
    wait_for(client, job, "done", "failed")
    return client.get(f"{place}/findings").text


def test_a_problem_is_told_with_the_rows_and_leads_to_the_field_that_mends_it(client):
    place = send(client, GERMAN, f"{EVIL}.csv")
    text = client.get(place).text
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in text
    assert "no formula column" in text
    assert '<a href="#formula_col">Column of formulas</a>' in text
    assert (
        'id="formula_col" name="formula_col" aria-invalid="true" aria-describedby="problem"' in text
    )
    assert "Choose what to learn" not in text
    sent = {"formula_col": "Verbindung", "target": "Lücke (eV)", "unit": ""}
    again = client.post(f"{place}/reading", data=sent)
    assert (again.status_code, again.headers["location"]) == (303, place)
    text = client.get(place).text
    assert "decimal comma" in text
    assert "Choose what to learn" in text
    assert '<option value="Verbindung" selected>' in text
    (kept,) = client.get("/api/v1/tables").json()
    assert kept["reading"] == {"formula_col": "Verbindung", "target": "Lücke (eV)"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"target": "gpa"}, "did you mean &#39;gap&#39;?"),
        ({"separator": "x"}, "Between cells: &#39;"),
        ({"encoding": "klingon"}, "no such encoding"),
    ],
)
def test_what_cannot_be_is_said_beside_the_form(client, said, words):
    place = send(client, ODD)
    found = client.post(f"{place}/reading", data=said)
    text = found.text if found.status_code != 303 else client.get(place).text
    assert words in text
    assert 'role="alert"' in text


def test_findings_lead_to_the_corrected_table(client):
    place = send(client, ODD)
    assert "Checking all rows" in client.get(f"{place}/findings").text
    assert "3 of 4 rows can be used" in checked(client, place)
    client.post(f"{place}/reading", data={"target": "gap", "unit": "eV"})
    text = checked(client, place)
    assert "unknown element" in text
    assert "row 4" in text
    assert "The corrected table changes 1 row" in text
    again = client.post(f"{place}/check")  # nothing to do: it is checked
    assert again.headers["location"] == f"{place}#findings"
    assert len(client.get("/api/v1/jobs").json()) == 2
    new = client.post(f"{place}/corrected").headers["location"]
    assert new != place
    page = client.get(new).text
    assert "t (corrected).csv" in page
    assert "3.4</td>" in page
    assert "problem" in page


def test_a_check_that_fails_has_the_words_of_the_command(client):
    place = send(client, "a,b\n1,2\n")
    assert "no formula column" in checked(client, place)


def test_a_german_reader_sees_german_numbers_and_cells_as_they_are(client):
    rows = "".join(f"GaN,{number}.5\n" for number in range(1200))
    place = send(client, f"formula,gap\n{rows}")
    job = client.get("/api/v1/jobs").json()[0]
    wait_for(client, job, "done")
    text = client.get(place, headers={"Accept-Language": "de"}).text
    assert "1.200 of 1.200 rows can be used" in text
    assert '<td class="num">0.5</td>' in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"formula,gap\n", "but no rows"),
        ("t.csv", b"formula,formula\nGaN,GaN\n", "formula"),
        ("t.parquet", b"PAR1", "parquet"),
        ("t.json", b"{", "JSON"),
        ("words.csv", b"formula,note\nGaN,good\nPbTe,bad\n", "choose a column"),
    ],
)
def test_careless_files_are_answered_with_a_page(client, name, content, said):
    found = client.get(send(client, content, name))
    assert (found.status_code in {200, 422}, said in found.text) == (True, True), found.text
    assert "unexpected" not in found.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("paper.csv", b"%PDF-1.7", "cannot read paper.csv: it is a PDF document; copy its table"),
        ("book.xlsx", b"no zip", "cannot read book.xlsx: it is text, and no Excel file"),
        ("t.csv.gz", b"no gzip", "cannot read t.csv.gz: it is not packed by gzip"),
        ("cifs.zip", b"no zip", "cannot unpack cifs.zip"),
    ],
)
def test_a_file_of_another_type_is_refused_at_once(client, name, content, said):
    found = client.post("/tables", files={"table": (name, content)})
    assert (found.status_code, said in found.text) == (422, True)
    assert name not in client.get("/").text


def test_sheets_can_be_chosen(client):
    book = io.BytesIO()
    with pd.ExcelWriter(book) as writer:
        for sheet, formula in (("A", "GaN"), ("B", "PbTe")):
            table = pd.DataFrame({"formula": [formula], "gap": [3.4]})
            table.to_excel(writer, sheet_name=sheet, index=False)
    place = send(client, book.getvalue(), "two.xlsx")
    assert "GaN" in client.get(place).text
    client.post(f"{place}/reading", data={"sheet": "B"})
    text = client.get(place).text
    assert "<td>PbTe</td>" in text
    assert "<td>GaN</td>" not in text


def test_a_data_set_of_the_package_has_its_facts(client):
    text = client.get("/tables/ricci_seebeck").text
    assert "47,737" in text
    assert 'href="/tables/ricci_seebeck/new"' in text


def test_an_unknown_table_is_not_found(client):
    for path in ("/tables/table-000000000000", "/tables/x/findings", "/tables/..%2f..%2fetc"):
        assert client.get(path).status_code == 404


def test_rest_tells_the_same(client):
    place = send(client, GERMAN)
    found = client.get(f"/api/v1{place}").json()
    assert found["preview"]["rows"][0][:2] == ["GaN", "3,4"]
    assert "--formula-col" in found["preview"]["problem"]["detail"]
    said = {"formula_col": "Verbindung", "target": "T"}
    kept = client.request("PUT", f"/api/v1{place}/reading", json=said)
    assert (kept.status_code, kept.json()["reading"]) == (200, said)
    assert client.get(f"/api/v1{place}").json()["preview"]["target"] == "T"
    wrong = client.request("PUT", f"/api/v1{place}/reading", json={"targets": "T"})
    assert (wrong.status_code, "did you mean 'target'" in wrong.text) == (422, True)
    for name in ("structures", "dataset"):
        refused = client.request("PUT", f"/api/v1{place}/reading", json={name: "/etc"})
        assert refused.status_code == 422


def test_values_and_an_archive_of_crystals_become_one_table(client):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for name, symbol in (("a", "Na"), ("b", "K")):
            out.writestr(f"{name}.cif", CIF.format(symbol=symbol))
    crystals = client.get(send(client, archive.getvalue(), "cifs.zip")).text
    assert "<td>NaCl</td>" in crystals
    assert "send the table of values" in crystals
    assert "Choose what to learn" not in crystals
    place = send(client, "sample,gap\na.cif,5\nb.cif,6\n", "values.csv")
    assert "no formula column" in client.get(place).text
    client.post(f"{place}/reading", files={"archive": ("cifs.zip", archive.getvalue())})
    text = client.get(place).text
    assert "that names the files in cifs.zip" in text
    assert 'id="structure_col" name="structure_col" aria-invalid="true"' in text
    (sent,) = [one for one in client.get("/api/v1/tables").json() if one["name"] == "cifs.zip"]
    said = {"structures": sent["id"], "structure_col": "sample", "target": "gap"}
    client.post(f"{place}/reading", data=said)
    text = client.get(place).text
    assert "the structures of column &#39;sample&#39; (files in cifs.zip)" in text
    assert "2 of 2 rows can be used" in checked(client, place)
    assert TableSettings.from_dict(said).asked("table-1") == {
        "table": "table-1",
        "target": "gap",
        "structures": sent["id"],
        "settings": {"data.structure_col": "sample"},
    }
    client.delete(f"/api/v1/tables/{sent['id']}")
    assert "the archive of its crystal structures was deleted" in client.get(place).text


def test_a_table_that_cannot_be_read_says_so_once(client):
    text = client.get(send(client, "a,b\n1,2\n")).text
    assert text.count("no formula column") == 1
    assert "What is odd" not in text
    assert "Choose what to learn" not in client.get(send(client, "formula,gap\n")).text
