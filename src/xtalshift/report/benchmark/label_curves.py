"""Value of target labels, and errors of methods on each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from xtalshift.report.benchmark.leaderboard import Board, Cells, Place
from xtalshift.report.benchmark.summary_records import (
    BenchmarkSummary,
    FoldError,
    FoldLabels,
    LabelCurve,
)

__all__ = ["CurvePanel", "FoldPanel", "FoldRow", "MethodCurve", "list_curves", "list_folds"]

_SLACK = 1.0 + 1e-9

Values = list[float | None]


@dataclass(frozen=True)
class MethodCurve:
    """One method, with a value or None for each budget of its split.

    Attributes
    ----------
    mae, mae_sd : list of float or None
        Error by number of target labels.
    efficiency : list of float or None
        Labels that the reference needs for the same error, per label of the method.
    bound : list of bool
        Whether the efficiency is at most this value: fewer labels were not tried.
    beyond : list of bool
        Whether the reference never reaches the error (JSON has no infinity).
    forgetting : list of float or None
        Relative growth of the error on ID rows by the adaptation.
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
        and (error := cells.find(place, method.name, "", 0).mae) is not None
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
