"""Tables to files, at once or not at all."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xtalshift.data import read_frame
from xtalshift.data.writers import open_writer, write_frame
from xtalshift.errors import DataError

FRAME = pd.DataFrame({"formula": ["NaN", "GaN"], "x": [0.1, 1 / 3], "note": ['a "b"', "c,d"]})


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "T.CSV"])
def test_what_is_written_is_read_back(name, tmp_path):
    path = tmp_path / "new" / name
    write_frame(FRAME, path)
    again = read_frame(path)
    pd.testing.assert_frame_equal(again, FRAME, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pieces_make_one_table_with_one_header(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    with open_writer(path) as writer:
        for start in range(2):
            writer.write(FRAME.iloc[start : start + 1])
        writer.write(FRAME.iloc[:0])
    again = pd.read_csv(path, keep_default_na=False) if suffix == "csv" else pd.read_parquet(path)
    assert again["formula"].tolist() == ["NaN", "GaN"]
    assert again["note"].tolist() == FRAME["note"].tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_without_rows_keeps_its_header(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    write_frame(FRAME.iloc[:0], path)
    again = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    assert again.columns.tolist() == ["formula", "x", "note"]
    assert again.empty


def test_an_interrupt_leaves_what_was_there(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("earlier")

    def write():
        with open_writer(path) as writer:
            writer.write(FRAME)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "earlier"
    assert [item.name for item in tmp_path.iterdir()] == ["t.csv"]


def test_a_column_that_changes_its_type_is_named(tmp_path):
    with open_writer(tmp_path / "t.parquet") as writer:
        writer.write(FRAME)
        with pytest.raises(DataError, match=r"changes its type after row 2 .*x.*\.csv"):
            writer.write(FRAME.assign(x=["one", "two"]))


def test_unknown_types_and_places(tmp_path):
    with pytest.raises(
        DataError, match=r"t\.xlsx: the name of an output file must end in \.csv or \.parquet"
    ):
        write_frame(FRAME, tmp_path / "t.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another place"):
        write_frame(FRAME, tmp_path / "file" / "t.csv")
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        write_frame(FRAME, tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_arrow_tables_are_written_like_frames(suffix, tmp_path):
    paths = [tmp_path / f"{name}.{suffix}" for name in ("frame", "table")]
    write_frame(FRAME, paths[0])
    with open_writer(paths[1]) as writer:
        writer.write(pa.Table.from_pandas(FRAME[:1]))
        writer.write(pa.Table.from_pandas(FRAME[1:]))
    pd.testing.assert_frame_equal(*map(read_frame, paths))


def test_only_columns_that_share_values_get_a_dictionary(tmp_path):
    rows = range(300)
    frame = pd.DataFrame({"same": [row % 7 for row in rows], "own": rows, "nested": [[1]] * 300})
    write_frame(frame, tmp_path / "t.parquet")
    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    found = [group.column(place).has_dictionary_page for place in range(3)]
    assert found == [True, False, False]
