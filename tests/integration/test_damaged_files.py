"""Files of results that are damaged or of something else: one line that names the file."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

DEEP = b"[" * 100_000
DAMAGE = {
    "empty": lambda content: b"",
    "null": lambda content: b"null",
    "list": lambda content: b"[]",
    "object": lambda content: b"{}",
    "number": lambda content: b"7",
    "text": lambda content: b'"x"',
    "half": lambda content: content[: len(content) // 2],
    "deep": lambda content: DEEP,
    "not text": lambda content: bytes(range(256)) * 8,
    "other keys": lambda content: b'{"records": [1], "splits": {"a": 2}, "kind": 3, "spec": []}',
    "other values": lambda content: content.replace(b"0", b'"x"').replace(b"[", b"{"),
    "NaN": lambda content: content.replace(b"1", b"NaN"),
}


@pytest.fixture(scope="module")
def folders(table, tmp_path_factory):
    """Return the folders of a run and of a benchmark that are done."""
    from xtalshift.cli.main import main

    place = tmp_path_factory.mktemp("done")
    spec = place / "spec.toml"
    spec.write_text(
        f'title = "t"\nmethods = ["dummy", "ridge"]\nseeds = 1\naudit = true\n'
        f'[data.gaps]\ndataset = "{table}"\ntarget = "gap"\n[splits.tail]\nscheme = "prior"\n'
    )
    for command in (
        ["run", table, "--target", "gap", "--methods", "ridge", "--splits", "random,prior",
         "--out", place / "run", "--threads", "1"],
        ["benchmark", spec, "--out", place / "benchmark", "--threads", "1"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in command])
        assert stop.value.code == 0
    return place


def check(outcome, path):
    """Assert that a command succeeded, or failed with one line that names the file."""
    assert "bug in xtalshift" not in outcome.err, outcome.err
    if outcome.code:
        (line,) = [line for line in outcome.err.splitlines() if line.startswith("Error")]
        assert outcome.code == 1
        assert path.name in line or path.name == "config.toml"
        assert len(line) < 1000


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name",
    ["run/results.json", "run/records.jsonl", "run/config.toml", "run/predictions.parquet",
     "run/map.parquet", "benchmark/summary.json", "benchmark/records.jsonl",
     "benchmark/audit.json"],
)  # fmt: skip
def test_damaged_results(xtalshift, table, folders, tmp_path, name, damage):
    place = tmp_path / "done"
    shutil.copytree(folders, place)
    path = place / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    folder = path.parent
    if path.suffix == ".parquet" or path.name in {"results.json", "summary.json"}:
        check(xtalshift("report", folder), path)
    elif folder.name == "run":
        check(
            xtalshift("run", table, "--target", "gap", "--methods", "ridge", "--splits",
                      "random,prior", "--out", folder, "--threads", "1"), path,
        )  # fmt: skip
    else:
        check(xtalshift("benchmark", place / "spec.toml", "--out", folder, "--threads", "1"), path)


@pytest.mark.parametrize("table_of", ["nothing", "other columns", "text", "dates"])
@pytest.mark.parametrize("name", ["predictions.parquet", "map.parquet"])
def test_tables_of_something_else(xtalshift, folders, tmp_path, name, table_of):
    shutil.copytree(folders / "run", tmp_path / "run")
    path = tmp_path / "run" / name
    frame = pd.read_parquet(path)
    frame = {
        "nothing": frame.iloc[:0],
        "other columns": pd.DataFrame({"a": [1]}),
        "text": frame.astype(str),
        "dates": frame.assign(target=np.datetime64("2020-01-01")),
    }[table_of]
    frame.to_parquet(path)
    check(xtalshift("report", tmp_path / "run"), path)
