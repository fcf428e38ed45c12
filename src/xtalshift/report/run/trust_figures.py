"""Intervals and OOD scores of each method as small figures: one colour per split."""

from __future__ import annotations

from typing import Any

from xtalshift.report.shared.panels import INK, Figure, draw_level, make_layout, make_panel
from xtalshift.uncertainty.conformal import LEVEL

__all__ = ["draw_trust", "split_styles"]

_HEIGHT = 290
_INSIDE = {"color": "#5aa3b5", "dash": "solid"}
# the colour of OOD rows in shades that differ in lightness, so that dashes only help
_SHIFTED = (
    {"color": "#8e2a7f", "dash": "solid"},
    {"color": "#d08ac4", "dash": "dash"},
    {"color": "#3f1240", "dash": "dot"},
    {"color": "#b0559f", "dash": "dashdot"},
)
_LOG_FROM = 30.0

Styles = dict[str, dict[str, str]]


def split_styles(columns: list[dict[str, Any]]) -> Styles:
    """Give every split a colour and a dash, the same in all figures of the section."""
    styles, shifted = {}, 0
    for column in columns:
        if column["role"] == "id":
            styles[column["split"]] = _INSIDE
        else:
            styles[column["split"]] = _SHIFTED[shifted % len(_SHIFTED)]
            shifted += 1
    return styles


def draw_trust(
    trust: dict[str, Any] | None, styles: Styles, unit: str
) -> dict[str, list[dict[str, Any]]]:
    """Draw the panels of every method.

    Parameters
    ----------
    trust : dict or None
        As `xtalshift.report.run.trust.trust_payload` returns it.
    styles : dict
        As `split_styles` returns them.
    unit : str
        Unit of the target, or an empty text.

    Returns
    -------
    dict
        Per method a section ``trust-0``, ``trust-1``, ... of at most four panels.
    """
    sections: dict[str, list[dict[str, Any]]] = {}
    if trust is None:
        return sections
    for number, method in enumerate(trust["methods"]):
        parts = method["parts"]
        drawn = [
            _calibration(trust["levels"], parts, styles),
            _coverage(trust["edges"], parts, styles),
            _errors(trust["edges"], parts, styles, unit),
            _widths(parts, styles),
        ]
        sections[f"trust-{number}"] = [panel for panel in drawn if panel]
    return sections


def _calibration(levels: list[float], parts: list[dict[str, Any]], styles: Styles) -> Figure:
    percent = [100 * level for level in levels]
    data = [
        _line(
            part,
            styles,
            percent,
            [100 * share for share in part["curve"]],
            "%{x:.0f} % promised, %{y:.1f} % held",
        )
        for part in parts
    ]
    layout = make_layout(_HEIGHT, "level of the interval (%)", "targets held (%)")
    layout["xaxis"] |= {"range": [0, 100], "dtick": 20}
    layout["yaxis"] |= {"range": [0, 100], "dtick": 20}
    layout["margin"]["r"] = 20  # half of the last number
    layout["shapes"] = [
        {"type": "line", "x0": 0, "x1": 100, "y0": 0, "y1": 100}
        | {"line": {"color": INK, "width": 1.3, "dash": "dot"}}
    ]
    return make_panel("Calibration", "below the diagonal: too narrow", data, layout)


def _coverage(edges: list[float], parts: list[dict[str, Any]], styles: Styles) -> Figure | None:
    data = [
        _line(part, styles, *_points(part, "coverage", 100), "%{y:.1f} % held", marks=True)
        for part in parts
    ]
    if not any(trace["x"] for trace in data):
        return None
    layout = make_layout(_HEIGHT, "OOD score", "targets held (%)")
    layout["yaxis"]["range"] = [0, 102]
    layout["shapes"] = [draw_level(100 * LEVEL, "y")]
    _mark_edges(layout, edges)
    return make_panel("Coverage against OOD score", "of the 90 % intervals", data, layout)


