import gzip
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from xtalshift.data.frames import iter_raw, read_frame, read_raw
from xtalshift.data.settings import ReadingOptions
from xtalshift.errors import DataError

TRICKY = ["NaN", "NA", "", "1e5", "None", "null", " InF3 ", "O2", "007", "TRUE", "CuSO₄·5H₂O"]


def tricky_frame():
    return pd.DataFrame({"formula": TRICKY, "y": np.arange(len(TRICKY)) + 0.5})


def write(path, frame):
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        frame.to_csv(path, index=False, sep="\t" if name.endswith(".tsv") else ",")
    elif name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    elif name.endswith((".jsonl", ".ndjson")):
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_json(path, orient="split")
    return path


FILES = ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl", "a.ndjson.gz", "a.json", "a.json.gz"]


@pytest.mark.parametrize("name", FILES)
def test_formula_text_survives_every_format(tmp_path, name):
    frame = read_frame(write(tmp_path / name, tricky_frame()))
    assert frame["formula"].tolist() == TRICKY
    assert frame["y"].tolist() == tricky_frame()["y"].tolist()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("chunk_rows", [1, 4, 11, 100])
def test_chunks_join_to_the_whole(tmp_path, name, chunk_rows):
    path = write(tmp_path / name, tricky_frame())
    chunks = [raw.frame for raw in iter_raw(path, chunk_rows)]
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    joined = pd.concat(chunks)
    assert joined["formula"].tolist() == TRICKY
    assert joined["y"].astype(float).tolist() == tricky_frame()["y"].tolist()
    assert joined.index.tolist() == list(range(len(TRICKY)))


