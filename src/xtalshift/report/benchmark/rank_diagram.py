"""Average ranks of many methods in one figure: the critical-difference diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xtalshift.report.benchmark.leaderboard import Board, Row
from xtalshift.report.shared.figures import (
    INK,
    SOFT,
    Figure,
    Panel,
    escape,
    make_layout,
    shorten,
)
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

Ranked = list[tuple[Row, float]]


def draw_ranks(board: Board, colours: dict[str, str]) -> Panel | None:
    """Draw the average ranks of a board; None without ranks.

    An axis of ranks, a line from each method to its rank (the better half at the left, colours by
    kind of method), and bars that join methods without a significant difference.
    """
    ranked = [(row, row.rank) for row in board.rows if row.rank is not None]
    if not ranked or board.critical_difference is None:
        return None
    ranks = {row.label: rank for row, rank in ranked}
    low, high = math.floor(min(ranks.values())), math.ceil(max(ranks.values()))
    high = max(high, low + 1)
    groups = [[ranks[label] for label in group] for group in board.cliques]
    spans = [(min(group), max(group)) for group in groups]
    levels = _stack(spans, 0.01 * (high - low))
    half = (len(ranked) + 1) // 2
    first = -(14 + _BAR * (max(levels, default=-1) + 1) + 10)
    pad = _SIDE * (high - low)
    edges = (low - pad, high + pad)
    bottom = first - _ROW * (half - 1) - 10
    widths = [min(len(row.label), _LONGEST) * (1.12 if row.bold else 1.0) for row, _ in ranked]
    margin = max(widths) * _CHARACTER + 40
    ticks = _tick_values(low, high)
    stop, length = (
        min(low + board.critical_difference, high),
        format_number(board.critical_difference),
    )
    beyond = ", longer than the axis" if low + board.critical_difference > high else ""
    shapes = [
        _segment(low, 0, high, 0, width=1.3),
        *(_segment(value, 0, value, 5, width=1) for value in ticks),
        *(
            _segment(a, -14 - _BAR * level, b, -14 - _BAR * level, width=3.5)
            for (a, b), level in zip(spans, levels, strict=True)
        ),
        # the length of the critical difference above the axis
        _segment(low, 32, stop, 32, width=1.3),
        *(_segment(x, 28, x, 36, width=1.3) for x in (low, stop)),
    ]
    notes = [_text(value, 12, str(value), "center") for value in ticks]
    notes.append(_text(low, 42, f"CD = {length}{beyond}", "left"))
    lines: list[Figure] = []
    for side, group in enumerate((ranked[:half], ranked[half:][::-1])):
        heights = [first - _ROW * i for i in range(len(group))]
        notes += [
            _name(row, rank, y, edges[side], side)
            for (row, rank), y in zip(group, heights, strict=True)
        ]
        lines += _lines(group, heights, edges[side], colours)
    layout = make_layout(
        _ABOVE - bottom + 8,
        "",
        "",
        xaxis={"visible": False, "range": list(edges), "fixedrange": True},
        yaxis={"visible": False, "range": [bottom, _ABOVE], "fixedrange": True},
        margin={"l": margin, "r": margin, "t": 4, "b": 4},
        shapes=shapes,
        annotations=notes,
    )
    return Panel("", "", [*lines, _marks(ranked, colours)], layout)


def _stack(spans: Sequence[tuple[float, float]], gap: float) -> list[int]:
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


def _tick_values(low: int, high: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= _MOST_TICKS)
    ticks = [value for value in range(low, high + 1) if value % step == 0]
    return ticks if ticks and ticks[0] - low < step / 2 else [low, *ticks]


def _segment(x0: float, y0: float, x1: float, y1: float, *, width: float) -> Figure:
    ends = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return {"type": "line", **ends, "line": {"color": INK, "width": width}}


def _text(x: float, y: float, text: str, anchor: str, shift: int = 0) -> Figure:
    return {
        "x": x, "y": y, "text": text, "xanchor": anchor, "yanchor": "middle", "showarrow": False,
        "font": {"size": 12, "color": INK}, "xshift": shift,
    }  # fmt: skip


def _name(row: Row, rank: float, y: float, x: float, side: int) -> Figure:
    label = escape(shorten(row.label, _LONGEST))
    label = f"<b>{label}</b>" if row.bold else label
    number = f'<span style="color:{SOFT};font-size:11px">{rank:.1f}</span>'
    if side:
        return _text(x, y, f"{number}  {label}", "left", 3)
    return _text(x, y, f"{label}  {number}", "right", -3)


def _lines(
    group: Ranked, heights: Sequence[float], edge: float, colours: dict[str, str]
) -> list[Figure]:
    """Return one trace per kind of method: from the axis down, then to the name."""
    traces: list[Figure] = []
    for kind in dict.fromkeys(row.kind for row, _ in group):
        same = [
            (rank, y) for (row, rank), y in zip(group, heights, strict=True) if row.kind == kind
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [value for rank, _ in same for value in (rank, rank, edge, None)],
                "y": [value for _, y in same for value in (0, y, y, None)],
                "line": {"color": colours.get(kind, INK), "width": 1.3},
                "hoverinfo": "skip",
            }
        )
    return traces


def _marks(ranked: Ranked, colours: dict[str, str]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rank for _, rank in ranked],
        "y": [0] * len(ranked),
        "text": [escape(row.label) for row, _ in ranked],
        "marker": {"size": 6, "color": [colours.get(row.kind, INK) for row, _ in ranked]},
        "hovertemplate": "%{text}: average rank %{x:.2f}<extra></extra>",
        "cliponaxis": False,
    }
