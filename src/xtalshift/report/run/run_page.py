"""The report of a run: its folder to one typed payload, and the payload to a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from xtalshift.benchmark.explanation import Explanation
from xtalshift.benchmark.records import CANDIDATES_FILE, PREDICTIONS_FILE, TRUST_COLUMNS
from xtalshift.benchmark.run_results import Record, RunResults, read_results
from xtalshift.errors import DataError
from xtalshift.model.class_predictions import probability_column
from xtalshift.report.run.attacks import (
    AttackSize,
    Curve,
    attack_cautions,
    attack_curves,
    attack_sizes,
    describe_attack,
    training_curves,
)
from xtalshift.report.run.candidates import (
    CANDIDATE_NUMBERS,
    CANDIDATE_TEXTS,
    CandidatesReport,
    report_candidates,
)
from xtalshift.report.run.class_candidates import (
    CLASS_TEXTS,
    ClassCandidates,
    report_class_candidates,
)
from xtalshift.report.run.classes import ClassReport, report_classes
from xtalshift.report.run.drivers import describe_drivers
from xtalshift.report.run.expectation import Expectation, expect_of_run
from xtalshift.report.run.learning import Learning, build_learning
from xtalshift.report.run.mistakes import Mistakes, describe_lifts, describe_mistakes, find_mistakes
from xtalshift.report.run.run_figures import ROLE_COLOURS
from xtalshift.report.run.run_summary import (
    Cell,
    Column,
    Pair,
    RunSummary,
    list_columns,
    list_failures,
    typical_factors,
)
from xtalshift.report.run.run_text import intake_cautions, score_cautions, write_verdict
from xtalshift.report.run.samples import (
    INTERVALS_PER_PANEL,
    POINTS_PER_PANEL,
    Histogram,
    IntervalPoints,
    PointPanel,
    histograms,
    interval_panels,
    map_panels,
    parity_panels,
)
from xtalshift.report.run.saved_model import describe_model
from xtalshift.report.run.sections import build_figures, make_sections
from xtalshift.report.run.worst import WorstCompound, build_worst
from xtalshift.report.shared.glossary import GLOSSARY
from xtalshift.report.shared.html import render_page
from xtalshift.report.shared.interval_evaluation import (
    IntervalEvaluation,
    evaluate_intervals,
    interval_caution,
    split_styles,
)
from xtalshift.report.shared.methods import DUMMY, describe_gap, method_colours, method_note
from xtalshift.report.shared.text import Caution, as_sentence, list_facts

_CONTROL = "cal-eps0"
_PREDICTION_TEXTS = ("method", "split", "role", "id", "formula")
_PREDICTION_NUMBERS = ("seed", "target", "prediction")
_CLASS_TEXTS = (*_PREDICTION_TEXTS, "target", "prediction")
_MAP_TEXTS = ("id", "formula")
_MAP_NUMBERS = ("target", "pc1", "pc2")


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


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything that page and tables of a run show, besides its `results`.

    `candidates` and `class_candidates` are what to believe about the candidates, if there are some.
    `expectation`, `mistakes`, `worst`, `interval_parity`, `learning` and `driver_sentences` are
    about the chosen method: what to expect of it, where it goes wrong, its worst compounds, its
    predictions with intervals, its errors with fewer training rows, and the features that it needs.
    `columns`, `rows`, `gains` and `cells` are the errors: splits, methods, comparisons of cal, and
    all scores with variants and ID rows. `classes` is about the chosen method, if the target is a
    class. `parity`, `maps` and `histograms` are samples of rows,
    empty without the tables they need. `model` are sentences about the saved model. The gravest
    caution comes first.
    """

    results: RunResults
    source: str
    candidates: CandidatesReport | None
    class_candidates: ClassCandidates | None
    expectation: Expectation | None
    mistakes: Mistakes | None
    mistake_sentences: list[str]
    worst: list[WorstCompound]
    interval_parity: list[IntervalPoints]
    learning: Learning | None
    driver_sentences: list[str]
    methods: list[tuple[str, str]]
    columns: list[Column]
    rows: list[MethodRow]
    gains: list[Gain]
    cells: list[Cell]
    classes: ClassReport | None
    failures: list[list[Record]]
    verdict: str
    cautions: list[Caution]
    intervals: IntervalEvaluation | None
    parity: list[PointPanel]
    maps: list[PointPanel]
    histograms: list[Histogram]
    curves: list[Curve]
    attack_curves: list[Curve]
    attack_sizes: list[AttackSize]
    attack_sentences: list[str]
    model: list[str]
    facts: list[tuple[str, str]]

    @property
    def extremes(self) -> str:
        """Which targets a search looks for: ``highest`` or ``lowest``."""
        return "lowest" if _tail(self.results) == "low" else "highest"

    @property
    def logarithmic(self) -> bool:
        """Whether the models were trained on logarithms of the target."""
        return self.results.transform == "log"

    @property
    def searched(self) -> bool:
        """Whether any split has extremes to find."""
        return any(cell and cell.describe_search() for row in self.rows for cell in row.cells)


