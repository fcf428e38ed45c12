"""``results.json`` of a run of several targets as typed records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xtalshift.benchmark.records import RESULTS_FILE, SCHEMA_VERSION
from xtalshift.benchmark.run_results import Record, RunResults
from xtalshift.jsonio import Plain, parse, read_object, to_json


@dataclass(frozen=True)
class TargetRun:
    """One target of a run, whose own results are in a folder beside."""

    name: str
    unit: str
    folder: str
    model: str | None
    """The method of its model; None if there is no model."""
    rows: int | None
    """Usable materials with this target."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, if it is one; its error is then the log loss."""


@dataclass(frozen=True)
class TargetRecord(Record):
    """Scores of one method on one set of test rows of one target."""

    target: str = ""


@dataclass(frozen=True)
class Overall:
    """Error of a method over all targets on the splits of one name."""

    method: str
    split: str
    role: str
    error_over_dummy: float | None
    """Mean over targets of the error over that of the training mean (of classes: of the log loss
    over that of their shares), each a mean over seeds; None if the method has no error for one of
    the targets."""
    n_targets: int
    """Targets that have such a split."""


@dataclass(frozen=True, kw_only=True)
class SeveralResults:
    """Content of ``results.json`` of several targets."""

    schema_version: int = SCHEMA_VERSION
    config: Plain
    targets: tuple[TargetRun, ...]
    overall: tuple[Overall, ...]
    records: tuple[TargetRecord, ...]


def join_results(config: Plain, runs: Mapping[str, tuple[str, RunResults]]) -> SeveralResults:
    """Return the results of several targets in one.

    Parameters
    ----------
    config : dict
        Settings of the run.
    runs : mapping of str to (str, RunResults)
        Name of each target -> folder and results of its run.
    """
    targets, records = [], []
    for name, (folder, found) in runs.items():
        intake, model = found.intake, found.model
        usable = None if model is None or model.failure is not None else model.method
        rows = None if intake is None else intake.rows_kept
        targets.append(TargetRun(name, found.unit, folder, usable, rows, found.classes))
        records += [TargetRecord(**vars(record), target=name) for record in found.records]
    return SeveralResults(
        config=config,
        targets=tuple(targets),
        overall=tuple(_overall(records)),
        records=tuple(records),
    )


def _overall(records: list[TargetRecord]) -> list[Overall]:
    found: dict[tuple[str, str, str], dict[str, list[float | None]]] = {}
    sizes: dict[tuple[str, str], set[str]] = {}
    for one in records:
        sizes.setdefault((one.split, one.role), set()).add(one.target)
        each = found.setdefault((one.method, one.split, one.role), {})
        each.setdefault(one.target, []).append(one.error_over_dummy)
    rows = []
    for (method, split, role), each in found.items():
        n = len(sizes[split, role])
        means = [_mean(of_target) for of_target in each.values()]
        known = [mean for mean in means if mean is not None]
        whole = len(known) == n
        rows.append(Overall(method, split, role, float(np.mean(known)) if whole else None, n))
    return rows


def _mean(errors: list[float | None]) -> float | None:
    """Return the mean over seeds, None if one has no error."""
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if len(known) == len(errors) else None


def is_several(folder: Path) -> bool:
    """Return whether a folder holds a run of several targets."""
    path = folder / RESULTS_FILE
    return path.is_file() and "targets" in read_object(path, "run")


def read_several(folder: Path) -> SeveralResults:
    """Read ``results.json`` of several targets.

    Raises
    ------
    DataError
        If the file is missing or is not of such a run.
    """
    path = folder / RESULTS_FILE
    return parse(SeveralResults, read_object(path, "run"), path)


def to_plain(results: SeveralResults) -> Plain:
    """Return what is written."""
    return to_json(results)
