"""A run in sentences: the smallest error per shift, and the limits of the conclusions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from xtalshift.benchmark.run_results import Record
from xtalshift.data import CleaningReport
from xtalshift.report.run.run_summary import Column
from xtalshift.report.shared.methods import DUMMY
from xtalshift.report.shared.text import (
    Caution,
    format_number,
    format_percent,
    format_ratio,
    join_words,
)

_FEW_ROWS = 50
_MANY_DROPPED = 0.05
_CLOSE = 0.05


def write_verdict(columns: Sequence[Column], unit: str, error: str = "mean absolute error") -> str:
    """Say where which method has the smallest error, how it grows OOD, and where none is useful."""
    done = [column for column in columns if column.best]
    if not done:
        return "No run finished, so there is nothing to compare."
    parts = [_describe_inside(column, unit, error) for column in done if column.role == "id"][:1]
    shifted = [column for column in done if column.role == "ood"]
    useful = [column for column in shifted if column.winner != DUMMY]
    if useful:
        parts.append(_describe_outside(useful, everywhere=len(useful) == len(shifted)))
    useless = [column.label for column in shifted if column.winner == DUMMY]
    if useless:
        parts.append(f"No method beats the constant on {join_words(useless)}.")
    return " ".join(parts)


def _describe_inside(column: Column, unit: str, error: str) -> str:
    best = column.best
    if best is None:
        return ""
    size = f"{format_number(best.error)} {unit}".strip()
    if best.factor is not None:
        size += f" (typically a factor of {format_ratio(best.factor)})"
    seeds = " on every seed" if column.every_seed else ""
    text = f"In distribution, {best.method} has the smallest {error}{seeds}: {size}"
    if best.error_over_dummy is None:
        return f"{text}."
    if best.worse_than_dummy:
        return f"{text}, no better than a constant."
    return f"{text}, {format_percent(1.0 - best.error_over_dummy)} below a constant."


def _describe_outside(shifted: list[Column], *, everywhere: bool) -> str:
    winners = dict.fromkeys(column.winner for column in shifted)
    same = everywhere and len(winners) == 1 and len(shifted) > 1
    places = [
        f"{method} has the smallest error "
        + _name_places([one for one in shifted if one.winner == method], every_shift=same)
        for method in winners
    ]
    text = f"Out of distribution, {join_words(places)}"
    gaps = [one.best.gap for one in shifted if one.best and one.best.gap is not None]
    if gaps:
        low, high = f"{min(gaps):.1f}", f"{max(gaps):.1f}"
        span = low if low == high else f"{low} to {high}"
        text += f", with {span} times the error of the same method in distribution"
    if any(one.best and one.best.gap is not None and one.best.gap < 1 for one in shifted):
        inside, outside = _relative(shifted)
        text += f" (relative to the constant {outside}, in distribution {inside})"
    return text + ("; each beats the constant." if everywhere else ".")


def _relative(shifted: list[Column]) -> tuple[str, str]:
    """Return errors over the constant's error, in distribution and on the shifts, as ranges."""
    best = [column.best for column in shifted if column.best]
    texts = []
    for ratios in ([one.id_over_dummy for one in best], [one.error_over_dummy for one in best]):
        known = [ratio for ratio in ratios if ratio is not None]
        low, high = f"{min(known, default=math.nan):.2f}", f"{max(known, default=math.nan):.2f}"
        texts.append(low if low == high else f"{low} to {high}")
    return texts[0], texts[1]


def _name_places(columns: list[Column], *, every_shift: bool) -> str:
    sure = [column.label for column in columns if column.every_seed]
    if every_shift:
        return "on every seed of every shift" if len(sure) == len(columns) else "on every shift"
    other = [column.label for column in columns if not column.every_seed]
    places = [f"on {join_words(other)}"] if other else []
    return " and ".join(places + ([f"on every seed of {join_words(sure)}"] if sure else []))


