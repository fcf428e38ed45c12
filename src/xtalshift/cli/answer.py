"""The answer about candidates on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from xtalshift.cli.tables import open_table, say
from xtalshift.report.shared.text import format_number, format_percent

if TYPE_CHECKING:
    from xtalshift.report.run.candidates import CandidatesReport, PredictedRow
    from xtalshift.report.run.class_candidates import ClassCandidates


_SHOWN = 5
"""Candidates at either end of the order."""


def print_answer(found: CandidatesReport, unit: str) -> None:
    """Print the verdict, what it rests on, the ends of the order, and what to measure."""
    answer = found.answer
    console = Console(highlight=False)
    say(console, "")
    say(console, found.verdict)
    for sentence in (*found.errors, *found.unlike):
        say(console, f"  {sentence}")
    heads = ["rows", "distance", "MAE", "MAE of\nthe mean", "rank\ncorrelation", "90 %\nintervals"]
    console, table = open_table(["hold-out"], [*heads, "after\nmeasuring"], cost=False)
    for one in answer.proxies:
        left = None if not one.mae_before or one.mae_after is None else (
            one.mae_after / one.mae_before
        )  # fmt: skip
        table.add_row(
            escape(one.name),
            f"{one.n:,}",
            f"{one.distance_ratio:.1f}",
            format_number(one.mae),
            format_number(one.mae_dummy),
            "" if one.spearman is None else f"{one.spearman:.2f}",
            "" if one.coverage is None else format_percent(one.coverage),
            "" if left is None else f"x{left:.2f} ({one.n_measured})",
        )
    say(console, "Hold-outs of your data that imitate the candidates (--proxies names others):")
    console.print(table)
    ends = [*found.highest, *found.lowest]
    _print_ends(ends[:_SHOWN], ends[_SHOWN:][-_SHOWN:], unit)
    if found.measure:
        say(console, found.measure)
        say(console, found.next_step)


def print_class_answer(found: ClassCandidates) -> None:
    """Print the same of candidates of classes."""
    console = Console(highlight=False)
    say(console, "")
    say(console, found.verdict)
    for sentence in (*found.errors, *found.unlike):
        say(console, f"  {sentence}")
    heads = ["rows", "distance", "log loss", "of the\nshares", "correct", "90 %\nsets"]
    console, table = open_table(["hold-out"], heads, cost=False)
    for one in found.answer.proxies:
        table.add_row(
            escape(one.name),
            f"{one.n:,}",
            f"{one.distance_ratio:.1f}",
            format_number(one.log_loss),
            format_number(one.log_loss_dummy),
            format_percent(one.accuracy),
            "" if one.coverage is None else format_percent(one.coverage),
        )
    say(console, "Hold-outs of your data that imitate the candidates (--proxies names others):")
    console.print(table)
    console, table = open_table(["candidate", "class", "90 % set"], ["probability"], cost=False)
    ends = [*found.surest, *found.least_sure]
    for row in (*ends[:_SHOWN], *ends[_SHOWN:][-_SHOWN:]):
        known = f" (measured: {row.measured})" if row.measured else ""
        table.add_row(
            escape(row.name),
            escape(f"{row.prediction}{known}"),
            escape(row.prediction_set),
            format_percent(row.probability),
        )
    if found.surest:
        say(console, "The surest and the least sure:")
        console.print(table)
    if found.measure:
        say(console, found.measure)
        say(console, found.next_step)


def _print_ends(highest: Sequence[PredictedRow], lowest: Sequence[PredictedRow], unit: str) -> None:
    """Print the candidates at both ends of the order."""
    head = f"prediction{f' ({unit})' if unit else ''}"
    console, table = open_table(["rank", "candidate"], [head, "90 % interval"], cost=False)
    for row in (*highest, *lowest):
        known = "" if row.measured is None else f"; measured {format_number(row.measured)}"
        table.add_row(
            f"{row.rank:,}",
            escape(row.name),
            format_number(row.prediction),
            f"{format_number(row.lower)} to {format_number(row.upper)}{known}",
        )
    if highest:
        say(console, "The highest and the lowest:")
        console.print(table)
