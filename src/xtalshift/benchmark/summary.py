"""From records to what a reader may conclude: means, spreads, ranks and tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from xtalshift.benchmark.aggregate import Runs, label_of
from xtalshift.benchmark.compare import compare_scenarios
from xtalshift.benchmark.problem import Shared
from xtalshift.benchmark.records import KIND, SUMMARY_VERSION
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.methods import METHODS

__all__ = ["rank_so_far", "summarise"]

_N_SHOWN = 6


def summarise(
    spec: BenchmarkSpec,
    shared: Shared,
    records: list[dict[str, Any]],
    n_tasks: int,
    audits: dict[str, dict[str, Any]],
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """Return everything that tables and figures show.

    Parameters
    ----------
    spec : BenchmarkSpec
        What was compared.
    shared : Shared
        Rows and folds.
    records : list of dict
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
        "n_done": sum(record["status"] == "ok" for record in records),
        "n_failed": sum(record["status"] != "ok" for record in records),
        "data": [one.info for one in shared.problems.values()],
        "methods": _methods(records),
        "splits": _splits(spec, shared, audits),
        "cells": runs.cells(),
        "scenarios": compare_scenarios(runs),
        "curves": runs.label_curves(),
        "folds": runs.folds(),
        "failures": [
            {key: record.get(key) for key in _FAILURE_KEYS}
            for record in records
            if record["status"] != "ok"
        ],
    }


_FAILURE_KEYS = (
    "id", "name", "data", "split", "fold", "seed", "budget", "reason", "traceback", "attempts",
)  # fmt: skip


def _methods(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each method once, in the order of the specification."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        method = METHODS[record["method"]]
        one = found.setdefault(
            record["name"],
            {
                "name": record["name"],
                "method": record["method"],
                "features": record["features"],
                "kind": method.kind,
                "sees": method.sees,
                "row_cap": None,
            },
        )
        if record.get("row_cap") and (record.get("n_used") or 0) < record["n_train"]:
            one["row_cap"] = record["row_cap"]
    return list(found.values())


def _splits(
    spec: BenchmarkSpec, shared: Shared, audits: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what each split of each table is: sizes, labels of the audit."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for fold in shared.folds.values():
        one = found.setdefault(
            (fold.data, fold.split),
            {
                "data": fold.data,
                "split": fold.split,
                "scheme": spec.splits[fold.split].scheme,
                "params": spec.splits[fold.split].params,
                "role": fold.role,
                "budgets": set(),
                "folds": set(),
                "sizes": {},
                "audit": audits.get(f"{fold.data}/{fold.split}", {}),
            },
        )
        one["budgets"].update(fold.budgets)
        one["folds"].add(fold.fold)
        for part, rows in fold.parts.items():
            one["sizes"].setdefault(part, []).append(len(rows))
    for one in found.values():
        one["budgets"] = sorted(one["budgets"])
        one["folds"] = len(one["folds"])
        one["sizes"] = {
            part: [min(sizes), int(np.median(sizes)), max(sizes)]
            for part, sizes in one["sizes"].items()
        }
    return list(found.values())


def rank_so_far(records: list[dict[str, Any]]) -> str:
    """Return the methods with the smallest OOD error so far in one line."""
    found: dict[str, list[float]] = {}
    for record in records:
        for result in record.get("results", ()):
            if result["variant"] == "" and result["role"] == "ood":
                value = result["mae_over_dummy"]
                if value is not None and np.isfinite(value):
                    label = label_of(record["name"], "", record["budget"])
                    found.setdefault(label, []).append(value)
    means = sorted((float(np.mean(values)), name) for name, values in found.items())
    return ", ".join(f"{name} {mean:.3f}" for mean, name in means[:_N_SHOWN]) or "nothing yet"
