"""``summary.json`` of a benchmark as typed records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xtalshift.benchmark.records import KIND, SUMMARY_FILE, SUMMARY_VERSION
from xtalshift.errors import DataError
from xtalshift.report.shared.payload import Json, Provenance, Score, parse, read_object

__all__ = [
    "BenchmarkSummary", "Comparison", "FailedTask", "FoldError", "LabelCurve", "MethodInfo",
    "RankedMethod", "Scenario", "SplitAudit", "SplitInfo", "SummaryCell", "TableInfo",
    "read_summary",
]  # fmt: skip


@dataclass(frozen=True)
class RowCounts:
    """Rows that the cleaning of a table read, merged and dropped."""

    rows_read: int | None = None
    rows_merged: int | None = None
    rows_dropped: int | None = None


@dataclass(frozen=True)
class TableInfo:
    """A table of the benchmark."""

    name: str
    target: str | None = None
    unit: str | None = None
    rows: int | None = None
    source: str | None = None
    conditions: str | None = None
    transform: str | None = None
    sha256: str | None = None
    cleaning: RowCounts = RowCounts()


@dataclass(frozen=True)
class MethodInfo:
    """A method, what it sees of the target domain, and its limit of rows if it took fewer."""

    name: str
    kind: str
    sees: str
    features: str
    row_cap: int | None = None


@dataclass(frozen=True)
class FoldLabels:
    """The audit of one fold."""

    labels: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    auc: float | None = None
    distance_ratio: float | None = None


@dataclass(frozen=True)
class SplitAudit:
    """The audit of a split; it is `full` with the classifier and the residual test."""

    labels: dict[str, int] = field(default_factory=dict)
    folds: dict[str, FoldLabels] = field(default_factory=dict)
    full: bool = True


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """A split of a table; `sizes` are least, median and most rows of each part."""

    data: str
    split: str
    role: str
    scheme: str
    params: Json
    budgets: tuple[int, ...]
    folds: int
    sizes: dict[str, tuple[int, int, int]]
    audit: SplitAudit = SplitAudit()


@dataclass(frozen=True, kw_only=True)
class SummaryCell(Score):
    """Score of a method (its `variant`: other weights) with a number of target labels.

    `mae_low` and `mae_high` are a 95 % interval; `n_runs` of the `runs` tasks have a result.
    """

    data: str
    split: str
    role: str
    name: str
    variant: str
    budget: int
    label: str = ""
    mae_low: float | None = None
    mae_high: float | None = None
    spearman: float | None = None
    worst_fold_mae: float | None = None
    worst_family: str | None = None
    worst_family_mae: float | None = None
    tail_recall: float | None = None
    tail_precision: float | None = None
    tail_enrichment: float | None = None
    top30_precision: float | None = None
    top30_precision_weighted: float | None = None
    coverage_90: float | None = None
    median_width_90: float | None = None
    cpu_seconds: float | None = None
    peak_mib: float | None = None
    forgetting: float | None = None
    n_runs: int = 0
    n_folds: int = 0
    runs: int = 0

    @property
    def missing(self) -> int:
        """Runs without a result."""
        return max(self.runs - self.n_runs, 0)


@dataclass(frozen=True, kw_only=True)
class RankedMethod:
    """A method in the order of its rank, and whether it is among the best."""

    label: str
    name: str
    budget: int
    over_dummy: float | None
    rank: float | None
    p_against_best: float | None
    bold: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Paired tests of two methods; ``*_holm`` are corrected for all pairs."""

    a: str
    b: str
    n: int
    wins: int
    ties: int
    losses: int
    mean_difference: float | None
    wilcoxon_p: float | None
    wilcoxon_holm: float | None
    sign_p: float | None
    sign_holm: float | None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Ranks and tests of the methods with one number of target labels (0: none).

    A task is a `unit`; errors within the share `tie` are a tie. `wins` holds wins, ties and losses
    of each method against each other one.
    """

    budget: int
    unit: str
    n_tasks: int
    n_complete: int
    tie: float
    level: float
    methods: tuple[RankedMethod, ...]
    comparisons: tuple[Comparison, ...]
    wins: tuple[tuple[tuple[int, int, int], ...], ...]
    friedman_p: float | None = None
    critical_difference: float | None = None
    cliques: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabelCurve:
    """Error of a method on one split by number of target labels."""

    data: str
    split: str
    name: str
    variant: str
    target_only: bool
    budgets: tuple[int, ...]
    mae: tuple[float | None, ...]
    mae_sd: tuple[float | None, ...]
    label_efficiency: tuple[float | None, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FoldError:
    """Error of a method on one fold, mean over seeds."""

    data: str
    split: str
    role: str
    fold: int
    fold_name: str | None
    label: str
    mae_over_dummy: float | None
    n_test: int


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task that failed, or a split of one that finished."""

    name: str
    data: str
    split: str
    fold: int
    seed: int
    budget: int | None = 0
    reason: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class KnownSpec:
    """The parts of the specification that are shown by name."""

    seeds: int | None = None
    seed: int | None = None
    features: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()
    methods: tuple[Json | str, ...] = ()
    tuning: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BenchmarkSummary:
    """All that ``summary.json`` holds and a page or table shows; see the records for each part."""

    spec: Json
    methods: tuple[MethodInfo, ...]
    splits: tuple[SplitInfo, ...]
    cells: tuple[SummaryCell, ...]
    scenarios: tuple[Scenario, ...]
    curves: tuple[LabelCurve, ...]
    folds: tuple[FoldError, ...]
    failures: tuple[FailedTask, ...]
    n_tasks: int
    n_done: int
    n_failed: int
    title: str | None = None
    data: tuple[TableInfo, ...] = ()
    provenance: Json = field(default_factory=dict)
    known: Provenance = field(default_factory=Provenance)
    settings: KnownSpec = KnownSpec()

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return self.settings.seeds or 1

    @property
    def n_left(self) -> int:
        """Tasks without a record."""
        return self.n_tasks - self.n_done - self.n_failed

    @property
    def n_unscored(self) -> int:
        """Splits of finished tasks whose test rows could not be scored."""
        return len(self.failures) - self.n_failed


def read_summary(folder: Path) -> BenchmarkSummary:
    """Read ``summary.json`` of a benchmark.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, is no summary of this version, or lacks a part.
    """
    path = folder / SUMMARY_FILE
    values = read_object(path, "benchmark")
    if values.get("kind") != KIND:
        raise DataError(
            f"{path} is of kind {values.get('kind')!r}, expected {KIND!r}; give the folder that "
            "`xtalshift benchmark` wrote"
        )
    if values.get("schema_version") != SUMMARY_VERSION:
        raise DataError(
            f"{path} has schema_version {values.get('schema_version')!r}, but this version reads "
            f"{SUMMARY_VERSION}; repeat the same `xtalshift benchmark` command with this version"
        )
    held = {key: value for key, value in values.items() if value is not None}
    parts = {"known": held.get("provenance", {}), "settings": held.get("spec", {})}
    return parse(BenchmarkSummary, {**held, **parts}, path)
