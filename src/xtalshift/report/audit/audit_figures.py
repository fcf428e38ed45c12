"""Figures of an audited split: distances and targets of its folds, and their sizes."""

from __future__ import annotations

import math
from statistics import median

from xtalshift.report.audit.split_findings import ShownFold, ShownSplit
from xtalshift.report.shared.figures import (
    BAD,
    FOLD_KINDS,
    SOFT,
    Figure,
    Panel,
    draw_level,
    escape,
    make_layout,
    shorten,
)
from xtalshift.report.shared.text import format_number

_HEIGHT = 320
_LARGEST = 20
"""Diameter in pixels of the fold with most test rows."""
_MOST_NAMES = 12
_LONGEST_NAME = 14
_LOG_FROM = 30.0
"""Ratio of the largest to the smallest bar from which an axis is logarithmic."""
_FAR = 6.0
"""The same for a cloud, as a ratio of the largest to the median."""

Axis = tuple[str, str, float]
"""Measure of a fold, title and threshold."""


def draw_split(split: ShownSplit) -> list[Panel | None]:
    """Draw distances, targets and sizes; nothing for a single fold, whose table is enough."""
    folds, limits = split.folds, split.audit.settings
    if len(folds) < 2:  # noqa: PLR2004
        return []
    distance = ("distance_ratio", "distance ratio (1: as among train rows)", limits.distance_ratio)
    auc: Axis = ("auc", "AUC of telling test from train", limits.auc)
    quick = all(fold.auc is None for fold in folds)  # a quick audit trains no classifier
    return [
        _draw_cloud(
            folds,
            "Do test rows look like training rows?",
            "AUC: not measured." if quick else "Shaded: no shift found.",
            distance,
            ("n_test", "test rows", limits.min_test) if quick else auc,
        ),
        _draw_cloud(
            folds,
            "Are the targets different?",
            "Right of 1, even a constant has larger errors.",
            ("dummy_over_random", "constant / random (1: as in random folds)", 1.0),
            ("wasserstein", "W1 of targets / sd", limits.wasserstein),
        ),
        _draw_sizes(folds, limits.min_test),
    ]


def _draw_cloud(
    folds: list[ShownFold], title: str, note: str, x_axis: Axis, y_axis: Axis
) -> Panel | None:
    """Draw one point per fold that has both measures."""
    (x, x_title, x_limit), (y, y_title, y_limit) = x_axis, y_axis
    points = [
        (fold, getattr(fold, x), getattr(fold, y))
        for fold in folds
        if all(v is not None and math.isfinite(v) for v in (getattr(fold, x), getattr(fold, y)))
    ]
    if not points:
        return None
    # large points first, so that they cannot hide small ones
    points.sort(key=lambda point: -point[0].n_test)
    shown = [fold for fold, _, _ in points]
    trace: Figure = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value, _ in points],
        "y": [value for _, _, value in points],
        "text": [_describe(fold) for fold in shown],
        "marker": {
            "color": [FOLD_KINDS[fold.kind].colour for fold in shown],
            "size": [fold.n_test for fold in shown],
            "sizemode": "area",
            "sizeref": (shown[0].n_test or 1) / _LARGEST**2 * 2,
            "sizemin": 2.5,
            "opacity": 0.7,
            "line": {
                "width": [1.6 if "leak" in fold.labels else 0.8 for fold in shown],
                "color": [BAD if "leak" in fold.labels else "#ffffff" for fold in shown],
            },
        },
        "hovertemplate": "%{text}<extra></extra>",
        "cliponaxis": False,
    }
    shapes, corner = [draw_level(x_limit, "x"), draw_level(y_limit, "y")], []
    if y == "auc":
        # neither measure shows a shift there; negative values are off the axes
        ends = {"x0": 1e-9, "y0": 0, "x1": x_limit, "y1": y_limit}
        shade: Figure = {"type": "rect", "xref": "x", "yref": "y", **ends}
        shapes.insert(0, shade | {"fillcolor": "#eef0f2", "line": {"width": 0}, "layer": "below"})
        corner = [
            {"xref": "paper", "yref": "paper", "x": 0.02, "y": 0.02, "xanchor": "left"}
            | {"yanchor": "bottom", "text": "interpolation", "showarrow": False}
            | {"font": {"size": 11, "color": SOFT}}
        ]
    layout = make_layout(
        _HEIGHT,
        x_title,
        y_title,
        xaxis=_span([value for _, value, _ in points], x_limit, x),
        yaxis=_span([value for _, _, value in points], y_limit, y),
        shapes=shapes,
        annotations=corner,
    )
    left_out = len(folds) - len(points)
    return Panel(title, note + (f" {left_out} not measured." if left_out else ""), [trace], layout)


def _span(values: list[float], limit: float, measure: str) -> Figure:
    """Return the range of an axis that shows all values and the threshold."""
    if measure == "auc":
        return {"range": [min(0.45, min(values) - 0.03), 1.03]}
    low, high = min([*values, limit]), max([*values, limit])
    if low > 0 and max(values) > max(limit, _FAR * median(values)):
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    return {"range": [0, 1.08 * high]} if low >= 0 else {}


def _draw_sizes(folds: list[ShownFold], min_test: int) -> Panel:
    ordered = sorted(folds, key=lambda fold: fold.n_test)
    sizes = [fold.n_test for fold in ordered]
    named = len(folds) <= _MOST_NAMES
    places = list(range(len(sizes)))
    bar: Figure = {
        "type": "bar",
        "orientation": "h",
        "x": sizes,
        "y": places,
        "text": [_describe(fold) for fold in ordered],
        "textposition": "none",
        "marker": {"color": [FOLD_KINDS[fold.kind].colour for fold in ordered]},
        "hovertemplate": "%{text}<extra></extra>",
    }
    names: Figure = {
        "tickvals": places,
        "ticktext": [escape(shorten(fold.title, _LONGEST_NAME)) for fold in ordered],
    }
    spread = min(sizes) > 0 and max(sizes) > _LOG_FROM * min(sizes)
    layout = make_layout(
        _HEIGHT,
        "test rows",
        "" if named else f"{len(folds)} folds by size",
        xaxis={"type": "log", "exponentformat": "none", "dtick": 1} if spread else None,
        yaxis={"showgrid": False, "ticks": "", "showticklabels": named} | (names if named else {}),
        margin={"l": 8} if named else None,
        bargap=0.25,
        shapes=[draw_level(min_test, "x")],
    )
    few = sum(size < min_test for size in sizes)
    note = f"{few} of {len(folds)} with fewer than {min_test} rows."
    return Panel("Are there enough test rows?", note, [bar], layout)


def _describe(fold: ShownFold) -> str:
    """Return what stands beside the pointer; names must not become markup."""
    measures = (
        ("AUC", fold.auc),
        ("distance ratio", fold.distance_ratio),
        ("W1 / sd", fold.wasserstein),
        ("constant / random", fold.dummy_over_random),
    )
    lines = [
        f"<b>{escape(fold.name or 'fold')}</b>",
        escape(", ".join(fold.labels)),
        f"{fold.n_test:,} test rows",
        *(f"{name} {format_number(value)}" for name, value in measures if value is not None),
    ]
    return "<br>".join(lines)
