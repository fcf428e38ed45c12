"""The answer about candidates on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from xtalshift.cli.tables import open_table, say
from xtalshift.report.shared.answer_text import (
    error_sentences,
    measure_sentence,
    unlike_sentences,
    verdict_sentence,
)
from xtalshift.report.shared.text import format_number, format_percent

if TYPE_CHECKING:
    from xtalshift.benchmark.answer import Answer


def print_answer(answer: Answer, unit: str) -> None:
    """Print the verdict, the error to expect, the hold-outs behind it, and what to measure."""
    console = Console(highlight=False)
    say(console, "")
    say(console, verdict_sentence(answer))
    for sentence in (*error_sentences(answer, unit), *unlike_sentences(answer)):
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
            "" if left is None else f"x{left:.2f}",
        )
    say(console, "Hold-outs of your data that imitate the candidates (--proxies names others):")
    console.print(table)
    if text := measure_sentence(answer):
        say(console, text)
