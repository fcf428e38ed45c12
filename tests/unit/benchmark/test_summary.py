"""Means, spreads, ranks and tests of records whose results are easy to work out by hand."""

import numpy as np
import pytest

from benchmark_toys import make_shared
from xtalshift.benchmark.aggregate import Runs, label_of
from xtalshift.benchmark.compare import compare_scenarios
from xtalshift.benchmark.records import Score, TaskRecord
from xtalshift.benchmark.summary import rank_so_far, summarise
from xtalshift.provenance import Provenance

DUMMY = 2.0


def result(mae, role="ood", variant="", split="shift", **values):
    known = {
        "n": 30, "mae": mae, "rmse": 2 * mae, "r2": 1 - mae,
        "spearman": 0.5, "dummy_mae": DUMMY, "dummy_rmse": 2 * DUMMY,
        "mae_over_dummy": mae / DUMMY, "rmse_over_dummy": mae / DUMMY,
        "mae_low": mae - 0.1, "mae_high": mae + 0.1, "worst_family": "oxide",
        "worst_family_mae": 3 * mae,
    }  # fmt: skip
    return Score(variant, split, role, **(known | values))


def record(name, mae, *, fold=0, seed=0, budget=0, split="shift", method=None, **values):
    pool = Score(
        "", split, "pool", 40, n_tail=4, tail_recall=0.25 * seed, tail_enrichment=2.0,
        regret=1.0 + seed, top5_recall=0.5, top30_precision=0.5, top30_precision_weighted=0.1,
    )  # fmt: skip
    known = {
        "id": f"{name}{split}{fold}{seed}{budget}", "name": name, "method": method or name,
        "features": "magpie", "data": "toy", "split": split, "fold": fold, "fold_name": "",
        "seed": seed, "budget": budget, "n_train": 40, "n_val": 8, "n_id": 7, "n_test": 15,
        "seconds": 1.0 + seed, "val_mae": 0.5,
        "results": (result(mae, split=split), result(mae / 2, "id", split=split), pool),
    }  # fmt: skip
    return TaskRecord(**(known | values))


def cell_of(runs, label, role="ood"):
    (found,) = [c for c in runs.cells() if c.label == label and c.role == role]
    return found


def test_labels_of_methods():
    assert label_of("ridge", "", 0) == "ridge"
    assert label_of("fine-tune", "last", 64) == "fine-tune:last (64)"


def test_means_and_spread_over_seeds():
    maes = {0: [1.0, 3.0], 1: [2.0, 4.0]}
    runs = Runs(
        record("ridge", mae, fold=fold, seed=seed)
        for seed, values in maes.items()
        for fold, mae in enumerate(values)
    )
    cell = cell_of(runs, "ridge")
    assert cell.mae == 2.5
    assert cell.mae_sd == pytest.approx(np.std([2.0, 3.0], ddof=1))  # of the seeds' means
    assert cell.mae_over_dummy == 1.25
    assert (cell.n_runs, cell.n_seeds, cell.n_folds) == (4, 2, 2)
    assert cell.worst_fold_mae == 3.5
    assert (cell.mae_low, cell.mae_high) == pytest.approx((2.4, 2.6))
    assert cell.id_mae == 1.25
    assert cell.gap == 2.0
    assert cell.tail_recall == 0.125
    assert cell.tail_precision is None
    assert (cell.regret, cell.top5_recall) == (1.5, 0.5)
    assert cell.seconds == 1.5
    assert cell.peak_mib is None


def test_a_fold_in_which_the_dummy_is_right_decides_nothing():
    runs = Runs(
        [
            record("ridge", 1.0, fold=0),
            record("ridge", 1.0, fold=1, results=(result(1.0, dummy_mae=1e-3),)),
        ]
    )
    assert cell_of(runs, "ridge").mae_over_dummy == pytest.approx(2 / (2 + 1e-3))


def test_a_fold_without_an_error_counts():
    runs = Runs(record("nearest", mae, fold=fold) for fold, mae in enumerate([0.0, 0.0, 0.5]))
    assert cell_of(runs, "nearest").mae_over_dummy == pytest.approx(0.5 / 6)


