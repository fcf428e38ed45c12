"""Leaderboards of a benchmark: one row per method, one group of columns per split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from xtalshift.report.benchmark.summary_records import (
    BenchmarkSummary,
    MethodInfo,
    RankedMethod,
    Scenario,
    SplitInfo,
    SummaryCell,
)

__all__ = ["Board", "Cells", "Duel", "Place", "Row", "build_board", "list_places"]

_N_REASONS = 4
_NOISE = 1e-9
"""Of an error: a spread below it is rounding."""
_SEES = {"source": "nothing", "features": "target features"}


@dataclass(frozen=True, kw_only=True)
class Place(SplitInfo):
    """A split of a table, for readers.

    Attributes
    ----------
    label : str
        Name of the split, with its table where there are several.
    table : str
        Name of the table, empty where there is only one.
    unit, target : str
        Of the table.
    runs : int
        Folds times seeds.
    auc, distance_ratio : float or None
        Means over the audited folds.
    reasons : list of str
        Why the folds have their labels.
    why : dict of str
        The first reasons for each label in one line.
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
    """A method (or a variant: other weights of it) on a leaderboard.

    Attributes
    ----------
    over_dummy : float or None
        Mean over the splits of this table of the error relative to the dummy: over the OOD splits,
        if there are any; `n_splits` of the `of_splits` have a value.
    rank, p : float or None
        Average rank, and p-value against the best method; None for a variant.
    cells : list of SummaryCell
        One per split of the board; without values where there is no result.
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


@dataclass(frozen=True)
class Duel:
    """Wins, ties and losses of a method against another, and the corrected p-value."""

    wins: int
    ties: int
    losses: int
    p: float | None


@dataclass(frozen=True, kw_only=True)
class Board(Scenario):
    """The leaderboard of one number of target labels.

    Attributes
    ----------
    columns : list of int
        Numbers of the places.
    shifted : bool
        Whether any of them is out of distribution.
    rows : list of Row
        In the order of the ranks, each method followed by its variants.
    duels : list of list of Duel or None
        Of each method against each other one.
    absent : list of str
        Methods without any result.
    """

    columns: list[int]
    shifted: bool
    rows: list[Row]
    duels: list[list[Duel | None]]
    absent: list[str]

    @property
    def usual(self) -> list[Row]:
        """The rows that are compared: the methods without their variants."""
        return [row for row in self.rows if not row.variant]


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
            data=place.data,
            split=place.split,
            role=role,
            name=name,
            variant=variant,
            budget=budget,
        )
        if cell.mae and cell.mae_sd and cell.mae_sd < _NOISE * cell.mae:
            cell = replace(cell, mae_sd=0.0)
        failed = self._failed[place.data, place.split, name, budget]
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
        duels=_list_duels(scenario),
        absent=[
            one.name
            for one in summary.methods
            if not {(one.name, 0), (one.name, budget)} & present
            and (budget or one.sees != "labels")
        ],
    )


def _make_row(
    method: MethodInfo,
    ranked: RankedMethod,
    variant: str,
    places: Sequence[Place],
    cells: Cells,
) -> Row:
    budget = ranked.budget
    found = [cells.find(place, method.name, variant, budget) for place in places]
    counted = [cell for cell in found if cell.role == "ood"] or found
    known = [cell.mae_over_dummy for cell in counted if cell.mae_over_dummy is not None]
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


def _list_duels(scenario: Scenario) -> list[list[Duel | None]]:
    labels = [one.label for one in scenario.methods]
    p = {frozenset((one.a, one.b)): one.wilcoxon_holm for one in scenario.comparisons}
    return [
        [
            None if i == j else Duel(*scenario.wins[i][j], p.get(frozenset((mine, other))))
            for j, other in enumerate(labels)
        ]
        for i, mine in enumerate(labels)
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
