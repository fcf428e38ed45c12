"""Audit the folds of a file: how far out of distribution the held-out rows really are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, DataError, LeakageError, SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.jobs.split import SplitRows, open_rows, prepare_rows, read_rows
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import SPLITTERS, Fold
from xtalshift.splits.audit.fold_audit import AuditSettings, SplitAudit, audit_split
from xtalshift.splits.base import check_whole
from xtalshift.splits.fold_files import check_formulas, read_folds, read_promise
from xtalshift.splits.grouped_rows import group_numbers
from xtalshift.splits.schemes import build_scheme
from xtalshift.splits.settings import SplitSpec

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
        As `xtalshift.splits.fold_files.read_folds` reads it.
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
    changed = check_formulas(path, table.ids, table.formulas)
    if promise:
        _check_promise(promise, path, data, progress)
    else:
        progress.say(f"  {path.name} does not say by what rule it was made: none is checked")
    if changed:
        raise SplitError(changed)
    if len(rows.good) < len(table):
        bad = int(np.argmax(rows.reasons != ""))
        progress.say(
            f"  {len(table) - len(rows.good):,} of {len(table):,} rows cannot be used (row "
            f"{bad + 1}: {rows.reasons[bad]})"
        )
    audits = []
    for name, folds in found.items():
        kept = [fold.renumber(rows.places) for fold in folds]
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
    promise: dict[str, Any], path: Path, data: DataConfig, progress: Progress
) -> None:
    """Raise `LeakageError` if a fold breaks what its file says of itself.

    The rows are made as the split made them: with its target and columns, not those of the audit.
    """
    spec = SplitSpec.from_dict(
        {key: value for key, value in promise.items() if key in SplitSpec.model_fields}
    )
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"dataset": data.dataset})})
    kind = SPLITTERS[spec.scheme]
    try:
        table = read_rows(spec.data, need_target="y" in kind.needs)
        rows = open_rows(table, spec, set(kind.needs) if kind.recheck else set())
        (folds,) = read_folds(path, table.ids).values()
    except (DataError, SplitError) as error:
        progress.say(f"  what the split promises is not checked: {error}")
        return
    folds = [fold.renumber(rows.places) for fold in folds]
    if promise["whole_formulas"]:
        numbers, _ = group_numbers(rows.groups)
        for fold in folds:
            check_whole(fold, numbers, rows.groups, f"The split {spec.scheme}")
    if kind.recheck:
        _check_rule(spec, rows, folds, progress)


def _check_rule(spec: SplitSpec, rows: SplitRows, folds: list[Fold], progress: Progress) -> None:
    table = rows.table
    try:
        splitter = build_scheme(
            spec.scheme,
            spec.params,
            table,
            hydrates=spec.data.hydrates,
            featurize=CompositionFeaturizer(spec.data.features, spec.data.impute_nan).featurize,
            rows=rows.good,
            seed=spec.seed,
        )
        broken = splitter.broken_by(folds, rows.X, rows.y, rows.groups)
    except (ConfigError, DataError, SplitError) as error:
        progress.say(f"  the rule of the split ({spec.scheme}) is not checked: {error}")
        return
    for fold, found in zip(folds, broken, strict=True):
        if found.size:
            row = rows.good[found[0]]
            which = f" ({fold.name})" if len(folds) > 1 else ""
            raise LeakageError(
                f"the split promises to hold out {splitter.describe()}{which}, but {found.size} "
                f"such rows train, such as {table.formulas[row]} (id {table.ids[row]}); the table "
                "or the file was changed after the split, make it again"
            )