def test_what_only_some_folds_have_is_compared_on_these():
    # fine-tune equals erm everywhere; the easy fold alone has rows for 128 labels
    runs = Runs(
        [
            *(record("erm", mae, fold=fold) for fold, mae in enumerate([1.0, 3.0])),
            *(
                record("fine-tune", mae, fold=fold, budget=32)
                for fold, mae in enumerate([1.0, 3.0])
            ),
            record("fine-tune", 1.0, fold=0, budget=128),
        ]
    )
    assert cell_of(runs, "fine-tune (128)", "id").forgetting == 0.0
    assert cell_of(runs, "fine-tune (32)", "id").forgetting == 0.0
    (curve,) = runs.label_curves()
    assert curve.mae == (1.0, 1.0)
    found = {one.budget: one.methods for one in compare_scenarios(runs)}
    assert {row.over_dummy for row in found[128]} == {0.5}
    assert {row.over_dummy for row in found[32]} == {1.0}


def test_forgetting_is_of_networks_with_the_same_features():
    others = {"features": "fractions"}
    runs = Runs(
        [
            record("erm", 1.0), record("target-ridge", 2.0, budget=8),
            record("fine-tune@fractions", 2.0, budget=8, method="fine-tune", **others),
        ]
    )  # fmt: skip
    assert cell_of(runs, "target-ridge (8)", "id").forgetting is None
    assert cell_of(runs, "fine-tune@fractions (8)", "id").forgetting is None


def test_many_folds_have_an_interval_over_folds():
    runs = Runs(record("ridge", 1.0 + fold, fold=fold) for fold in range(5))
    cell = cell_of(runs, "ridge")
    assert 1.0 < cell.mae_low < 3.0 < cell.mae_high < 5.0
    assert (cell.mae_low, cell.mae_high) != pytest.approx((2.9, 3.1))


def test_forgetting_is_against_the_source_network():
    runs = Runs([record("erm", 1.0), record("fine-tune", 2.0, budget=8)])
    assert cell_of(runs, "fine-tune (8)", "id").forgetting == 1.0
    assert cell_of(runs, "erm", "id").forgetting is None


def test_label_efficiency_is_against_target_only_methods():
    errors = {"target-ridge": [4.0, 2.0], "target-gp": [5.0, 1.0], "fine-tune": [1.5, 1.0]}
    runs = Runs(
        record(name, mae, budget=budget)
        for name, maes in errors.items()
        for budget, mae in zip((16, 64), maes, strict=True)
    )
    curves = {curve.name: curve for curve in runs.label_curves()}
    assert curves["fine-tune"].budgets == (16, 64)
    assert curves["target-ridge"].label_efficiency is None
    first, second = curves["fine-tune"].label_efficiency
    # on the envelope (4 at 16 labels, 1 at 64) an error of 1.5 needs 5/6 of two doublings more
    assert first == pytest.approx(4 ** (5 / 6))
    assert second == 1.0


def clear_cut(n_tasks):
    """Return records in which a beats b by a little and both beat c by far, on every task."""
    for task in range(n_tasks):
        for name, mae in (("a", 1.0), ("b", 1.001 if task % 2 else 0.999), ("c", 1.8)):
            yield record(name, mae + 0.01 * task, fold=task, method="ridge")


def test_bold_needs_a_test():
    (found,) = compare_scenarios(Runs(clear_cut(4)))
    assert found.n_tasks == 4
    assert found.unit == "fold and seed"
    assert not any(row.bold for row in found.methods)  # 4 pairs cannot reach 5 %
    (found,) = compare_scenarios(Runs(clear_cut(12)))
    assert found.unit == "fold"
    assert {row.label for row in found.methods if row.bold} == {"a", "b"}
    assert found.methods[-1].label == "c"
    assert found.methods[-1].rank == 3.0
    assert found.methods[-1].p_against_best < 0.01
    assert found.friedman_p < 0.01
    assert found.wins[0][2] == (12, 0, 0)
    assert found.wins[0][1] == (0, 12, 0)  # a tie within 0.5 %