def score_cautions(
    columns: Sequence[Column], failures: Sequence[Sequence[Record]], n_seeds: int
) -> Iterator[Caution]:
    """Yield what limits the conclusions from the errors."""
    for column in columns:
        yield from _column_cautions(column)
    if far := [one for one in columns if _far_from_training(one)]:
        sizes = join_words([format_ratio(one.distance) for one in far])
        text = (
            f"On {join_words([one.label for one in far])}, the mean of the test rows is {sizes} of "
            "their standard deviations from the training mean, so R² says nothing about a model: "
            "compare with the constant."
        )
        yield Caution("care", text)
    if few := [one for one in columns if one.n_rows is not None and one.n_rows < _FEW_ROWS]:
        named = join_words([f"{one.label} ({one.n_rows})" for one in few])
        text = f"Few rows were tested, so the errors are uncertain: {named}."
        yield Caution("care", text)
    close = [
        column.label
        for column in columns
        if column.winner != DUMMY
        and (pair := column.runner_up)
        and (pair.wins < pair.seeds or pair.change > -_CLOSE)
    ]
    if n_seeds == 1:
        text = "There is only one seed: the spread is unknown, and small differences may be chance."
        yield Caution("care", text)
    elif close:
        text = (
            f"On {join_words(close)}, the two smallest errors differ by less than {_CLOSE:.0%} or "
            "change places between seeds: treat these methods as equal."
        )
        yield Caution("care", text)
    if failed := list(dict.fromkeys(group[0].method for group in failures)):
        text = f"Some runs of {join_words(failed)} failed; the list of failures gives the reasons."
        yield Caution("care", text)


def _column_cautions(column: Column) -> Iterator[Caution]:
    best, label = column.best, column.label
    if best is None:
        yield Caution("stop", f"Every run failed on {label}: there is no error to report.")
    elif best.worse_than_dummy:
        text = f"On {label}, no method beats the constant: do not use these predictions."
        yield Caution("stop", text)
    elif best.r2 is not None and best.r2 < 0 and not _far_from_training(column):
        text = (
            f"On {label}, the smallest error has R² = {format_number(best.r2)}: the (unknown) "
            "mean of these test rows would be a better prediction."
        )
        yield Caution("care", text)
    if column.only_smaller_values is not None:
        yield Caution("care", _describe_smaller(column))


def _far_from_training(column: Column) -> bool:
    """Return whether R² of a split says nothing, and a constant does."""
    best = column.best
    known = best is not None and not best.worse_than_dummy and best.error_over_dummy is not None
    return known and column.r2_says_nothing


def _describe_smaller(column: Column) -> str:
    """Explain an OOD error that is smaller than the ID error."""
    best = column.best
    if best is None:
        return ""
    whole = column.only_smaller_values
    return (
        f"On {column.label}, the error is smaller than in distribution {'' if whole else 'partly '}"
        "because the values are smaller or vary less: the constant's error is "
        f"{format_number(column.dummy_error)}, in distribution "
        f"{format_number(column.id_dummy_error)}. "
        f"Relative to the constant the error is {format_number(best.error_over_dummy)}, in "
        f"distribution {format_number(best.id_over_dummy)}"
        + (": this shift is not easier." if whole else ".")
    )


def intake_cautions(intake: CleaningReport | None, unit: str) -> Iterator[Caution]:
    """Yield what the table itself limits: scattered duplicates, many zeros, dropped rows."""
    if intake is None:
        return
    if intake.duplicate_scatter:
        yield Caution("care", _describe_duplicates(intake, unit))
    if intake.zero_inflated and intake.remedy:
        yield Caution("care", intake.remedy)
    for finding in intake.findings:
        if finding.warns:
            yield Caution("care", finding.describe())
    if intake.rows_dropped > _MANY_DROPPED * intake.rows_read:
        lost = format_percent(intake.rows_dropped / intake.rows_read)
        text = f"Cleaning dropped {lost} of the rows as unusable; 'What was read' says why."
        yield Caution("care", text)


def _describe_duplicates(intake: CleaningReport, unit: str) -> str:
    size = f"{format_number(intake.duplicate_scatter)} {unit}".strip()
    floor = f"{format_number(intake.error_floor)} {unit}".strip()
    groups = f"equal composition and feature columns ({intake.duplicate_groups:,} groups)"
    if intake.duplicates == "keep":
        return (
            f"Rows of {groups} lie {size} from the mean of their group, on average. No model can "
            f"explain this scatter: its mean absolute error over all rows is at least {floor}."
        )
    return (
        f"Before merging, rows of {groups} lay {size} from the mean of their group, on average. "
        f"The errors here refer to merged targets ({intake.duplicates} of each group) and do "
        f"not include this scatter; before merging, no model could have an error below {floor} "
        "over all rows."
    )
