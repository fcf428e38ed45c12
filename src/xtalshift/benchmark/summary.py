"""The summary of a benchmark: means, spreads, ranks and tests, from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from xtalshift.benchmark.aggregate import Runs, label_of
from xtalshift.benchmark.compare import compare_scenarios
from xtalshift.benchmark.problem import FoldRows, Shared, TestRows
from xtalshift.benchmark.records import TaskRecord
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.summary_records import (
    BenchmarkSummary,
    FailedTask,
    MethodInfo,
    SplitAudit,
    SplitInfo,
)
from xtalshift.methods import METHODS
from xtalshift.provenance import Provenance

_N_SHOWN = 6


def summarise(
    spec: BenchmarkSpec,
    shared: Shared,
    records: Sequence[TaskRecord],
    n_tasks: int,
    audits: Mapping[str, SplitAudit],
    provenance: Provenance,
) -> BenchmarkSummary:
    """Return everything that tables and figures show.

    Parameters
    ----------
    spec : BenchmarkSpec
        What was compared.
    shared : Shared
        Rows and folds.
    records : sequence of TaskRecord
        Records of the tasks that have one.
    n_tasks : int
        Number of tasks of the whole benchmark.
    audits : mapping of SplitAudit
        See `xtalshift.benchmark.audits.audit_splits`.
    provenance : Provenance
        Provenance of this process.

    Returns
    -------
    BenchmarkSummary
    """
    runs = Runs(records)
    done = sum(record.ok for record in records)
    return BenchmarkSummary(
        title=spec.title,
        spec=spec.to_dict(),
        provenance=provenance,
        n_tasks=n_tasks,
        n_done=done,
        n_failed=len(records) - done,
        data=tuple(one.describe() for one in shared.problems.values()),
        methods=_methods(records),
        splits=_splits(spec, shared, audits),
        cells=runs.cells(),
        scenarios=compare_scenarios(runs),
        curves=runs.label_curves(),
        folds=runs.folds(),
        failures=tuple(
            replace(_failure(record), split=split, reason=why)
            for record in records
            for split, why in record.failures.items()
        ),
    )


def _failure(record: TaskRecord) -> FailedTask:
    return FailedTask(**{item.name: getattr(record, item.name) for item in fields(FailedTask)})


def _methods(records: Sequence[TaskRecord]) -> tuple[MethodInfo, ...]:
    """Return each method once, in the order of the specification."""
    found: dict[str, MethodInfo] = {}
    for record in records:
        method = METHODS[record.method]
        one = found.setdefault(
            record.name,
            MethodInfo(
                name=record.name,
                method=record.method,
                features=record.features,
                kind=method.family,
                sees=method.target_access,
            ),
        )
        if record.row_cap and (record.n_used or 0) < record.n_train:
            found[record.name] = replace(one, row_cap=record.row_cap)
    return tuple(found.values())


def _splits(
    spec: BenchmarkSpec, shared: Shared, audits: Mapping[str, SplitAudit]
) -> tuple[SplitInfo, ...]:
    """Return a description of each split of each table, with its sizes and its audit."""
    found: dict[tuple[str, str], list[tuple[FoldRows, TestRows]]] = {}
    for fold in shared.folds.values():
        for test in fold.tests:
            if test.role == "id" and len(fold.tests) > 1 and test.split in spec.splits:
                continue  # it is listed with the held-out rows of the same split
            found.setdefault((fold.data, test.split), []).append((fold, test))
    infos = []
    for (data, name), held_out in found.items():
        split = spec.splits.get(name)
        info = SplitInfo(
            data=data,
            split=name,
            role=held_out[0][1].role,
            scheme=split.scheme if split else "random",
            params=split.params if split else {"share": spec.id_share},
            budgets=tuple(sorted({budget for fold, _ in held_out for budget in fold.budgets})),
            folds=len({fold.fold for fold, _ in held_out}),
            sizes=_sizes(held_out),
            audit=audits.get(f"{data}/{name}", SplitAudit()),
        )
        infos.append(info)
    return tuple(infos)


def _sizes(held_out: Sequence[tuple[FoldRows, TestRows]]) -> dict[str, tuple[int, int, int]]:
    """Return the smallest, median and largest number of rows of each part over folds and seeds."""
    sizes: dict[str, list[int]] = {}
    for fold, test in held_out:
        inside = fold.id_rows if test.role == "ood" else fold.train[:0]
        parts = {"train": fold.train, "val": fold.val, "id": inside, "target": fold.target}
        for part, rows in {**parts, "test": test.rows}.items():
            sizes.setdefault(part, []).append(len(rows))
    return {part: (min(n), int(np.median(n)), max(n)) for part, n in sizes.items()}


def rank_so_far(records: Sequence[TaskRecord]) -> str:
    """Return the methods with the smallest OOD error so far in one line."""
    found: dict[str, list[float]] = {}
    for record in records:
        for score in record.results:
            value = score.error_over_dummy
            if score.variant == "" and score.role == "ood" and value and np.isfinite(value):
                label = label_of(record.name, "", record.budget)
                found.setdefault(label, []).append(value)
    means = sorted((float(np.mean(values)), name) for name, values in found.items())
    return ", ".join(f"{name} {mean:.3f}" for mean, name in means[:_N_SHOWN]) or "nothing yet"
