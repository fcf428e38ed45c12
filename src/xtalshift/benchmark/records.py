"""The results of a benchmark: records of tasks, and the names of files and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from xtalshift.benchmark.measures import Errors
from xtalshift.jsonio import Plain, parse

RESULTS_FILE = "results.json"
PREDICTIONS_FILE = "predictions.parquet"
CANDIDATES_FILE = "candidates.parquet"
CANDIDATES_TEXT = "candidates.csv"
HISTORY_FILE = "history.json"
CHOICE_FILE = "choice.parquet"
"""What `xtalshift.benchmark.choice_rows.predict_unseen` returns, in the folder of a task."""
SCHEMA_VERSION = 2
"""Version of ``results.json``: 2 since `run` is a benchmark; ``intake`` was ``cleaning`` in 1."""
READABLE_VERSIONS = (1, 2)
"""Versions of ``results.json`` that can be reported."""

SUMMARY_FILE = "summary.json"
SUMMARY_VERSION = 2
KIND = "xtalshift-benchmark-summary"

TRUST_COLUMNS = ("lower", "upper", "std", "needed_level", "ood_score", "in_domain")
"""Columns of ``predictions.parquet`` that show how far to trust a prediction."""
COVERAGE_COLUMNS = ("coverage_90", "median_width_90")

TAIL_MEASURES = (
    "tail_recall", "tail_precision", "tail_enrichment", "top5_recall", "top5_enrichment", "regret",
    "regret_over_range", "top30_precision", "top30_precision_weighted",
)  # fmt: skip
"""Measures of the role ``pool``: whether extreme materials are found."""

JOINT = "all"
"""Name of the split of a fold, and of its records, whose one training serves every split."""

Role = Literal["id", "ood", "pool"]


@dataclass(frozen=True)
class Score(Errors):
    """Scores of one variant of a trained method on one set of test rows; None if not measured.

    A set of test rows that cannot be scored, because a prediction overflows, has a `reason` and no
    figures. The training did not fail, so the other sets keep their figures.
    """

    variant: str
    """``""``, or the name of other parameters of the same training (``last``, ``ema``)."""
    split: str
    """Split of the test rows."""
    role: Role
    """Rows like the training rows, held-out rows, or both together (for the tail measures)."""
    n: int
    """Number of test rows."""
    rmse: float | None = None
    r2: float | None = None
    rmse_over_dummy: float | None = None
    spearman: float | None = None
    """`rmse`, `r2`, `rmse_over_dummy`, `spearman`: see `xtalshift.metrics.regression_scores`."""
    dummy_mae: float | None = None
    dummy_rmse: float | None = None
    """`dummy_mae`, `dummy_rmse`: errors of the training mean."""
    mae_low: float | None = None
    mae_high: float | None = None
    """`mae_low`, `mae_high`: bootstrap interval of the mean absolute error over formulas."""
    worst_family: str | None = None
    worst_family_mae: float | None = None
    """`worst_family`, `worst_family_mae`: the chemical family with the largest error."""
    coverage_90: float | None = None
    median_width_90: float | None = None
    """`coverage_90`, `median_width_90`: coverage and median width of the 90 % intervals."""
    n_tail: int | None = None
    tail_recall: float | None = None
    tail_precision: float | None = None
    tail_enrichment: float | None = None
    """`n_tail`, `tail_recall`, `tail_precision`, `tail_enrichment`: see
    `xtalshift.metrics.tail_scores`. Extreme are the outer 5 % of the whole table."""
    top5_recall: float | None = None
    top5_enrichment: float | None = None
    """`top5_recall`, `top5_enrichment`: of the outer 5 % of these rows, see
    `xtalshift.metrics.top_scores`."""
    regret: float | None = None
    regret_over_range: float | None = None
    """`regret`, `regret_over_range`: of ten picks, see `xtalshift.metrics.regret`."""
    top30_precision: float | None = None
    top30_precision_weighted: float | None = None
    """`top30_precision`, `top30_precision_weighted`: see
    `xtalshift.metrics.extrapolative_precision`."""
    brier_over_dummy: float | None = None
    balanced_accuracy_dummy: float | None = None
    """`brier_over_dummy`, `balanced_accuracy_dummy`: see
    `xtalshift.metrics.classification_scores`."""
    dummy_log_loss: float | None = None
    """That of the shares of the classes in training."""
    log_loss_low: float | None = None
    log_loss_high: float | None = None
    """`log_loss_low`, `log_loss_high`: bootstrap interval of the log loss over formulas."""
    reason: str | None = None
    """Why there are no figures."""

    @property
    def dummy_error(self) -> float | None:
        """The error of the dummy."""
        return self.either(self.dummy_mae, self.dummy_log_loss)

    @property
    def error_low(self) -> float | None:
        """Lower end of the bootstrap interval of the error."""
        return self.either(self.mae_low, self.log_loss_low)

    @property
    def error_high(self) -> float | None:
        """Upper end of it."""
        return self.either(self.mae_high, self.log_loss_high)

    @property
    def ok(self) -> bool:
        """Whether there are figures."""
        return self.reason is None


@dataclass(frozen=True, kw_only=True)
class MeanScore(Errors):
    """Means over seeds (and folds) for one method on one set of test rows; None if unknown.

    `mae`, `mae_sd` (over seeds) and `rmse` have the unit of the target. OOD rows have `id_mae`, the
    error on the ID rows of the same split, and `gap`, the ratio of `mae` to it. Of classes they are
    None, and `log_loss` stands for `mae`. The measures of `TAIL_MEASURES` refer to all test rows of
    the split. `seconds` is the time of one fit, `failed` counts failed runs.
    """

    mae_sd: float | None = None
    rmse: float | None = None
    r2: float | None = None
    mae_over_dummy_sd: float | None = None
    id_mae: float | None = None
    gap: float | None = None
    tail_recall: float | None = None
    tail_precision: float | None = None
    tail_enrichment: float | None = None
    top5_recall: float | None = None
    top5_enrichment: float | None = None
    regret: float | None = None
    regret_over_range: float | None = None
    top30_precision: float | None = None
    top30_precision_weighted: float | None = None
    log_loss_sd: float | None = None
    log_loss_over_dummy_sd: float | None = None
    id_log_loss: float | None = None
    seconds: float | None = None
    failed: int = 0

    @property
    def error_sd(self) -> float | None:
        """Standard deviation of the error over seeds."""
        return self.either(self.mae_sd, self.log_loss_sd)

    @property
    def error_over_dummy_sd(self) -> float | None:
        """Standard deviation over seeds of the error over that of the dummy."""
        return self.either(self.mae_over_dummy_sd, self.log_loss_over_dummy_sd)

    @property
    def id_error(self) -> float | None:
        """The error on the ID rows of the same split."""
        return self.either(self.id_mae, self.id_log_loss)

    def describe(self) -> str:
        """Return ``error (error_over_dummy)`` for a table of text; an empty text without one."""
        if self.error is None:
            return ""
        ratio = "" if self.error_over_dummy is None else f" ({self.error_over_dummy:.2f})"
        return f"{self.error:.4g}{ratio}"

    def describe_search(self) -> str:
        """Return recall of the top and regret, ``31% (0.41)``; an empty text without a top."""
        if self.top5_recall is None:
            return ""
        missed = "" if self.regret is None else f" ({self.regret:.3g})"
        return f"{self.top5_recall:.0%}{missed}"


@dataclass(frozen=True)
class TaskRecord:
    """The result of one task: one training of one method and its scores."""

    id: str
    """Hash of everything that its numbers depend on."""
    name: str
    method: str
    features: str
    """`name`, `method`, `features`: name in tables, key of `xtalshift.methods.METHODS`, blocks of
    features."""
    data: str
    split: str
    """`data`, `split`: names in the specification; the split is ``all`` if one training serves all
    splits."""
    fold: int
    fold_name: str
    """`fold`, `fold_name`: number of the fold, and what it holds out."""
    seed: int
    budget: int
    """`seed`, `budget`: seed, and number of target labels."""
    n_train: int
    n_val: int
    n_id: int
    n_test: int
    """`n_train`, `n_val`, `n_id`, `n_test`: numbers of rows."""
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    traceback: str = ""
    """`status`, `reason`, `traceback`: of the training, or of every score."""
    seconds: float | None = None
    cpu_seconds: float | None = None
    predict_seconds: float | None = None
    """`seconds`, `cpu_seconds`, `predict_seconds`: time of training; processor time of the whole
    task, which other work on the machine hardly changes; time of prediction."""
    peak_mib: float | None = None
    """Rise of the memory of the process during the task; None if it cannot be measured."""
    host: str = ""
    """Machine on which it ran."""
    attempts: int = 1
    """Number of starts, more than 1 if a process died."""
    val_mae: float | None = None
    val_log_loss: float | None = None
    """`val_mae`, `val_log_loss`: mean absolute error, or log loss of classes, on the validation
    rows."""
    row_cap: int | None = None
    n_used: int | None = None
    """`row_cap`, `n_used`: largest number of training rows that the method takes, and how many it
    used."""
    tuning: Mapping[str, Any] | None = None
    """See `xtalshift.benchmark.tune.tune`."""
    best_epoch: int | None = None
    """Epoch whose parameters were kept."""
    results: tuple[Score, ...] = ()
    """Empty after a failure."""
    files: Mapping[str, str] | None = None
    """SHA-256 of the files that the task left, by path in its folder; None if it left none."""

    @property
    def ok(self) -> bool:
        """Whether the task succeeded; some of its splits may have failed, see `failures`."""
        return self.status == "ok"

    @property
    def judged(self) -> bool:
        """Whether it left predictions of the rows that choose among methods."""
        return CHOICE_FILE in (self.files or {})

    @property
    def failures(self) -> dict[str, str]:
        """Reasons of failures by name of the split: of the whole task, or of single splits."""
        if not self.ok:
            return {self.split: self.reason}
        found: dict[str, str] = {}
        for score in self.results:
            if score.reason is not None:  # the first: the pool of a split fails with its rows
                found.setdefault(score.split, score.reason)
        return found

    def content(self) -> Self:
        """Return the record without the values that may differ between runs of the same task."""
        # a task may have another name in the tables of another benchmark
        return replace(
            self, name="", seconds=None, cpu_seconds=None, predict_seconds=None, peak_mib=None,
            host="", attempts=1, files=None,
        )  # fmt: skip

    def to_plain(self) -> Plain:
        """Return plain values for JSON, without those that are None."""
        plain = _set_values(asdict(self))
        plain["results"] = [_set_values(asdict(score)) for score in self.results]
        return plain

    @classmethod
    def from_plain(cls, values: object, where: object = "the record", remedy: str = "") -> Self:
        """Return the record that `to_plain` wrote; unknown names are ignored.

        Raises
        ------
        DataError
            If a value is missing or has the wrong type; `where` and `remedy` are for the message.
        """
        return parse(cls, values, where, remedy)


def _set_values(values: Plain) -> Plain:
    return {key: value for key, value in values.items() if value is not None}