def build_run_report(folder: Path) -> RunReport:
    """Read the results of a run and work out everything that its report shows.

    Parameters
    ----------
    folder : Path
        Holds ``results.json``; ``predictions.parquet``, ``map.parquet`` and ``candidates.parquet``
        are optional, and what needs a missing one is left out.

    Raises
    ------
    DataError
        If a file cannot be read, see `read_results`.
    """
    results = read_results(folder)
    predictions, named = None, None
    if results.classes is None:
        predictions = _read_table(folder / PREDICTIONS_FILE, _PREDICTION_TEXTS, _PREDICTION_NUMBERS)
    else:  # panels that compare numbers are left out
        shares = [probability_column(name) for name in results.classes]
        named = _read_table(folder / PREDICTIONS_FILE, _CLASS_TEXTS, ("seed", *shares))
    table = _read_table(folder / "map.parquet", _MAP_TEXTS, _MAP_NUMBERS)
    predicted = told = None
    if results.class_answer is None:
        predicted = _read_table(folder / CANDIDATES_FILE, CANDIDATE_TEXTS, CANDIDATE_NUMBERS)
    else:
        told = _read_table(folder / CANDIDATES_FILE, CLASS_TEXTS, ())
    logarithmic = results.transform == "log"
    factors = None if predictions is None or not logarithmic else typical_factors(predictions)
    summary = RunSummary(results.records, factors)
    columns = list_columns(results.splits, summary)
    curves = training_curves(results.histories)
    sizes = attack_sizes(curves)
    saved = results.model.method if results.model else None
    intervals = evaluate_intervals(predictions, [column.rows for column in columns], saved)
    chosen = summary.chosen(saved, columns)
    failures = list_failures(results.records)
    cautions = [
        *(Caution("stop", as_sentence(text)) for text in results.known_target),
        *score_cautions(columns, failures, results.n_seeds),
        *attack_cautions(sizes, curves),
        *interval_caution(intervals),
        *intake_cautions(results.intake, results.unit),
        *_explanation_cautions(results.explanation),
    ]
    fits = {
        one.split: [other.split for other in columns if other.fit == one.fit] for one in columns
    }
    shifted = [column.split for column in columns if column.role == "ood"]
    explained = results.explanation
    every = summary.methods(variants=True)
    cells = _all_cells(summary, columns)
    mistakes = (
        None
        if predictions is None or chosen is None
        else find_mistakes(predictions, table, chosen, fits, logarithmic=logarithmic)
    )
    return RunReport(
        results=results,
        source=results.provenance.data.source or folder.name,
        candidates=report_candidates(results.answer, predicted, results.unit),
        class_candidates=report_class_candidates(results.class_answer, told),
        expectation=None
        if results.classes is not None
        else expect_of_run(
            chosen,
            results.model,
            columns,
            summary,
            intervals,
            unit=results.unit,
            tail=_tail(results),
            answered=results.answer is not None,
        ),
        mistakes=mistakes,
        mistake_sentences=describe_mistakes(mistakes, results.unit) if mistakes else [],
        worst=[]
        if explained is None
        else build_worst(
            explained.worst,
            {column.split: column.label for column in columns},
            logarithmic=logarithmic,
        ),
        interval_parity=[]
        if predictions is None or chosen is None
        else interval_panels(predictions, chosen, [(one.split, one.role) for one in columns]),
        learning=None
        if explained is None or explained.learning is None
        else build_learning(explained.learning, explained.method, columns, results.unit),
        driver_sentences=[]
        if explained is None or explained.drivers is None
        else [
            describe_drivers(explained.drivers, explained.method),
            describe_lifts(mistakes, results.unit) if mistakes else "",
        ],
        methods=[(name, method_note(name, results.config)) for name in every],
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
        cells=cells,
        classes=None
        if results.classes is None
        else report_classes(named, results.classes, chosen, columns, cells),
        failures=failures,
        verdict=write_verdict(columns, results.unit, results.error_name),
        cautions=sorted(cautions, key=lambda caution: caution.level != "stop"),
        intervals=intervals,
        parity=[]
        if predictions is None
        else parity_panels(predictions, _shown_methods(columns), fits),
        maps=[] if table is None else map_panels(table, shifted),
        histograms=[]
        if predictions is None
        else histograms(predictions, table, fits, logarithmic=logarithmic),
        curves=curves,
        attack_curves=attack_curves(curves),
        attack_sizes=sizes,
        attack_sentences=[describe_attack(size) for size in sizes],
        model=_model_sentences(results),
        facts=_facts(results),
    )


