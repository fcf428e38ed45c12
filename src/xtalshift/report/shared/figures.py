"""The payload to Plotly figures: plain dictionaries, one small figure per panel."""

from __future__ import annotations

import math
from typing import Any

from xtalshift.report.run.attack_figures import draw_attacks
from xtalshift.report.run.scores import DUMMY
from xtalshift.report.run.trust_figures import draw_trust, split_styles
from xtalshift.report.shared.panels import BAD, INK, Figure, draw_level, make_layout, make_panel

__all__ = ["ROLE_COLOURS", "build_figures", "method_colours"]

# Okabe and Ito's palette (readable with every common colour vision), then darker relatives of it.
_FIXED = {
    DUMMY: "#8a8f94",
    "ridge": "#56b4e9",
    "lightgbm": "#009e73",
    "erm": "#0072b2",
    "cal": "#d55e00",
    "cal-eps0": "#e69f00",
}
_OTHERS = ("#cc79a7", "#6a51a3", "#8c6d31", "#7fbc41", "#01665e", "#b2182b", "#4d4d4d")
ROLE_COLOURS = {"id": "#5aa3b5", "ood": "#8e2a7f", "train": "#9aa3ab"}
"""Colour of the rows of one kind in every picture; no method has one of these."""

_ROLE_NAMES = {"id": "in distribution", "ood": "out of distribution", "train": "training"}
_SHORT = {"id": "ID", "ood": "OOD", "train": "training"}
_MOST_OVER_DUMMY = 2.0
_LOG_FROM = 30.0


def method_colours(methods: list[str]) -> dict[str, str]:
    """Give every method a colour; a variant has that of its method, known names a fixed one."""
    colours = dict(_FIXED)
    for method in methods:
        base = method.partition(":")[0]
        if base not in colours:
            colours[base] = _OTHERS[(len(colours) - len(_FIXED)) % len(_OTHERS)]
    return {method: colours[method.partition(":")[0]] for method in methods}


