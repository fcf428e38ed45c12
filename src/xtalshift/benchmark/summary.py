"""From records to what a reader may conclude: means, spreads, ranks and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtalshift.benchmark.aggregate import Runs, label_of
from xtalshift.benchmark.compare import compare_scenarios
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import KIND, SUMMARY_VERSION, TaskRecord
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS

__all__ = ["rank_so_far", "summarise"]

_N_SHOWN = 6


def summarise(
    spec: BenchmarkSpec,
    shared: Shared,
    records: Sequence[TaskRecord],
    n_tasks: int,
    audits: dict[str, Plain],
    provenance: Plain,
) -> Plain:
    """Return everything that tables and figures show.

    Parameters
    ----------
    spec : BenchmarkSpec
        What was compared.
    shared : Shared
        Rows and folds.
    records : sequence of TaskRecord
        Of the tasks that have one.
    n_tasks : int
        Of the whole benchmark.
    audits : dict
        See `xtalshift.benchmark.audits.audit_splits`.
    provenance : dict
        Of this process.

    Returns
    -------
    dict
        ``cells`` (one per method, variant, label budget, split and role: means, spread over seeds,
        intervals), ``methods``, ``splits``, ``scenarios`` (one without target labels and one per
        label budget: ranks, tests, wins), ``curves`` (label efficiency), ``folds`` (drill-down),
        ``failures`` and counts.
    """
    runs = Runs(records)
    return {
        "kind": KIND,
        "schema_version": SUMMARY_VERSION,
        "title": spec.title,
        "spec": spec.to_dict(),
        "provenance": provenance,
        "n_tasks": n_tasks,
        "n_done": sum(record.ok for record in records),
        "n_failed": sum(not record.ok for record in records),
        "data": [one.describe() for one in shared.problems.values()],
        "methods": _methods(records),
        "splits": _splits(spec, shared, audits),
        "cells": runs.cells(),
        "scenarios": compare_scenarios(runs),
        "curves": runs.label_curves(),
        "folds": runs.folds(),
        "failures": [
            {key: getattr(record, key) for key in _FAILURE_KEYS} | {"split": split, "reason": why}
            for record in records
            for split, why in record.failures.items()
        ],
    }


_FAILURE_KEYS = (
    "id", "name", "data", "fold", "seed", "budget", "traceback", "attempts",
)  # fmt: skip


def _methods(records: Sequence[TaskRecord]) -> list[Plain]:
    """Return each method once, in the order of the specification."""
    found: dict[str, Plain] = {}
    for record in records:
        method = METHODS[record.method]
        one = found.setdefault(
            record.name,
            {
                "name": record.name,
                "method": record.method,
                "features": record.features,
                "kind": method.family,
                "sees": method.target_access,
                "row_cap": None,
            },
        )
        if record.row_cap and (record.n_used or 0) < record.n_train:
            one["row_cap"] = record.row_cap
    return list(found.values())


def _splits(spec: BenchmarkSpec, shared: Shared, audits: dict[str, Plain]) -> list[Plain]:
    """Return what each split of each table is: sizes, labels of the audit."""
    found: dict[tuple[str, str], Plain] = {}
    for fold in shared.folds.values():
        for test in fold.tests:
            if test.role == "id" and len(fold.tests) > 1 and test.split in spec.splits:
                continue  # beside the held-out rows of the same split
            split = spec.splits.get(test.split)
            one = found.setdefault(
                (fold.data, test.split),
                {
                    "data": fold.data,
                    "split": test.split,
                    "scheme": split.scheme if split else "random",
                    "params": split.params if split else {"share": spec.id_share},
                    "role": test.role,
                    "budgets": set(),
                    "folds": set(),
                    "sizes": {},
                    "audit": audits.get(f"{fold.data}/{test.split}", {}),
                },
            )
            one["budgets"].update(fold.budgets)
            one["folds"].add(fold.fold)
            inside = fold.id_rows if test.role == "ood" else fold.train[:0]
            parts = {"train": fold.train, "val": fold.val, "id": inside, "target": fold.target}
            for part, rows in {**parts, "test": test.rows}.items():
                one["sizes"].setdefault(part, []).append(len(rows))
    for one in found.values():
        one["budgets"] = sorted(one["budgets"])
        one["folds"] = len(one["folds"])
        one["sizes"] = {
            part: [min(sizes), int(np.median(sizes)), max(sizes)]
            for part, sizes in one["sizes"].items()
        }
    return list(found.values())


def rank_so_far(records: Sequence[TaskRecord]) -> str:
    """Return the methods with the smallest OOD error so far in one line."""
    found: dict[str, list[float]] = {}
    for record in records:
        for score in record.results:
            value = score.mae_over_dummy
            if score.variant == "" and score.role == "ood" and value and np.isfinite(value):
                label = label_of(record.name, "", record.budget)
                found.setdefault(label, []).append(value)
    means = sorted((float(np.mean(values)), name) for name, values in found.items())
    return ", ".join(f"{name} {mean:.3f}" for mean, name in means[:_N_SHOWN]) or "nothing yet"
