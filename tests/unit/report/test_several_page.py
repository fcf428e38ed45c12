"""The page of several targets: which splits it shows, and the means over targets."""

from __future__ import annotations

from xtalshift.benchmark.several_results import (
    SeveralResults,
    TargetRecord,
    TargetRun,
    _overall,
)
from xtalshift.report.several.several_page import overall_table, render_several, target_table


def record(target, method, split, role, share, seed=0):
    return TargetRecord(
        target=target, method=method, split=split, role=role, seed=seed, mae=share and 10 * share,
        mae_over_dummy=share, status="ok" if share else "failed",
    )  # fmt: skip


def results(records):
    names = dict.fromkeys(one.target for one in records)
    runs = (TargetRun(name, "GPa", f"1-{name}", "ridge", 80) for name in names)
    return SeveralResults(
        config={}, targets=tuple(runs), overall=tuple(_overall(records)), records=tuple(records)
    )


RECORDS = [
    record("a", "ridge", "random", "id", 0.4), record("a", "ridge", "random", "id", 0.6, seed=1),
    record("b", "ridge", "random", "id", 0.9), record("a", "ridge", "family:F", "ood", 0.7),
    record("a", "ridge", "family:F", "id", 0.1), record("a", "erm", "random", "id", 0.2),
    record("b", "erm", "random", "id", None),
]  # fmt: skip


def test_the_mean_over_targets_is_of_means_over_seeds():
    table = overall_table(results(RECORDS))
    assert table.heads == (("random", "id"), ("family:F", "ood"))
    ridge, erm = table.rows
    assert ridge.cells == (("0.700", 0.7), ("0.700", 0.7))
    # it failed for one target, and was not run on the other split
    assert erm.cells == (("-", None), ("-", None))


def test_a_table_of_a_target_has_errors_in_its_unit():
    table = target_table(results(RECORDS), "b")
    assert table.heads == (("random", "id"),)
    assert [row.cells for row in table.rows] == [(("9 (0.90)", 9.0),), (("failed", None),)]


def test_the_page_escapes_names():
    page = render_several(results([record("<b>", "ridge", "random", "id", 0.5)]))
    assert "&lt;b&gt; (GPa)" in page
    assert "80 materials; model: ridge" in page