def test_csv_chunks_keep_cells_as_written(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,formula,T\n007,Fe,1.50\n8,Co,\nx9,Ni,hot\n")
    chunks = [raw.frame for raw in iter_raw(path, 2)]
    assert pd.concat(chunks).to_numpy().tolist() == [
        ["007", "Fe", "1.50"], ["8", "Co", ""], ["x9", "Ni", "hot"],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_streaming_takes_flat_memory(tmp_path, name):
    n = 60_000
    frame = pd.DataFrame({"formula": [f"Fe{i}O" for i in range(n)], "y": np.arange(n) * 1.5})
    path = write(tmp_path / name, frame)
    next(iter_raw(path, 10))  # imports are not the reader's memory
    tracemalloc.start()
    rows = sum(len(chunk) for chunk in iter_raw(path, 500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == n
    assert peak < 4 * 2**20  # the whole frame takes about twice that


def test_columns_become_numbers_only_if_every_cell_is_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("formula,int,float,text,gap,none\nFe,1,1.5,a,1.0,\nCo,2,,b,n/a,\nNi,3,2,1,x,\n")
    frame = read_frame(path)
    assert frame["int"].dtype == np.int64
    assert frame["float"].tolist()[0::2] == [1.5, 2.0]
    assert np.isnan(frame["float"][1])
    assert frame["text"].tolist() == ["a", "b", "1"]
    assert frame["gap"].tolist() == ["1.0", "n/a", "x"]
    assert frame["none"].tolist() == ["", "", ""]


def test_ids_stay_text_on_demand(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,formula,n\n7,Fe,0\n")
    assert read_frame(path)["id"].tolist() == [7]
    assert read_frame(path, text_columns=["id"])["id"].tolist() == ["7"]


def test_ids_with_leading_zeros_stay_as_written(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,formula,n,x\n007,Fe,0,0.5\n010,Si,10,00.5\n")
    frame = read_frame(path)
    assert frame["id"].tolist() == ["007", "010"]
    assert frame["n"].tolist() == [0, 10]
    assert frame["x"].tolist() == [0.5, 0.5]


def test_european_excel(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffformula;Lücke, eV;n\r\nGaAs;1,42;1\r\nSi;1,1;2\r\n".encode())
    frame = read_frame(path)
    assert list(frame.columns) == ["formula", "Lücke, eV", "n"]
    assert frame["Lücke, eV"].tolist() == [1.42, 1.1]
    assert frame["formula"].tolist() == ["GaAs", "Si"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("formula,größe\nFe,1\n".encode(encoding))
    assert list(read_frame(path).columns) == ["formula", "größe"]


def test_quotes_spaces_and_blank_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\n"gap, eV", formula \n1,"Fe"\n\n2,"Co"\n')
    frame = read_frame(path)
    assert list(frame.columns) == ["gap, eV", "formula"]
    assert frame["formula"].tolist() == ["Fe", "Co"]


def test_header_only_is_a_table_without_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("formula,y\n")
    assert read_frame(path).shape == (0, 2)
    assert [raw.frame.shape for raw in iter_raw(path, 5)] == [(0, 2)]
    empty = write(tmp_path / "a.parquet", pd.DataFrame({"formula": pd.Series([], dtype=object)}))
    assert [raw.frame.shape for raw in iter_raw(empty, 5)] == [(0, 1)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "no header row"),
        ("a.csv", b"PK\x03\x04\x00\x00\x00", "a damaged zip archive or Excel file"),
        ("a.xlsx", b"PK\x03\x04", "a damaged zip archive or Excel file"),
        ("a.xls", b"x", "save it as .xlsx"),
        ("a.doc", b"x", "a type that cannot be read; readable are CSV"),
        ("a", b"formula\n", "a type that cannot be read"),
        ("a.parquet.gz", b"x", "a type that cannot be read"),
        ("a.csv", b"formula,y,y\nFe,1,2\n", "two columns are named 'y'"),
        ("a.csv.gz", b"formula,y\n", "cannot read"),
        ("a.csv.gz", gzip.compress(b"formula\n" * 99, mtime=0)[:-9], "cannot read"),
        ("a.parquet", b"PAR1 nonsense", "cannot read"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"3", "its JSON is not a table"),
        ("a.json", b'{"a": [1], "b": [1, 2]}', "cannot read"),
        ("a.jsonl", b'{"formula": "Fe"}\nFe\n', "line 2 is not JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1 is list, expected an object"),
        ("a.jsonl", b"\n", "has no rows"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=message):
        list(iter_raw(path, 2))


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(DataError, match="has no structure file"):
        read_frame(tmp_path)
    with pytest.raises(DataError, match=r"nothing.csv does not exist"):
        read_frame(tmp_path / "nothing.csv")


def test_errors_of_the_consumer_are_not_the_readers(tmp_path):
    path = write(tmp_path / "a.csv", tricky_frame())

    def consume():
        for _ in iter_raw(path, 2):
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        consume()


def site(*species):
    return {"species": [{"element": e, "occu": x} for e, x in species], "abc": [0, 0, 0]}


def structure(*sites):
    return {"@module": "pymatgen.core", "@class": "Structure", "lattice": {}, "sites": list(sites)}


def test_matminer_layout_with_structures_and_compositions(tmp_path):
    content = {
        "index": [0, 1],
        "columns": ["structure", "composition", "e_form"],
        "data": [
            [
                structure(site(("Fe", 1)), site(("Fe", 1)), site(("O", 1))),
                {"@module": "m", "@class": "Composition", "Fe": 2.0, "O": 1.0},
                -1.5,
            ],
            [structure(site(("Ga", 0.25), ("Al", 0.75)), site(("As", 1))), "GaAs", None],
        ],
    }
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    for options in (ReadingOptions(formula_col="structure"), ReadingOptions(structure_col="x")):
        frame = read_frame(path, options)
        assert frame["structure"].tolist() == ["Fe2O", "Ga0.25Al0.75As"]
        assert frame["composition"].tolist() == ["Fe2O", "GaAs"]
        assert frame["e_form"].tolist()[0] == -1.5
    for options in (ReadingOptions(), ReadingOptions(structure_col="structure")):
        frame = read_frame(path, options)
        whole = [json.loads(cell) for cell in frame["structure"]]
        assert whole == [row[0] for row in content["data"]]
        assert frame["composition"].tolist() == ["Fe2O", "GaAs"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_structures_of_pymatgen_stay_structures_in_their_column(tmp_path, suffix):
    oxide = structure(site(("Fe", 1)), site(("O", 1)))
    row = {"id": "a", "Structure": oxide, "parent": oxide, "y": 1.0}
    path = tmp_path / f"a{suffix}"
    path.write_text(json.dumps([row] if suffix == ".json" else row))
    (whole,) = iter_raw(path, 10)
    for frame in (read_frame(path), whole.frame):
        assert json.loads(frame["Structure"][0]) == oxide
        assert frame["parent"].tolist() == ["FeO"]
    frame = read_frame(path, ReadingOptions(structure_col="parent"))
    assert (frame["Structure"][0], json.loads(frame["parent"][0])) == ("FeO", oxide)


def test_a_json_file_may_be_a_structure_or_a_list_of_them(tmp_path):
    oxide, metal = structure(site(("Fe", 1)), site(("O", 1))), structure(site(("Al", 1)))
    entry = {"entry_id": "a", "structure": metal}
    path = tmp_path / "a.json"
    for content, found in (
        (oxide, [oxide]),
        ([oxide, metal], [oxide, metal]),
        (entry, [metal]),
        ([oxide, entry], [oxide, metal]),
    ):
        path.write_text(json.dumps(content))
        frame = read_frame(path)
        assert [json.loads(cell) for cell in frame["structure"]] == found
    assert frame["entry_id"].tolist()[1] == "a"


@pytest.mark.parametrize(
    "content",
    [
        [{"formula": "NaN", "y": 1}, {"formula": "Fe", "y": 2}],
        {"formula": ["NaN", "Fe"], "y": [1, 2]},
        {"formula": {"0": "NaN", "1": "Fe"}, "y": {"0": 1, "1": 2}},
    ],
)
def test_json_layouts(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    frame = read_frame(path)
    assert frame.to_dict("list") == {"formula": ["NaN", "Fe"], "y": [1, 2]}


def test_json_lines_with_columns_that_come_and_go(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"formula": "Fe", "y": 1}\n{"formula": "Co"}\n{"formula": "Ni", "z": 3}\n')
    assert list(read_frame(path).columns) == ["formula", "y", "z"]
    chunks = [raw.frame for raw in iter_raw(path, 1)]
    assert [list(chunk.columns) for chunk in chunks] == [["formula", "y", "z"]] * 3
    assert chunks[0]["y"].tolist() == [1]
    assert chunks[1]["y"].isna().tolist() == [True]
    path.write_text('{"formula": "Fe"}\n' * 1000 + '{"formula": "Ni", "z": 3}\n')
    assert list(read_frame(path).columns) == ["formula", "z"]
    with pytest.raises(DataError, match="column 'z' first occurs in line 1001"):
        list(iter_raw(path, 1001))


def test_parquet_with_categories_nulls_and_an_index(tmp_path):
    frame = pd.DataFrame(
        {"formula": pd.Categorical(["Fe", None, "Fe"]), "y": [1.0, 2.0, np.nan]},
        index=pd.Index(["a", "b", "c"], name="id"),
    )
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    result = read_frame(path)
    assert result["formula"].tolist() == ["Fe", "", "Fe"]
    assert result["id"].tolist() == ["a", "b", "c"]


def test_a_whole_number_too_large_for_a_float_costs_its_row(tmp_path):
    huge = "9" * 400
    (tmp_path / "a.jsonl").write_text(
        f'{{"formula": "NaCl", "y": 1.5}}\n{{"formula": "KCl", "y": {huge}}}\n'
    )
    numbers, reasons = read_raw(tmp_path / "a.jsonl").numbers("y")
    assert numbers[0] == 1.5
    assert reasons.tolist() == ["", "infinite"]
