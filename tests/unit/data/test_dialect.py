"""What is settled on the head of a text table."""

from __future__ import annotations

import pytest

from xtalshift.data import read_raw
from xtalshift.data.settings import ReadingOptions
from xtalshift.errors import DataError, UsageError

ROWS = [["NaCl", "8.5", "300"], ["KCl", "8.4", "300"], ["Fe2O3", "2.2", "20"]]


def read(tmp_path, text, written="utf-8", **options):
    path = tmp_path / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(written))
    return read_raw(path, ReadingOptions(**options))


def lines(separator=",", header=("formula", "gap", "T")):
    return "".join(f"{separator.join(row)}\n" for row in [list(header), *ROWS])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "above", ["", "\n\n", "# a note\n# of two lines\n", "Table S1. Gaps, in eV\n", "Gaps; in eV\n"]
)
def test_separator_and_lines_above_the_header(tmp_path, separator, above):
    raw = read(tmp_path, above + lines(separator))
    assert raw.frame.to_dict("list") == {
        "formula": ["NaCl", "KCl", "Fe2O3"], "gap": [8.5, 8.4, 2.2], "T": [300, 300, 20],
    }  # fmt: skip
    dialect = raw.layout.dialect
    assert dialect.separator == separator
    wanted = [(n, line) for n, line in enumerate(above.splitlines(), start=1) if line]
    assert list(dialect.skipped) == wanted
    assert all(str(number) in raw.layout.describe() for number, _ in wanted)


def test_a_title_with_blank_cells_and_a_line_that_names_the_separator(tmp_path):
    raw = read(tmp_path, "Table S1. Gaps of compounds,,\n" + lines())
    assert list(raw.frame.columns) == ["formula", "gap", "T"]
    raw = read(tmp_path, "sep=;\r\n" + lines(";").replace("\n", "\r\n"))
    assert raw.frame["T"].tolist() == [300, 300, 20]
    assert raw.layout.dialect.skipped == ((1, "sep=;"),)


def test_the_separator_agrees_with_the_rows_not_only_with_the_header(tmp_path):
    raw = read(tmp_path, "formula;gap, eV;T, K\nMn2F3;3,496;300\nZnO;1,7861;300\n")
    assert list(raw.frame.columns) == ["formula", "gap, eV", "T, K"]
    assert raw.frame["gap, eV"].tolist() == [3.496, 1.7861]
    raw = read(tmp_path, "material_name;gap, eV\nMnF2;3,49\nZnO;1,7\n")
    assert list(raw.frame.columns) == ["material_name", "gap, eV"]
    # what a cell lists is no separator of the table
    raw = read(tmp_path, "formula,tags\n" + "NaCl,a;b\n" * 5 + "(K,Na)Cl,a;b\n")
    assert list(raw.frame.columns) == ["formula", "tags"]
    assert list(raw.faults) == [5]


def test_one_column_has_no_separator(tmp_path):
    raw = read(tmp_path, "formula\n(Ba,Sr)TiO3\nNaCl\n")
    assert raw.frame["formula"].tolist() == ["(Ba,Sr)TiO3", "NaCl"]
    assert "one column" in raw.layout.describe()


def test_options_win(tmp_path):
    raw = read(tmp_path, "a,b;c\n1,2;3\n", separator="semicolon")
    assert list(raw.frame.columns) == ["a,b", "c"]
    raw = read(tmp_path, "# formula\tgap\nNaCl\t1\n", formula_col="gap")
    assert list(raw.frame.columns) == ["formula", "gap"]


def test_a_header_that_is_a_comment(tmp_path):
    raw = read(tmp_path, "# written by numpy\n# formula,gap\nNaCl,8.5\nKCl,8.4\n")
    assert raw.frame.to_dict("list") == {"formula": ["NaCl", "KCl"], "gap": [8.5, 8.4]}


@pytest.mark.parametrize("units", [",eV,K", ",[eV],(K)", "units,eV,K", "-,eV,K"])
def test_a_row_of_units_is_no_material(tmp_path, units):
    header, _, rest = lines().partition("\n")
    raw = read(tmp_path, f"{header}\n{units}\n{rest}")
    assert raw.frame["gap"].tolist() == [8.5, 8.4, 2.2]
    assert raw.layout.dialect.units == {"gap": "eV", "T": "K"}
    assert raw.layout.dialect.first_line == 3
    assert "units gap: eV, T: K" in raw.layout.describe()


