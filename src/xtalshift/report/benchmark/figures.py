"""The payload of a benchmark to Plotly figures: plain dictionaries, one figure per panel."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any

from xtalshift.report.benchmark.folds import draw_folds
from xtalshift.report.benchmark.ranks import draw_ranks
from xtalshift.report.shared.label_places import place_labels
from xtalshift.report.shared.panels import INK, Figure, draw_level, make_layout, make_panel

__all__ = ["KINDS", "build_benchmark_figures", "curve_styles"]

KINDS = {
    "constant": ("constant", "#6c757d", "x"),
    "classical": ("classical", "#009e73", "square"),
    "network": ("network", "#0072b2", "circle"),
    "robust": ("robust", "#d55e00", "diamond"),
    "cal": ("CAL", "#e69f00", "hexagon"),
    "alignment": ("alignment", "#56b4e9", "triangle-down"),
    "importance": ("importance weights", "#8c6d31", "cross"),
    "target-only": ("target labels only", "#6a51a3", "pentagon"),
    "adaptation": ("adaptation", "#b3589a", "triangle-up"),
}
"""Family of a method: its name for readers, its colour and its mark; a plugin may have another."""

# Okabe and Ito's palette and darker relatives, as few curves as these stand in one picture
_CURVES = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a51a3", "#8c6d31",
    "#01665e", "#b2182b",
)  # fmt: skip
_DASHES = ("solid", "dash", "dot")
_MOST_OVER_DUMMY = 2.0
# plots are at least so large on a page of 800 pixels; names that fit there fit everywhere
_COST_PLOT = (670.0, 330.0)
_GAP_PLOT = (290.0, 320.0)
_LINE = 120
"""Points that stand for a line which no name may cover."""
_TICKS = tuple(digit * 10.0**power for power in range(-4, 8) for digit in (1, 3))
_FAINT = "#5c656e"
_DODGE = 1.015
"""Ratio by which curves stand apart, so that whiskers do not cover each other."""


def curve_styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and dash of the learning curve of each method."""
    return {
        label: (_CURVES[i % len(_CURVES)], _DASHES[i // len(_CURVES) % len(_DASHES)])
        for i, label in enumerate(dict.fromkeys(labels))
    }


def build_benchmark_figures(payload: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Draw every panel of the page of a benchmark.

    Parameters
    ----------
    payload : dict
        As `xtalshift.report.benchmark.payload.benchmark_payload` returns it.

    Returns
    -------
    dict
        Per section (``ranks``, ``cost``, ``curves``, ``gaps``, ``folds``) a list of panels: ``id``
        (of the div), ``title``, ``note``, ``figure`` and ``index`` (of the board, curve, place or
        split of folds that it belongs to).
    """
    colours = {kind: colour for kind, (_, colour, _) in KINDS.items()}
    boards, places = payload["boards"], payload["places"]
    curves = [one for curve in payload["curves"] for one in curve["methods"]]
    styles = curve_styles(one["label"] for one in curves if not one["variant"])
    sections: dict[str, list[dict[str, Any] | None]] = {
        "ranks": [draw_ranks(board, colours) for board in boards],
        "cost": [_cost(board) for board in boards],
        "curves": [_curve(one, places[one["place"]], styles) for one in payload["curves"]],
        "gaps": [_gap(boards[0], column, places) for column in range(len(boards[0]["columns"]))]
        if boards
        else [],
        "folds": [draw_folds(one, places[one["place"]]) for one in payload["drill"]],
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, panels in sections.items():
        found[name] = [
            panel | {"index": index, "id": f"figure-{name}-{index + 1}"}
            for index, panel in enumerate(panels)
            if panel is not None
        ]
    return found


def _cost(board: dict[str, Any]) -> dict[str, Any] | None:
    rows = [
        row
        for row in board["rows"]
        if not row["variant"] and row["seconds"] and row["over_dummy"] is not None
    ]
    # names of the methods with labels first: the others have the same place in every board
    rows.sort(key=lambda row: row["budget"] != board["budget"])
    limit = min(max([1.0, *(row["over_dummy"] for row in rows)]), _MOST_OVER_DUMMY) * 1.06
    inside = [row for row in rows if row["over_dummy"] <= limit]
    if not inside:
        return None
    least = 0.9 * min(row["over_dummy"] for row in rows)
    logs = [math.log10(row["seconds"]) for row in inside]
    pad = 0.05 * (max(logs) - min(logs)) or 0.5
    # names stand at the right of their marks
    x_range, y_range = (min(logs) - pad, max(logs) + 2 * pad), (min(least, 0.9), limit)
    points = [
        (_share(x, x_range), _share(row["over_dummy"], y_range))
        for x, row in zip(logs, inside, strict=True)
    ]
    level = _share(1.0, y_range)
    sides = place_labels(
        points,
        [row["label"] for row in inside],
        _COST_PLOT,
        [(i / _LINE, level) for i in range(_LINE + 1)],
    )
    layout = make_layout(400, "seconds per fit", "MAE / that of the constant")
    ticks = [tick for tick in _TICKS if x_range[0] <= math.log10(tick) <= x_range[1]]
    layout["xaxis"] |= {
        "type": "log",
        "range": list(x_range),
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }
    layout["yaxis"] |= {"range": list(y_range)}
    layout["shapes"] = [draw_level(1.0, "y")]
    data = _points(inside, [row["seconds"] for row in inside], "over_dummy", sides, board["budget"])
    return make_panel("", _unnamed(sides, len(rows) - len(inside)), data, layout)


def _share(value: float, span: tuple[float, float]) -> float:
    return (value - span[0]) / (span[1] - span[0])


def _unnamed(sides: list[str | None], beyond: int) -> str:
    """Say what a reader cannot see of a cloud."""
    parts = []
    if beyond:
        parts.append(f"{beyond} beyond the axis")
    if hidden := sum(side is None for side in sides):
        parts.append(f"{hidden} without a name for lack of room; point at the mark")
    return "; ".join(parts)


def _points(
    rows: list[dict[str, Any]],
    x: list[float],
    y: str,
    sides: list[str | None],
    budget: int,
) -> list[Figure]:
    """Return marks by kind of method; names of those that see no labels are fainter."""
    faint = [bool(budget) and row["budget"] != budget for row in rows]
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": x,
            "y": [row[y] for row in rows],
            "customdata": [_escape(row["label"]) for row in rows],
            "text": [
                _escape(row["label"]) if side else "" for row, side in zip(rows, sides, strict=True)
            ],
            "textposition": [side or "top center" for side in sides],
            "textfont": {"size": 11, "color": [_FAINT if one else INK for one in faint]},
            "marker": {
                "size": 8,
                "symbol": [_mark(row["kind"]) for row in rows],
                "color": [_colour(row["kind"]) for row in rows],
                "opacity": [0.45 if one else 1.0 for one in faint],
            },
            "hovertemplate": "%{customdata}<br>%{x:.3~g}, %{y:.3~g}<extra></extra>",
            "cliponaxis": False,
        }
    ]


def _colour(kind: str) -> str:
    return KINDS[kind][1] if kind in KINDS else INK


def _mark(kind: str) -> str:
    return KINDS[kind][2] if kind in KINDS else "star"


def _gap(board: dict[str, Any], column: int, places: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Draw OOD against ID errors of one split, without the methods that are beyond all others."""
    place = places[board["columns"][column]]
    rows = [
        {
            "label": row["label"],
            "kind": row["kind"],
            "budget": row["budget"],
            "id": row["cells"][column]["id_mae"],
            "ood": row["cells"][column]["mae"],
        }
        for row in board["rows"]
        if not row["variant"]
    ]
    rows = [row for row in rows if row["id"] is not None and row["ood"] is not None]
    if place["role"] != "ood" or not rows:
        return None
    spans = {role: _span(rows, role) for role in ("id", "ood")}
    inside = [
        row for row in rows if all(low <= row[role] <= high for role, (low, high) in spans.items())
    ]
    points = [(_share(r["id"], spans["id"]), _share(r["ood"], spans["ood"])) for r in inside]
    ends = (max(spans["id"][0], spans["ood"][0]), min(spans["id"][1], spans["ood"][1]))
    along = [ends[0] + i / _LINE * (ends[1] - ends[0]) for i in range(_LINE + 1)]
    line = [(_share(v, spans["id"]), _share(v, spans["ood"])) for v in along]
    sides = place_labels(
        points, [row["label"] for row in inside], _GAP_PLOT, line if ends[0] < ends[1] else ()
    )
    unit = f" ({place['unit']})" if place["unit"] else ""
    layout = make_layout(380, f"ID MAE{unit}", f"OOD MAE{unit}")
    layout["xaxis"]["range"], layout["yaxis"]["range"] = list(spans["id"]), list(spans["ood"])
    if ends[0] < ends[1]:
        layout["shapes"] = [
            {
                "type": "line", "x0": ends[0], "x1": ends[1], "y0": ends[0], "y1": ends[1],
                "line": {"color": INK, "width": 1},
            }
        ]  # fmt: skip
    data = _points(inside, [row["id"] for row in inside], "ood", sides, 0)
    note = _unnamed(sides, len(rows) - len(inside))
    return make_panel(place["label"], note, data, layout)


def _span(rows: list[dict[str, Any]], key: str) -> tuple[float, float]:
    """Return an axis for all methods but those that err twice as much as the best constant."""
    constants = [row[key] for row in rows if row["kind"] == "constant"]
    limit = _MOST_OVER_DUMMY * min(constants) if constants else math.inf
    values = [row[key] for row in rows if row["kind"] != "constant" and row[key] <= limit]
    low, high = min(values or constants or [0.0]), max(values or constants or [limit])
    pad = 0.09 * (high - low) or 0.1 * high or 1.0
    return low - pad, high + pad


def _curve(
    curve: dict[str, Any], place: dict[str, Any], styles: dict[str, tuple[str, str]]
) -> dict[str, Any]:
    unit = f" ({place['unit']})" if place["unit"] else ""
    budgets = curve["budgets"]
    shown = [one for one in curve["methods"] if not one["variant"]]
    data: list[Figure] = []
    for number, one in enumerate(shown):
        colour, dash = styles[one["label"]]
        dodge = _DODGE ** (number - (len(shown) - 1) / 2)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [budget * dodge for budget in budgets],
                "y": one["mae"],
                "customdata": budgets,
                "error_y": {
                    "type": "data", "array": one["mae_sd"], "color": colour, "thickness": 1,
                    "width": 2,
                },
                "line": {"color": colour, "width": 1.8, "dash": dash},
                "marker": {
                    "size": 6,
                    "symbol": "circle-open" if one["target_only"] else "circle",
                },
                "connectgaps": True,
                "name": _escape(one["label"]),
                "hovertemplate": "%{fullData.name}, %{customdata} labels: %{y:.4~g}<extra></extra>",
            }
        )  # fmt: skip
    layout = make_layout(300, "target labels", f"{place['role'].upper()} MAE{unit}")
    layout["xaxis"] |= {
        "type": "log",
        "tickvals": budgets,
        "ticktext": [str(budget) for budget in budgets],
        "range": [math.log10(budgets[0]) - 0.12, math.log10(budgets[-1]) + 0.12],
    }
    note = ""
    if curve["source"]:
        level = draw_level(curve["source"]["mae"], "y")
        layout["shapes"] = [level | {"line": {"color": INK, "width": 1.3, "dash": "dash"}}]
        note = f"Dashed: {curve['source']['label']}, the smallest error of training rows alone."
    values = [
        mae + sign * (sd or 0.0)
        for one in shown
        for mae, sd in zip(one["mae"], one["mae_sd"], strict=True)
        if mae is not None
        for sign in (-1, 1)
    ]
    values += [curve["source"]["mae"]] if curve["source"] else []
    if values:
        pad = 0.12 * (max(values) - min(values)) or 0.1 * max(values) or 1.0
        layout["yaxis"]["range"] = [min(values) - pad, max(values) + pad]
    return make_panel(place["label"], note, data, layout)


def _escape(text: str) -> str:
    """Keep Plotly from reading a name as markup."""
    return html.escape(text, quote=False)
