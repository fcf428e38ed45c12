"""``summary.json`` of a benchmark as typed records."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xtalshift.benchmark.records import KIND, SUMMARY_FILE, SUMMARY_VERSION, MeanScore
from xtalshift.data.dataset import DatasetDescription
from xtalshift.errors import DataError
from xtalshift.jsonio import Plain, parse, read_object
from xtalshift.provenance import Provenance


@dataclass(frozen=True)
class RowCounts:
    """Rows that the cleaning of a table read, merged and dropped."""

    rows_read: int | None = None
    rows_kept: int | None = None
    rows_merged: int | None = None
    rows_dropped: int | None = None


@dataclass(frozen=True, kw_only=True)
class TableInfo(DatasetDescription):
    """A table of the benchmark; targets beyond `tails` are its 5 % lowest and highest."""

    name: str
    transform: str | None = None
    impute_nan: bool | None = None
    hydrates: str | None = None
    amounts: str | None = None
    feature_cols: tuple[str, ...] = ()
    split_features: str | None = None
    tails: dict[str, float] = field(default_factory=dict)
    cleaning: RowCounts = RowCounts()


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A method, what it sees of the target domain, and its limit of training rows if it applied."""

    name: str
    method: str = ""
    features: str
    kind: str
    sees: str
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
    """The audit of a split; `full` if it includes the classifier and the residual test.

    `key` is a hash of everything that it depends on.
    """

    labels: dict[str, int] = field(default_factory=dict)
    folds: dict[str, FoldLabels] = field(default_factory=dict)
    full: bool = True
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """A split of a table; `sizes` are smallest, median and largest number of rows of each part."""

    data: str
    split: str
    role: str
    scheme: str
    params: Plain
    budgets: tuple[int, ...]
    folds: int
    sizes: dict[str, tuple[int, int, int]]
    audit: SplitAudit = SplitAudit()


@dataclass(frozen=True, kw_only=True)
class SummaryCell(MeanScore):
    """Scores of a method (or its `variant` with other parameters) for a number of target labels.

    Every ``_sd`` is over seeds. `mae_low` and `mae_high`, of classes `log_loss_low` and
    `log_loss_high`, are a 95 % interval; `n_runs` of the
    `runs` tasks have a result, and `n_test` is the median number of their test rows.
    """

    data: str
    split: str
    role: str
    name: str
    variant: str
    budget: int
    label: str = ""
    rmse_sd: float | None = None
    r2_sd: float | None = None
    rmse_over_dummy: float | None = None
    rmse_over_dummy_sd: float | None = None
    spearman: float | None = None
    spearman_sd: float | None = None
    mae_low: float | None = None
    mae_high: float | None = None
    log_loss_low: float | None = None
    log_loss_high: float | None = None
    worst_fold_mae: float | None = None
    worst_fold_log_loss: float | None = None
    worst_family: str | None = None
    worst_family_mae: float | None = None
    worst_family_mae_sd: float | None = None
    coverage_90: float | None = None
    coverage_90_sd: float | None = None
    median_width_90: float | None = None
    median_width_90_sd: float | None = None
    cpu_seconds: float | None = None
    peak_mib: float | None = None
    val_mae: float | None = None
    val_log_loss: float | None = None
    forgetting: float | None = None
    n_runs: int = 0
    n_seeds: int = 0
    n_folds: int = 0
    n_test: int | None = None
    runs: int = 0

    @property
    def error_low(self) -> float | None:
        """Lower end of the interval of the error."""
        return self.either(self.mae_low, self.log_loss_low)

    @property
    def error_high(self) -> float | None:
        """Upper end of it."""
        return self.either(self.mae_high, self.log_loss_high)

    @property
    def worst_fold_error(self) -> float | None:
        """Largest mean error of a fold."""
        return self.either(self.worst_fold_mae, self.worst_fold_log_loss)

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

    A task is a `unit`; errors that differ by less than the share `tie` are a tie. `wins` has wins,
    ties and losses of each method against every other one.
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
    """Error of a method on one split by number of target labels; of classes `mae` is log loss."""

    data: str
    split: str
    name: str
    method: str = ""
    variant: str
    target_only: bool
    budgets: tuple[int, ...]
    mae: tuple[float | None, ...]
    mae_sd: tuple[float | None, ...]
    label_efficiency: tuple[float | None, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FoldError:
    """Error of a method on one fold, mean over seeds; of classes `mae` is log loss."""

    data: str
    split: str
    role: str
    fold: int
    fold_name: str | None
    label: str
    mae: float | None = None
    mae_over_dummy: float | None
    n_test: int


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task that failed, or a failed split of a task that finished."""

    id: str = ""
    name: str
    data: str
    split: str
    fold: int
    seed: int
    budget: int | None = 0
    reason: str | None = None
    traceback: str | None = None
    attempts: int = 1


@dataclass(frozen=True)
class Published:
    """An error that others published for a split, mean over its folds, and where."""

    data: str
    split: str
    method: str
    mae: float
    source: str


@dataclass(frozen=True)
class KnownSpec:
    """The parts of the specification that are shown by name."""

    seeds: int | None = None
    seed: int | None = None
    features: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()
    methods: tuple[Plain | str, ...] = ()
    tuning: Plain = field(default_factory=dict)
    published: tuple[Published, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BenchmarkSummary:
    """Content of ``summary.json``.

    `cells` have means, spreads and intervals; `scenarios` ranks and tests, one without target
    labels and one per number of labels; `curves` the label efficiency; `folds` the error per fold.
    """

    kind: str = KIND
    schema_version: int = SUMMARY_VERSION
    title: str | None = None
    spec: Plain
    provenance: Provenance = field(default_factory=Provenance)
    n_tasks: int
    n_done: int
    n_failed: int
    data: tuple[TableInfo, ...] = ()
    methods: tuple[MethodInfo, ...]
    splits: tuple[SplitInfo, ...]
    cells: tuple[SummaryCell, ...]
    scenarios: tuple[Scenario, ...]
    curves: tuple[LabelCurve, ...]
    folds: tuple[FoldError, ...]
    failures: tuple[FailedTask, ...]

    @cached_property
    def settings(self) -> KnownSpec:
        """The parts of the specification that are shown by name."""
        return parse(KnownSpec, self.spec, Path(SUMMARY_FILE))

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return self.settings.seeds or 1

    @property
    def measure(self) -> str:
        """Name of the error that ranks methods; both if some tables have classes."""
        kinds = {one.classes is not None for one in self.data}
        return " or ".join(["MAE"] * (kinds != {True}) + ["log loss"] * (True in kinds))

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
    return parse(BenchmarkSummary, held, path)