@pytest.mark.parametrize("first", [",8.5,300", "NaCl,eV,K", ",eV,300", ",,"])
def test_other_rows_below_the_header_are_rows(tmp_path, first):
    header, _, rest = lines().partition("\n")
    assert len(read(tmp_path, f"{header}\n{first}\n{rest}")) == 4


def test_names_of_several_lines_and_without_text(tmp_path):
    raw = read(tmp_path, '"gap\n(eV)",formula,\n1,NaCl,\n')
    assert list(raw.frame.columns) == ["gap (eV)", "formula", "Unnamed: 2"]
    assert raw.frame["formula"].tolist() == ["NaCl"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("cp1252", "cp1252"),
    ],
)  # fmt: skip
def test_encodings_are_recognised(tmp_path, encoding, name):
    text = lines(header=("formula", "Lücke (µm²)", "T (°C)"))
    raw = read(tmp_path, text, encoding)
    assert list(raw.frame.columns) == ["formula", "Lücke (µm²)", "T (°C)"]
    assert raw.layout.dialect.encoding == name


@pytest.mark.parametrize(
    ("encoding", "name"), [("gbk", "化学式"), ("big5", "化學式"), ("shift_jis", "組成式")]
)
def test_east_asian_headers_tell_the_encoding(tmp_path, encoding, name):
    raw = read(tmp_path, lines(header=(name, "gap", "T")), encoding)
    assert list(raw.frame.columns) == [name, "gap", "T"]


def test_an_unclear_encoding_names_the_option(tmp_path):
    text = lines(header=("formula", "имя", "T"))
    with pytest.raises(DataError, match=r"encoding is not clear: .*--encoding cp1252 reads 'èìÿ'"):
        read(tmp_path, text, "cp1251")
    raw = read(tmp_path, text, "cp1251", encoding="cp1251")
    assert list(raw.frame.columns) == ["formula", "имя", "T"]
    with pytest.raises(DataError, match="it is not utf-8 text"):
        read(tmp_path, text, "cp1251", encoding="utf-8")


def test_a_header_that_fits_nearly_no_row_is_an_error(tmp_path):
    text = "formula,gap\n" + "NaCl,8,5\n" * 20 + "KCl,8\n"
    with pytest.raises(DataError, match=r"20 of 21 rows have 3 cells.*decimal commas.*--separator"):
        read(tmp_path, text)
    with pytest.raises(DataError, match="name every column in the header"):
        read(tmp_path, "formula;gap\n" + "1;NaCl;8\n" * 20)


def test_trailing_separators_are_no_cells(tmp_path):
    raw = read(tmp_path, "formula,gap\nNaCl,1,\nKCl,2,\nLiF,3,\n")
    assert raw.frame["gap"].tolist() == [1, 2, 3]
    assert not raw.faults


def test_a_separator_that_the_header_lacks_is_named_as_the_cause(tmp_path):
    said = r"--separator semicolon is not in the header 'formula,gap,T'.*give --separator comma"
    with pytest.raises(DataError, match=said):
        read(tmp_path, lines(), separator="semicolon")
    with pytest.raises(DataError, match="cells are separated by tabs"):
        read(tmp_path, "a\tb\n1\t2\n", separator="comma")
    one = read(tmp_path, "formula\n\"{'Fe': 2, 'O': 3}\"\nNaCl\n", separator="semicolon")
    assert one.frame["formula"].tolist()[1] == "NaCl"
    with pytest.raises(UsageError, match=r"no such separator .did you mean 'comma'.*tab or pipe"):
        ReadingOptions.from_dict({"separator": "coma"})


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"structure_col": "ciff"}, "column of structures"),
        ({"formula_col": "ciff"}, "formula column"),
    ],
)
def test_a_column_that_is_not_there_is_no_reason_to_find_one_column(tmp_path, options, what):
    """The lines of quoted CIFs look like rows; the usual names of the header tell how it is cut."""
    path = tmp_path / "t.csv"
    cif = '"data_x\n_cell_length_a 3.1\nloop_\n_atom_site_label\nNa1 0 0 0\n"'
    path.write_text("id,formula,n,cif\n" + f"a,NaCl,1.5,{cif}\n" * 5)
    options = ReadingOptions(**options)
    message = rf"no {what} 'ciff' \(did you mean 'cif'\?\)\. Columns: id, formula, n, cif"
    with pytest.raises(DataError, match=message):
        read_raw(path, options).formulas(options)
