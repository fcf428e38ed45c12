"""Results of a run and of a benchmark as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from xtalshift.report.shared.text import format_ratio
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.benchmark.several_results import SeveralResults
    from xtalshift.benchmark.summary_records import BenchmarkSummary
    from xtalshift.report.run.run_page import RunReport
    from xtalshift.report.run.run_summary import Cell

_N_FAILURES = 5


def print_errors(report: RunReport) -> None:
    """Print the error of every method on every set of test rows."""
    heads = [f"{column.split}\n{column.role.upper()}" for column in report.columns]
    console, table = open_table(["method"], heads)
    for row in report.rows:
        cells = [
            "" if cell is None else "failed" if cell.error is None else _describe(cell)
            for cell in row.cells
        ]
        table.add_row(escape(row.method), *cells, _format_seconds(row.seconds))
    unit = f" in {report.results.unit}" if report.results.unit else ""
    error, constant = f"MAE{unit}", "predicting the mean"
    if report.results.classes is not None:
        error, constant = "Log loss", "predicting the shares of the classes"
    many = f", mean over {report.results.n_seeds} seeds" if report.results.n_seeds > 1 else ""
    more = "; then the factor by which a prediction is typically wrong" * report.logarithmic
    say(console, f"{error} (in brackets: relative to {constant}{more}){many}")
    console.print(table)
    if any(":" in name for name, _ in report.methods):
        say(console, "Last and averaged (EMA) weights of the networks: see the report.")


def print_overall(results: SeveralResults) -> None:
    """Print the errors of every method over all targets."""
    from xtalshift.report.several.several_page import overall_table

    found = overall_table(results)
    heads = [f"{split}\n{role.upper()}" for split, role in found.heads]
    console, table = open_table(["method"], heads, cost=False)
    for row in found.rows:
        table.add_row(escape(row.method), *(text for text, _ in row.cells))
    kinds = {target.classes is None for target in results.targets}
    measures = [*(["MAE"] if True in kinds else []), *(["log loss"] if False in kinds else [])]
    constants = [
        *(["the mean"] if True in kinds else []),
        *(["the shares"] if False in kinds else []),
    ]
    say(
        console,
        f"All {len(results.targets)} targets: mean of {' or '.join(measures)} relative to "
        f"predicting {' or '.join(constants)}",
    )
    console.print(table)


def _describe(cell: Cell) -> str:
    """Return ``mae (mae_over_dummy; x factor)``."""
    text = cell.describe()
    return text if cell.factor is None else f"{text[:-1]}; x{format_ratio(cell.factor)})"


def print_search(report: RunReport) -> None:
    """Print how well every method finds the extreme targets on every split that has some."""
    if not report.searched:
        return
    console, table = open_table(["method"], [column.split for column in report.columns], cost=False)
    for row in report.rows:
        cells = ["" if cell is None else cell.describe_search() for cell in row.cells]
        table.add_row(escape(row.method), *cells)
    unit = f", in {report.results.unit}" if report.results.unit else ""
    say(
        console,
        f"Search for the {report.extremes} 5 % of the targets of each split (ID and OOD rows): "
        "share found among as many picks (chance: 5%); in brackets"
        f"{unit}: how far the best of 10 picks is from the best row (regret)",
    )
    console.print(table)


def print_coverage(report: RunReport) -> None:
    """Print the coverage of the 90 % intervals of the saved method, if it has any."""
    found = report.intervals
    parts = [
        part
        for method in (found.methods if found else [])
        if found and method.method == found.saved
        for part in method.parts
    ]
    if not parts:
        return
    from xtalshift.report.shared.text import join_words

    shares = [f"{100 * part.coverage:.0f} % on {part.rows.split}" for part in parts]
    method = found.saved if found else ""
    say(
        Console(highlight=False),
        f"Coverage of the 90 % intervals of {method}: {join_words(shares)}",
    )


def print_cautions(report: RunReport) -> None:
    """Print the cautions of a run that its page lists."""
    if report.cautions:
        console = Console(highlight=False)
        say(console, "Before you rely on these numbers:")
        for caution in report.cautions:
            say(console, f"- {caution.text}")


def print_leaderboard(summary: BenchmarkSummary) -> None:
    """Print the methods by average rank for each number of target labels, and the failures.

    The error on ID rows stands beside the OOD errors as its mean over the splits, relative to
    predicting the mean: as a column of its own for each split it would double the table.
    """
    splits = [split for split in summary.splits if split.role == "ood"] or list(summary.splits)
    several = len({split.data for split in splits}) > 1
    heads = [
        (f"{one.data}\n" if several else "") + f"{one.split}\n{one.role.upper()}" for one in splits
    ]
    cells = {(one.data, one.split, one.role, one.label): one for one in summary.cells}
    inside = _mean_id_errors(summary) if splits != list(summary.splits) else {}
    error = summary.measure
    shown = error[0].upper() + error[1:]
    constant = "the dummy" if "log loss" in error else "predicting the mean"
    for scenario in summary.scenarios:
        labels = f"with {scenario.budget}" if scenario.budget else "without"
        first = ["method", "rank", *(["ID over\nthe mean"] if inside else [])]
        console, table = open_table(first, heads)
        say(
            console,
            f"{shown} {labels} target labels (in brackets: relative to {constant}); average "
            f"rank over {scenario.n_complete} tasks ({scenario.unit})",
        )
        for row in scenario.methods:
            keys = [(one.data, one.split, one.role, row.label) for one in splits]
            found = [cells.get(key) for key in keys]
            seconds = [one.seconds for one in found if one and one.seconds is not None]
            label = escape(row.label)
            table.add_row(
                f"[bold]{label}[/bold]" if row.bold else label,
                "" if row.rank is None else f"{row.rank:.1f}",
                *([inside.get(row.label, "")] if inside else []),
                *(cell.describe() if cell else "" for cell in found),
                _format_seconds(sum(seconds) / len(seconds) if seconds else None),
            )
        console.print(table)
    console = Console(highlight=False)
    _say_published(summary, console)
    if any(row.bold for scenario in summary.scenarios for row in scenario.methods):
        text = (
            "Bold: the best rank, and methods that do not differ significantly from it but do "
            "differ from the dummy (paired Wilcoxon tests, Holm-corrected)."
        )
    else:
        text = "Nothing is bold: no method differs significantly from the best one."
    say(console, text)
    left = f", {summary.n_left:,} left" if summary.n_left else ""
    failed = f", {summary.n_failed:,} failed" if summary.n_failed else ""
    partly = f"; {plural(summary.n_unscored, 'split')} not scored" if summary.n_unscored else ""
    say(
        console,
        f"{summary.n_done:,} of {plural(summary.n_tasks, 'task')} done{left}{failed}{partly}",
    )
    for failure in summary.failures[:_N_FAILURES]:
        say(
            console,
            f"  failed: {failure.name} on {failure.split} fold {failure.fold}, seed "
            f"{failure.seed}: {failure.reason}",
        )
    if len(summary.failures) > _N_FAILURES:
        say(console, f"  and {len(summary.failures) - _N_FAILURES} more, see records.jsonl")


def _mean_id_errors(summary: BenchmarkSummary) -> dict[str, str]:
    """Return the error on ID rows, relative to predicting the mean, of each method as text."""
    found: dict[str, list[float]] = {}
    for cell in summary.cells:
        if cell.role == "id" and cell.mae_over_dummy is not None:
            found.setdefault(cell.label, []).append(cell.mae_over_dummy)
    return {label: f"{sum(ratios) / len(ratios):.2f}" for label, ratios in found.items()}


def _say_published(summary: BenchmarkSummary, console: Console) -> None:
    """Print the published errors on each split in one line."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in sorted(summary.settings.published, key=lambda one: one.mae):
        found.setdefault((one.data, one.split), []).append(f"{one.method} {one.mae:.4g}")
    for (data, split), errors in found.items():
        say(console, f"Published MAE on {data}, {split}: {', '.join(errors)}")


def open_table(
    first: Sequence[str], heads: Sequence[str], *, cost: bool = True
) -> tuple[Console, Table]:
    """Return a table with a column per set of test rows, and a console that is wide enough."""
    table = Table(
        Column(first[0], no_wrap=True),
        *(Column(name, justify="right") for name in first[1:]),
        *(Column(escape(head), justify="right", overflow="fold") for head in heads),
        *([Column("s", justify="right")] if cost else []),
        box=SIMPLE_HEAD,  # borders would take space from the digits on a narrow terminal
        padding=(0, 1, 0, 0),
    )
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=50 + 18 * len(heads))
    return console, table


def _format_seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def say(console: Console, text: str) -> None:
    """Print a text whose brackets are no markup, and which the terminal breaks."""
    console.print(text, markup=False, soft_wrap=True)
