"""The formulas of a file alone are those of the whole table."""

import csv
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xtalshift.chem.formulas import Notation
from xtalshift.data.formula_texts import iter_formulas
from xtalshift.data.frames import iter_raw, read_raw
from xtalshift.data.settings import BY_DEFAULT, ReadingOptions
from xtalshift.errors import DataError

TEXTS = [
    "Fe2O3",
    "NaN",
    "",
    "null",
    " InF3 ",
    "007",
    'a "quoted" cell',
    "two\nlines",
    "x;y",
    "CuSO₄",
]


def from_frames(path, chunk_rows, column="formula"):
    return [raw.frame[column].tolist() for raw in iter_raw(path, chunk_rows)]


def texts(path, chunk_rows, **options):
    return [found.texts for found in iter_formulas(path, chunk_rows, ReadingOptions(**options))]


def write(path, frame):
    writers = {"csv": frame.to_csv, "tsv": lambda *a, **k: frame.to_csv(*a, sep="\t", **k)}
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        writers[path.name.split(".")[1]](path, index=False)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl"])
@pytest.mark.parametrize("chunk_rows", [1, 4, 10, 100])
@pytest.mark.parametrize("columns", [["formula"], ["y", "formula"], ["formula", "y"]])
def test_every_format_and_piece_equals_the_table(tmp_path, name, chunk_rows, columns):
    frame = pd.DataFrame({"formula": TEXTS, "y": range(len(TEXTS))})[columns]
    path = write(tmp_path / name, frame)
    pieces = list(texts(path, chunk_rows))
    assert pieces == from_frames(path, chunk_rows)
    assert [text for piece in pieces for text in piece] == TEXTS


@pytest.mark.parametrize(
    "content",
    [
        "\n\n x , formula \n1,Fe\n\n2\n  \n3,Co\n",  # blank lines and a short row
        'formula\n\n""\n \nFe\n',  # a blank cell is a row, a blank line is not
        "formula,y,\nFe,1,\nCo,2,\n",  # every line ends in a comma
        "y;formula\r\n1,5;Fe\r\n2,5;Co\r\n",
        "formula\rFe\rCo\r",
        'formula,note\nFe,"a\nb, c"\nCo,"d ""e"""\n',
        "formula,y\n",
        "formula,y\nFe,1",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_odd_csv_files_equal_the_table(tmp_path, content, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode(encoding))
    assert list(texts(path, 2)) == from_frames(path, 2)


_CELLS = st.text(st.sampled_from('aF2 ,;"\n\t'), max_size=5)
_OTHERS = st.text(st.sampled_from('a2 ,;"\n\t'), max_size=5)  # never formulas


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_CELLS, _OTHERS), max_size=8), st.sampled_from([1, 3, 100]))
def test_made_csv_files_equal_the_table(tmp_path, rows, chunk_rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("formula", "y"), *rows])
    path = tmp_path / "a.csv"
    path.write_text(stream.getvalue(), newline="")
    assert list(texts(path, chunk_rows)) == from_frames(path, chunk_rows)


def test_the_column_is_found_or_named(tmp_path):
    path = write(tmp_path / "a.csv", pd.DataFrame({"Composition": ["Fe"], "other": ["Co"]}))
    assert list(texts(path, 9)) == [["Fe"]]
    assert list(texts(path, 9, formula_col="other")) == [["Co"]]
    with pytest.raises(DataError, match=r"a\.csv: no formula column 'othr' \(did you mean 'other'"):
        texts(path, 9, formula_col="othr")


def test_parquet_without_rows_without_values_and_with_numbers(tmp_path):
    frame = pd.DataFrame({"formula": pd.Categorical(["Fe", None, "Fe"]), "y": [1.5, None, 2.0]})
    path = write(tmp_path / "a.parquet", frame)
    assert list(texts(path, 2)) == [["Fe", ""], ["Fe"]]
    assert list(texts(path, 9, formula_col="y")) == [["1.5", "", "2.0"]]
    assert list(texts(write(tmp_path / "b.parquet", frame[:0]), 2)) == [[]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "no header row"),
        (b"PK\x03\x04\x00", "a damaged zip archive"),
        (b"formula,y,y\nFe,1,2\n", "two columns are named 'y'"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(texts(path, 2))
    assert str(path) in str(caught.value)


def test_long_cells_are_no_obstacle(tmp_path):
    path = write(tmp_path / "a.csv", pd.DataFrame({"cif": ["x" * 200_000], "formula": ["Fe"]}))
    code = f"""
from pathlib import Path
from xtalshift.data.formula_texts import iter_formulas
import sys
from xtalshift.data.settings import BY_DEFAULT
(found,) = iter_formulas(Path({str(path)!r}), 2, BY_DEFAULT)
assert found.texts == ["Fe"]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_capitals_behind_the_head_of_a_table_are_found_in_their_piece(tmp_path):
    path = tmp_path / "in.csv"
    later = ["AL2O3", "MGO", "CAO", "NACL", "CUO"]
    path.write_text("".join(f"{cell}\n" for cell in ["formula", *["NaCl"] * 1200, *later, "KCl"]))
    notation = Notation()
    streams = (
        list(iter_formulas(path, 1000, BY_DEFAULT)),
        [raw.formulas(BY_DEFAULT) for raw in iter_raw(path, 1000)],
        [read_raw(path).formulas(BY_DEFAULT)],
    )
    for pieces in streams:
        assert [piece.capitals for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        reasons = pieces[-1].materials(notation).reasons.tolist()
        assert "the column is written in capitals" in reasons[-2]
        assert all(reasons[-6:-1])
        assert not any(reasons[:-6] + reasons[-1:])


def test_capitals_in_the_head_of_a_table_hold_for_later_pieces(tmp_path):
    path = tmp_path / "in.csv"
    head = ["AL2O3", "MGO", "CAO", "NACL"] * 250
    path.write_text("".join(f"{cell}\n" for cell in ["formula", *head, "CUO", "NaCl"]))
    for pieces in (
        list(iter_formulas(path, 1000, BY_DEFAULT)),
        [raw.formulas(BY_DEFAULT) for raw in iter_raw(path, 1000)],
    ):
        assert [piece.capitals for piece in pieces] == [True, True]
        reasons = pieces[1].materials(Notation()).reasons.tolist()
        assert "the column is written in capitals" in reasons[0]
        assert reasons[1] == ""


@pytest.mark.parametrize("dictionary", [False, True])
def test_parquet_with_bytes_is_read_as_text(tmp_path, dictionary):
    cells = pa.array([b"Fe2O3", None, b"\xff", "SiO2\u00b7H2O".encode()], pa.binary())
    table = pa.table({
        "formula": cells.dictionary_encode() if dictionary else cells,
        "y": pa.array([b"1.5", b"\xff", b"3", None], pa.binary()),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    found = ["Fe2O3", "", "\ufffd", "SiO2\u00b7H2O"]
    assert list(texts(tmp_path / "a.parquet", 3)) == [found[:3], found[3:]]
    numbers, reasons = read_raw(tmp_path / "a.parquet").numbers("y")
    np.testing.assert_array_equal(numbers, [1.5, np.nan, 3.0, np.nan])
    assert reasons.tolist() == ["", "not a number: '\ufffd'", "", "missing"]
