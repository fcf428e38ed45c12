"""The audit of a split to small figures: where its folds lie, and how large they are."""

from __future__ import annotations

import html
from statistics import median
from typing import Any

from xtalshift.report.shared.panels import BAD, Figure, draw_level, make_layout, make_panel
from xtalshift.report.shared.text import format_number

__all__ = ["KINDS", "draw_split"]

KINDS = {
    "covariate": ("covariate shift", "#0072b2"),
    "prior": ("prior shift", "#e69f00"),
    "relation": ("relation shift", "#8e2a7f"),
    "several": ("several shifts", "#2b2f33"),
    "interpolation": ("interpolation", "#009e73"),
    "degenerate": ("degenerate", "#b6bdc4"),
}
"""What a fold is in one word: its name for readers and its colour; red is left for leaks."""

_HEIGHT = 320
_LARGEST = 20
"""Diameter in pixels of the fold with most test rows."""
_MOST_NAMES = 12
_LONGEST_NAME = 14
_LOG_FROM = 30.0
"""Ratio of largest to smallest (bars) from which an axis is logarithmic."""
_FAR = 6.0
"""The same for a cloud, as a ratio of largest to median."""


def draw_split(split: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Draw the panels of a split.

    Parameters
    ----------
    split : dict
        One of the splits of `xtalshift.report.audit.payload.audit_payload`.
    prefix : str
        Begins the id of each panel.

    Returns
    -------
    list of dict
        Panels with ``id``, ``title``, ``note`` and ``figure``; none for a single fold, whose
        numbers say it all.
    """
    folds, limits = split["folds"], split["settings"]
    if len(folds) < 2:  # noqa: PLR2004  # one point is no cloud
        return []
    distance = (
        "distance_ratio",
        "distance ratio (1: as among train rows)",
        limits["distance_ratio"],
    )
    told = ("auc", "AUC of telling test from train", limits["auc"])
    if all(fold["auc"] is None for fold in folds):  # a quick audit trains no classifier
        told = ("n_test", "test rows", limits["min_test"])
    panels = [
        _cloud(
            folds,
            "Do test rows look like training rows?",
            "Shaded: no shift found." if told[0] == "auc" else "AUC: not measured.",
            distance,
            told,
        ),
        _cloud(
            folds,
            "Do the targets lie elsewhere?",
            "Right of 1 even a constant errs more.",
            ("dummy_over_random", "constant / random (1: as in random folds)", 1.0),
            ("wasserstein", "W1 of targets / sd", limits["wasserstein"]),
        ),
        _sizes(folds, limits["min_test"]),
    ]
    drawn = [panel for panel in panels if panel is not None]
    for number, panel in enumerate(drawn, start=1):
        panel["id"] = f"{prefix}-{number}"
    return drawn


def _cloud(
    folds: list[dict[str, Any]],
    title: str,
    note: str,
    x_axis: tuple[str, str, float],
    y_axis: tuple[str, str, float],
) -> dict[str, Any] | None:
    """Return one point per fold that has both measures (key, title and threshold of an axis)."""
    (x, x_title, x_limit), (y, y_title, y_limit) = x_axis, y_axis
    shown = [fold for fold in folds if fold[x] is not None and fold[y] is not None]
    if not shown:
        return None
    most = max(fold["n_test"] for fold in shown) or 1
    # large points first, so that they cannot hide small ones
    shown = sorted(shown, key=lambda fold: -fold["n_test"])
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [fold[x] for fold in shown],
        "y": [fold[y] for fold in shown],
        "text": [_describe(fold) for fold in shown],
        "marker": {
            "color": [KINDS[fold["kind"]][1] for fold in shown],
            "size": [fold["n_test"] for fold in shown],
            "sizemode": "area",
            "sizeref": most / _LARGEST**2 * 2,
            "sizemin": 2.5,
            "opacity": 0.7,
            "line": {
                "width": [1.6 if "leak" in fold["labels"] else 0.8 for fold in shown],
                "color": [BAD if "leak" in fold["labels"] else "#ffffff" for fold in shown],
            },
        },
        "hovertemplate": "%{text}<extra></extra>",
        "cliponaxis": False,
    }
    layout = make_layout(_HEIGHT, x_title, y_title)
    for name, key, limit in (("x", x, x_limit), ("y", y, y_limit)):
        layout[f"{name}axis"] |= _span([fold[key] for fold in shown], limit, key)
    layout["shapes"] = [draw_level(x_limit, "x"), draw_level(y_limit, "y")]
    if y == "auc":
        layout["shapes"].insert(0, _shade(x_limit, y_limit))
        layout["annotations"] = [_corner("interpolation")]
    left_out = len(folds) - len(shown)
    if left_out:
        note += f" {left_out} not measured."
    return make_panel(title, note, [trace], layout)


def _span(values: list[float], limit: float, key: str) -> Figure:
    """Return the range of an axis that shows all values and the threshold."""
    if key == "auc":
        return {"range": [min(0.45, min(values) - 0.03), 1.03]}
    low, high = min([*values, limit]), max([*values, limit])
    if low > 0 and max(values) > max(limit, _FAR * median(values)):
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    return {"range": [0, 1.08 * high]} if low >= 0 else {}


def _shade(x_limit: float, y_limit: float) -> Figure:
    """Return the corner where neither measure finds a shift; negative values are off the axes."""
    return {
        "type": "rect",
        "xref": "x",
        "yref": "y",
        "x0": 1e-9,
        "y0": 0,
        "x1": x_limit,
        "y1": y_limit,
        "fillcolor": "#eef0f2",
        "line": {"width": 0},
        "layer": "below",
    }


def _corner(text: str) -> Figure:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0.02,
        "y": 0.02,
        "xanchor": "left",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 11, "color": "#5c656e"},
    }


def _sizes(folds: list[dict[str, Any]], min_test: int) -> dict[str, Any]:
    ordered = sorted(folds, key=lambda fold: fold["n_test"])
    sizes = [fold["n_test"] for fold in ordered]
    named = len(folds) <= _MOST_NAMES
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": sizes,
        "y": list(range(len(sizes))),
        "text": [_describe(fold) for fold in ordered],
        "textposition": "none",
        "marker": {"color": [KINDS[fold["kind"]][1] for fold in ordered]},
        "hovertemplate": "%{text}<extra></extra>",
    }
    layout = make_layout(_HEIGHT, "test rows", "" if named else f"{len(folds)} folds by size")
    layout["bargap"] = 0.25
    layout["yaxis"] |= {"showgrid": False, "ticks": "", "showticklabels": named}
    if named:
        layout["yaxis"] |= {
            "tickvals": bar["y"],
            "ticktext": [html.escape(_shorten(fold["title"]), quote=False) for fold in ordered],
        }
        layout["margin"]["l"] = 8
    if min(sizes) > 0 and max(sizes) > _LOG_FROM * min(sizes):
        layout["xaxis"] |= {"type": "log", "exponentformat": "none", "dtick": 1}
    layout["shapes"] = [draw_level(min_test, "x")]
    few = sum(size < min_test for size in sizes)
    note = f"{few} of {len(folds)} with fewer than {min_test} rows."
    return make_panel("Is there enough to test on?", note, [bar], layout)


def _describe(fold: dict[str, Any]) -> str:
    """Return what stands beside the pointer; names must not become markup."""
    lines = [f"<b>{html.escape(fold['name'] or 'fold', quote=False)}</b>"]
    lines.append(html.escape(", ".join(fold["labels"]), quote=False))
    lines.append(f"{fold['n_test']:,} test rows")
    measures = (
        ("auc", "AUC"),
        ("distance_ratio", "distance ratio"),
        ("wasserstein", "W1 / sd"),
        ("dummy_over_random", "constant / random"),
    )
    lines += [
        f"{name} {format_number(fold[key])}" for key, name in measures if fold[key] is not None
    ]
    return "<br>".join(lines)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
