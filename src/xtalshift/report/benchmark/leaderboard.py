"""Leaderboards of a benchmark, value of target labels, and errors on each fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from xtalshift.benchmark.records import JOINT
from xtalshift.benchmark.summary_records import (
    BenchmarkSummary,
    FoldError,
    FoldLabels,
    LabelCurve,
    MethodInfo,
    RankedMethod,
    Scenario,
    SplitInfo,
    SummaryCell,
)

_N_REASONS = 4
_SLACK = 1.0 + 1e-9
_NOISE = 1e-9
"""Of an error: a spread below it is rounding."""
_SEES = {"source": "nothing", "features": "target features"}


Values = list[float | None]


@dataclass(frozen=True, kw_only=True)
class Place(SplitInfo):
    """A split of a table, for readers.

    `label` and `table` name the table where there are several; `runs` are folds times seeds, `auc`
    and `distance_ratio` means over the audited folds, `reasons` why the folds have their labels,
    and `why` the first reasons for each label in one line.
    """

    label: str
    table: str
    unit: str
    target: str
    runs: int
    auc: float | None
    distance_ratio: float | None
    reasons: list[str]
    why: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method (or a variant: other weights of it) on a leaderboard, with a cell per split.

    `over_dummy` is the mean error relative to the dummy over the OOD splits of this table, or over
    all if none is OOD; `n_splits` of the `of_splits` have a value. `rank` and `p` (against the best
    method) are None for a variant.
    """

    label: str
    name: str
    variant: str
    budget: int
    kind: str
    sees: str
    features: str
    row_cap: int | None
    rank: float | None
    p: float | None
    bold: bool
    over_dummy: float | None
    n_splits: int
    of_splits: int
    seconds: float | None
    cpu_seconds: float | None
    peak_mib: float | None
    cells: list[SummaryCell]


@dataclass(frozen=True, kw_only=True)
class Board(Scenario):
    """The leaderboard of one number of target labels.

    `columns` are numbers of places, `shifted` if any is OOD; `rows` have the order of the ranks,
    each method followed by its variants; `absent` methods have no result.
    """

    columns: list[int]
    shifted: bool
    rows: list[Row]
    absent: list[str]

    @property
    def usual(self) -> list[Row]:
        """The rows that are compared: the methods without their variants."""
        return [row for row in self.rows if not row.variant]

    def p_value(self, one: str, other: str) -> float | None:
        """Return the p-value of two methods by label, corrected for all pairs."""
        pairs = {frozenset((pair.a, pair.b)): pair.wilcoxon_holm for pair in self.comparisons}
        return pairs.get(frozenset((one, other)))


class Cells:
    """The cells of a summary and its failures, by what they belong to."""

    def __init__(self, summary: BenchmarkSummary) -> None:
        self._cells = {
            (one.data, one.split, one.role, one.name, one.variant, one.budget): one
            for one in summary.cells
        }
        self._failed = Counter(
            (one.data, one.split, one.name, one.budget or 0) for one in summary.failures
        )
        self.variants: dict[tuple[str, int], list[str]] = {}
        for one in summary.cells:
            known = self.variants.setdefault((one.name, one.budget), [])
            if one.variant and one.variant not in known:
                known.append(one.variant)

    def find(
        self, place: Place, name: str, variant: str, budget: int, role: str = ""
    ) -> SummaryCell:
        """Return the cell of a method on a split, by default on its test rows."""
        role = role or place.role
        key = (place.data, place.split, role, name, variant, budget)
        cell = self._cells.get(key) or SummaryCell(
            data=place.data, split=place.split, role=role, name=name, variant=variant, budget=budget
        )
        if cell.error and cell.error_sd and cell.error_sd < _NOISE * cell.error:
            settled: dict[str, Any] = {f"{cell.error_key}_sd": 0.0}
            cell = replace(cell, **settled)
        failed = sum(
            self._failed[place.data, split, name, budget]
            for split in {place.split, JOINT}  # a training that serves all splits fails on each
        )
        return replace(cell, failed=failed, runs=place.runs)


