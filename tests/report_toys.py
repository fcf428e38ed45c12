"""A benchmark whose numbers are easy to work out by hand, and what a reader sees of a page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from xtalshift.benchmark import summary
from xtalshift.benchmark.answer import Answer, ProxyResult
from xtalshift.benchmark.problem import FoldRows, Problem, Shared, TestRows
from xtalshift.benchmark.records import TAIL_MEASURES, Score, TaskRecord
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.summary_records import SplitAudit
from xtalshift.data import Dataset, clean_table
from xtalshift.data.settings import DataConfig
from xtalshift.jsonio import parse, to_json
from xtalshift.provenance import Provenance
from xtalshift.report import write_report

RATIOS = {"dummy": 1.0, "ridge": 0.5, "erm": 0.6, "target-ridge": 0.4, "fine-tune": 0.3}
LABELLED = {"target-ridge", "fine-tune"}
PLACES = {"loco": ("ood", 7), "random": ("id", 1)}


def make_summary(
    ratios=RATIOS,
    places=PLACES,
    seeds=2,
    budgets=(16,),
    failed=(),
    names=None,
    table="alloys",
    **audit,
):
    """Return the summary of a benchmark in which each method errs `ratios` times the dummy.

    The dummy errs by 10 plus the number of the fold, half of that in distribution; the error of a
    method grows by a hundredth with each seed, and shrinks with the label budget.
    """
    methods = [{"name": (names or {}).get(name, name), "method": name} for name in ratios]
    spec = BenchmarkSpec(
        title="Toy",
        data={table: {"dataset": "toy.csv", "unit": "eV"}},
        splits={name: {"scheme": "random"} for name in places},
        methods=methods,
        seeds=seeds,
        budgets=budgets,
    )
    shared = Shared({table: make_problem(table)}, {}, {})
    records = []
    for split, (role, n_folds) in places.items():
        for fold in range(n_folds):
            for seed in range(seeds):
                own = budgets if split != "few" else ()
                tests = (TestRows(split, role, np.arange(30 + fold)),)
                if role == "ood":
                    tests = (TestRows(split, "id", np.arange(10)), *tests)
                parts = (np.arange(size) for size in (90, 10, 20))
                key = (table, split, fold, seed, f"cluster {fold}", "high", own)
                found = FoldRows(*key, *parts, tests)
                shared.folds[found.key] = found
                for entry in methods:
                    of = own if entry["method"] in LABELLED else (0,)
                    records += [
                        make_record(found, entry, budget, ratios[entry["method"]], failed)
                        for budget in of
                    ]
    audits = {f"{table}/{split}": parse(SplitAudit, one, Path()) for split, one in audit.items()}
    provenance = Provenance(versions={"numpy": "2.1.0"}, threads=1, device="cpu")
    return to_json(summary.summarise(spec, shared, records, len(records), audits, provenance))


def make_problem(name):
    """Return a table of 1234 rows, of which one is real."""
    data = clean_table(Dataset.of(["Fe"], [1.0], target_name="gap", unit="eV", source="toy.csv"))
    data.__dict__["description"] = replace(data.description, rows=1234, sha256="ab" * 32)
    return Problem(name, data, DataConfig(dataset="toy.csv"), {}, (0.0, 1.0))


def make_record(fold, entry, budget, ratio, failed):
    name, method = entry["name"], entry["method"]
    record = {"id": f"{fold.key}/{name}/{budget}", "name": name, "method": method, "budget": budget}
    record |= {"features": "magpie", "data": fold.data, "split": fold.split, "fold": fold.fold}
    record |= {"fold_name": fold.name, "seed": fold.seed, "seconds": 2.0 * ratio}
    record |= {"n_train": 90, "n_val": 10, "n_id": len(fold.id_rows), "n_test": 30 + fold.fold}
    if (name, fold.seed) in failed:
        reason = {"reason": "MemoryError: <b>no</b>", "traceback": "at <line>"}
        return TaskRecord(**record, status="failed", attempts=1, **reason)
    results = []
    for variant in ("", "ema") if method == "erm" else ("",):
        for role in ("id", "ood"):
            if role not in {test.role for test in fold.tests}:
                continue
            scale = (10.0 + fold.fold) * (0.5 if role == "id" else 1.0)
            share = ratio if method == "dummy" else ratio * (1 + 0.01 * fold.seed)
            share /= 1.0 if not budget else budget / 16
            one = {"variant": variant, "split": fold.split, "role": role, "n": 30}
            one |= {"mae": share * scale}
            one |= {"rmse": 2 * share * scale, "r2": 0.5, "spearman": 0.9, "worst_family": "oxide"}
            one |= {"mae_over_dummy": share, "rmse_over_dummy": share, "worst_family_mae": 9.0}
            one |= {"dummy_mae": scale, "dummy_rmse": 2 * scale}
            one |= {"mae_low": 0.9 * scale * share, "mae_high": 1.1 * scale * share}
            results.append(Score(**one))
        tail = dict.fromkeys(TAIL_MEASURES, 0.25)
        results.append(Score(variant, fold.split, "pool", 30, n_tail=3, **tail))
    return TaskRecord(**record, results=tuple(results), peak_mib=7.0, val_mae=1.0)


def read_page(folder):
    return write_report(folder).read_text(encoding="utf-8")


def own_part(page):
    """Return the page without the library, which is not ours to judge."""
    before, _, rest = page.partition("<script>/**")
    return before + rest.partition("</script>")[2]


def read_figures(page):
    found = re.search(
        r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found[1])


def read_text(page):
    plain = re.sub(r"<(script|style).*?</\1>", " ", own_part(page), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", plain))


def toy_answer():
    """Return an answer about thirteen candidates."""
    proxies = [
        ProxyResult(
            name=name, reason=f"compounds with {name}, which resembles Te", n=20,
            distance_ratio=1.2, mae=mae, mae_dummy=2 * mae, mae_own_median=1.5 * mae,
            spearman=0.7, coverage=0.9, found=(0.5, 0.75), covered=(1.0, 0.8), n_measured=n,
            mae_before=1.0, mae_after=0.8,
            methods={"ridge": mae, "svr": 1.1 * mae},
        )
        for name, mae, n in (("Se", 0.25, 10), ("S", 1.0, 20))
    ]  # fmt: skip
    return Answer(
        verdict="trust", method="ridge", level_with=("svr",), expected_mae=0.5, expected_low=0.32,
        expected_high=0.8, coverage=0.9, n=13, n_usable=12, known=("ZnTe",), n_seen=0,
        n_seen_rows=0, distance_ratio=1.5,
        separability=0.9, new_elements=("Te",), n_new=12, n_new_systems=11, proxies=tuple(proxies),
        measure=("A2Te", "B2Te", "C2Te", "D2Te", "E2Te", "F2Te"), measure_rows=(0, 1, 2, 3, 4, 5),
        measured_ratio=0.8,
    )  # fmt: skip
