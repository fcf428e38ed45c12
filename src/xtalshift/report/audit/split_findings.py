"""The audit of a split for readers: kinds of folds, means, and what they mean in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from xtalshift.report.shared.figures import FOLD_KINDS
from xtalshift.report.shared.text import as_sentence, format_percent, join_words
from xtalshift.splits.audit.findings import AuditSettings, FoldAudit, SplitAudit

_SHIFTS = ("covariate", "prior", "relation")
"""Labels of a fold out of distribution."""
_SHIFTED = (*_SHIFTS, "several")
"""Kinds of such a fold."""
_MEANS = (
    "auc",
    "distance_ratio",
    "wasserstein",
    "ks",
    "class_distance",
    "ess_share",
    "dummy_over_random",
)
_MEASURES = {
    "auc": "AUC, ESS",
    "distance_ratio": "distance ratio",
    "wasserstein": "W1, KS",
    "class_distance": "shares of classes",
    "dummy_mae": "error of a constant",
    "dummy_over_random": "the same over random folds",
    "unseen_elements": "unseen elements",
    "relation_shift": "relation shift",
}
_N_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class ShownFold(FoldAudit):
    """A fold with the name that is shown and its kind, one of `FOLD_KINDS`."""

    title: str
    kind: str


@dataclass(frozen=True)
class NotMeasured:
    """A measure that is missing in `count` folds, its first reasons, and how many `further`."""

    measure: str
    count: int
    reasons: dict[str, list[str]]
    further: int


@dataclass(frozen=True, kw_only=True)
class ShownSplit:
    """A split with everything that its page shows, besides its `audit`.

    `kinds`, `crossed` count the folds of each kind and beyond each threshold; `shifted` folds are
    OOD, `leaking` ones leak. `means` are those of finite measures, `sizes` the least, median and
    most test rows. The first of the `alerts` is a sentence, the others are its examples.
    """

    audit: SplitAudit
    folds: list[ShownFold]
    kinds: dict[str, int]
    crossed: dict[str, int]
    shifted: int
    leaking: int
    means: dict[str, float | None]
    sizes: list[int] | None
    not_measured: list[NotMeasured]
    headline: str
    alerts: list[str]
    cautions: list[str]


def describe_split(audit: SplitAudit) -> ShownSplit:
    """Return an audited split for readers."""
    folds = [_show_fold(number, fold) for number, fold in enumerate(audit.folds, start=1)]
    counts = Counter(fold.kind for fold in folds)
    kinds = {kind: counts[kind] for kind in FOLD_KINDS if counts[kind]}
    shifted = sum(counts[kind] for kind in _SHIFTED)
    sizes = [fold.n_test for fold in folds]
    return ShownSplit(
        audit=audit,
        folds=folds,
        kinds=kinds,
        crossed=dict(Counter(name for fold in folds for name in fold.crossed)),
        shifted=shifted,
        leaking=sum("leak" in fold.labels for fold in folds),
        means={name: _mean(getattr(fold, name) for fold in folds) for name in _MEANS},
        sizes=[min(sizes), round(median(sizes)), max(sizes)] if sizes else None,
        not_measured=_list_missing(folds),
        headline=_write_headline(folds, kinds, shifted, audit.settings),
        alerts=_list_alerts(folds),
        cautions=[*map(as_sentence, audit.cautions), *_list_cautions(folds)],
    )


def _show_fold(number: int, fold: FoldAudit) -> ShownFold:
    # a measure that is not a number is missing; a ratio over 0 is infinite
    missing = {name: None for name, value in vars(fold).items() if value != value}  # noqa: PLR0124
    shown = ShownFold(**vars(fold), title=fold.name or f"#{number}", kind=_kind(fold.labels))
    return replace(shown, **missing)  # type: ignore[arg-type]


def _kind(labels: Sequence[str]) -> str:
    """Return one of `FOLD_KINDS`: a fold that is too small is degenerate whatever else it is."""
    if "degenerate" in labels:
        return "degenerate"
    shifts = [label for label in labels if label in _SHIFTS]
    if len(shifts) > 1:
        return "several"
    return shifts[0] if shifts else "interpolation"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known else None


def _list_missing(folds: Sequence[ShownFold]) -> list[NotMeasured]:
    found = []
    for measure, title in _MEASURES.items():
        reasons: dict[str, list[str]] = {}
        for fold in folds:
            if measure in fold.missing:
                reasons.setdefault(fold.missing[measure], []).append(fold.title)
        if reasons:
            first = dict(list(reasons.items())[:_N_EXAMPLES])
            count = sum(len(names) for names in reasons.values())
            found.append(NotMeasured(title, count, first, len(reasons) - len(first)))
    return found


def _write_headline(
    folds: Sequence[ShownFold], kinds: dict[str, int], shifted: int, limits: AuditSettings
) -> str:
    """Say how many folds are out of distribution, and what the others are."""
    if not folds:
        return "This split has no folds."
    if len(folds) == 1:
        return _describe_only(folds[0])
    enough = len(folds) - kinds.get("degenerate", 0)
    some = f"{len(folds)} folds"
    if 0 < enough < len(folds):
        some = f"the {enough} folds that are not degenerate"
    number = "None of" if not shifted else "All" if shifted == len(folds) else f"{shifted} of"
    parts = [f"{kinds[kind]} by {FOLD_KINDS[kind].title}" for kind in kinds if kind in _SHIFTED]
    verb = "is" if shifted < 2 else "are"  # noqa: PLR2004
    text = f"{number} {some} {verb} out of distribution{': ' if parts else ''}{join_words(parts)}."
    if count := kinds.get("interpolation"):
        text += f" {_count_folds(count, folds)} {_describe_interpolation(folds)}"
    if count := kinds.get("degenerate"):
        text += f" {_count_folds(count, folds)} degenerate ({_describe_small(folds, limits)})."
    return text


def _count_folds(count: int, folds: Sequence[ShownFold]) -> str:
    return "All are" if count == len(folds) else f"{count} {'is' if count == 1 else 'are'}"


def _describe_only(fold: ShownFold) -> str:
    if fold.kind == "degenerate":
        reasons = [text for text in fold.reasons if text.startswith("degenerate: ")]
        why = join_words([text.removeprefix("degenerate: ") for text in reasons])
        return f"The only fold is degenerate: {why}."
    shifts = [FOLD_KINDS[label].title for label in fold.labels if label in _SHIFTS]
    if shifts:
        return f"The only fold is out of distribution: {join_words(shifts)}."
    return f"The only fold is {_describe_interpolation([fold])}"


def _describe_interpolation(folds: Sequence[ShownFold]) -> str:
    if any(fold.auc is None for fold in folds if fold.kind == "interpolation"):
        return "undecided: the measures show no shift, but no classifier was trained."
    return "interpolation: no measure shows a shift."


def _describe_small(folds: Sequence[ShownFold], limits: AuditSettings) -> str:
    few = sum(fold.n_test < limits.min_test for fold in folds)
    poor = sum(fold.train_share < limits.min_train_share for fold in folds)
    share = format_percent(limits.min_train_share)
    found = [
        (count, text)
        for count, text in (
            (few, f"fewer than {limits.min_test} test rows"),
            (poor, f"less than {share} of the rows in training"),
        )
        if count
    ]
    if len(found) == 1:
        return found[0][1]
    return join_words([f"{count} with {text}" for count, text in found])


def _list_alerts(folds: Sequence[ShownFold]) -> list[str]:
    """Return what makes scores on the split wrong: a sentence, then its first examples."""
    leaks = [
        f"{fold.title}: {reason.removeprefix('leak: ')}"
        for fold in folds
        for reason in fold.reasons
        if reason.startswith("leak: ")
    ]
    if not leaks:
        return []
    count = sum("leak" in fold.labels for fold in folds)
    which = "The fold leaks" if len(folds) == 1 else f"{count} of {len(folds)} folds leak"
    head = f"{which}: a formula or row of the test part is also in another part."
    further = len(leaks) - _N_EXAMPLES
    tail = [f"and {further} more, in the table of folds"] if further > 0 else []
    return [head, *leaks[:_N_EXAMPLES], *tail]


def _list_cautions(folds: Sequence[ShownFold]) -> list[str]:
    """Return what a reader should know before relying on the labels, one sentence each."""
    found = []
    plain = [fold for fold in folds if fold.kind == "interpolation"]
    blind = [
        fold
        for fold in plain
        if fold.auc is None or fold.wasserstein is fold.class_distance is None
    ]
    if blind:
        found.append(
            f"In {len(blind)} of the {len(plain)} folds labelled interpolation, some measures are "
            "missing, so a shift may have been overlooked."
        )
    if tuned := sum(fold.val_shared_formulas > 0 for fold in folds):
        where = "" if len(folds) == 1 else f" in {tuned} of {len(folds)} folds"
        found.append(
            f"Train and val share formulas{where}: scores on val are too good there; scores on "
            "test rows are not affected."
        )
    return found