def list_places(summary: BenchmarkSummary) -> list[Place]:
    """Return each split of each table with its unit and its audit, OOD splits first."""
    tables = {one.name: one for one in summary.data}
    several = len({one.data for one in summary.splits}) > 1
    places = []
    for one in summary.splits:
        table, folds = tables.get(one.data), one.audit.folds
        # with several folds each reason names its fold
        reasons = [
            f"fold {number}: {reason}" if len(folds) > 1 else reason
            for number, fold in folds.items()
            for reason in fold.reasons
        ]
        place = Place(
            **vars(one),
            label=f"{one.split} ({one.data})" if several else one.split,
            table=one.data if several else "",
            unit=(table and table.unit) or "",
            target=(table and table.target) or "target",
            runs=one.folds * summary.n_seeds,
            auc=_mean(fold.auc for fold in folds.values()),
            distance_ratio=_mean(fold.distance_ratio for fold in folds.values()),
            reasons=reasons,
            why={label: _join_reasons(label, reasons) for label in one.audit.labels},
        )
        places.append(place)
    return sorted(places, key=lambda place: place.role != "ood")


def _join_reasons(label: str, reasons: Sequence[str]) -> str:
    texts = [text.replace(f"{label}: ", "", 1) for text in reasons if f"{label}: " in text]
    return "; ".join(texts[:_N_REASONS]) + ("; ..." if len(texts) > _N_REASONS else "")


def build_board(
    summary: BenchmarkSummary, scenario: Scenario, places: Sequence[Place], cells: Cells
) -> Board:
    """Return the leaderboard of one scenario of a summary."""
    budget = scenario.budget
    columns = [i for i, place in enumerate(places) if not budget or budget in place.budgets]
    shown = [places[i] for i in columns]
    known = {one.name: one for one in summary.methods}
    rows = [
        _make_row(known[ranked.name], ranked, variant, shown, cells)
        for ranked in scenario.methods
        for variant in ("", *cells.variants.get((ranked.name, ranked.budget), []))
    ]
    present = {(one.name, one.budget) for one in scenario.methods}
    return Board(
        **vars(scenario),
        columns=columns,
        shifted=any(place.role == "ood" for place in shown),
        rows=rows,
        absent=[
            one.name
            for one in summary.methods
            if not {(one.name, 0), (one.name, budget)} & present
            and (budget or one.sees != "labels")
        ],
    )


def _make_row(
    method: MethodInfo, ranked: RankedMethod, variant: str, places: Sequence[Place], cells: Cells
) -> Row:
    budget = ranked.budget
    found = [cells.find(place, method.name, variant, budget) for place in places]
    counted = [cell for cell in found if cell.role == "ood"] or found
    known = [cell.error_over_dummy for cell in counted if cell.error_over_dummy is not None]
    other = f"{method.name}:{variant}" + (f" ({budget})" if budget else "")
    return Row(
        label=other if variant else ranked.label,
        name=method.name,
        variant=variant,
        budget=budget,
        kind=method.kind,
        sees=f"{budget} labels" if budget else _SEES.get(method.sees, method.sees),
        features=method.features,
        row_cap=method.row_cap,
        rank=None if variant else ranked.rank,
        p=None if variant else ranked.p_against_best,
        bold=ranked.bold and not variant,
        over_dummy=_mean(known),
        n_splits=len(known),
        of_splits=len(counted),
        seconds=_mean(cell.seconds for cell in found),
        cpu_seconds=_mean(cell.cpu_seconds for cell in found),
        peak_mib=max((cell.peak_mib for cell in found if cell.peak_mib is not None), default=None),
        cells=found,
    )


@dataclass(frozen=True)
class MethodCurve:
    """One method, with a value or None for each budget of its split.

    `efficiency` is the number of labels that the reference needs for the same error per label of
    the method: an upper `bound` where fewer were not tried, None if `beyond` its reach.
    `forgetting` is the relative growth of the error on ID rows by the adaptation.
    """

    label: str
    variant: str
    target_only: bool
    mae: Values
    mae_sd: Values
    efficiency: Values
    bound: list[bool]
    beyond: list[bool]
    forgetting: Values


@dataclass(frozen=True)
class CurvePanel:
    """Errors on a split (number `place`) by number of target labels.

    `source` is the method with the smallest error that sees no target row; `referenced` tells
    whether there is a method that sees only target labels.
    """

    place: int
    budgets: list[int]
    source: tuple[str, float] | None
    referenced: bool
    methods: list[MethodCurve]


@dataclass(frozen=True)
class FoldRow:
    """A fold with the labels of its audit, and the error over that of the dummy by method."""

    number: int
    name: str
    labels: list[str]
    n_test: int
    median: float | None
    values: Values


@dataclass(frozen=True)
class FoldPanel:
    """The folds of a split (number `place`), hardest first, and the methods by rank."""

    place: int
    labels: list[str]
    folds: list[FoldRow]


