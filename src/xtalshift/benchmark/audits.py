"""The audit of every split, to be shown with the results."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from xtalshift.benchmark.prepare import Table
from xtalshift.benchmark.problem import FoldRows, Shared
from xtalshift.benchmark.summary_records import FoldLabels, SplitAudit
from xtalshift.jsonio import parse, read_json, write_json
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import Fold
from xtalshift.splits.audit.findings import AuditSettings
from xtalshift.splits.audit.fold_audit import audit_split

AUDIT_FILE = "audit.json"
MAX_FULL = 12
"""Splits with more folds are audited without the classifier and the residual test."""


def audit_splits(
    shared: Shared,
    tables: dict[str, Table],
    folder: Path,
    progress: Progress = NO_PROGRESS,
) -> dict[str, SplitAudit]:
    """Return labels and figures of every split, audited on the folds of the first seed.

    Parameters
    ----------
    shared : Shared
        Rows and folds.
    tables : dict of Table
        Tables by name.
    folder : Path
        Folder of ``audit.json``; a split that was audited before is not audited again.
    progress : Progress
        Reports the progress of the audit.

    Returns
    -------
    dict of SplitAudit
        Audits by ``data/split``.
    """
    path = folder / AUDIT_FILE
    known = parse(dict[str, SplitAudit], read_json(path), path) if path.exists() else {}
    found: dict[str, SplitAudit] = {}
    for name, folds in _first_seed(shared).items():
        full = len(folds) <= MAX_FULL  # forests take two seconds a fold
        settings = AuditSettings(classifier=full, relation=full)
        problem = shared.problems[folds[0].data]
        made = problem.settings
        what = [problem.data.description.sha256, made.features, list(made.feature_cols)]
        content = [settings.to_dict(), what, *(fold.sha256() for fold in folds)]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        if name in known and known[name].key == key:
            found[name] = known[name]
            continue
        table = tables[folds[0].data]
        progress.say(f"Audit of {name}")
        audit = audit_split(
            [_as_fold(fold) for fold in folds],
            table.rows,
            classes=problem.data.classes,
            settings=settings,
            progress=progress,
            name=name,
        )
        labels = Counter(label for one in audit.folds for label in one.labels)
        found[name] = SplitAudit(
            key=key,
            full=full,
            labels=dict(labels),
            folds={
                str(fold.fold): FoldLabels(
                    labels=tuple(one.labels),
                    reasons=tuple(str(reason) for reason in one.reasons),
                    auc=one.auc,
                    distance_ratio=one.distance_ratio,
                )
                for fold, one in zip(folds, audit.folds, strict=True)
            },
        )
    write_json(path, {name: asdict(one) for name, one in found.items()})
    return found


def _first_seed(shared: Shared) -> dict[str, list[FoldRows]]:
    """Return the folds of the first seed by table and split."""
    first = min(fold.seed for fold in shared.folds.values())
    splits: dict[str, list[FoldRows]] = {}
    for fold in shared.folds.values():
        if fold.seed == first:
            splits.setdefault(f"{fold.data}/{fold.split}", []).append(fold)
    return splits


def _as_fold(fold: FoldRows) -> Fold:
    """Return the fold without the ID test rows, which follow the training distribution."""
    return Fold(fold.train, fold.test_rows, fold.val, fold.target, fold.name)
