"""Figures of a benchmark: ranks, error against cost, learning curves, ID against OOD, folds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtalshift.report.benchmark.leaderboard import Board, CurvePanel, FoldPanel, FoldRow, Place, Row
from xtalshift.report.shared.figures import (
    BAD,
    FOLD_KINDS,
    INK,
    SOFT,
    Figure,
    Kind,
    Panel,
    draw_diagonal,
    draw_level,
    escape,
    make_layout,
    number_panels,
    place_labels,
    shorten,
)
from xtalshift.report.shared.text import format_number

if TYPE_CHECKING:
    from xtalshift.report.benchmark.benchmark_page import BenchmarkReport

KINDS = {
    "constant": Kind("constant", "#6c757d", "x"),
    "classical": Kind("classical", "#009e73", "square"),
    "network": Kind("network", "#0072b2", "circle"),
    "robust": Kind("robust", "#d55e00", "diamond"),
    "cal": Kind("CAL", "#e69f00", "hexagon"),
    "alignment": Kind("alignment", "#56b4e9", "triangle-down"),
    "importance": Kind("importance weights", "#8c6d31", "cross"),
    "target-only": Kind("target labels only", "#6a51a3", "pentagon"),
    "adaptation": Kind("adaptation", "#b3589a", "triangle-up"),
}
"""What a method is; a plugin may have another kind."""

_OTHER = Kind("other", INK, "star")
# Okabe and Ito's palette and darker relatives, as few curves as these stand in one figure
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
"""Points on a line that no name may cover."""
_TICKS = tuple(digit * 10.0**power for power in range(-4, 8) for digit in (1, 3))
_DODGE = 1.015
"""Ratio by which curves are set apart, so that whiskers do not cover each other."""

# errors of a quarter and of four times that of the constant, as powers of 2
_EASIEST, _HARDEST = -2.0, 2.0
_SCALE = [
    [0.0, "#2166ac"],
    [0.25, "#92c5de"],
    [0.5, "#ffffff"],
    [0.75, "#f4a582"],
    [1.0, "#b2182b"],
]
_SCALE_HEIGHT = 110.0
_MOST_NAMED = 60
_FOLD_HEIGHT = 16.0
_ALL_FOLDS = 960.0
"""Height of more folds than have a name."""
_LONGEST = 24

# all heights in pixels: the range of the hidden y axis is the height of the figure
_RANKS_ABOVE = 48
_RANK_ROW = 17
_RANK_BAR = 7
_LONGEST_RANKED = 28
_CHARACTER = 6.9
_MOST_TICKS = 12
_RANK_SIDE = 0.02

Span = tuple[float, float]
Ranked = list[tuple[Row, float]]


def curve_styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and dash of the learning curve of each method."""
    return {
        label: (_CURVES[i % len(_CURVES)], _DASHES[i // len(_CURVES) % len(_DASHES)])
        for i, label in enumerate(dict.fromkeys(labels))
    }


def build_benchmark_figures(report: BenchmarkReport) -> dict[str, list[Panel]]:
    """Draw every panel of the page of a benchmark.

    Returns
    -------
    dict of list of Panel
        By section: ``ranks`` and ``cost`` (one per board), ``curves``, ``gaps``, ``folds``.
    """
    boards, places = report.boards, report.places
    colours = {name: kind.colour for name, kind in KINDS.items()}
    return number_panels(
        {
            "ranks": [draw_ranks(board, colours) for board in boards],
            "cost": [_draw_cost(board) for board in boards],
            "curves": [
                _draw_curve(one, places[one.place], report.curve_styles) for one in report.curves
            ],
            "gaps": [
                _draw_gap(board, column, places)
                for board in boards[:1]
                for column in range(len(board.columns))
            ],
            "folds": [_draw_folds(one, places[one.place]) for one in report.folds],
        }
    )


@dataclass(frozen=True)
class Mark:
    """A method in a scatter plot."""

    label: str
    kind: str
    x: float
    y: float
    faint: bool = False


def _draw_cost(board: Board) -> Panel | None:
    marks = [
        Mark(row.label, row.kind, row.seconds, row.over_dummy, row.budget != board.budget)
        for row in board.usual
        if row.seconds and row.over_dummy is not None
    ]
    # names of the methods with labels first: the others have the same place in every board
    marks.sort(key=lambda mark: mark.faint)
    limit = min(max([1.0, *(mark.y for mark in marks)]), _MOST_OVER_DUMMY) * 1.06
    inside = [mark for mark in marks if mark.y <= limit]
    if not inside:
        return None
    logs = [math.log10(mark.x) for mark in inside]
    pad = 0.05 * (max(logs) - min(logs)) or 0.5
    # names stand at the right of their marks
    x_span = (min(logs) - pad, max(logs) + 2 * pad)
    y_span = (min(0.9 * min(mark.y for mark in marks), 0.9), limit)
    points = [
        (_share(x, x_span), _share(mark.y, y_span)) for x, mark in zip(logs, inside, strict=True)
    ]
    line = [(i / _LINE, _share(1.0, y_span)) for i in range(_LINE + 1)]
    sides = place_labels(points, [mark.label for mark in inside], _COST_PLOT, line)
    ticks = [tick for tick in _TICKS if x_span[0] <= math.log10(tick) <= x_span[1]]
    layout = make_layout(
        400,
        "seconds per fit",
        "error / that of the constant",
        xaxis={
            "type": "log",
            "range": list(x_span),
            "tickvals": ticks,
            "ticktext": [f"{tick:,g}" for tick in ticks],
        },
        yaxis={"range": list(y_span)},
        shapes=[draw_level(1.0, "y")],
    )
    note = _count_unnamed(sides, len(marks) - len(inside))
    return Panel("", note, [_draw_marks(inside, sides)], layout)


def _draw_gap(board: Board, column: int, places: Sequence[Place]) -> Panel | None:
    """Draw OOD against ID errors of one split, without the methods far beyond all others."""
    place = places[board.columns[column]]
    marks = [
        Mark(row.label, row.kind, cell.id_error, cell.error)
        for row in board.usual
        if (cell := row.cells[column]).id_error is not None and cell.error is not None
    ]
    if place.role != "ood" or not marks:
        return None
    constants = [mark for mark in marks if mark.kind == "constant"]
    others = [mark for mark in marks if mark.kind != "constant"]
    x_span = _span([one.x for one in others], [one.x for one in constants])
    y_span = _span([one.y for one in others], [one.y for one in constants])
    inside = [
        mark
        for mark in marks
        if x_span[0] <= mark.x <= x_span[1] and y_span[0] <= mark.y <= y_span[1]
    ]
    points = [(_share(mark.x, x_span), _share(mark.y, y_span)) for mark in inside]
    low, high = max(x_span[0], y_span[0]), min(x_span[1], y_span[1])
    along = [low + i / _LINE * (high - low) for i in range(_LINE + 1)] if low < high else []
    line = [(_share(v, x_span), _share(v, y_span)) for v in along]
    sides = place_labels(points, [mark.label for mark in inside], _GAP_PLOT, line)
    unit = f" ({place.unit})" if place.unit else ""
    layout = make_layout(
        380,
        f"ID error{unit}",
        f"OOD error{unit}",
        xaxis={"range": list(x_span)},
        yaxis={"range": list(y_span)},
        shapes=[draw_diagonal(low, high)] if along else [],
    )
    note = _count_unnamed(sides, len(marks) - len(inside))
    return Panel(place.label, note, [_draw_marks(inside, sides)], layout)


def _share(value: float, span: Span) -> float:
    return (value - span[0]) / (span[1] - span[0])


def _span(values: list[float], constants: list[float]) -> Span:
    """Return an axis for all methods but those that err twice as much as the best constant."""
    limit = _MOST_OVER_DUMMY * min(constants) if constants else math.inf
    shown = [value for value in values if value <= limit] or constants or [0.0, limit]
    low, high = min(shown), max(shown)
    pad = 0.09 * (high - low) or 0.1 * high or 1.0
    return low - pad, high + pad


def _count_unnamed(sides: list[str | None], beyond: int) -> str:
    """Say which marks or names do not fit into a plot."""
    hidden = sum(side is None for side in sides)
    parts = [f"{beyond} beyond the axis" if beyond else ""]
    parts.append(f"{hidden} without a name for lack of room; point at the mark" if hidden else "")
    return "; ".join(filter(None, parts))


def _draw_marks(marks: list[Mark], sides: list[str | None]) -> Figure:
    """Return marks by kind of method; methods that see no labels are fainter."""
    kinds = [KINDS.get(mark.kind, _OTHER) for mark in marks]
    names = [escape(mark.label) for mark in marks]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [mark.x for mark in marks],
        "y": [mark.y for mark in marks],
        "customdata": names,
        "text": [name if side else "" for name, side in zip(names, sides, strict=True)],
        "textposition": [side or "top center" for side in sides],
        "textfont": {"size": 11, "color": [SOFT if mark.faint else INK for mark in marks]},
        "marker": {
            "size": 8,
            "symbol": [kind.symbol for kind in kinds],
            "color": [kind.colour for kind in kinds],
            "opacity": [0.45 if mark.faint else 1.0 for mark in marks],
        },
        "hovertemplate": "%{customdata}<br>%{x:.3~g}, %{y:.3~g}<extra></extra>",
        "cliponaxis": False,
    }


def _draw_curve(curve: CurvePanel, place: Place, styles: dict[str, tuple[str, str]]) -> Panel:
    shown = [one for one in curve.methods if not one.variant]
    data: list[Figure] = []
    ends: list[float] = []
    for number, one in enumerate(shown):
        colour, dash = styles[one.label]
        dodge = _DODGE ** (number - (len(shown) - 1) / 2)
        whiskers = {"type": "data", "array": one.mae_sd, "color": colour}
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [budget * dodge for budget in curve.budgets],
                "y": one.mae,
                "customdata": curve.budgets,
                "error_y": whiskers | {"thickness": 1, "width": 2},
                "line": {"color": colour, "width": 1.8, "dash": dash},
                "marker": {"size": 6, "symbol": "circle-open" if one.target_only else "circle"},
                "connectgaps": True,
                "name": escape(one.label),
                "hovertemplate": "%{fullData.name}, %{customdata} labels: %{y:.4~g}<extra></extra>",
            }
        )
        for mae, sd in zip(one.mae, one.mae_sd, strict=True):
            if mae is not None:
                ends += [mae - (sd or 0.0), mae + (sd or 0.0)]
    note, shapes = "", []
    if curve.source:
        label, error = curve.source
        shapes = [draw_level(error, "y", "dash")]
        note = f"Dashed: {label}, the smallest error without target rows."
        ends.append(error)
    yaxis: Figure = {}
    if ends:
        pad = 0.12 * (max(ends) - min(ends)) or 0.1 * max(ends) or 1.0
        yaxis = {"range": [min(ends) - pad, max(ends) + pad]}
    unit = f" ({place.unit})" if place.unit else ""
    layout = make_layout(
        300,
        "target labels",
        f"{place.role.upper()} error{unit}",
        xaxis={
            "type": "log",
            "tickvals": curve.budgets,
            "ticktext": [str(budget) for budget in curve.budgets],
            "range": [math.log10(curve.budgets[0]) - 0.12, math.log10(curve.budgets[-1]) + 0.12],
        },
        yaxis=yaxis,
        shapes=shapes,
    )
    return Panel(place.label, note, data, layout)