def test_what_is_ahead_on_one_split_only_is_not_bold():
    # far ahead on half of the tasks, far behind on the others: no test tells it from the best
    records = [
        record(name, mae + 0.01 * task, fold=task, method="ridge")
        for task in range(12)
        for name, mae in (
            ("a", 1.0), ("dummy", 2.0), ("b", 1.5), ("constant", 0.1 if task < 6 else 2.5),
        )
    ]  # fmt: skip
    (found,) = compare_scenarios(Runs(records))
    rows = {row.label: row for row in found.methods}
    assert rows["constant"].p_against_best > 0.05
    assert [label for label, row in rows.items() if row.bold] == ["a"]


def test_seeds_of_many_folds_are_averaged():
    runs = Runs(
        record(name, mae + 0.1 * seed, fold=fold, seed=seed, method="ridge")
        for name, mae in (("a", 1.0), ("b", 1.5))
        for fold in range(6)
        for seed in range(3)
    )
    (found,) = compare_scenarios(runs)
    assert (found.n_tasks, found.unit) == (6, "fold")
    assert found.comparisons[0].n == 6


def test_every_budget_has_its_own_table():
    runs = Runs(
        [
            record("ridge", 1.0), record("ridge", 1.0, split="other"),
            record("fine-tune", 0.5, budget=8), record("fine-tune", 0.4, budget=16),
            record("joint", 0.6, budget=16),
        ]
    )  # fmt: skip
    found = {one.budget: [row.label for row in one.methods]
             for one in compare_scenarios(runs)}  # fmt: skip
    assert found == {
        8: ["fine-tune (8)", "ridge"],
        16: ["fine-tune (16)", "joint (16)", "ridge"],
    }


def test_the_summary_counts_what_failed(spec):
    shared = make_shared()
    failed = record("ridge", 1.0, seed=1, status="failed", reason="x", results=())
    records = [record("dummy", 2.0), record("ridge", 1.0, row_cap=20, n_used=20), failed]
    found = summarise(spec(), shared, records, 8, {}, Provenance())
    assert found.n_done == 2
    assert (found.n_tasks, found.n_failed) == (8, 1)
    assert found.failures[0].reason == "x"
    assert [m.row_cap for m in found.methods] == [None, 20]
    (split,) = found.splits
    assert split.sizes["train"] == (40, 40, 40)
    assert split.budgets == (10, 20)


def test_a_split_without_figures_is_a_failure_and_in_no_mean(spec):
    overflow = Score("", "shift", "ood", 15, reason="the prediction of GaN is inf")
    partly = record("ridge", 1.0, seed=1, results=(overflow, result(3.0, "id", split="shift")))
    records = [record("dummy", 2.0), record("ridge", 1.0), partly]
    found = summarise(spec(), make_shared(), records, 3, {}, Provenance())
    assert (found.n_done, found.n_failed) == (3, 0)
    (failure,) = found.failures
    assert (failure.name, failure.split, failure.seed) == ("ridge", "shift", 1)
    assert failure.reason == "the prediction of GaN is inf"
    runs = Runs(records)
    assert [cell_of(runs, "ridge", role).n_runs for role in ("ood", "id")] == [1, 2]
    assert cell_of(runs, "ridge", "id").mae == (0.5 + 3.0) / 2
    assert rank_so_far([partly]) == "nothing yet"


def test_the_running_leaderboard():
    records = [record("dummy", 2.0), record("ridge", 1.0), record("fine-tune", 0.5, budget=8)]
    assert rank_so_far(records) == "fine-tune (8) 0.250, ridge 0.500, dummy 1.000"
    assert rank_so_far([]) == "nothing yet"


def test_no_records_at_all(spec):
    found = summarise(spec(), make_shared(), [], 8, {}, Provenance())
    assert found.cells == found.scenarios == found.curves == ()
