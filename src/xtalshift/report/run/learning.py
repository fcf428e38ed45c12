"""Would more rows help? Errors against the number of training rows, in numbers, words, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtalshift.benchmark.explanation import CurvePoint, LearningCurve
from xtalshift.metrics import FEWEST_SIZES, PowerLaw, fit_power_law
from xtalshift.report.run.run_summary import Column
from xtalshift.report.shared.figures import INK, Figure, Panel, draw_level, log_axis, make_layout
from xtalshift.report.shared.text import format_number

MORE = 10
"""How many times the rows the errors are continued to."""

_HARDLY = 0.9
"""A forecast above this part of the error is no gain to speak of."""
_MUCH = 0.7
"""A forecast below this part of the error is a large gain: if the interval of one that is no gain
reaches so far, nothing is known."""
_CANNOT = 2.0
"""An interval that reaches above so many times the error says nothing."""
_COLOURS = {"id": "#5aa3b5", "ood": "#8e2a7f"}
_HEIGHT = 280


@dataclass(frozen=True)
class LearningPart:
    """Errors on one set of test rows against the number of training rows.

    `errors` has the mean over the draws for each of `sizes`, `low` and `high` their range. `law` is
    the power law through them, None with too few sizes; `ahead`, `ahead_low` and `ahead_high` are
    the error that it predicts for `MORE` times the rows, and its 90 % interval.
    """

    split: str
    role: str
    label: str
    sizes: list[int]
    errors: list[float]
    low: list[float]
    high: list[float]
    law: PowerLaw | None
    ahead: float | None
    ahead_low: float | None
    ahead_high: float | None
    sentence: str


@dataclass(frozen=True)
class Learning:
    """All sets of test rows of a learning curve; `learner` is the method that was measured."""

    learner: str
    method: str
    n_train: int
    parts: list[LearningPart]


def build_learning(
    curve: LearningCurve, method: str, columns: Sequence[Column], unit: str
) -> Learning:
    """Return the learning curve of the chosen method, or of a faster one in its place."""
    parts = []
    for column in columns:
        points = [
            one
            for one in curve.points
            if (one.split, one.role) == (column.split, column.role) and one.mae > 0
        ]
        if points:
            parts.append(_build_part(column, points, unit))
    return Learning(curve.learner, method, curve.n_train, parts)


def _build_part(column: Column, points: Sequence[CurvePoint], unit: str) -> LearningPart:
    sizes = sorted({one.n_train for one in points})
    groups = [[one.mae for one in points if one.n_train == size] for size in sizes]
    law = ahead = low = high = None
    if len(sizes) >= FEWEST_SIZES:
        law = fit_power_law([one.n_train for one in points], [one.mae for one in points])
        ahead = law.error(MORE * sizes[-1])
        low, high = law.interval(MORE * sizes[-1])
    errors = [float(np.mean(group)) for group in groups]
    return LearningPart(
        column.split,
        column.role,
        column.label,
        sizes,
        errors,
        [min(group) for group in groups],
        [max(group) for group in groups],
        law,
        ahead,
        low,
        high,
        _describe(column.label, errors[-1], ahead, low, high, unit),
    )


def _describe(
    label: str,
    now: float,
    ahead: float | None,
    low: float | None,
    high: float | None,
    unit: str,
) -> str:
    if ahead is None or low is None or high is None:
        return f"On {label}, the table is too small to tell whether more rows would help."
    said = f"{format_number(now)} {unit}".strip()
    span = f"{format_number(ahead)} (between {format_number(low)} and {format_number(high)})"
    if high > _CANNOT * now or (ahead > _HARDLY * now and low < _MUCH * now):
        return (
            f"On {label}, it cannot be said whether more rows would help: {MORE} times the rows "
            f"would bring the error from {said} to {span}."
        )
    if ahead > _HARDLY * now:
        return (
            f"On {label}, more rows of the same kind would hardly help: {MORE} times the rows "
            f"would bring the error from {said} to {span}."
        )
    text = f"On {label}, {MORE} times the rows would bring the error from {said} to {span}"
    if high >= now:
        return f"{text}; this is uncertain, and the error may not fall at all."
    return f"{text}."


def draw_learning(
    found: Learning, unit: str, error: str = "mean absolute error"
) -> list[Panel | None]:
    """Draw errors against training rows on two logarithmic axes, with the line continued."""
    panels: list[Panel | None] = []
    for part in found.parts:
        colour = _COLOURS[part.role]
        data: list[Figure] = []
        if part.law is not None:
            data += _draw_law(part, part.law, colour)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": part.sizes,
                "y": part.errors,
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [h - e for h, e in zip(part.high, part.errors, strict=True)],
                    "arrayminus": [e - v for v, e in zip(part.low, part.errors, strict=True)],
                    "color": INK,
                    "thickness": 1,
                    "width": 3,
                },
                "marker": {"color": colour, "size": 8},
                "hovertemplate": "%{x:,} rows: %{y:.4~g}<extra></extra>",
            }
        )
        layout = make_layout(
            _HEIGHT,
            "training rows",
            f"{error}{f' ({unit})' if unit else ''}",
            xaxis=log_axis(min(part.sizes), MORE * max(part.sizes)),
            yaxis=log_axis(min(part.errors), max(part.errors)),
            shapes=[draw_level(found.n_train, "x")],
        )
        note = "dotted: all training rows of this table"
        panels.append(Panel(part.label, note, data, layout))
    return panels


def _draw_law(part: LearningPart, law: PowerLaw, colour: str) -> list[Figure]:
    """Return the line, and the area of its interval beyond the table."""
    rows = np.geomspace(part.sizes[0], MORE * part.sizes[-1], 40)
    ahead = np.geomspace(part.sizes[-1], MORE * part.sizes[-1], 20)
    bounds = [law.interval(float(n)) for n in ahead]
    outline = [high for _, high in bounds] + [low for low, _ in reversed(bounds)]
    area: Figure = {
        "type": "scatter",
        "mode": "lines",
        "x": [_short(n) for n in [*ahead, *ahead[::-1]]],
        "y": [_short(value) for value in outline],
        "fill": "toself",
        "fillcolor": "rgba(120,130,140,0.18)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    line: Figure = {
        "type": "scatter",
        "mode": "lines",
        "x": [_short(n) for n in rows],
        "y": [_short(law.error(float(n))) for n in rows],
        "line": {"color": colour, "width": 1.6, "dash": "dash"},
        "hovertemplate": "%{x:,.0f} rows: %{y:.4~g} expected<extra></extra>",
    }
    return [area, line]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
