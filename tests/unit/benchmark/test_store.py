"""Records survive whatever stops the process that writes them."""

import json

import pytest

from xtalshift.benchmark.records import Score, TaskRecord
from xtalshift.benchmark.store import KIND, RECORDS_FILE, RecordStore, read_records
from xtalshift.errors import ConfigError, DataError
from xtalshift.jsonio import encode_line

HEADER = {"versions": {"numpy": "2.0"}, "data": {"toy": "00"}, "threads": 1, "device": "cpu"}


def record(task="a", *, mae=0.1 + 0.2, r2=None, **values):
    known = {
        "id": task, "name": "ridge", "method": "ridge", "features": "magpie", "data": "toy",
        "split": "shift", "fold": 0, "fold_name": "", "seed": 0, "budget": 0, "n_train": 40,
        "n_val": 8, "n_id": 7, "n_test": 15, "seconds": 1.0,
        "results": (Score("", "shift", "ood", 15, mae=mae, r2=r2),),
    }  # fmt: skip
    return TaskRecord(**(known | values))


def write(folder, *records, header=HEADER):
    store = RecordStore.open(folder, header)
    for one in records:
        store.add(one)
    return folder


def test_records_come_back_with_every_bit(tmp_path):
    write(tmp_path, record(mae=1 / 3, r2=float("nan")), record("b"))
    header, records = read_records(tmp_path / RECORDS_FILE)
    assert header["threads"] == 1
    assert records["a"] == record(mae=1 / 3)
    assert records["a"].results[0].mae == 1 / 3
    assert records["a"].results[0].r2 is None
    assert list(records) == ["a", "b"]


def test_the_last_record_of_a_task_counts(tmp_path):
    write(tmp_path, record(status="failed"), record(mae=2.0))
    assert read_records(tmp_path / RECORDS_FILE)[1]["a"].results[0].mae == 2.0


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_that_was_not_finished_is_cut_off(tmp_path, cut):
    path = write(tmp_path, record("a"), record("b")) / RECORDS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert list(read_records(path)[1]) == ["a"]
    write(tmp_path, record("b"))
    assert path.read_bytes() == whole


def test_a_header_that_was_not_finished_is_begun_anew(tmp_path):
    path = write(tmp_path) / RECORDS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    write(tmp_path)
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path):
    path = write(tmp_path, record("a"), record("b")) / RECORDS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:20] + b"\n" + lines[2])
    with pytest.raises(DataError, match=r"records.jsonl, line 2 is damaged"):
        RecordStore.open(tmp_path, HEADER)


def test_what_cannot_be_compared_is_refused(tmp_path):
    write(tmp_path, record())
    other = {**HEADER, "versions": {"numpy": "2.1"}, "threads": 2}
    with pytest.raises(ConfigError, match=r"versions: .*2\.0.* there, .*2\.1.* here; threads: 1"):
        RecordStore.open(tmp_path, other)
    assert RecordStore.open(tmp_path, other, overwrite=True).records == {}


def test_a_file_of_someone_else_is_left_alone(tmp_path):
    path = tmp_path / RECORDS_FILE
    for text in ('{"a": 1}\n{"b": 2}', "no json", '{"kind":"other"}\n'):
        path.write_text(text)
        for overwrite in (False, True):
            with pytest.raises(DataError, match="holds no records of a benchmark"):
                RecordStore.open(tmp_path, HEADER, overwrite=overwrite)
        assert path.read_text() == text


def test_a_table_may_be_added(tmp_path):
    write(tmp_path, record("a"))
    more = {**HEADER, "data": {"toy": "00", "other": "11"}}
    assert list(read_records(write(tmp_path, header=more) / RECORDS_FILE)[1]) == ["a"]
    with pytest.raises(ConfigError, match=r"data: 'toy' had other rows or structures"):
        RecordStore.open(tmp_path, {**HEADER, "data": {"toy": "22"}})


def test_a_task_may_have_another_name_elsewhere(tmp_path):
    one = write(tmp_path / "one", record("a"))
    two = write(tmp_path / "two", record("a", name="least squares"), record("b"))
    assert RecordStore.open(one, HEADER).merge(two) == 1


def test_other_files_are_no_store(tmp_path):
    path = tmp_path / RECORDS_FILE
    path.write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="holds no records of a benchmark"):
        read_records(path)
    path.write_bytes(encode_line({"kind": KIND, "schema_version": 99}))
    with pytest.raises(DataError, match="schema_version 99, this version reads 2"):
        read_records(path)
    with pytest.raises(DataError, match="cannot read"):
        read_records(tmp_path / "missing.jsonl")


def test_merging_takes_what_is_missing(tmp_path):
    one = write(tmp_path / "one", record("a"), record("b", status="failed"))
    two = write(tmp_path / "two", record("a", seconds=9.0), record("b"), record("c"))
    store = RecordStore.open(one, HEADER)
    assert store.merge(two) == 2
    assert store.merge(two / RECORDS_FILE) == 0
    assert store.records["b"].status == "ok"
    assert list(read_records(one / RECORDS_FILE)[1]) == ["a", "b", "c"]


def test_merging_refuses_what_disagrees(tmp_path):
    one = write(tmp_path / "one", record("a"))
    two = write(tmp_path / "two", record("c"), record("a", mae=0.3))
    three = write(tmp_path / "three", record("d"), header={**HEADER, "device": "cuda"})
    store = RecordStore.open(one, HEADER)
    with pytest.raises(ConfigError, match=r"task a \(ridge, shift, seed 0\).*do not agree"):
        store.merge(two)
    with pytest.raises(ConfigError, match=r"device: cuda there, cpu here\); they cannot be"):
        store.merge(three)
    assert list(store.records) == ["a"]


def test_every_line_is_one_record(tmp_path):
    path = write(tmp_path, record(reason="two\nlines \u2028 and é")) / RECORDS_FILE
    lines = path.read_text(encoding="utf-8").split("\n")
    assert len(lines) == 3
    assert json.loads(lines[1])["reason"] == "two\nlines \u2028 and é"


def test_unset_values_are_not_written_and_unknown_ones_not_read(tmp_path):
    path = write(tmp_path, record()) / RECORDS_FILE
    line = json.loads(path.read_text().splitlines()[1])
    assert line["results"] == [
        {"variant": "", "split": "shift", "role": "ood", "n": 15, "mae": 0.1 + 0.2}
    ]
    assert not {"tuning", "row_cap", "best_epoch"} & line.keys()
    line |= {"of_a_later_version": 1, "results": [line["results"][0] | {"other": 2}]}
    assert TaskRecord.from_plain(line) == record()


def test_the_content_of_a_record_is_what_two_machines_must_agree_on():
    one = record(seconds=1.0, host="a", peak_mib=3.0, name="x")
    two = record(seconds=9.0, host="b", attempts=2, name="y")
    assert one != two
    assert one.content() == two.content()
    assert one.content() != record(mae=0.3).content()
