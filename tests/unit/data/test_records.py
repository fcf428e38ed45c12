"""Records are those of the slow reference reader, however the text is cut."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reference.slow_records import read_slowly
from xtalshift.data import iter_raw, read_raw, sources
from xtalshift.data.arrow_texts import text_cells
from xtalshift.data.dialect import Dialect
from xtalshift.data.formula_texts import iter_formulas
from xtalshift.data.records import cut, parse_rows
from xtalshift.data.settings import ReadingOptions
from xtalshift.screening.inputs import Inputs

DIALECT = Dialect(("a", "b", "c"), formula_place=1)


def rows_of(found):
    columns = [text_cells(found.table.column(name)) for name in found.table.column_names]
    return [list(row) for row in zip(*columns, strict=True)]


def parse(text, dialect=DIALECT, columns=None):
    return parse_rows(text.encode(), dialect, 2, columns)


def expected(text, dialect):
    """Return rows, rows with a fault and rows with a note of the reference reader."""
    width, place = len(dialect.columns), dialect.formula_place
    rows, faults, notes = [], {}, set()
    for row, record in enumerate(read_slowly(text, dialect.separator, dialect.line_end, width)):
        cells = record.cells
        if any(cell.strip() for cell in cells[width:]):
            faults[row] = record.line + 1
            cells = [*cells[:place], dialect.separator.join(cells[place:])]
        if record.stray:
            notes.add(row)
        rows.append((cells + [""] * width)[:width])
    return rows, faults, notes


TEXTS = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "F", " ", ";", "\t", "é"]))


@settings(deadline=None, max_examples=400)
@given(
    TEXTS.map("".join),
    st.integers(1, 3),
    st.sampled_from(",;\t"),
    st.sampled_from("\n\r"),
)
@example('a,1,"x\nB,2,"y\nC,3,z\n', 3, ",", "\n")
@example('"a\r', 1, ",", "\n")
@example('"\n"\r\n', 1, ",", "\n")
@example('"\n"\r', 1, ",", "\n")
def test_any_text_is_read_as_by_the_reference(text, width, separator, line_end):
    columns = DIALECT.columns[:width]
    dialect = replace(
        DIALECT, columns=columns, separator=separator, line_end=line_end,
        formula_place=min(1, width - 1),
    )  # fmt: skip
    rows, faults, notes = expected(text, dialect)
    found = parse(text, dialect)
    assert rows_of(found) == rows
    assert {row: int(why.split()[1]) for row, why in found.faults.items()} == faults
    assert set(found.notes) == notes
    if rows:
        assert rows_of(parse(text, dialect, [columns[-1]])) == [[row[-1]] for row in rows]


@settings(deadline=None, max_examples=200)
@given(TEXTS.map("".join), st.integers(1, 3), st.integers(0, 40))
def test_what_is_complete_does_not_depend_on_what_follows(text, width, length):
    data = text.encode()
    whole = cut(data, DIALECT.shape, width, final=True)
    part = cut(data[:length], DIALECT.shape, width, final=False)
    n = len(part.ends)
    assert part.starts.tolist() == whole.starts[:n].tolist()
    assert part.ends.tolist() == whole.ends[:n].tolist()


ENDS = {"\n": "utf-8", "\r\n": "utf-8-sig", "\r": "utf-16"}
CELL = st.text('aF2 ,;"|é', max_size=6)


@st.composite
def tables(draw):
    """Return rows, and how they are written."""
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    separator = draw(st.sampled_from(",;\t|"))
    n_columns = draw(st.integers(1, 4))
    cells = CELL
    if draw(st.booleans()) and n_columns > 1:  # cells of several lines, without separators
        cells = st.text('aF2 "é\n', max_size=6)
    rows = draw(st.lists(st.lists(cells, min_size=n_columns, max_size=n_columns), max_size=8))
    if rows:
        rows[0][0] = "F" + rows[0][0]  # a first row without a formula may be one of units
    if separator == "\t" or n_columns == 1:
        rows = [["x" + cell for cell in row] for row in rows]  # spaces alone are a blank line
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    return rows, n_columns, separator, line_end, quoting


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tables(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "gbk"]),
    st.integers(1, 7),
    st.sampled_from([1, 3, 64, 2**18]),
)
def test_any_table_reads_back_in_every_way(tmp_path, monkeypatch, table, encoding, chunk, block):
    rows, n_columns, separator, line_end, quoting = table
    names = ["formula", "x", "y", "z"][:n_columns]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerows([names, *rows])
    path = tmp_path / "in.csv"
    path.write_bytes(stream.getvalue().encode(encoding))
    options = ReadingOptions(encoding=encoding if encoding in {"cp1252", "gbk"} else None)
    if encoding.startswith("utf-16-"):  # no byte order mark: text of a few characters is not enough
        options = ReadingOptions(encoding=encoding)
    monkeypatch.setattr(sources, "_READ", block)

    whole = read_raw(path, options, text_columns=names)
    assert whole.frame.to_numpy().tolist() == rows
    assert not whole.faults
    assert not whole.notes
    pieces = [raw.frame.to_numpy().tolist() for raw in iter_raw(path, chunk, options)]
    assert [row for piece in pieces for row in piece] == rows
    formulas = [found.texts for found in iter_formulas(path, chunk, options)]
    assert [text for piece in formulas for text in piece] == [row[0] for row in rows]
    inputs = Inputs([path], options)
    blocks = list(inputs.blocks(chunk))
    found = [row for part in blocks for row in part.parse(names)[1].frame.to_numpy().tolist()]
    assert found == rows
    if len(blocks) > 1:
        first = blocks[0]
        again = list(inputs.blocks(chunk, number=1, first=first.rows, start=first.end))
        assert again == blocks[1:]


def test_a_bad_record_costs_one_row():
    found = parse("x,Fe,1\n\ny,(Ba,Sr)TiO3,2\nz,Co\nw,Ni,3,,\n")
    assert rows_of(found) == [
        ["x", "Fe", "1"], ["y", "(Ba,Sr)TiO3,2", ""], ["z", "Co", ""], ["w", "Ni", "3"],
    ]  # fmt: skip
    assert found.faults == {
        1: "line 4 has 4 cells, the header 3: 'y,(Ba,Sr)TiO3,2'; put quotes around a cell with a "
        "comma"
    }
    assert not found.notes


def test_a_stray_quote_costs_no_row():
    lines = [f"x{n},Fe,1" for n in range(50)]
    lines[5], lines[30] = 'x5,Fe,"5 nm film', 'x30,"Co,2'
    found = parse("\n".join(lines))
    assert len(rows_of(found)) == 50
    assert rows_of(found)[5] == ["x5", "Fe", '"5 nm film']
    assert rows_of(found)[30] == ["x30", '"Co', "2"]
    assert set(found.notes) == {5, 30}
    assert found.notes[5].startswith("stray quote, read as an ordinary character: line 7, ")
    genuine = parse('x,"Fe",1\ny,"two\nlines, a comma",2\nz,Co,3\n')
    assert rows_of(genuine)[1] == ["y", "two\nlines, a comma", "2"]
    assert not genuine.notes


def test_a_line_in_another_encoding_is_a_row_with_a_reason():
    found = parse_rows(b"x,Fe,1\ny,Co\xe9,2\nz,Ni,3\n", DIALECT, 2)
    assert [row[0] for row in rows_of(found)] == ["x", "y", "z"]
    assert list(found.faults) == [1]
    assert found.faults[1].startswith("line 3 is not utf-8 text: 'y,Co")


@pytest.mark.parametrize("separator", [",", "\t"])
def test_lines_of_spaces_are_blank(separator):
    dialect = replace(DIALECT, separator=separator)
    text = "x,Fe,1\n   \n\r\ny,Co,2\n \n".replace(",", separator)
    assert rows_of(parse(text, dialect)) == [["x", "Fe", "1"], ["y", "Co", "2"]]
    assert rows_of(parse("\t\t\n", replace(DIALECT, separator="\t"))) == [["", "", ""]]
