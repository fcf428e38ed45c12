import json
from dataclasses import replace

import pytest

from xtalshift.benchmark.run_results import read_results
from xtalshift.errors import DataError
from xtalshift.jsonio import to_json
from xtalshift.report import build_run_report


def test_records_and_their_surroundings_are_typed(folder):
    results = read_results(folder)
    first = results.records[0]
    assert (first.method, first.split, first.role, first.seed, first.n) == (
        "dummy", "random", "id", 0, 60,
    )  # fmt: skip
    assert (first.mae, first.rmse, first.coverage_90, first.reason) == (10.0, 20.0, None, None)
    assert results.provenance.data.unit == "eV"
    assert results.provenance.host.peak_memory_mib == 512.0
    assert results.intake.dropped[0].examples[0].value == "X<b>2"
    assert results.histories[0].epochs[1]["phase"] == "cal"
    assert (results.n_seeds, results.model) == (2, None)


def test_both_versions_are_read_and_further_keys_ignored(results, rewrite, folder):
    first = read_results(folder)
    results["records"][0]["further"] = [1]
    rewrite(results | {"schema_version": 2, "model": None, "tomorrow": {}})
    assert replace(read_results(folder), schema_version=1) == first


def test_non_finite_numbers_become_null(results, rewrite, folder):
    results["records"][0]["mae"] = float("nan")
    results["config"] = {"limit": float("inf")}
    rewrite(results)
    report = build_run_report(folder)
    assert report.results.config == {"limit": None}
    assert json.loads(json.dumps(to_json(report), allow_nan=False))["rows"][0]["method"] == "dummy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "schema_version 3, but this version reads 1 and 2"),
        ({"records": []}, "has no 'records'"),
        ({"splits": [{"role": "id"}]}, r"results\.json has no 'splits\.0\.name'"),
        ({"intake": {"rows_read": "many", "rows_kept": 1}}, r"'intake\.rows_read': .*integer"),
    ],
)
def test_results_that_cannot_be_read_say_why(results, rewrite, folder, change, message):
    rewrite(results | change)
    with pytest.raises(DataError, match=message):
        build_run_report(folder)


def test_a_missing_or_broken_file_names_it(tmp_path, folder):
    with pytest.raises(DataError, match=r"nothing.*results\.json.*xtalshift run"):
        build_run_report(tmp_path / "nothing")
    (folder / "map.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"map\.parquet.*delete it"):
        build_run_report(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json is damaged"):
        build_run_report(folder)