def render_run(report: RunReport) -> str:
    """Return the page of a run."""
    parts = make_sections(report)
    sections = build_figures(parts)
    return render_page(
        "run.html.j2",
        (panel for panels in sections.values() for panel in panels),
        p=report,
        parts=parts,
        r=report.results,
        points_per_panel=POINTS_PER_PANEL,
        intervals_per_panel=INTERVALS_PER_PANEL,
        glossary=GLOSSARY,
        sections=sections,
        colours=method_colours([name for name, _ in report.methods]),
        roles=ROLE_COLOURS,
        split_styles=split_styles([column.rows for column in report.columns]),
    )


def _read_table(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame | None:
    """Return a table with columns of texts and of numbers; None if there is no file."""
    if not path.exists():
        return None
    remedy = "delete it to report without it"
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise DataError(f"cannot read {path}: {error}; {remedy}") from error
    for name in (*texts, *numbers):
        if name not in frame:
            raise DataError(f"{path} has no column {name!r}; {remedy}")
    for name in (*numbers, *(name for name in TRUST_COLUMNS if name in frame)):
        if not (is_numeric_dtype(frame[name]) or frame[name].isna().all()):
            raise DataError(f"{path}: column {name!r} has cells that are no numbers; {remedy}")
    return frame


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


def _explanation_cautions(found: Explanation | None) -> list[Caution]:
    reasons = found.failures if found else ()
    return [Caution("care", f"A part of this page was not measured: {one}.") for one in reasons]


def _tail(results: RunResults) -> str:
    split = results.config.get("split")
    tail = split.get("tail") if isinstance(split, dict) else None
    return tail if isinstance(tail, str) else "high"


def _model_sentences(results: RunResults) -> list[str]:
    if results.model is None:
        return []
    minutes = results.config.get("minutes")
    known = float(minutes) if isinstance(minutes, int | float) else None
    return describe_model(results.model, results.unit, known)


def _facts(results: RunResults) -> list[tuple[str, str]]:
    data = results.provenance.data
    first = {
        "data": data.source,
        "conditions": data.conditions,
        "data hash": f"SHA-256 {data.sha256}" if data.sha256 else None,
    }
    return list_facts(first, results.provenance)


def _shown_methods(columns: Sequence[Column]) -> list[str]:
    """Return the most frequent winner that is not a network, erm and cal."""
    winners = [column.best.method for column in columns if column.best]
    others = [name for name in winners if name not in {"erm", "cal", _CONTROL, DUMMY}]
    best = max(dict.fromkeys(others), key=others.count, default=None)
    return [name for name in (best, "erm", "cal") if name]
