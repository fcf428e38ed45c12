"""What to expect of a run: its method, the error, and whether intervals may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtalshift.benchmark.run_results import Model
from xtalshift.report.run.run_summary import Column, RunSummary
from xtalshift.report.shared.interval_evaluation import (
    IntervalEvaluation,
    IntervalPart,
    Statement,
)
from xtalshift.report.shared.methods import DUMMY, name_methods
from xtalshift.report.shared.text import format_number, format_percent, format_ratio, join_words

_EXTREME = {"low": "the lowest values", "both": "the lowest and highest values"}


@dataclass(frozen=True, kw_only=True)
class ExpectedError:
    """What to expect of the chosen method for one kind of material.

    `mae`, `mae_sd` (over seeds), `dummy_mae` and `width` (median, of the 90 % intervals) have the
    unit of the target. `factor` and `dummy_factor` say by which factor a prediction is typically
    wrong, None unless the method was trained on logarithms. `over_dummy` is the error relative to
    the constant, `trusted` whether the intervals contain about as many values as they should.
    """

    column: Column
    kind: str
    mae: float
    mae_sd: float | None
    factor: float | None
    dummy_mae: float | None
    dummy_factor: float | None
    over_dummy: float | None
    coverage: float | None
    width: float | None
    trusted: bool | None

    @property
    def useless(self) -> bool:
        """Whether a constant is as good."""
        return self.over_dummy is not None and self.over_dummy >= 1.0


@dataclass(frozen=True)
class Expectation:
    """The chosen method in sentences, and one row for each kind of material."""

    method: str
    sentences: list[Statement]
    rows: list[ExpectedError]


def expect_of_run(
    method: str | None,
    model: Model | None,
    columns: Sequence[Column],
    summary: RunSummary,
    intervals: IntervalEvaluation | None,
    *,
    unit: str,
    tail: str,
    answered: bool = False,
) -> Expectation | None:
    """Say which method to use and what to expect of it; None if no run finished.

    Parameters
    ----------
    method : str or None
        The method that the page is about.
    model : Model or None
        The saved model, with the errors that chose its method.
    columns, summary, intervals
        The splits, the scores and the intervals of the run.
    unit, tail : str
        Unit of the target, and the side on which the prior shift takes values.
    answered : bool
        Whether the run has an answer about candidates, whose intervals are others.
    """
    if method is None:
        return None
    parts = {}
    for one in intervals.methods if intervals else ():
        if one.method == method:
            parts = {(part.rows.split, part.rows.role): part for part in one.parts}
    rows = [
        found
        for column in columns
        if (found := _expect(method, column, summary, parts, tail)) is not None
    ]
    if not rows:
        return None
    sentences = [
        Statement(_describe_choice(method, model)),
        *_describe_errors(rows, unit),
        *_describe_trust(rows, answered=answered),
    ]
    return Expectation(method, sentences, rows)


def describe_kind(column: Column, tail: str) -> str:
    """Say in plain words which materials a split tests, such as ``materials that contain F``."""
    name, _, rest = column.split.partition(":")
    kinds = {
        "random": "materials like those of the table",
        "covariate": "materials of unusual composition",
        "prior": f"materials with {_EXTREME.get(tail, 'the highest values')}",
        "relation": "materials that follow another relation",
    }
    if name == "family" and rest:
        return f"materials that contain {rest.replace('+', ' or ')}"
    return kinds.get(name, f"materials of the split {column.label}")


def _expect(
    method: str,
    column: Column,
    summary: RunSummary,
    parts: dict[tuple[str, str], IntervalPart],
    tail: str,
) -> ExpectedError | None:
    key = (column.split, column.role)
    cell, dummy, part = summary.cell(method, *key), summary.cell(DUMMY, *key), parts.get(key)
    if cell is None or cell.error is None:
        return None
    return ExpectedError(
        column=column,
        kind=describe_kind(column, tail),
        mae=cell.error,
        mae_sd=cell.error_sd,
        factor=cell.factor,
        dummy_mae=dummy.error if dummy else None,
        dummy_factor=dummy.factor if dummy else None,
        over_dummy=cell.error_over_dummy,
        coverage=part.coverage if part else None,
        width=part.median_width if part else None,
        trusted=None if part is None else not part.short,
    )


def _describe_choice(method: str, model: Model | None) -> str:
    choice = model.choice if model and model.method == method else None
    if choice is None:
        return f"Use {method}: it has the smallest error on materials like those of the table."
    where = "on rows that no test set holds"
    text = f"Use {method}: it has the smallest error {where}"
    if choice.level_with:
        level = name_methods(choice.level_with)
        are = "are" if len(choice.level_with) > 1 else "is"
        return (
            f"{text}. It is level with {level}: the difference is within chance, so that {level} "
            f"{are} as good a choice."
        )
    if not choice.rivals:
        return f"{text}. No other method was compared with it."
    rivals = [one.method for one in choice.rivals]
    if rivals == [DUMMY]:
        return (
            f"Use {method}: {where}, its error is smaller than that of a constant by more than "
            "chance explains. No other method was compared with it."
        )
    return f"{text}, and its lead over {name_methods(rivals)} is larger than chance explains."


def _size(mae: float | None, factor: float | None, unit: str) -> str:
    text = f"{format_number(mae)} {unit}".strip()
    return text if factor is None else f"{text} (typically by a factor of {format_ratio(factor)})"


def _describe_errors(rows: Sequence[ExpectedError], unit: str) -> list[Statement]:
    found = []
    for row in rows:
        text = f"For {row.kind}, expect it to be wrong by {_size(row.mae, row.factor, unit)}"
        if row.useless:
            text += (
                f". A constant is wrong by {_size(row.dummy_mae, row.dummy_factor, unit)}, so do "
                "not use the predictions there."
            )
        elif row.dummy_mae is not None:
            text += (
                f", where a constant is wrong by {_size(row.dummy_mae, row.dummy_factor, unit)}."
            )
        else:
            text += "."
        found.append(Statement(text, bad=row.useless))
    return found


def _describe_trust(rows: Sequence[ExpectedError], *, answered: bool) -> list[Statement]:
    known = [row for row in rows if row.trusted is not None]
    good = [f"{row.kind} ({format_percent(row.coverage)})" for row in known if row.trusted]
    short = [f"{row.kind} ({format_percent(row.coverage)})" for row in known if not row.trusted]
    found = []
    if good:
        text = f"Its 90 % intervals may be trusted for {join_words(good)}"
        found.append(Statement(f"{text}; in brackets stands the share of values inside them."))
    if short:
        text = (
            f"Do not trust its 90 % intervals for {join_words(short)}: they contain fewer values "
            "than they should, because these materials differ from the training data."
        )
        if answered:
            text += (
                " The intervals of your candidates are others: they are as wide as the hold-outs "
                "that imitate them need."
            )
        found.append(Statement(text, bad=True))
    return found
