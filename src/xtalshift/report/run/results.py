"""``results.json`` of a run as typed records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xtalshift.benchmark.records import READABLE_VERSIONS, RESULTS_FILE
from xtalshift.errors import DataError
from xtalshift.report.shared.payload import Json, Provenance, parse, read_object
from xtalshift.report.shared.text import join_words

__all__ = ["History", "Intake", "Model", "Record", "RunResults", "Split", "read_results"]


@dataclass(frozen=True)
class Record:
    """Scores of one method on one set of test rows for one seed; errors in the target's unit."""

    method: str
    split: str
    role: str
    seed: int
    n: int | None = None
    mae: float | None = None
    rmse: float | None = None
    r2: float | None = None
    mae_over_dummy: float | None = None
    coverage_90: float | None = None
    median_width_90: float | None = None
    seconds: float | None = None
    status: str = "ok"
    reason: str | None = None


@dataclass(frozen=True)
class Split:
    """One set of test rows and how many rows its training had; `fit` names the training."""

    name: str
    role: str
    seed: int = 0
    fit: str | None = None
    description: str | None = None
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None


@dataclass(frozen=True)
class History:
    """What one training recorded in each epoch."""

    method: str
    split: str
    seed: int
    best_epoch: int | None = None
    epochs: tuple[Mapping[str, int | float | str | None], ...] = ()


@dataclass(frozen=True)
class Example:
    """A row with a finding."""

    row: int
    id: str
    value: str


@dataclass(frozen=True)
class Finding:
    """A finding of the cleaning, its number of rows and the first of them."""

    kind: str
    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Intake:
    """What the cleaning of the table did, as `xtalshift.data.CleaningReport` counts it."""

    rows_read: int
    rows_kept: int
    rows_dropped: int = 0
    rows_merged: int = 0
    dropped: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    duplicates: str = "mean"
    duplicate_groups: int = 0
    duplicate_rows: int = 0
    duplicate_scatter: float | None = None
    error_floor: float | None = None
    zero_inflated: bool = False
    remedy: str | None = None


@dataclass(frozen=True)
class Model:
    """The saved model and the rule that chose it."""

    method: str
    rule: str | None = None


@dataclass(frozen=True)
class Data:
    """The table of the run."""

    source: str | None = None
    target: str | None = None
    unit: str | None = None
    rows: int | None = None
    conditions: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class RunProvenance(Provenance):
    """Provenance of a run, with its table."""

    data: Data = Data()


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """All that ``results.json`` holds and a page or table shows.

    There is at least one record and one split. `config` and `provenance` are as they are; `known`
    holds the parts of the provenance that are shown by name.
    """

    records: tuple[Record, ...]
    splits: tuple[Split, ...]
    histories: tuple[History, ...] = ()
    intake: Intake | None = None
    model: Model | None = None
    config: Json = field(default_factory=dict)
    provenance: Json = field(default_factory=dict)
    known: RunProvenance = RunProvenance()

    @property
    def n_seeds(self) -> int:
        """How many seeds have a record."""
        return len({record.seed for record in self.records})

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.known.data.target or "target"

    @property
    def unit(self) -> str:
        """Unit of the target; may be empty."""
        return self.known.data.unit or ""


def read_results(folder: Path) -> RunResults:
    """Read ``results.json`` of a run.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, has another schema version, or has no records.
    """
    path = folder / RESULTS_FILE
    values = read_object(path, "run")
    version = values.get("schema_version")
    if version not in READABLE_VERSIONS:
        known = join_words([str(one) for one in READABLE_VERSIONS])
        raise DataError(
            f"{path} has schema_version {version!r}, but this version reads {known}; repeat the "
            "run with this version"
        )
    for key in ("records", "splits"):
        if not values.get(key):
            raise DataError(f"{path} has no {key!r}: the run stopped before its first result")
    held = {key: value for key, value in values.items() if value is not None}
    held.setdefault("intake", held.get("cleaning"))  # its name in version 1
    return parse(RunResults, {**held, "known": held.get("provenance", {})}, path)
