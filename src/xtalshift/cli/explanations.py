"""Explanations of predictions on the terminal: tables with bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from xtalshift.model.explaining.record import Contribution, Explanation, Predicted, Scale

_HALF = 9
"""Characters of the longest bar, to each side."""
_PREFIX = "MagpieData "  # of most features: says nothing about them
_EIGHTHS = " ▏▎▍▌▋▊▉"


def print_explanations(
    explanations: Sequence[Explanation], *, level: float, top: int, console: Console | None = None
) -> None:
    """Print explanations.

    Parameters
    ----------
    explanations : sequence of Explanation
    level : float
        Level of the intervals.
    top : int
        Families and features to show; the others are summed.
    console : Console, optional
        Where to print; by default the terminal.
    """
    console = console or Console(highlight=False)
    for number, one in enumerate(explanations):
        if number:
            console.print()
        if one.itself is None:
            console.print(f"{_name(one)}  {escape(one.reason)}")
            continue
        for line in headline(one, level):
            console.print(line)
        _print_parts(console, one, top)
        _print_substitutions(console, one)


def _name(one: Explanation) -> str:
    """Return the formula, with the id of a crystal."""
    return f"[bold]{escape(one.formula)}[/bold]{escape(f' ({one.id})' if one.id else '')}"


def headline(one: Explanation, level: float) -> list[str]:
    """Return what is predicted, how far to trust it, and what it is compared with."""
    assert one.itself is not None
    what = f"{one.target} is {one.label!r}" if one.label else one.target
    doubt = ""
    if one.itself.in_domain is False:
        doubt = " [bold yellow]Out of domain: the reasons are as doubtful as the prediction.[/]"
    first = (
        f"{_name(one)}  {escape(what)}: {escape(_shown(one, one.itself))}"
        f"{_interval(one.itself, level)}.{doubt}"
    )
    second = f"Mean of {one.compared} training materials: {_level(one, one.base)}."
    return [first, f"{escape(second)} {escape(_difference(one))}"]


def amount(contribution: float, scale: Scale) -> str:
    """Return a contribution as it is read: a sum, or a factor on a logarithmic scale."""
    if scale == "log":
        return f"x {math.exp(contribution):.3g}"
    return f"{contribution:+.4g}"


def _with_error(part: Contribution, scale: Scale) -> str:
    """Return a contribution with its standard error."""
    shown = amount(part.contribution, scale)
    if scale == "log":
        return f"{shown} ± {100 * math.expm1(part.error):.2g} %"
    return f"{shown} ± {part.error:.2g}"


def _difference(one: Explanation) -> str:
    unit = {"unit": f" {one.unit}".rstrip(), "log": "", "log odds": ""}[one.scale]
    moved = one.value - one.base
    kind = {
        "unit": f"What makes up the difference of {moved:+.4g}{unit}:",
        "log": f"What makes up the factor of {math.exp(moved):.3g}:",
        "log odds": f"What makes up the difference of {moved:+.3g} in log odds:",
    }
    return kind[one.scale]


def _level(one: Explanation, value: float) -> str:
    """Return a number on the scale as a prediction."""
    if one.scale == "log odds":
        return f"probability {1 / (1 + math.exp(-value)):.1%}, as log odds {value:+.2f}"
    number = math.exp(value) if one.scale == "log" else value
    kind = " (geometric mean)" if one.scale == "log" else ""
    return f"{number:.4g}{f' {one.unit}' if one.unit else ''}{kind}"


def _shown(one: Explanation, found: Predicted) -> str:
    if one.label:
        return f"probability {found.prediction:.1%}"
    return f"{found.prediction:.4g}{f' {one.unit}' if one.unit else ''}"


def _interval(found: Predicted, level: float) -> str:
    if found.lower is None and found.upper is None:
        return ""
    low, high = (
        "unbounded" if bound is None else f"{bound:.4g}" for bound in (found.lower, found.upper)
    )
    return f", \\[{low}, {high}] at {100 * level:g} %"


def _print_parts(console: Console, one: Explanation, top: int) -> None:
    parts = [*one.elements, *one.families, *one.features[:top]]
    longest = max((abs(part.contribution) for part in parts), default=0.0)
    head = {"unit": one.unit or "adds", "log": "factor", "log odds": "log odds"}[one.scale]
    table = Table("", "", head, "", box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.columns[1].justify = table.columns[2].justify = "right"

    def add(title: str, rows: Sequence[Contribution], reason: str, rest: float | None) -> None:
        table.add_row(f"[bold]{title}[/bold]", "", "", "")
        if reason:
            table.add_row(f"  {escape(reason)}", "", "", "")
        for part in rows:
            table.add_row(
                f"  {escape(part.name.removeprefix(_PREFIX))}",
                _value(part),
                _with_error(part, one.scale),
                _bar(part.contribution, longest),
            )
        if rest is not None:
            table.add_row("  all others", "", amount(rest, one.scale), "")

    add("Elements", one.elements, one.no_elements, None)
    add("Kinds of features", *_first(one.families, top, one.no_features))
    if one.features:
        add("Single features", *_first(one.features, top, ""))
        if one.lacks:
            table.add_row(
                "  [dim]not shared (integral of a network)[/dim]",
                "",
                amount(one.left_over, one.scale),
                "",
            )
    console.print(table)


def _first(
    parts: Sequence[Contribution], top: int, reason: str
) -> tuple[Sequence[Contribution], str, float | None]:
    """Return the first parts, why there are none, and the sum of the others if there are some."""
    others = parts[top:]
    rest = sum(part.contribution for part in others) if others else None
    return parts[:top], reason, rest


def _value(part: Contribution) -> str:
    if part.value is None:
        return ""
    if part.kind == "element":
        return f"{part.value:.1%}"
    usual = "" if part.usual is None else f" (mean {part.usual:.3g})"
    return f"{part.value:.4g}{usual}"


def _bar(contribution: float, longest: float) -> str:
    """Return a bar to the left (less) or to the right (more) of a line."""
    if not longest > 0:
        return ""
    eighths = round(8 * _HALF * abs(contribution) / longest)
    full, part = divmod(eighths, 8)
    if contribution < 0:  # a part of a character is filled from the left: whole ones only
        length = round(eighths / 8)
        return f"{' ' * (_HALF - length)}[red]{'█' * length}[/red]│"
    end = _EIGHTHS[part].strip()
    return f"{' ' * _HALF}│[green]{'█' * full}{end}[/green]"


def _print_substitutions(console: Console, one: Explanation) -> None:
    if not one.substitutions:
        return
    head = {"unit": "change", "log": "factor", "log odds": "log odds"}[one.scale]
    unit = "probability" if one.label else f"prediction, {one.unit}".rstrip(", ")
    heads = ("Another element", "gives", unit, head, "training data")
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    for column in (2, 3):
        table.columns[column].justify = "right"
    for swap in one.substitutions:
        found = swap.result
        place = "in domain" if found.in_domain else f"out of domain ({found.ood_score:.2f})"
        known = ", known" if found.known else ""
        table.add_row(
            f"{swap.removed} -> {swap.added}",
            escape(found.formula),
            f"{found.prediction:.1%}" if one.label else f"{found.prediction:.4g}",
            amount(swap.change, one.scale),
            f"{place}{known}",
        )
    console.print(table)
