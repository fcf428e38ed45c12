"""Tables and sentences at the end of a run and of a benchmark."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from report_toys import make_summary
from xtalshift.benchmark.summary_records import read_summary
from xtalshift.cli.tables import (
    print_cautions,
    print_coverage,
    print_errors,
    print_leaderboard,
    print_search,
)
from xtalshift.jsonio import write_json
from xtalshift.report import build_run_report
from xtalshift.report.shared.interval_evaluation import (
    IntervalEvaluation,
    IntervalPart,
    MethodIntervals,
    RowSet,
)


def record(method, split, role, mae, ratio, *, seed=0, status="ok"):
    return {"method": method, "split": split, "role": role, "seed": seed, "mae": mae,
            "mae_over_dummy": ratio, "seconds": 2.0, "status": status}  # fmt: skip


@pytest.fixture
def build(tmp_path):
    """Return the report of some records."""

    def make(records, splits, unit=""):
        values = {"schema_version": 1, "records": records, "splits": splits}
        values["provenance"] = {"data": {"unit": unit}}
        (tmp_path / "results.json").write_text(json.dumps(values), encoding="utf-8")
        return build_run_report(tmp_path)

    return make


def test_means_over_seeds_failures_and_the_unit(build, capsys):
    splits = [
        {"name": name, "role": role, "fit": "all", "seed": 0}
        for name, role in (("random", "id"), ("prior", "id"), ("prior", "ood"))
    ]
    records = [
        record("ridge", "random", "id", 1.0, 0.5),
        record("ridge", "random", "id", 3.0, 0.7, seed=1),
        record("ridge", "prior", "ood", 4.0, None),
        record("ridge", "prior", "ood", 6.0, None, seed=1),
        record("ridge", "prior", "id", 9.0, 9.0),
        record("cal", "random", "id", None, None, status="failed"),
        record("cal", "prior", "ood", None, None, status="failed"),
    ]
    report = build(records, splits, "eV")
    print_errors(report)
    text = capsys.readouterr().out
    assert "MAE in eV" in text
    assert "mean over 2 seeds" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["ridge"] == ["ridge", "2", "(0.60)", "5", "2.0"]
    assert rows["cal"] == ["cal", "failed", "failed"]
    print_cautions(report)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Before you rely on these numbers:"
    assert said[1:] == [f"- {caution.text}" for caution in report.cautions]
    assert said[-1].startswith("- Some runs of cal failed")
    print_cautions(replace(report, cautions=[]))
    assert capsys.readouterr().out == ""


def test_a_search_is_described_beside_the_errors(build, capsys):
    splits = [
        {"name": name, "role": role, "fit": "all", "seed": 0}
        for name, role in (("random", "id"), ("prior", "ood"))
    ]
    found = {"top5_recall": 0.5, "top5_enrichment": 10.0, "regret": 0.25, "regret_over_range": 0.1}
    records = [
        record("ridge", "random", "id", 1.0, 0.5) | found,
        record("ridge", "random", "id", 1.0, 0.5, seed=1) | found | {"top5_recall": 0.25},
        record("ridge", "prior", "ood", 4.0, None),
        record("cal", "random", "id", 1.0, 0.5) | found | {"regret": None},
        record("cal", "prior", "ood", None, None, status="failed"),
    ]
    report = build(records, splits, "eV")
    assert report.extremes == "highest"
    print_search(report)
    text = capsys.readouterr().out
    assert "Search for the highest 5 % of the targets of each split" in text
    assert "in brackets, in eV: how far the best of 10 picks is" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["ridge"] == ["ridge", "38%", "(0.25)"]
    assert rows["cal"] == ["cal", "50%"]
    assert report.rows[0].cells[0].top5_recall == 0.375
    low = replace(report.results, config={"split": {"tail": "low"}})
    assert replace(report, results=low).extremes == "lowest"
    print_search(build([record("ridge", "random", "id", 1.0, 0.5)], splits))  # of before
    assert capsys.readouterr().out == ""


def test_a_narrow_terminal_keeps_the_names_of_the_methods(build, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    names = ["random", "covariate", "prior", "family:F", "relation"]
    splits = [{"name": n, "role": "ood", "fit": "all", "seed": 0} for n in names]
    print_errors(build([record("cal-eps0", n, "ood", 0.123456, 0.5) for n in names], splits))
    text = capsys.readouterr().out
    assert "cal-eps0" in text
    assert text.count("0.1235") == 5
    assert "…" not in text


def intervals(**shares):
    parts = [
        IntervalPart(
            rows=RowSet(split, "id" if split == "random" else "ood", split),
            n=10,
            materials=10,
            coverage=share,
            median_width=1.0,
            width_over_dummy=None,
            outside=None,
            curve=[],
            bins=[],
            widths=None,
        )
        for split, share in shares.items()
    ]
    other = replace(parts[0], coverage=0.1)
    methods = [MethodIntervals("cal", [other], []), MethodIntervals("ridge", parts, [])]
    return IntervalEvaluation("ridge", "ridge", methods)


def test_one_line_states_the_coverage_of_the_saved_method(build, capsys):
    report = build([record("ridge", "random", "id", 1.0, 0.5)], [{"name": "random", "role": "id"}])
    print_coverage(replace(report, intervals=intervals(random=0.91, prior=0.41, oxides=0.7)))
    assert capsys.readouterr().out == (
        "Coverage of the 90 % intervals of ridge: "
        "91 % on random, 41 % on prior and 70 % on oxides\n"
    )
    print_coverage(replace(report, intervals=intervals(random=0.91)))
    assert capsys.readouterr().out == "Coverage of the 90 % intervals of ridge: 91 % on random\n"
    print_coverage(replace(report, intervals=replace(intervals(random=0.91), saved=None)))
    print_coverage(report)
    assert capsys.readouterr().out == ""


def test_the_leaderboard_has_a_table_per_budget_and_names_failures(tmp_path, capsys):
    write_json(tmp_path / "summary.json", make_summary())
    print_leaderboard(read_summary(tmp_path))
    text = capsys.readouterr().out
    assert "MAE without target labels (in brackets: relative to predicting the mean)" in text
    assert "MAE with 16 target labels" in text
    rows = [line.split() for line in text.splitlines() if line.strip()]
    assert ["ridge", "1.0", "0.50", "6.533", "(0.50)", "1.0"] in rows
    assert ["fine-tune", "(16)", "1.0", "0.30", "3.92", "(0.30)", "0.6"] in rows
    assert "Bold: the best rank" in text
    assert "80 of 80 tasks done\n" in text
    assert "Published" not in text
    write_json(tmp_path / "summary.json", make_summary(failed={("erm", 1)}))
    print_leaderboard(read_summary(tmp_path))
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.strip()]
    assert ["erm", "0.60", "7.8", "(0.60)", "1.2"] in rows  # no task has every method: no ranks
    assert "72 of 80 tasks done, 8 failed" in text
    assert "failed: erm on loco fold 0, seed 1: MemoryError: <b>no</b>" in text
    assert "and 3 more, see records.jsonl" in text


def test_published_errors_follow_the_leaderboard(tmp_path, capsys):
    values = make_summary()
    values["spec"]["published"] = [
        {"data": "alloys", "split": "loco", "method": name, "mae": mae, "source": "their page"}
        for name, mae in (("forest", 0.4461), ("CrabNet", 0.3463))
    ]
    write_json(tmp_path / "summary.json", values)
    print_leaderboard(read_summary(tmp_path))
    text = capsys.readouterr().out
    assert "Published MAE on alloys, loco: CrabNet 0.3463, forest 0.4461\n" in text
