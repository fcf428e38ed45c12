"""The report of a run: its folder to one typed payload, and the payload to a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xtalshift.errors import DataError
from xtalshift.report.run.attacks import (
    AttackSize,
    Curve,
    LastAttack,
    attack_cautions,
    attack_curves,
    attack_sizes,
    describe_attack,
    last_attacks,
    training_curves,
)
from xtalshift.report.run.results import Intake, RunResults, read_results
from xtalshift.report.run.run_figures import ROLE_COLOURS, build_figures
from xtalshift.report.run.run_summary import (
    Cell,
    Column,
    Failure,
    Pair,
    RunSummary,
    list_columns,
    list_failures,
)
from xtalshift.report.run.run_text import intake_cautions, score_cautions, write_verdict
from xtalshift.report.run.samples import (
    POINTS_PER_PANEL,
    Histogram,
    PointPanel,
    histograms,
    map_panels,
    parity_panels,
)
from xtalshift.report.shared.html import render_page
from xtalshift.report.shared.interval_evaluation import (
    IntervalEvaluation,
    evaluate_intervals,
    interval_caution,
    split_styles,
)
from xtalshift.report.shared.methods import describe_gap, method_colours, method_note
from xtalshift.report.shared.payload import Json, list_facts
from xtalshift.report.shared.scores import DUMMY
from xtalshift.report.shared.text import Caution

__all__ = ["MethodRow", "RunReport", "build_run_report", "render_run"]

_CONTROL = "cal-eps0"


@dataclass(frozen=True)
class MethodRow:
    """One method in the table of errors: a cell per column (None where it was not run)."""

    method: str
    cells: list[Cell | None]
    seconds: float | None


@dataclass(frozen=True)
class Gain:
    """Two methods compared in every column; `note` says what differs between them."""

    label: str
    note: str
    cells: list[Pair | None]


@dataclass(frozen=True)
class NamedMethod:
    """A method and what it is, in words."""

    name: str
    note: str


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything that page and tables of a run show.

    Attributes
    ----------
    target, unit, source : str
        Of the table; the unit may be empty.
    columns, rows, gains, cells : list
        Errors: splits, methods, comparisons of cal, and all scores (variants and ID rows too).
    verdict, cautions : str, list of Caution
        In words; the gravest caution first.
    intervals : IntervalEvaluation or None
        None if no method has intervals.
    parity, maps, histograms : list
        Samples of rows for figures; empty without the tables they need.
    curves, attack_curves, attack_sizes, attacks, attack_sentences : list
        Trainings, and what their attacks did.
    facts : list of (str, str)
        Provenance by name.
    """

    target: str
    unit: str
    source: str
    n_rows: int | None
    n_seeds: int
    methods: list[NamedMethod]
    columns: list[Column]
    rows: list[MethodRow]
    gains: list[Gain]
    cells: list[Cell]
    failures: list[Failure]
    verdict: str
    cautions: list[Caution]
    intervals: IntervalEvaluation | None
    parity: list[PointPanel]
    maps: list[PointPanel]
    histograms: list[Histogram]
    curves: list[Curve]
    attack_curves: list[Curve]
    attack_sizes: list[AttackSize]
    attacks: list[LastAttack]
    attack_sentences: list[str]
    intake: Intake | None
    facts: list[tuple[str, str]]
    config: Json
    provenance: Json
    points_per_panel: int = POINTS_PER_PANEL


