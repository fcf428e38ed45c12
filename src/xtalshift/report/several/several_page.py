"""The report of a run of several targets: one table over all, and one for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xtalshift.benchmark.several_results import SeveralResults, TargetRecord, TargetRun
from xtalshift.report.shared.html import render_page
from xtalshift.words import plural

Head = tuple[str, str]
"""Name and role of a split."""


@dataclass(frozen=True)
class ErrorRow:
    """A method in a table of errors: what to show for each split, and what to sort by."""

    method: str
    cells: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class ErrorTable:
    """Errors of all methods on all splits."""

    heads: tuple[Head, ...]
    rows: tuple[ErrorRow, ...]


def overall_table(results: SeveralResults) -> ErrorTable:
    """Return the mean over targets of the errors over those of the training mean."""
    shown = {(one.method, (one.split, one.role)): one.error_over_dummy for one in results.overall}
    heads = _heads((one.split, one.role) for one in results.overall)
    methods = dict.fromkeys(one.method for one in results.overall)
    rows = (
        ErrorRow(name, tuple(_cell(shown.get((name, head)), "{:.3f}") for head in heads))
        for name in methods
    )
    return ErrorTable(heads, tuple(rows))


def target_table(results: SeveralResults, target: str) -> ErrorTable:
    """Return the errors of one target, in its unit or of classes as log loss, means over seeds."""
    own = [one for one in results.records if one.target == target]
    heads = _heads((one.split, one.role) for one in own)
    methods = dict.fromkeys(one.method for one in own)
    return ErrorTable(
        heads,
        tuple(
            ErrorRow(name, tuple(_target_cell(own, name, head) for head in heads))
            for name in methods
        ),
    )


def _heads(found: Iterable[Head]) -> tuple[Head, ...]:
    """Return the splits, those like the training data first; ID rows of OOD splits are left out."""
    heads = dict.fromkeys(found)
    shifted = {name for name, role in heads if role == "ood"}
    shown = (head for head in heads if head[1] != "id" or head[0] not in shifted)
    return tuple(sorted(shown, key=lambda head: head[1] != "id"))


def _cell(value: float | None, form: str) -> tuple[str, float | None]:
    return ("-" if value is None else form.format(value)), value


def _target_cell(own: Sequence[TargetRecord], method: str, head: Head) -> tuple[str, float | None]:
    chosen = [one for one in own if one.method == method and (one.split, one.role) == head]
    errors = [one.error for one in chosen if one.error is not None]
    shares = [one.error_over_dummy for one in chosen if one.error_over_dummy is not None]
    if not chosen:
        return "", None
    if not errors:
        return "failed", None
    text = f"{np.mean(errors):.4g}"
    return (f"{text} ({np.mean(shares):.2f})" if shares else text), float(np.mean(errors))


def describe_target(target: TargetRun) -> str:
    """Return what a run is of, in one line."""
    rows = "" if target.rows is None else f"{plural(target.rows, 'material')}; "
    model = "no model" if target.model is None else f"model: {target.model}"
    return f"{rows}{model}"


def render_several(results: SeveralResults) -> str:
    """Return the page of a run of several targets."""
    tables = [
        (target, describe_target(target), target_table(results, target.name))
        for target in results.targets
    ]
    return render_page(
        "several.html.j2",
        (),
        overall=overall_table(results),
        of_classes=any(target.classes for target in results.targets),
        tables=tables,
        settings=results.config,
    )
