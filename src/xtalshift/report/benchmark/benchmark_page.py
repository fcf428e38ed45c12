"""The report of a benchmark: its folder to one typed payload, and the payload to a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xtalshift.benchmark.summary_records import BenchmarkSummary, FailedTask, read_summary
from xtalshift.report.benchmark.benchmark_figures import (
    KINDS,
    build_benchmark_figures,
    curve_styles,
)
from xtalshift.report.benchmark.benchmark_text import (
    BoardText,
    describe_board,
    list_cautions,
    write_verdict,
)
from xtalshift.report.benchmark.leaderboard import (
    Board,
    Cells,
    CurvePanel,
    FoldPanel,
    Place,
    PublishedPanel,
    build_board,
    list_curves,
    list_folds,
    list_places,
    list_published,
)
from xtalshift.report.shared.figures import FOLD_KINDS
from xtalshift.report.shared.html import render_page
from xtalshift.report.shared.text import Caution, list_facts


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """Everything that the page of a benchmark shows besides its `summary`.

    There is one board with its `texts` per number of target labels; `places` are the splits of all
    tables, `curves` and `folds` the errors by number of target labels and by fold, `published` are
    those of others.
    """

    summary: BenchmarkSummary
    places: list[Place]
    boards: list[Board]
    texts: list[BoardText]
    curves: list[CurvePanel]
    folds: list[FoldPanel]
    published: list[PublishedPanel]
    failures: list[list[FailedTask]]
    verdict: list[str]
    cautions: list[Caution]
    facts: list[tuple[str, str]]

    @property
    def curve_styles(self) -> dict[str, tuple[str, str]]:
        """Colour and dash of each learning curve."""
        curves = [one for panel in self.curves for one in panel.methods]
        return curve_styles(one.label for one in curves if not one.variant)


def build_benchmark_report(folder: Path) -> BenchmarkReport:
    """Read the summary of a benchmark and work out everything that its page shows.

    Raises
    ------
    DataError
        If ``summary.json`` cannot be read, see `read_summary`.
    """
    summary = read_summary(folder)
    places, cells = list_places(summary), Cells(summary)
    boards = [build_board(summary, scenario, places, cells) for scenario in summary.scenarios]
    texts = [describe_board(board, places) for board in boards]
    return BenchmarkReport(
        summary=summary,
        places=places,
        boards=boards,
        texts=texts,
        curves=list_curves(summary, places, cells),
        folds=list_folds(summary, places, boards),
        published=list_published(summary, places, cells),
        failures=_group_failures(summary.failures),
        verdict=write_verdict(boards, texts, places),
        cautions=list_cautions(summary, boards, texts, places),
        facts=_facts(summary),
    )


def render_benchmark(report: BenchmarkReport) -> str:
    """Return the page of a benchmark."""
    sections = build_benchmark_figures(report)
    return render_page(
        "benchmark.html.j2",
        (panel for panels in sections.values() for panel in panels),
        p=report,
        r=report.summary,
        sections=sections,
        kinds=KINDS,
        labels=FOLD_KINDS,
        styles=report.curve_styles,
        budget_names=[f"{board.budget:,}" if board.budget else "none" for board in report.boards],
        seen_labels={label for one in report.folds for fold in one.folds for label in fold.labels},
    )


def _group_failures(failures: Sequence[FailedTask]) -> list[list[FailedTask]]:
    """Return tasks of one method that failed for one reason together."""
    groups: dict[tuple[str, int | None, str | None], list[FailedTask]] = {}
    for one in failures:
        groups.setdefault((one.name, one.budget, one.reason), []).append(one)
    return list(groups.values())


def _facts(summary: BenchmarkSummary) -> list[tuple[str, str]]:
    spec, trials = summary.settings, summary.settings.tuning.get("trials")
    changed = [
        f"{one['name']}: {json.dumps(one['params'], ensure_ascii=False)}"
        for one in spec.methods
        if not isinstance(one, str) and one.get("params")
    ]
    first = {
        "features": ", ".join(spec.features),
        "seeds": f"{spec.seeds}, from {spec.seed} on" if spec.seeds else None,
        "target labels": ", ".join(str(budget) for budget in spec.budgets),
        "own arguments": "; ".join(changed),
        "tuning": f"{trials} trainings per task, by validation error" if trials else "none",
        "data hash": "; ".join(
            f"{one.name}: SHA-256 {one.sha256}" for one in summary.data if one.sha256
        ),
    }
    return list_facts(first, summary.provenance)