def list_curves(
    summary: BenchmarkSummary, places: Sequence[Place], cells: Cells
) -> list[CurvePanel]:
    """Return the learning curves of each split that has any."""
    found = []
    for number, place in enumerate(places):
        curves = [
            one for one in summary.curves if (one.data, one.split) == (place.data, place.split)
        ]
        if not curves:
            continue
        tried = [b for one in curves if one.target_only and not one.variant for b in one.budgets]
        budgets = sorted({budget for one in curves for budget in one.budgets})
        methods = [_make_curve(one, budgets, min(tried, default=0), place, cells) for one in curves]
        source = _best_source(summary, place, cells)
        found.append(CurvePanel(number, budgets, source, bool(tried), methods))
    return found


def _make_curve(
    curve: LabelCurve, budgets: list[int], least: int, place: Place, cells: Cells
) -> MethodCurve:
    at = {budget: i for i, budget in enumerate(curve.budgets)}
    worth = curve.label_efficiency

    def pick(values: Sequence[float | None] | None) -> Values:
        return [values[at[b]] if values and b in at else None for b in budgets]

    efficiency = pick(worth)
    return MethodCurve(
        label=f"{curve.name}:{curve.variant}" if curve.variant else curve.name,
        variant=curve.variant,
        target_only=curve.target_only and not curve.variant,
        mae=pick(curve.mae),
        mae_sd=pick(curve.mae_sd),
        efficiency=efficiency,
        bound=[
            value is not None and value * budget <= least * _SLACK
            for value, budget in zip(efficiency, budgets, strict=True)
        ],
        beyond=[
            worth is not None and budget in at and value is None
            for value, budget in zip(efficiency, budgets, strict=True)
        ],
        forgetting=[
            cells.find(place, curve.name, curve.variant, budget, "id").forgetting
            for budget in budgets
        ],
    )


def _best_source(summary: BenchmarkSummary, place: Place, cells: Cells) -> tuple[str, float] | None:
    found = [
        (method.name, error)
        for method in summary.methods
        if method.sees == "source"
        and (error := cells.find(place, method.name, "", 0).error) is not None
    ]
    return min(found, key=lambda one: one[1], default=None)


def list_folds(
    summary: BenchmarkSummary, places: Sequence[Place], boards: Sequence[Board]
) -> list[FoldPanel]:
    """Return the error of each method on each fold, for each split of several folds."""
    ranked = list(dict.fromkeys(row.label for board in boards for row in board.usual))
    found = []
    for number, place in enumerate(places):
        by_fold: dict[int, dict[str, FoldError]] = {}
        for one in summary.folds:
            if (one.data, one.split, one.role) == (place.data, place.split, place.role):
                by_fold.setdefault(one.fold, {})[one.label] = one
        if len(by_fold) < 2:  # noqa: PLR2004 - the table of errors is enough
            continue
        there = dict.fromkeys(label for rows in by_fold.values() for label in rows)
        labels = sorted(there, key=lambda one: ranked.index(one) if one in ranked else len(ranked))
        folds = [_make_fold(fold, by_fold[fold], labels, place) for fold in sorted(by_fold)]
        folds.sort(key=lambda fold: -round(fold.median or 0.0, 9))
        found.append(FoldPanel(number, labels, folds))
    return found


def _make_fold(number: int, rows: dict[str, FoldError], labels: list[str], place: Place) -> FoldRow:
    first = next(iter(rows.values()))
    values = [rows[label].mae_over_dummy if label in rows else None for label in labels]
    known = [value for value in values if value is not None]
    return FoldRow(
        number=number,
        name=first.fold_name or f"fold {number}",
        labels=list(place.audit.folds.get(str(number), FoldLabels()).labels),
        n_test=first.n_test,
        median=median(known) if known else None,
        values=values,
    )


@dataclass(frozen=True)
class PublishedPanel:
    """Errors on a split (number `place`), smallest first; those of this benchmark lack a source."""

    place: int
    rows: list[tuple[str, float, str | None]]


def list_published(
    summary: BenchmarkSummary, places: Sequence[Place], cells: Cells
) -> list[PublishedPanel]:
    """Return published errors with those of the methods that see no target row, by split."""
    found = []
    for number, place in enumerate(places):
        rows: list[tuple[str, float, str | None]] = [
            (one.method, one.mae, one.source)
            for one in summary.settings.published
            if (one.data, one.split) == (place.data, place.split)
        ]
        if not rows:
            continue
        for method in summary.methods:
            error = cells.find(place, method.name, "", 0).error
            if error is not None:
                rows.append((method.name, error, None))
        found.append(PublishedPanel(number, sorted(rows, key=lambda row: row[1])))
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