def build_run_report(folder: Path) -> RunReport:
    """Read the results of a run and work out everything that its report shows.

    Parameters
    ----------
    folder : Path
        Holds ``results.json``; ``predictions.parquet`` and ``map.parquet`` are optional, and the
        figures that need a missing one are left out.

    Raises
    ------
    DataError
        If a file cannot be read, see `read_results`.
    """
    results = read_results(folder)
    predictions = _read_table(folder / "predictions.parquet")
    table = _read_table(folder / "map.parquet")
    summary = RunSummary(results.records)
    columns = list_columns(results.splits, summary)
    curves = training_curves(results.histories)
    sizes = attack_sizes(curves)
    data, unit = results.known.data, results.known.data.unit or ""
    saved = results.model.method if results.model else None
    intervals = evaluate_intervals(predictions, columns, saved)
    failures = list_failures(results.records)
    cautions = [
        *score_cautions(columns, failures, results.n_seeds),
        *attack_cautions(sizes, curves),
        *interval_caution(intervals),
        *intake_cautions(results.intake, unit),
    ]
    fits = {
        one.split: [other.split for other in columns if other.fit == one.fit] for one in columns
    }
    shifted = [column.split for column in columns if column.role == "ood"]
    every = summary.methods(variants=True)
    return RunReport(
        target=data.target or "target",
        unit=unit,
        source=data.source or folder.name,
        n_rows=data.rows,
        n_seeds=results.n_seeds,
        methods=[NamedMethod(name, method_note(name, results.config)) for name in every],
        columns=columns,
        rows=[
            MethodRow(
                method,
                [summary.cell(method, column.split, column.role) for column in columns],
                summary.cost(method, columns),
            )
            for method in summary.methods()
        ],
        gains=_gains(summary, columns, describe_gap(results.config)),
        cells=_all_cells(summary, columns),
        failures=failures,
        verdict=write_verdict(columns, unit),
        cautions=sorted(cautions, key=lambda caution: caution.level != "stop"),
        intervals=intervals,
        parity=[]
        if predictions is None
        else parity_panels(predictions, _shown_methods(columns), fits),
        maps=[] if table is None else map_panels(table, shifted),
        histograms=[] if predictions is None else histograms(predictions, table, fits),
        curves=curves,
        attack_curves=attack_curves(curves),
        attack_sizes=sizes,
        attacks=last_attacks(curves),
        attack_sentences=[describe_attack(size) for size in sizes],
        intake=results.intake,
        facts=_facts(results),
        config=results.config,
        provenance=results.provenance,
    )


def render_run(report: RunReport) -> str:
    """Return the page of a run."""
    sections = build_figures(report)
    return render_page(
        "run.html.j2",
        (panel for panels in sections.values() for panel in panels),
        p=report,
        sections=sections,
        colours=method_colours([method.name for method in report.methods]),
        roles=ROLE_COLOURS,
        split_styles=split_styles(report.columns),
    )


def _read_table(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise DataError(f"cannot read {path}: {error}; delete it to report without it") from error


def _gains(summary: RunSummary, columns: Sequence[Column], gap: str) -> list[Gain]:
    """Compare ``cal`` in every column with its control and with ``erm``, where both were run."""
    found = []
    for first, second, note in (("cal", _CONTROL, "the attack alone"), ("cal", "erm", gap)):
        pairs = [summary.paired(first, second, one.split, one.role) for one in columns]
        if any(pairs):
            found.append(Gain(f"{first} against {second}", note, pairs))
    return found


def _all_cells(summary: RunSummary, columns: Sequence[Column]) -> list[Cell]:
    """Return every score, with the variants and the ID rows of the OOD splits."""
    cells = [
        summary.cell(method, column.split, role)
        for column in columns
        for role in (("id",) if column.role == "id" else ("id", "ood"))
        for method in summary.methods(variants=True)
    ]
    return [cell for cell in cells if cell]


def _facts(results: RunResults) -> list[tuple[str, str]]:
    data, model = results.known.data, results.model
    first = {
        "saved model": f"{model.method} ({model.rule})" if model else None,
        "data": data.source,
        "conditions": data.conditions,
        "data hash": f"SHA-256 {data.sha256}" if data.sha256 else None,
    }
    return list_facts(first, results.known)


def _shown_methods(columns: Sequence[Column]) -> list[str]:
    """Return the most frequent winner that is not a network, erm and cal."""
    winners = [column.best.method for column in columns if column.best]
    others = [name for name in winners if name not in {"erm", "cal", _CONTROL, DUMMY}]
    best = max(dict.fromkeys(others), key=others.count, default=None)
    return [name for name in (best, "erm", "cal") if name]
