"""Audit the folds of a file: how far out of distribution the held-out rows are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from xtalshift.data.readers import read_configured
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, DataError, LeakageError, SplitError
from xtalshift.featurize.known_targets import find_known_target
from xtalshift.jobs.split import SplitRows, make_splitter, open_rows, prepare_rows
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits import SPLITTERS, Fold
from xtalshift.splits.audit.findings import AuditSettings, SplitAudit
from xtalshift.splits.audit.fold_audit import audit_split
from xtalshift.splits.fold_files import check_formulas, read_folds, read_record
from xtalshift.splits.split_spec import SplitRecord, SplitSpec
from xtalshift.splits.splitter import check_whole


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
        The table that the folds were made for. Without a target, the measures of the target are
        missing; rows without a target are left out of them.
    path : Path
        A file for `xtalshift.splits.fold_files.read_folds`.
    settings : AuditSettings
        Thresholds and sample sizes.
    scheme : str, optional
        Only this scheme of a file with several.
    progress : Progress
        Receives messages.

    Returns
    -------
    list of SplitAudit
        In the order of the file.

    Raises
    ------
    DataError, SplitError
        If the table or the folds cannot be read.
    LeakageError
        If a split that this package wrote breaks its rule, because the table or the file was
        changed.
    """
    table = read_configured(data, need_target=False)
    if table.targets is None and data.target is None:
        try:
            table = read_configured(data, need_target=True)
        except DataError as error:
            progress.say(f"  no target ({error}); measures of the target are left out")
    rows = prepare_rows(table, data, {"X"})
    found = read_folds(path, table.ids, scheme=scheme)
    record = read_record(path)
    changed = check_formulas(path, table.ids, table.formulas)
    if record is not None:
        _check_record(record, path, data, progress)
    else:
        progress.say(f"  {path.name} does not state the rule of its folds, so it is not checked")
    if changed:
        raise SplitError(changed)
    if len(rows.good) < len(table):
        bad = int(np.argmax(rows.reasons != ""))
        progress.say(
            f"  {len(table) - len(rows.good):,} of {len(table):,} rows cannot be used (row "
            f"{bad + 1}: {rows.reasons[bad]})"
        )
    scheme = record.spec.scheme if record is not None else path.name
    cautions = find_known_target(
        data.blocks, table.target_name, table.targets, table.materials.structures
    )
    return [
        replace(
            audit_split(
                [fold.renumber(rows.places) for fold in folds],
                rows.usable,
                classes=table.classes,
                settings=settings,
                progress=progress,
                name=name or scheme,
            ),
            cautions=cautions,
        )
        for name, folds in found.items()
    ]


def _check_record(record: SplitRecord, path: Path, data: DataConfig, progress: Progress) -> None:
    """Raise `LeakageError` if a fold breaks the rule that its file states.

    The rows are read with the target and columns of the split, not those of the audit.
    """
    spec = record.spec
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"dataset": data.dataset})})
    kind = SPLITTERS[spec.scheme]
    try:
        table = read_configured(spec.data, need_target="y" in kind.needs)
        rows = open_rows(table, spec, kind.needs if kind.recheck else ())
        (folds,) = read_folds(path, table.ids).values()
    except (DataError, SplitError) as error:
        progress.say(f"  the rule of the split is not checked: {error}")
        return
    folds = [fold.renumber(rows.places) for fold in folds]
    if record.whole_formulas:
        for fold in folds:
            check_whole(fold, rows.usable, f"The split {spec.scheme}")
    if kind.recheck:
        _check_rule(spec, rows, folds, progress)


def _check_rule(spec: SplitSpec, rows: SplitRows, folds: list[Fold], progress: Progress) -> None:
    table = rows.table
    try:
        splitter = make_splitter(spec.scheme, spec.params, spec, rows)
        broken = splitter.broken_by(folds, rows.usable)
    except (ConfigError, DataError, SplitError) as error:
        progress.say(f"  the rule of the split ({spec.scheme}) is not checked: {error}")
        return
    for fold, found in zip(folds, broken, strict=True):
        if found.size:
            row = rows.good[found[0]]
            which = f" ({fold.name})" if len(folds) > 1 else ""
            raise LeakageError(
                f"the split holds out {splitter.describe()}{which}, but {found.size} such rows "
                f"train, such as {table.formulas[row]} (id {table.ids[row]}); the table "
                "or the file was changed after the split; make the split again"
            )
