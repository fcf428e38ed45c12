"""Average ranks of many methods in one picture: the critical-difference diagram."""

from __future__ import annotations

import html
import math
from typing import Any

from xtalshift.report.shared.panels import INK, Figure, make_layout, make_panel
from xtalshift.report.shared.text import format_number

__all__ = ["draw_ranks"]

# all heights in pixels: the range of the hidden y axis is the height of the figure
_ABOVE = 48
_ROW = 17
_BAR = 7
_LONGEST = 28
_CHARACTER = 6.9
_MOST_TICKS = 12
_SIDE = 0.02
_SOFT = "#5c656e"


def draw_ranks(board: dict[str, Any], colours: dict[str, str]) -> dict[str, Any] | None:
    """Draw the average ranks of a scenario.

    Parameters
    ----------
    board : dict
        See `xtalshift.report.benchmark.board.build_board`.
    colours : dict
        By kind of method.

    Returns
    -------
    dict or None
        A panel: an axis of ranks, a line from each method to its rank (the better half at the
        left), bars that join what is not told apart. None without ranks.
    """
    rows = [row for row in board["rows"] if row["rank"] is not None]
    if not rows or board["critical_difference"] is None:
        return None
    ranks = {row["label"]: row["rank"] for row in rows}
    low, high = math.floor(min(ranks.values())), math.ceil(max(ranks.values()))
    high = max(high, low + 1)
    spans = [
        (min(ranks[label] for label in group), max(ranks[label] for label in group))
        for group in board["cliques"]
    ]
    levels = _stack(spans, 0.01 * (high - low))
    half = (len(rows) + 1) // 2
    first = -(14 + _BAR * (max(levels, default=-1) + 1) + 10)
    left = [(row, first - _ROW * i) for i, row in enumerate(rows[:half])]
    right = [(row, first - _ROW * i) for i, row in enumerate(reversed(rows[half:]))]
    pad = _SIDE * (high - low)
    edges = (low - pad, high + pad)
    bottom = first - _ROW * (half - 1) - 10
    layout = make_layout(_ABOVE - bottom + 8, "", "")
    widths = [min(len(row["label"]), _LONGEST) * (1.12 if row["bold"] else 1.0) for row in rows]
    margin = max(widths) * _CHARACTER + 40
    layout["margin"] = {"l": margin, "r": margin, "t": 4, "b": 4}
    layout["xaxis"] = {"visible": False, "range": list(edges), "fixedrange": True}
    layout["yaxis"] = {"visible": False, "range": [bottom, _ABOVE], "fixedrange": True}
    layout["shapes"] = _axis(low, high) + [
        _line(a, -14 - _BAR * level, b, -14 - _BAR * level, width=3.5)
        for (a, b), level in zip(spans, levels, strict=True)
    ]
    layout["annotations"] = _ticks(low, high) + [
        _name(row, y, edges[side], side)
        for side, group in enumerate((left, right))
        for row, y in group
    ]
    _add_difference(layout, board["critical_difference"], low, high)
    lines = _lines([(row, y, edges[0]) for row, y in left], colours)
    lines += _lines([(row, y, edges[1]) for row, y in right], colours)
    return make_panel("", "", [*lines, _marks(rows, colours)], layout)


def _stack(spans: list[tuple[float, float]], gap: float) -> list[int]:
    """Return the level of each bar, such that bars of a level do not touch."""
    ends: list[float] = []
    levels = []
    for start, stop in spans:
        level = next((i for i, end in enumerate(ends) if end + gap < start), len(ends))
        if level == len(ends):
            ends.append(stop)
        ends[level] = stop
        levels.append(level)
    return levels


def _line(x0: float, y0: float, x1: float, y1: float, *, width: float) -> Figure:
    return {
        "type": "line", "x0": x0, "x1": x1, "y0": y0, "y1": y1,
        "line": {"color": INK, "width": width},
    }  # fmt: skip


def _tick_values(low: int, high: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= _MOST_TICKS)
    ticks = [value for value in range(low, high + 1) if value % step == 0]
    return ticks if ticks and ticks[0] - low < step / 2 else [low, *ticks]


def _axis(low: int, high: int) -> list[Figure]:
    ticks = [_line(value, 0, value, 5, width=1) for value in _tick_values(low, high)]
    return [_line(low, 0, high, 0, width=1.3), *ticks]


def _ticks(low: int, high: int) -> list[Figure]:
    return [_text(value, 12, str(value), "center") for value in _tick_values(low, high)]


def _text(x: float, y: float, text: str, anchor: str, colour: str = INK) -> Figure:
    return {
        "x": x, "y": y, "text": text, "xanchor": anchor, "yanchor": "middle", "showarrow": False,
        "font": {"size": 12, "color": colour},
    }  # fmt: skip


def _name(row: dict[str, Any], y: float, x: float, side: int) -> Figure:
    label = row["label"]
    label = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    label = html.escape(label, quote=False)
    if row["bold"]:
        label = f"<b>{label}</b>"
    rank = f'<span style="color:{_SOFT};font-size:11px">{row["rank"]:.1f}</span>'
    text = f"{label}  {rank}" if side == 0 else f"{rank}  {label}"
    return _text(x, y, text, "right" if side == 0 else "left") | {
        "xshift": -3 if side == 0 else 3,
    }


def _add_difference(layout: Figure, difference: float, low: int, high: int) -> None:
    """Draw the length of the critical difference above the axis."""
    stop = min(low + difference, high)
    beyond = ", longer than the axis" if low + difference > high else ""
    y = 32
    layout["shapes"] += [
        _line(low, y, stop, y, width=1.3),
        *(_line(x, y - 4, x, y + 4, width=1.3) for x in (low, stop)),
    ]
    text = f"CD = {format_number(difference)}{beyond}"
    layout["annotations"].append(_text(low, y + 10, text, "left"))


def _lines(
    group: list[tuple[dict[str, Any], float, float]], colours: dict[str, str]
) -> list[Figure]:
    """Return one trace per kind: from the axis down, then to the name."""
    traces = []
    for kind in dict.fromkeys(row["kind"] for row, _, _ in group):
        same = [(row["rank"], y, edge) for row, y, edge in group if row["kind"] == kind]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [value for rank, _, edge in same for value in (rank, rank, edge, None)],
                "y": [value for _, y, _ in same for value in (0, y, y, None)],
                "line": {"color": colours.get(kind, INK), "width": 1.3},
                "hoverinfo": "skip",
            }
        )
    return traces


def _marks(rows: list[dict[str, Any]], colours: dict[str, str]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row["rank"] for row in rows],
        "y": [0] * len(rows),
        "text": [html.escape(row["label"], quote=False) for row in rows],
        "marker": {"size": 6, "color": [colours.get(row["kind"], INK) for row in rows]},
        "hovertemplate": "%{text}: average rank %{x:.2f}<extra></extra>",
        "cliponaxis": False,
    }