def build_figures(payload: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Draw every panel of the report.

    Parameters
    ----------
    payload : dict
        As `xtalshift.report.build_payload` returns it.

    Returns
    -------
    dict
        Per section (``bars``, ``parity``, ``trust-0`` and further of each method, ``maps``,
        ``histograms``, ``curves``, ``attack``) a list of panels: ``id`` (of the div), ``title``,
        ``note`` and ``figure`` (``data``, ``layout``).
    """
    colours = method_colours([method["name"] for method in payload["methods"]])
    labels = {column["split"]: column["label"] for column in payload["columns"]}
    axis = " ".join(filter(None, [payload["target"]["name"], _bracket(payload["target"]["unit"])]))
    sections = {
        "bars": _bars(payload, colours),
        "parity": _parity(payload["parity"], labels, payload["target"]["unit"]),
        **draw_trust(payload["trust"], split_styles(payload["columns"]), payload["target"]["unit"]),
        "maps": _maps(payload["maps"], labels),
        "histograms": _histograms(payload["histograms"], labels, axis),
        "curves": _curves(payload["histories"], labels, colours, payload["target"]["unit"]),
        "attack": draw_attacks(payload["attack_curves"], labels, colours),
    }
    for name, panels in sections.items():
        for number, panel in enumerate(panels, start=1):
            panel["id"] = f"figure-{name}-{number}"
    return sections


def _bars(payload: dict[str, Any], colours: dict[str, str]) -> list[dict[str, Any]]:
    panels = []
    drawn = [method for method in payload["headline"] if method["method"] != DUMMY]
    cells = [
        [row["cells"][index] for row in drawn if row["cells"][index]]
        for index in range(len(payload["columns"]))
    ]
    inside = {
        (cell["split"], cell["method"]): cell["over_dummy"]
        for cell in payload["metrics"]
        if cell["role"] == "id"
    }
    known = [cell["over_dummy"] or 0.0 for column in cells for cell in column]
    # one method that explodes must not flatten the others: its number still stands at the right
    limit = min(max([1.0, *known]), _MOST_OVER_DUMMY) * 1.08
    for column, group in zip(payload["columns"], cells, strict=True):
        shown = [cell for cell in reversed(group) if cell["over_dummy"] is not None]
        if not shown:
            continue
        names = [cell["method"] for cell in shown]
        values = [cell["over_dummy"] for cell in shown]
        bar = {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": values,
            "marker": {"color": [colours[name] for name in names]},
            "error_x": {
                "type": "data",
                "array": [cell["over_dummy_sd"] for cell in shown],
                "color": INK,
                "thickness": 1.2,
                "width": 3,
            },
            "width": 0.62,
            "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
        }
        data = [bar]
        if column["role"] == "ood":
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "y": names,
                    "x": [inside.get((column["split"], name)) for name in names],
                    "marker": {
                        "symbol": "diamond",
                        "size": 8,
                        "color": "#ffffff",
                        "line": {"color": INK, "width": 1.4},
                    },
                    "hovertemplate": "%{y}, in distribution: %{x:.3f}<extra></extra>",
                }
            )
        layout = make_layout(74 + 27 * len(names), "MAE / MAE of the constant", "")
        layout["margin"] |= {"l": 8, "r": 48}
        layout["xaxis"]["range"] = [0, limit]
        layout["yaxis"] |= {"showgrid": False, "ticks": ""}
        layout["shapes"] = [draw_level(1, "x")]
        layout["annotations"] = [
            {
                "xref": "paper",
                "x": 1.0,
                "xanchor": "left",
                "xshift": 8,
                "y": name,
                "text": f"{value:.2f}",
                "showarrow": False,
                "font": {"size": 12, "color": BAD if value >= 1 else INK},
            }
            for name, value in zip(names, values, strict=True)
        ]
        panels.append(make_panel(column["label"], _role_name(column["role"]), data, layout))
    return panels


def _parity(
    panels: list[dict[str, Any]], labels: dict[str, str], unit: str
) -> list[dict[str, Any]]:
    drawn = []
    for panel in panels:
        # all methods of a split on the same axes, so that the eye may compare them
        same = [other for other in panels if other["split"] == panel["split"]]
        targets = [v for one in same for part in one["roles"].values() for v in part["x"]]
        if not targets:
            continue
        low, high = _range(targets)
        parts = panel["roles"]
        inside = [low <= v <= high for part in parts.values() for v in part["y"] + part["x"]]
        outside = len(inside) - sum(inside)
        data = [_cloud(part, role) for role, part in parts.items()]
        layout = make_layout(300, f"target {_bracket(unit)}", f"predicted {_bracket(unit)}")
        layout["xaxis"]["range"] = layout["yaxis"]["range"] = [low, high]
        layout["shapes"] = [
            {
                "type": "line",
                "x0": low,
                "x1": high,
                "y0": low,
                "y1": high,
                "line": {"color": INK, "width": 1},
            }
        ]
        note = _counts(parts, _SHORT) + (f"; {outside} beyond the axes" if outside else "")
        title = f"{labels[panel['split']]}: {panel['method']}"
        drawn.append(make_panel(title, note, data, layout))
    return drawn


def _maps(panels: list[dict[str, Any]], labels: dict[str, str]) -> list[dict[str, Any]]:
    # every panel shows the same rows, so all have the same axes
    parts = [part for panel in panels for part in panel["roles"].values()]
    spans = {key: [value for part in parts for value in part[key]] for key in "xy"}
    drawn = []
    for panel in panels:
        data = [
            _cloud(part, "train" if role == "id" else role) for role, part in panel["roles"].items()
        ]
        layout = make_layout(320, "1st principal component", "2nd principal component")
        for key, values in spans.items():
            if values:
                layout[f"{key}axis"]["range"] = list(_range(values))
        note = _counts(panel["roles"], {"id": "other", "ood": "OOD"})
        drawn.append(make_panel(labels[panel["split"]], note, data, layout))
    return drawn


def _histograms(
    panels: list[dict[str, Any]], labels: dict[str, str], axis: str
) -> list[dict[str, Any]]:
    drawn = []
    for panel in panels:
        data = []
        for part, values in panel["parts"].items():
            trace = {
                "type": "scatter",
                "mode": "lines",
                "x": panel["edges"],
                "y": [100 * share for share in [*values["share"], values["share"][-1]]],
                "line": {"shape": "hv", "color": ROLE_COLOURS[part], "width": 1.8},
                "name": _ROLE_NAMES[part],
                "hovertemplate": "%{x:.4~g}: %{y:.1f} %<extra>" + _ROLE_NAMES[part] + "</extra>",
            }
            if part == "train":
                trace |= {
                    "fill": "tozeroy",
                    "fillcolor": "#e4e7ea",
                    "line": {"shape": "hv", "color": "#b6bdc4", "width": 1},
                }
            data.append(trace)
        layout = make_layout(250, axis, "share of rows (%)")
        layout["yaxis"]["rangemode"] = "tozero"
        note = ", ".join(f"{v['n']:,} {_SHORT[p]}" for p, v in panel["parts"].items()) + " rows"
        drawn.append(make_panel(labels[panel["split"]], note, data, layout))
    return drawn


def _curves(
    histories: list[dict[str, Any]], labels: dict[str, str], colours: dict[str, str], unit: str
) -> list[dict[str, Any]]:
    kinds = (
        ("train_loss", "Training loss", "loss"),
        ("val_mae", "Validation error", f"MAE {_bracket(unit)}"),
    )
    drawn = []
    for split in dict.fromkeys(curve["split"] for curve in histories):
        for key, title, axis in kinds:
            curves = [one for one in histories if one["split"] == split and key in one]
            if not curves:
                continue
            data = [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": curve["epoch"],
                    "y": curve[key],
                    "line": {"color": colours.get(curve["method"], INK), "width": 1.4},
                    "opacity": 0.85,
                    "hovertemplate": f"{curve['method']}, seed {curve['seed']}, epoch %{{x}}: "
                    "%{y:.4~g}<extra></extra>",
                }
                for curve in curves
            ]
            values = [v for curve in curves for v in curve[key] if v is not None]
            layout = make_layout(250, "epoch", axis)
            if min(values) > 0 and max(values) > _LOG_FROM * min(values):
                layout["yaxis"] |= {"type": "log", "exponentformat": "power", "nticks": 6}
            else:
                layout["yaxis"]["rangemode"] = "tozero"
            place = "all splits" if split == "all" else labels.get(split, split)
            drawn.append(make_panel(title, place, data, layout))
    return drawn


def _cloud(part: dict[str, Any], role: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": part["x"],
        "y": part["y"],
        "text": [_as_text(formula) for formula in part["formula"]],
        "name": _ROLE_NAMES[role],
        "marker": {
            "color": ROLE_COLOURS[role],
            "size": 4.2,
            "opacity": 0.45,
        },
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    }


def _range(values: list[float]) -> tuple[float, float]:
    """Return the span of the middle 99.6 % of the values with a margin."""
    ordered = sorted(values)
    cut = math.floor(0.002 * len(ordered))
    low, high = ordered[cut], ordered[-1 - cut]
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _counts(parts: dict[str, Any], names: dict[str, str]) -> str:
    counts = []
    for role, part in parts.items():
        drawn, rows = len(part["x"]), f"{part['n']:,} {names[role]}"
        counts.append(rows if drawn == part["n"] else f"{drawn:,} of {rows}")
    return ", ".join(counts) + " rows"


def _role_name(role: str) -> str:
    return _ROLE_NAMES[role]


def _bracket(unit: str) -> str:
    return f"({unit})" if unit else ""


def _as_text(text: str) -> str:
    """Keep Plotly from reading a formula as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
