"""Pieces of files: the rows of pandas, from any place."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.data import iter_raw
from xtalshift.data import sources as module
from xtalshift.errors import DataError
from xtalshift.screening.inputs import FormulaSource, Inputs

NASTY = [
    b"formula,note\n",
    b"\n",
    b"GaN,plain\n",
    b'ZnO,"a\nb ""c"",\n"\n',
    b'SiC,5" wafer\n',
    b"   \n",
    b'AlN,"x"y\n',
    b"InP\r\n",
    b'"Ga,As",""\n',
    b'"",""\n',
    b"NaCl,end",
]


def read_all(inputs, chunk_rows, **place):
    """Return all rows of (source, table) as one table of objects."""
    blocks = list(inputs.blocks(chunk_rows, **place))
    tables = [block.parse(inputs.columns)[0] for block in blocks]
    return blocks, pa.concat_tables(tables).to_pydict() if tables else {}


def expected(path):
    frame = next(iter_raw(path, 10**6)).frame
    return {name: frame[name].tolist() for name in frame.columns}


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_csv_has_the_rows_of_pandas(tmp_path, name, chunk_rows):
    path = tmp_path / name
    content = b"".join(NASTY)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    inputs = Inputs([path])
    blocks, rows = read_all(inputs, chunk_rows)
    assert rows == expected(path)
    assert [block.rows for block in blocks[:-1]] == [chunk_rows] * (len(blocks) - 1)
    assert sum(block.rows for block in blocks) == 8
    # every block can be the first one that is read
    for block in blocks:
        again, _ = read_all(
            inputs, chunk_rows, number=block.number + 1, first=block.first + block.rows,
            start=block.end,
        )  # fmt: skip
        assert again == blocks[block.number + 1 :]


@settings(deadline=None, max_examples=50)  # it writes files
@given(
    st.lists(
        st.tuples(st.text("aG,\"\n\r ;'", max_size=6), st.text('x",\n', max_size=5)), max_size=12
    ),
    st.integers(1, 5),
)
def test_any_cells_come_back(tmp_path_factory, cells, chunk_rows):
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    frame = pd.DataFrame(cells, columns=["formula", "note"], dtype=str)
    frame.to_csv(path, index=False, quoting=1, lineterminator="\n")
    _, rows = read_all(Inputs([path]), chunk_rows)
    assert rows.get("formula", []) == expected(path)["formula"]
    assert rows.get("note", []) == expected(path)["note"]


def test_semicolons_latin_1_and_byte_order_marks(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_bytes("\ufeffformula;T\nGaN;1,5\nZnO;2,5\n".encode())
    two.write_bytes("formula;T\nGaAs;\xe9\n".encode("latin-1"))
    blocks, rows = read_all(Inputs([one, two]), 1)
    assert rows == {"formula": ["GaN", "ZnO", "GaAs"], "T": ["1,5", "2,5", "\xe9"]}
    assert [block.end[0] for block in blocks] == [0, 0, 1]
    _, raw = blocks[0].parse(["formula", "T"])
    assert raw.numbers("T")[0].tolist() == [1.5]


def test_json_lines_are_text_of_fixed_columns(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [
        {"formula": "GaN", "x": 1, "y": None},
        {"y": [1, "\u2028"], "formula": "Zn\u2082O"},
        {"formula": None, "x": 0.5, "y": "\ud800"},
    ]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    for chunk_rows in (1, 2, 5):
        _, found = read_all(Inputs([path]), chunk_rows)
        assert found == {
            "formula": ["GaN", "Zn\u2082O", None],
            "x": ["1", None, "0.5"],
            "y": [None, '[1, "\u2028"]', "?"],
        }
    path.write_text('{"formula": "GaN"}\n' * 1000 + '{"formula": "GaN", "z": 1}\n')
    with pytest.raises(DataError, match=r"chunk 10 .*column 'z' first occurs in line 1001"):
        read_all(Inputs([path]), 100)
    path.write_text('{"formula": "GaN"}\n{"formula"\n')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        Inputs([path])


@pytest.mark.parametrize("chunk_rows", [1, 3, 4, 7, 50])
def test_parquet_keeps_types_and_skips_groups(tmp_path, chunk_rows):
    path = tmp_path / "in.parquet"
    table = pa.table(
        {
            "formula": pa.array([f"Ga{n + 1}N" for n in range(11)]).dictionary_encode(),
            "n": pa.array([None, *range(10)], pa.int16()),
            "nothing": pa.nulls(11),
        }
    )
    pq.write_table(table, path, row_group_size=3)
    inputs = Inputs([path])
    assert inputs.n_rows == 11
    blocks, rows = read_all(inputs, chunk_rows)
    assert rows == table.to_pydict()
    assert blocks[0].parse(["formula"])[0].schema.field("n").type == pa.int16()
    for block in blocks:
        again, _ = read_all(
            inputs, chunk_rows, number=block.number + 1, first=block.first + block.rows,
            start=block.end,
        )  # fmt: skip
        assert again == blocks[block.number + 1 :]


def test_a_limit_ends_within_a_later_input(tmp_path):
    for name in "ab":
        pd.DataFrame({"formula": ["GaN", "ZnO", "SiC"]}).to_csv(tmp_path / f"{name}.csv")
    blocks, rows = read_all(Inputs([tmp_path / "a.csv", tmp_path / "b.csv"]), 2, limit=4)
    assert [block.rows for block in blocks] == [2, 1, 1]
    assert rows["formula"] == ["GaN", "ZnO", "SiC", "GaN"]
    assert [block.where for block in blocks][2] == "chunk 2 (rows 4 to 4, b.csv)"


def test_formulas_of_a_generator():
    source = FormulaSource(lambda: (f"Ga{n}N" for n in range(1, 6)), "numbers")
    inputs = Inputs([source])
    assert inputs.n_rows is None
    blocks, rows = read_all(inputs, 2)
    assert rows == {"formula": ["Ga1N", "Ga2N", "Ga3N", "Ga4N", "Ga5N"]}
    assert read_all(inputs, 2, number=1, first=2, start=blocks[0].end)[0] == blocks[1:]


def test_long_lines_end_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    path = tmp_path / "in.csv"
    pd.DataFrame({"formula": ["G" * 60] * 5}).to_csv(path, index=False)
    assert [block.rows for block in Inputs([path]).blocks(1000)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", b"[]", "it has no rows"),
        ("in.csv", b"formula,a\n" + b"GaN,1,2\n" * 3, "3 of 3 rows have 3 cells"),
        ("in.csv", b"a,a\n1,2\n", "two columns are named 'a'"),
        ("in.parquet", b"PAR1", "cannot read"),
        ("in.jsonl", b"\n", "it has no rows"),
        ("gone.csv", None, "does not exist"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_all(Inputs([path]), 10)


def test_inputs_of_other_columns_are_refused(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("formula\nGaN\n")
    two.write_text("formula,a\nGaN,1\n")
    with pytest.raises(DataError, match=r"two.csv \(csv\) has the columns formula, a, but one"):
        Inputs([one, two])
    with pytest.raises(DataError, match="no input"):
        Inputs([])


def test_blocks_without_rows(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula\n")
    assert list(Inputs([path]).blocks(5)) == []
    pq.write_table(pa.table({"formula": pa.array([], pa.string())}), tmp_path / "in.parquet")
    assert list(Inputs([tmp_path / "in.parquet"]).blocks(5)) == []
    assert np.isclose(Inputs([path]).n_rows, 0)


def test_a_linked_folder_is_part_of_what_is_screened(tmp_path):
    """A screening is not continued if its files have changed."""
    folder, other = tmp_path / "cifs", tmp_path / "other"
    for place in (folder, other):
        place.mkdir()
        (place / f"{place.name}.cif").write_text("data_x\n")
    (folder / "more").symlink_to(other)
    (before,) = Inputs([folder]).describe()
    (other / "other.cif").write_text("data_other\n")
    (after,) = Inputs([folder]).describe()
    assert before.size == after.size == 2
    assert before.sha256 != after.sha256