def _draw_folds(panel: FoldPanel, place: Place) -> Panel:
    """Draw a map of errors over those of the constant; squares show the labels of the audit."""
    folds, labels = panel.folds, panel.labels
    named = len(folds) <= _MOST_NAMED
    height = _FOLD_HEIGHT if named else max(3.0, _ALL_FOLDS / len(folds))
    heat: Figure = {
        "type": "heatmap",
        "z": [[_log2(value) for value in fold.values] for fold in folds],
        "customdata": [fold.values for fold in folds],
        "text": [[_describe_fold(fold)] * len(labels) for fold in folds],
        "x": list(range(len(labels))),
        "y": list(range(len(folds))),
        "zmin": _EASIEST,
        "zmax": _HARDEST,
        "colorscale": _SCALE,
        "xgap": 1,
        "ygap": 1 if named else 0,
        "hoverongaps": False,
        "colorbar": {
            "tickvals": [-2, -1, 0, 1, 2],
            "ticktext": ["¼", "½", "1", "2", "4"],
            "thickness": 10,
            "len": _SCALE_HEIGHT,
            "lenmode": "pixels",
            "y": 1,
            "yanchor": "top",
            "outlinewidth": 0,
            "x": 1.01,
        },
        "hovertemplate": "%{text}<br>%{x}: %{customdata:.3f}<extra></extra>",
    }
    top = min(max(len(label) for label in labels), _LONGEST) * 6.0 + 14
    body = height * len(folds)
    below = max(4.0, _SCALE_HEIGHT - body)
    bare: Figure = {
        "showgrid": False,
        "ticks": "",
        "showline": False,
        "fixedrange": True,
        "tickfont": {"size": 11},
    }
    layout = make_layout(
        round(top + body + below),
        "",
        "",
        xaxis=bare
        | {
            "side": "top",
            "tickangle": -90,
            "tickvals": heat["x"],
            "ticktext": [escape(shorten(label, _LONGEST)) for label in labels],
            "automargin": False,
        },
        yaxis=bare
        | {
            "autorange": "reversed",
            "showticklabels": named,
            "tickvals": heat["y"],
            "ticktext": [
                f"{escape(shorten(fold.name, _LONGEST))} {_squares(fold)}" for fold in folds
            ],
        },
        margin={"l": 8, "r": 46, "t": top, "b": below},
    )
    layout["plot_bgcolor"] = "#eef0f2"
    return Panel(place.label, f"{len(folds)} folds, hardest first", [heat], layout)