def _errors(
    edges: list[float], parts: list[dict[str, Any]], styles: Styles, unit: str
) -> Figure | None:
    data = []
    for part in parts:
        high = _line(part, styles, *_points(part, "high_error"), "90 % of errors below %{y:.4~g}")
        high["line"] = {"color": styles[part["split"]]["color"], "width": 1, "dash": "dot"}
        middle = _line(
            part, styles, *_points(part, "median_error"), "median error %{y:.4~g}", marks=True
        )
        data += [high, middle]
    values = [value for trace in data for value in trace["y"] if value]
    if not values:
        return None
    layout = make_layout(_HEIGHT, "OOD score", f"absolute error{f' ({unit})' if unit else ''}")
    if max(values) > _LOG_FROM * min(values):
        layout["yaxis"] |= {"type": "log", "exponentformat": "power", "nticks": 6}
    else:
        layout["yaxis"]["rangemode"] = "tozero"
    _mark_edges(layout, edges)
    note = "thick: median; thin, dotted: 90 % of the errors lie below"
    return make_panel("Error against OOD score", note, data, layout)


def _widths(parts: list[dict[str, Any]], styles: Styles) -> Figure | None:
    known = [part for part in reversed(parts) if part["widths"] and None not in part["widths"]]
    if not known:
        return None
    data: list[Figure] = []
    for part in known:
        color, label = styles[part["split"]]["color"], _plain(part["label"])
        low, quarter, middle, three, high = part["widths"]
        for ends, thick in (((low, high), 1.5), ((quarter, three), 7)):
            data.append(
                {"type": "scatter", "mode": "lines", "x": list(ends), "y": [label, label]}
                | {"line": {"color": color, "width": thick}, "hoverinfo": "skip"}
            )
        marker = {"color": "#ffffff", "size": 9, "line": {"color": color, "width": 2}}
        data.append(
            {"type": "scatter", "mode": "markers", "x": [middle], "y": [label], "marker": marker}
            | {"hovertemplate": "median %{x:.3f}<extra>" + label + "</extra>"}
        )
    layout = make_layout(_HEIGHT, "width / width of the constant's interval", "")
    longest = max(1.0, *(part["widths"][-1] for part in known))
    layout["xaxis"]["range"] = [0, 1.06 * longest]
    layout["yaxis"] |= {"showgrid": False, "ticks": "", "range": [-0.6, len(known) - 0.4]}
    layout["margin"] |= {"l": 8, "r": 48}
    layout["shapes"] = [draw_level(1, "x")]
    layout["annotations"] = [
        {"xref": "paper", "x": 1.0, "xanchor": "left", "xshift": 8, "y": _plain(part["label"])}
        | {"text": f"{part['widths'][2]:.2f}", "showarrow": False, "font": {"size": 12}}
        for part in known
    ]
    note = "circle: median; bars: middle 50 % and 90 % of the rows"
    return make_panel("Width of the 90 % intervals", note, data, layout)


def _line(
    part: dict[str, Any],
    styles: Styles,
    x: list[float],
    y: list[float],
    says: str,
    *,
    marks: bool = False,
) -> Figure:
    style, label = styles[part["split"]], _plain(part["label"])
    trace: Figure = {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "x": x,
        "y": y,
        "line": {"color": style["color"], "width": 2, "dash": style["dash"]},
        "name": label,
        "hovertemplate": f"{says}<extra>{label}</extra>",
    }
    if marks:
        trace["marker"] = {"color": style["color"], "size": 7}
    return trace


def _points(part: dict[str, Any], key: str, times: float = 1.0) -> tuple[list[float], list[float]]:
    known = [(place, one[key]) for place, one in enumerate(part["binned"]) if one[key] is not None]
    return [float(place) for place, _ in known], [times * value for _, value in known]


def _mark_edges(layout: Figure, edges: list[float]) -> None:
    """Give all bins the same room, with their edges as ticks between them."""
    layout["xaxis"] |= {
        "tickmode": "array",
        "tickvals": [place - 0.5 for place in range(len(edges))],
        "ticktext": [f"{edge:g}" for edge in edges],
        "range": [-0.5, len(edges) - 1.5],
        "tickangle": 0,
    }
    layout["margin"]["r"] = 20  # half of the last number


def _plain(text: str) -> str:
    """Keep Plotly from reading a name as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
