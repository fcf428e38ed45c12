"""Audit the folds of a file: how far out of distribution the held-out rows really are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xtalshift.benchmark.foldfile import read_folds, read_promise
from xtalshift.benchmark.parts import SplitRows, prepare_rows, read_rows
from xtalshift.benchmark.schemes import build_scheme
from xtalshift.benchmark.spec import DataConfig, SplitSpec
from xtalshift.errors import DataError, LeakageError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import SPLITTERS, Fold
from xtalshift.splits.audit import AuditSettings, SplitAudit, audit_split
from xtalshift.splits.base import check_whole, group_numbers

__all__ = ["audit_file"]


def audit_file(
    data: DataConfig,
    path: Path,
    settings: AuditSettings,
    *,
    scheme: str | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[SplitAudit]:
    """Audit every scheme in a file of folds.

    Parameters
    ----------
    data : DataConfig
        The table that the folds were made for. Without a target the measures that need one are
        missing; rows without one do not count for them.
    path : Path
        As `xtalshift.benchmark.foldfile.read_folds` reads it.
    settings : AuditSettings
        Thresholds and samples.
    scheme : str, optional
        Only this scheme of a file with several.
    progress : Progress
        Told how far the audit is.

    Returns
    -------
    list of SplitAudit
        In the order of the file.

    Raises
    ------
    DataError, SplitError
        If the table or the folds cannot be read.
    LeakageError
        If a split that this package wrote breaks a rule that it promises, because the table or the
        file was changed.
    """
    table = read_rows(data, need_target=False)
    if table.targets is None and data.target is None:
        try:
            table = read_rows(data, need_target=True)
        except DataError as error:
            progress.say(f"  no target ({error}); measures of the target are left out")
    rows = prepare_rows(table, data, {"X"})
    found = read_folds(path, table.ids, scheme=scheme)
    promise = read_promise(path)
    places = np.full(len(table), -1)
    places[rows.good] = np.arange(len(rows.good))
    if len(rows.good) < len(table):
        bad = int(np.argmin(places))
        progress.say(
            f"  {len(table) - len(rows.good):,} of {len(table):,} rows cannot be used (row "
            f"{bad + 1}: {rows.reasons[bad]})"
        )
    audits = []
    for name, folds in found.items():
        kept = [fold.renumber(places) for fold in folds]
        if promise:
            _check_promise(promise, kept, rows, data)
        shown = name or str(promise.get("scheme", path.name))
        audits.append(
            audit_split(
                kept,
                rows.X,
                rows.y,
                rows.groups,
                settings=settings,
                progress=progress,
                name=shown,
            )
        )
    return audits


def _check_promise(
    promise: dict[str, Any], folds: list[Fold], rows: SplitRows, data: DataConfig
) -> None:
    """Raise `LeakageError` if a fold breaks what its file says of itself."""
    numbers, _ = group_numbers(rows.groups)
    name = str(promise.get("scheme"))
    if promise.get("whole_formulas"):
        for fold in folds:
            check_whole(fold, numbers, rows.groups, f"The split {name}")
    if name not in SPLITTERS or not SPLITTERS[name].recheck:
        return
    # rows that the split could not use (no target, thinned out) do not count for the rule either
    members = np.unique(np.concatenate([r for fold in folds for r in fold.parts.values()]))
    kept = rows.good[members]
    spec = SplitSpec.from_dict({key: promise[key] for key in ("scheme", "params", "seed")})
    splitter = build_scheme(name, spec.params, rows.table, data, rows=kept, seed=spec.seed)
    y = None if rows.y is None else rows.y[members]
    for fold in folds:
        placed = fold.renumber(np.searchsorted(members, np.arange(len(rows.good))))
        broken = splitter.broken_by(placed, rows.X[members], y, rows.groups[members])
        if broken.size:
            row = kept[broken[0]]
            which = f" ({fold.name})" if len(folds) > 1 else ""
            raise LeakageError(
                f"the split promises to hold out {splitter.describe()}{which}, but {broken.size} "
                f"such rows train, such as {rows.table.formulas[row]} (id {rows.table.ids[row]}); "
                "the table or the file was changed after the split, make it again"
            )
