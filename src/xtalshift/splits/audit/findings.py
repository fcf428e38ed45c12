"""Records of an audit: the measures of each fold, and the labels that thresholds give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np
from pydantic import Field

from xtalshift.config import Settings
from xtalshift.jsonio import Plain, finite

_N_EXAMPLES = 5


class AuditSettings(Settings):
    """Thresholds of the labels, and sizes of the samples."""

    min_test: int = 20
    """A fold with fewer test rows is degenerate."""
    min_train_share: float = Field(default=0.5, ge=0, le=1)
    """So is a fold that trains on a smaller share of the table."""
    auc: float = Field(default=0.8, ge=0, le=1)
    distance_ratio: float = 1.5
    """`auc`, `distance_ratio`: covariate shift from these values on (see `two_sample` and
    `distance_ratio`)."""
    unseen_share: float = Field(default=0.01, ge=0, le=1)
    """Covariate shift too if at least this share of the test rows has an element that training
    lacks. A single row is not enough: random splits of large tables hold out the only compound of a
    rare element."""
    wasserstein: float = 0.5
    """Prior shift from this distance on, in standard deviations of the training targets."""
    class_distance: float = Field(default=0.2, ge=0, le=1)
    """Of a target that is a class: prior shift from this total variation of the shares on."""
    relation_shift: float = 0.5
    relation_p: float = Field(default=0.01, ge=0, le=1)
    """`relation_shift`, `relation_p`: relation shift from this absolute shift on, if the p-value is
    below (see `residual_test`)."""
    n_max: int = Field(default=2000, ge=1)
    n_references: int = Field(default=20000, ge=1)
    n_relation: int = Field(default=5000, ge=1)
    """`n_max`, `n_references`, `n_relation`: most formulas of either side for the classifier and
    the distances, most training formulas searched for the nearest one, most formulas of either side
    for the residual test."""
    seed: int = 0
    """Seed of all draws."""
    classifier: bool = True
    relation: bool = True
    """`classifier`, `relation`: whether to train the forests (about two seconds a fold each)."""


class Finding(NamedTuple):
    """One measure that crosses its threshold."""

    label: str
    """As in `FoldAudit.labels`."""
    setting: str
    """The threshold in `AuditSettings`; ``""`` without a threshold."""
    reason: str
    """The value and the threshold."""


@dataclass(frozen=True)
class FoldAudit:
    """The measures of one fold; one that could not be taken is None and explained in `missing`."""

    name: str
    """As in `Fold`."""
    n_train: int
    n_val: int
    n_target: int
    n_test: int
    n_unused: int
    """`n_train`, `n_val`, `n_target`, `n_test`, `n_unused`: rows of each part, and of none."""
    train_share: float
    """Training rows over the rows of the table."""
    shared_formulas: int = 0
    """Reduced formulas of test rows that are in another part too."""
    shared_examples: tuple[str, ...] = ()
    """The first of them in alphabetical order."""
    val_shared_formulas: int = 0
    """Formulas in both train and val."""
    formulas_in_two_parts: int = 0
    """Formulas in more than one of all parts."""
    rows_on_both_sides: int = 0
    """Rows in two parts."""
    distance_ratio: float | None = None
    median_test: float | None = None
    median_train: float | None = None
    """`distance_ratio`, `median_test`, `median_train`: see `distance_ratio`."""
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    ess: float | None = None
    ess_share: float | None = None
    """`auc`, `auc_low`, `auc_high`, `ess`, `ess_share`: see `two_sample`; from the first row of
    each formula."""
    wasserstein: float | None = None
    ks: float | None = None
    """`wasserstein`, `ks`: see `target_shift`."""
    class_distance: float | None = None
    """Total variation of the shares of the classes, see `class_shares`; None for numbers."""
    shares_train: dict[str, float] | None = None
    shares_test: dict[str, float] | None = None
    """`shares_train`, `shares_test`: share of each class."""
    shares_estimated: dict[str, float] | None = None
    shares_low: dict[str, float] | None = None
    shares_high: dict[str, float] | None = None
    """`shares_estimated`, `shares_low`, `shares_high`: what test rows without labels tell of
    `shares_test`, with a 95 % interval, see `unlabelled_shares`."""
    unseen_classes: tuple[str, ...] = ()
    """Classes of test rows that no training row has."""
    n_unseen_classes: int = 0
    """Test rows of such classes."""
    dummy_mae: float | None = None
    """Mean absolute error of the mean of the training targets, in the unit of the target."""
    dummy_over_random: float | None = None
    """The same over its mean on random folds of the table."""
    unseen_elements: tuple[str, ...] | None = None
    """Elements of test rows that no training row contains, most frequent first."""
    n_unseen: int | None = None
    """Test rows with such an element."""
    relation_shift: float | None = None
    relation_p: float | None = None
    n_supported: int | None = None
    share_supported: float | None = None
    """`relation_shift`, `relation_p`, `n_supported`, `share_supported`: see `compare_relation`;
    within a `SplitAudit` the p values are corrected for the number of folds tested (Holm)."""
    missing: dict[str, str] = field(default_factory=dict)
    """Measure -> why it is None; of measures taken together only the first is named."""
    labels: tuple[str, ...] = ()
    """``degenerate``, ``leak``, ``covariate``, ``prior``, ``relation``, ``interpolation``."""
    reasons: tuple[str, ...] = ()
    """One sentence per finding, ``"label: measure and threshold"``."""
    crossed: tuple[str, ...] = ()
    """The crossed thresholds, by their name in `AuditSettings`."""
    note: str = ""
    """As in `Fold`."""


@dataclass(frozen=True)
class SplitAudit:
    """The audit of all folds of a split."""

    name: str
    """Name of the split."""
    n_rows: int
    """Rows of the table."""
    random_mae: float | None
    """Mean over five random whole-formula folds of the error of the training mean, in the unit of
    the target; None without targets."""
    settings: AuditSettings
    """Thresholds and samples."""
    folds: tuple[FoldAudit, ...]
    """In the order of the split."""
    cautions: tuple[str, ...] = ()
    """Why the split is no test of the features, whatever its folds are."""

    @property
    def labels(self) -> dict[str, int]:
        """How many folds have each label, most frequent first."""
        return dict(Counter(label for fold in self.folds for label in fold.labels).most_common())

    @property
    def dummy_mae(self) -> float | None:
        """Unweighted mean over the folds that have one, in the unit of the target."""
        errors = [fold.dummy_mae for fold in self.folds if fold.dummy_mae is not None]
        return float(np.mean(errors)) if errors else None

    def to_dict(self) -> Plain:
        """Return plain values for JSON; numbers that are not finite become None."""
        values: Plain = finite(
            {
                "schema_version": 1,
                "name": self.name,
                "n_rows": self.n_rows,
                "random_mae": self.random_mae,
                "dummy_mae": self.dummy_mae,
                "labels": self.labels,
                "cautions": self.cautions,
                "settings": self.settings.to_dict(),
                "folds": [asdict(fold) for fold in self.folds],
            }
        )
        return values

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """Return one flat row of a table per fold; tuples and `missing` become text."""
        return [
            {item.name: _flat(getattr(fold, item.name)) for item in fields(fold)}
            for fold in self.folds
        ]


def label(fold: FoldAudit, limits: AuditSettings) -> FoldAudit:
    """Return the fold with the labels, reasons and crossed thresholds of its measures."""
    findings = find(fold, limits)
    return replace(
        fold,
        labels=tuple(dict.fromkeys(finding.label for finding in findings)),
        reasons=tuple(f"{finding.label}: {finding.reason}" for finding in findings),
        crossed=tuple(finding.setting for finding in findings if finding.setting),
    )


def find(fold: FoldAudit, limits: AuditSettings) -> list[Finding]:
    """Return every measure that crosses its threshold, in the order of the labels.

    A fold without findings other than leaks is ``interpolation``.
    """
    found = [
        *_find_degenerate(fold, limits),
        *_find_impossible(fold),
        *_find_leaks(fold),
        *_find_shifts(fold, limits),
    ]
    if all(finding.label == "leak" for finding in found):
        left_out = f" (not measured: {', '.join(fold.missing)})" if fold.missing else ""
        reason = f"no measure crosses its threshold{left_out}"
        found.append(Finding("interpolation", "", reason))
    return found


def _find_degenerate(fold: FoldAudit, limits: AuditSettings) -> Iterator[Finding]:
    if fold.n_test < limits.min_test:
        reason = f"{_count(fold.n_test, 'test row')}, fewer than {limits.min_test}"
        yield Finding("degenerate", "min_test", reason)
    if fold.train_share < limits.min_train_share:
        share = f"{fold.train_share:.1%} of the rows train"
        reason = f"{share}, less than {limits.min_train_share:.0%}"
        yield Finding("degenerate", "min_train_share", reason)


def _find_impossible(fold: FoldAudit) -> Iterator[Finding]:
    if fold.unseen_classes:
        names = ", ".join(fold.unseen_classes[:_N_EXAMPLES])
        rows = f"{fold.n_unseen_classes:,} of {fold.n_test:,} test rows"
        reason = (
            f"{rows} are of classes that no training row has ({names}): no classifier can name "
            "them, so this is no test out of distribution"
        )
        yield Finding("degenerate", "", reason)


def _find_leaks(fold: FoldAudit) -> Iterator[Finding]:
    if fold.shared_formulas:
        shared = _count(fold.shared_formulas, "formula")
        what = f"{shared} of the test rows are in another part too"
        examples = ", ".join(fold.shared_examples)
        total = f"{fold.formulas_in_two_parts:,} in more than one of all parts"
        yield Finding("leak", "", f"{what}, such as {examples} ({total})")
    if fold.rows_on_both_sides:
        yield Finding("leak", "", f"{_count(fold.rows_on_both_sides, 'row')} in two parts")


def _find_shifts(fold: FoldAudit, limits: AuditSettings) -> Iterator[Finding]:
    def reach(value: float | None, setting: str) -> str:
        """Return the words for a value that reaches its threshold, else ``""``."""
        limit: float = getattr(limits, setting)
        return f"{value:.3g}, at least {limit:g}" if value is not None and value >= limit else ""

    if said := reach(fold.auc, "auc"):
        yield Finding("covariate", "auc", f"the AUC of test against train is {said}")
    if said := reach(fold.distance_ratio, "distance_ratio"):
        yield Finding("covariate", "distance_ratio", f"the ratio of nearest distances is {said}")
    if fold.n_unseen and fold.n_unseen >= limits.unseen_share * fold.n_test:
        elements = ", ".join((fold.unseen_elements or ())[:_N_EXAMPLES])
        rows = f"{fold.n_unseen:,} of {fold.n_test:,} test rows"
        what = f"have elements that no training row has ({elements})"
        reason = f"{rows} {what}, at least {limits.unseen_share:.0%}"
        yield Finding("covariate", "unseen_share", reason)
    if said := reach(fold.wasserstein, "wasserstein"):
        what = "the Wasserstein distance of the targets over their standard deviation"
        yield Finding("prior", "wasserstein", f"{what} is {said}")
    if said := reach(fold.class_distance, "class_distance"):
        reason = f"the total variation of the shares of the classes is {said}"
        yield Finding("prior", "class_distance", reason + _told_by_features(fold))
    shift, p_value = fold.relation_shift or 0.0, fold.relation_p
    if p_value is not None and p_value < limits.relation_p and abs(shift) >= limits.relation_shift:
        what = f"residuals near training rows are shifted by {shift:+.2f} sd"
        reason = f"{what} (p = {p_value:.2g}), at least {limits.relation_shift:g}"
        if (fold.wasserstein or 0.0) >= limits.wasserstein:
            reason += "; a selection of rows by their target has the same effect"
        yield Finding("relation", "relation_shift", reason)


def _told_by_features(fold: FoldAudit) -> str:
    """Say whether unlabelled test rows tell the shares: then nothing but them has changed."""
    if not (fold.shares_test and fold.shares_low and fold.shares_high):
        return ""
    missed = [
        name
        for name, share in fold.shares_test.items()
        if not fold.shares_low[name] <= share <= fold.shares_high[name]
    ]
    if not missed:
        return "; test rows without labels tell the same shares, so that only these have shifted"
    names = ", ".join(missed[:_N_EXAMPLES])
    return (
        f"; test rows without labels tell other shares ({names}), so that the classes look "
        "different there too"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _flat(
    value: dict[str, str] | dict[str, float] | tuple[str, ...] | str | float | None,
) -> str | int | float | None:
    if isinstance(value, dict):
        shown = {
            key: item if isinstance(item, str) else f"{item:.4g}" for key, item in value.items()
        }
        return "; ".join(f"{key}: {item}" for key, item in shown.items())
    return ", ".join(value) if isinstance(value, tuple) else value
