"""Figures of a run: one small panel per split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtalshift.data.units import name_with_unit
from xtalshift.report.run.attacks import Curve, draw_attacks
from xtalshift.report.run.run_summary import Cell, Column
from xtalshift.report.run.samples import Histogram, PointPanel, Points
from xtalshift.report.shared.figures import (
    BAD,
    INK,
    Figure,
    Panel,
    draw_diagonal,
    draw_level,
    escape,
    make_layout,
    scale_axis,
)
from xtalshift.report.shared.interval_evaluation import draw_intervals, split_styles
from xtalshift.report.shared.methods import DUMMY, method_colours

if TYPE_CHECKING:
    from xtalshift.report.run.run_page import RunReport

ROLE_COLOURS = {"id": "#5aa3b5", "ood": "#8e2a7f", "train": "#9aa3ab"}
"""Colour of the rows of one kind in every figure; no method has one of these."""

_ROLE_NAMES = {"id": "in distribution", "ood": "out of distribution", "train": "training"}
_SHORT = {"id": "ID", "ood": "OOD", "train": "training"}
_MOST_OVER_DUMMY = 2.0


def draw_scores(report: RunReport) -> dict[str, list[Panel | None]]:
    """Draw the panels of the appendix.

    Returns
    -------
    dict of list of Panel
        By section: ``bars``, ``parity``, ``intervals-0`` and further for each method, ``maps``,
        ``histograms``, ``curves``, ``attack``.
    """
    colours = method_colours([name for name, _ in report.methods])
    labels = {column.split: column.label for column in report.columns}
    target, unit = report.results.target, report.results.unit
    axis, transform = f"({unit})" if unit else "", report.results.transform
    logarithmic = report.logarithmic
    # networks record the error of what they were trained on
    fitted = {"none": axis, "clip": axis, "log": f"of ln({target})"}.get(
        transform, f"of {transform}({target})"
    )
    rows = [column.rows for column in report.columns]
    intervals = draw_intervals(report.intervals, split_styles(rows), unit)
    return {
        "bars": _draw_bars(report, colours),
        "parity": [
            _draw_parity(one, report.parity, labels, axis, logarithmic=logarithmic)
            for one in report.parity
        ],
        **{name: list(panels) for name, panels in intervals.items()},
        "maps": [_draw_map(one, report.maps, labels) for one in report.maps],
        "histograms": [
            _draw_histogram(one, labels, name_with_unit(target, unit), logarithmic=logarithmic)
            for one in report.histograms
        ],
        "curves": list(_draw_curves(report.curves, labels, colours, fitted)),
        "attack": list(draw_attacks(report.attack_curves, labels, colours)),
    }


def _draw_bars(report: RunReport, colours: dict[str, str]) -> list[Panel | None]:
    rows = [row for row in report.rows if row.method != DUMMY]
    inside = {(one.split, one.method): one for one in report.cells if one.role == "id"}
    ratios = [
        (cell, ratio)
        for place in range(len(report.columns))
        for row in rows
        if (cell := row.cells[place]) and (ratio := cell.error_over_dummy) is not None
    ]
    error = "MAE" if report.results.classes is None else report.results.error_name
    # one method that explodes must not flatten the others: its number stands at the right
    limit = min(max([1.0, *(ratio for _, ratio in ratios)]), _MOST_OVER_DUMMY) * 1.08
    panels = []
    for column in report.columns:
        shown = [
            (cell, ratio)
            for cell, ratio in reversed(ratios)
            if (cell.split, cell.role) == (column.split, column.role)
        ]
        panels.append(_draw_column(column, shown, inside, limit, colours, error) if shown else None)
    return panels


def _draw_column(
    column: Column,
    shown: list[tuple[Cell, float]],
    inside: dict[tuple[str, str], Cell],
    limit: float,
    colours: dict[str, str],
    error: str,
) -> Panel:
    names, ratios = [cell.method for cell, _ in shown], [ratio for _, ratio in shown]
    whiskers = {"type": "data", "array": [cell.error_over_dummy_sd for cell, _ in shown]}
    data: list[Figure] = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": ratios,
            "marker": {"color": [colours[name] for name in names]},
            "error_x": whiskers | {"color": INK, "thickness": 1.2, "width": 3},
            "width": 0.62,
            "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
        }
    ]
    if column.role == "ood":
        cells = [inside.get((column.split, name)) for name in names]
        marker = {"symbol": "diamond", "size": 8, "color": "#ffffff"}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "y": names,
                "x": [cell and cell.error_over_dummy for cell in cells],
                "marker": marker | {"line": {"color": INK, "width": 1.4}},
                "hovertemplate": "%{y}, in distribution: %{x:.3f}<extra></extra>",
            }
        )
    numbers = [
        {"xref": "paper", "x": 1.0, "xanchor": "left", "xshift": 8, "y": name}
        | {"text": f"{ratio:.2f}", "showarrow": False}
        | {"font": {"size": 12, "color": BAD if ratio >= 1 else INK}}
        for name, ratio in zip(names, ratios, strict=True)
    ]
    layout = make_layout(
        74 + 27 * len(names),
        f"{error} / that of the constant",
        "",
        xaxis={"range": [0, limit]},
        yaxis={"showgrid": False, "ticks": ""},
        margin={"l": 8, "r": 48},
        shapes=[draw_level(1, "x")],
        annotations=numbers,
    )
    return Panel(column.label, _ROLE_NAMES[column.role], data, layout)


def _draw_parity(
    panel: PointPanel,
    panels: Sequence[PointPanel],
    labels: dict[str, str],
    unit: str,
    *,
    logarithmic: bool,
) -> Panel | None:
    # all methods of a split have the same axes, so that they can be compared
    same = [other.roles for other in panels if other.split == panel.split]
    targets = [value for roles in same for part in roles.values() for value in part.x]
    if not targets:
        return None
    scale, low, high = span_axis(targets, logarithmic=logarithmic)
    parts = panel.roles.values()
    outside = sum(not low <= value <= high for part in parts for value in part.y + part.x)
    layout = make_layout(
        300,
        f"target {unit}",
        f"predicted {unit}",
        xaxis=scale,
        yaxis=scale,
        shapes=[draw_diagonal(low, high)],
    )
    note = _counts(panel.roles, _SHORT) + (f"; {outside} beyond the axes" if outside else "")
    data = [_cloud(part, role) for role, part in panel.roles.items()]
    return Panel(f"{labels[panel.split]}: {panel.method}", note, data, layout)


def _draw_map(panel: PointPanel, panels: Sequence[PointPanel], labels: dict[str, str]) -> Panel:
    # every panel shows the same rows, so all have the same axes
    parts = [part for one in panels for part in one.roles.values()]
    x, y = [v for part in parts for v in part.x], [v for part in parts for v in part.y]
    layout = make_layout(
        320,
        "1st principal component",
        "2nd principal component",
        xaxis={"range": list(_span(x))} if x else None,
        yaxis={"range": list(_span(y))} if y else None,
    )
    data = [_cloud(part, "train" if role == "id" else role) for role, part in panel.roles.items()]
    note = _counts(panel.roles, {"id": "other", "ood": "OOD"})
    return Panel(labels[panel.split], note, data, layout)


def _draw_histogram(
    panel: Histogram, labels: dict[str, str], axis: str, *, logarithmic: bool
) -> Panel:
    data: list[Figure] = []
    for part, bars in panel.parts.items():
        trace: Figure = {
            "type": "scatter",
            "mode": "lines",
            "x": panel.edges,
            "y": [100 * share for share in [*bars.share, bars.share[-1]]],
            "line": {"shape": "hv", "color": ROLE_COLOURS[part], "width": 1.8},
            "name": _ROLE_NAMES[part],
            "hovertemplate": "%{x:.4~g}: %{y:.1f} %<extra>" + _ROLE_NAMES[part] + "</extra>",
        }
        if part == "train":
            line = {"shape": "hv", "color": "#b6bdc4", "width": 1}
            trace |= {"fill": "tozeroy", "fillcolor": "#e4e7ea", "line": line}
        data.append(trace)
    layout = make_layout(
        250,
        axis,
        "share of rows (%)",
        xaxis={"type": "log", "exponentformat": "none", "nticks": 6} if logarithmic else None,
        yaxis={"rangemode": "tozero"},
    )
    note = ", ".join(f"{bars.n:,} {_SHORT[part]}" for part, bars in panel.parts.items()) + " rows"
    return Panel(labels[panel.split], note, data, layout)


def _draw_curves(
    curves: Sequence[Curve], labels: dict[str, str], colours: dict[str, str], unit: str
) -> list[Panel]:
    kinds = (
        ("train_loss", "Training loss", "loss"),
        ("val_mae", "Validation error", f"MAE {unit}"),
        ("val_log_loss", "Validation error", "log loss"),
        ("val_tobit", "Validation error", "Tobit loss"),
    )
    panels = []
    for split in dict.fromkeys(curve.split for curve in curves):
        for key, title, axis in kinds:
            shown = [one for one in curves if one.split == split and key in one.columns]
            values = [v for one in shown for v in one.columns[key] if v is not None]
            if not values:
                continue
            data: list[Figure] = [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": one.epoch,
                    "y": one.columns[key],
                    "line": {"color": colours.get(one.method, INK), "width": 1.4},
                    "opacity": 0.85,
                    "hovertemplate": f"{one.method}, seed {one.seed}, epoch %{{x}}: "
                    "%{y:.4~g}<extra></extra>",
                }
                for one in shown
            ]
            place = "all splits" if split == "all" else labels.get(split, split)
            layout = make_layout(250, "epoch", axis, yaxis=scale_axis(values))
            panels.append(Panel(title, place, data, layout))
    return panels


def _cloud(part: Points, role: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": part.x,
        "y": part.y,
        "text": [escape(formula) for formula in part.formula],
        "name": _ROLE_NAMES[role],
        "marker": {"color": ROLE_COLOURS[role], "size": 4.2, "opacity": 0.45},
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    }


def span_axis(values: list[float], *, logarithmic: bool) -> tuple[Figure, float, float]:
    """Return an axis over the middle 99.6 % of the values, and its ends."""
    if not logarithmic:
        low, high = _span(values)
        return {"range": [low, high]}, low, high
    low, high = _span([math.log10(value) for value in values])
    axis: Figure = {"type": "log", "range": [low, high], "exponentformat": "none", "nticks": 6}
    return axis, 10**low, 10**high


def _span(values: list[float]) -> tuple[float, float]:
    """Return the span of the middle 99.6 % of the values with a margin."""
    ordered = sorted(values)
    cut = math.floor(0.002 * len(ordered))
    low, high = ordered[cut], ordered[-1 - cut]
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _counts(parts: dict[str, Points], names: dict[str, str]) -> str:
    counts = []
    for role, part in parts.items():
        drawn, rows = len(part.x), f"{part.n:,} {names[role]}"
        counts.append(rows if drawn == part.n else f"{drawn:,} of {rows}")
    return ", ".join(counts) + " rows"