def _log2(value: float | None) -> float | None:
    if value is None:
        return None
    return max(min(math.log2(value), 4.0), -4.0) if value > 0 else -4.0


def _describe_fold(fold: FoldRow) -> str:
    labels = f", {', '.join(fold.labels)}" if fold.labels else ""
    return escape(f"{fold.name}: {fold.n_test:,} test rows{labels}")


def _squares(fold: FoldRow) -> str:
    """Return one coloured square for each label of the audit."""
    colours = [
        BAD if label == "leak" else FOLD_KINDS.get(label, _OTHER).colour for label in fold.labels
    ]
    return "".join(f'<span style="color:{colour}">■</span>' for colour in colours)


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
    first = -(14 + _RANK_BAR * (max(levels, default=-1) + 1) + 10)
    pad = _RANK_SIDE * (high - low)
    edges = (low - pad, high + pad)
    bottom = first - _RANK_ROW * (half - 1) - 10
    widths = [
        min(len(row.label), _LONGEST_RANKED) * (1.12 if row.bold else 1.0) for row, _ in ranked
    ]
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
            _segment(a, -14 - _RANK_BAR * level, b, -14 - _RANK_BAR * level, width=3.5)
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
        heights = [first - _RANK_ROW * i for i in range(len(group))]
        notes += [
            _name(row, rank, y, edges[side], side)
            for (row, rank), y in zip(group, heights, strict=True)
        ]
        lines += _lines(group, heights, edges[side], colours)
    layout = make_layout(
        _RANKS_ABOVE - bottom + 8,
        "",
        "",
        xaxis={"visible": False, "range": list(edges), "fixedrange": True},
        yaxis={"visible": False, "range": [bottom, _RANKS_ABOVE], "fixedrange": True},
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
    label = escape(shorten(row.label, _LONGEST_RANKED))
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
