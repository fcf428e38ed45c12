"""Figures of the chosen method: its errors by element, family and distance, and its intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xtalshift.report.run.mistakes import (
    ElementError,
    GroupError,
    Mistakes,
    periodic_places,
    size_of,
)
from xtalshift.report.run.run_figures import span_axis
from xtalshift.report.run.samples import IntervalPoints
from xtalshift.report.shared.figures import (
    BAD,
    INK,
    Figure,
    Panel,
    draw_diagonal,
    draw_level,
    escape,
    make_layout,
)
from xtalshift.report.shared.text import format_number, format_percent, format_ratio

_BAR = "#0072b2"
_OUTSIDE = "#d55e00"
# intervals are paler than predictions, which they would hide
_BARS = {_BAR: "rgba(0,114,178,0.45)", _OUTSIDE: "rgba(213,94,0,0.55)"}
# light to dark, so that it also reads in grey
_SCALE = [[0.0, "#eaf2f8"], [0.35, "#9ecae1"], [0.7, "#4292c6"], [1.0, "#08519c"]]
_EMPTY = "#f1f3f5"


def name_measure(found: GroupError, unit: str) -> str:
    """Name the measure of error that `size_of` returns, with its unit."""
    if found.factor is not None:
        return "typical factor"
    return f"mean absolute error{f' ({unit})' if unit else ''}"


def draw_elements(found: Mistakes, unit: str) -> Panel | None:
    """Draw a periodic table with the error of the materials that contain each element."""
    places = periodic_places()
    shown = {one.symbol: one for one in found.elements if one.symbol in places}
    sized = {s: size for s, one in shown.items() if (size := size_of(one.group)) is not None}
    if not sized:
        return None
    ordered = sorted(sized.values())
    # one element with a single bad material must not make the others pale
    top = ordered[math.ceil(0.95 * (len(ordered) - 1))]
    low = ordered[0] if ordered[0] < top else 0.0
    unseen = [one for one in shown.values() if one.unseen]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [places[s][0] for s in symbols],
            "y": [places[s][1] for s in symbols],
            "text": symbols,
            "textfont": {"size": 11, "color": colours},
            "customdata": [_describe_element(shown.get(s), s, unit) for s in symbols],
            "hovertemplate": "%{customdata}<extra></extra>",
            "marker": marker,
        }
        for symbols, colours, marker in _cells(places, sized, low, top)
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [places[one.symbol][0] for one in unseen],
            "y": [places[one.symbol][1] for one in unseen],
            "hoverinfo": "skip",
            "marker": {
                "symbol": "square-open",
                "size": 27,
                "color": BAD,
                "line": {"width": 2.5},
            },
        }
    )
    hidden: Figure = {"visible": False, "fixedrange": True}
    layout = make_layout(
        380,
        "",
        "",
        xaxis=hidden | {"range": [0.4, 18.6]},
        yaxis=hidden | {"range": [9.6, 1 - 0.6]},
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
    )
    return Panel("", "", data, layout)


def _cells(
    places: dict[str, tuple[int, int]], sized: dict[str, float], low: float, top: float
) -> list[tuple[list[str], list[str] | str, Figure]]:
    """Return symbols, colours of their texts and markers: of elements without and with errors."""
    square: Figure = {"symbol": "square", "size": 27, "line": {"width": 0}}
    without = [symbol for symbol in places if symbol not in sized]
    known = list(sized)
    middle = low + 0.6 * (top - low)
    bar: Figure = {"thickness": 10, "len": 0.7, "outlinewidth": 0, "tickfont": {"size": 11}}
    scale: Figure = {
        "color": [sized[symbol] for symbol in known],
        "cmin": low,
        "cmax": top,
        "colorscale": _SCALE,
        "showscale": True,
        "colorbar": bar,
    }
    dark = ["#ffffff" if sized[symbol] > middle else INK for symbol in known]
    return [(without, "#adb5bd", square | {"color": _EMPTY}), (known, dark, square | scale)]


def _describe_element(one: ElementError | None, symbol: str, unit: str) -> str:
    if one is None:
        return f"{symbol}: in no material of the table"
    train = "" if one.n_train is None else f"{one.n_train:,} training materials contain it"
    if not one.group.n:
        return f"{symbol}: no held-out material contains it<br>{train}"
    text = f"<b>{symbol}</b>: {format_number(one.group.mae)} {unit}".strip()
    if one.group.factor is not None:
        text += f", a factor of {format_ratio(one.group.factor)}"
    text += f"<br>{one.group.n:,} held-out materials contain it"
    return f"{text}<br>{'NO training material contains it' if one.unseen else train}"


def draw_families(found: Mistakes, unit: str) -> Panel | None:
    """Draw the error of each chemical family, the largest at the top."""
    shown = [one for one in found.families if size_of(one) is not None]
    if not shown:
        return None
    shown.sort(key=lambda one: size_of(one) or 0.0)
    return _draw_groups("By chemical family", shown, [one.name for one in shown], found, unit)


def draw_distances(found: Mistakes, unit: str) -> list[Panel | None]:
    """Draw error and coverage by distance to the training materials, the nearest at the top."""
    shown = [one for one in reversed(found.distances) if size_of(one) is not None]
    if not shown:
        return []
    names = [one.name for one in shown]
    error = _draw_groups("By OOD score (distance)", shown, names, found, unit)
    covered = [one for one in shown if one.coverage is not None]
    if not covered:
        return [error]
    coverages = [100.0 * (one.coverage or 0.0) for one in covered]
    layout = make_layout(
        74 + 27 * len(covered),
        "values inside their 90 % interval (%)",
        "",
        xaxis={"range": [0, 106]},
        yaxis={"showgrid": False, "ticks": "", "type": "category"},
        margin={"l": 8, "r": 106},
        shapes=[draw_level(90, "x")],
        annotations=[
            _number(one.name, f"{format_percent(one.coverage)} of {one.n:,}") for one in covered
        ],
    )
    data = [_bars([one.name for one in covered], coverages, "%{y}: %{x:.0f} %")]
    return [error, Panel("Intervals by OOD score", "dotted: what they promise", data, layout)]


def _draw_groups(
    title: str, shown: Sequence[GroupError], names: list[str], found: Mistakes, unit: str
) -> Panel:
    sizes = [size_of(one) or 0.0 for one in shown]
    logs = found.whole.factor is not None
    numbers = [format_ratio(v) if logs else format_number(v) for v in sizes]
    whole = size_of(found.whole)
    layout = make_layout(
        74 + 27 * len(shown),
        name_measure(found.whole, unit),
        "",
        xaxis={"range": [1.0 if logs else 0.0, 1.06 * max(sizes)]},
        yaxis={"showgrid": False, "ticks": "", "type": "category"},
        margin={"l": 8, "r": 122},
        shapes=[] if whole is None else [draw_level(whole, "x")],
        annotations=[
            _number(one.name, f"{text} (n = {one.n:,})")
            for one, text in zip(shown, numbers, strict=True)
        ],
    )
    bars = _bars(names, sizes, "%{y}: %{x:.3~g}")
    if logs:  # bars begin at a factor of 1, which is no error
        bars |= {"base": 1.0, "x": [size - 1.0 for size in sizes], "hoverinfo": "skip"}
        del bars["hovertemplate"]
    return Panel(title, "dotted: all held-out materials", [bars], layout)


def _bars(names: list[str], sizes: list[float], says: str) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": sizes,
        "marker": {"color": _BAR},
        "width": 0.62,
        "hovertemplate": f"{says}<extra></extra>",
    }


def _number(name: str, text: str) -> Figure:
    place = {"xref": "paper", "x": 1.0, "xanchor": "left", "xshift": 8, "y": name}
    return place | {"text": text, "showarrow": False, "font": {"size": 12, "color": INK}}


def draw_interval_parity(
    panels: Sequence[IntervalPoints], labels: dict[str, str], unit: str, *, logarithmic: bool
) -> list[Panel | None]:
    """Draw predictions with their intervals against targets, all panels with the same axes."""
    targets = [value for panel in panels for value in panel.target]
    if not targets:
        return []
    scale, low, high = span_axis(targets, logarithmic=logarithmic)
    axis = f"({unit})" if unit else ""
    found: list[Panel | None] = []
    for panel in panels:
        known = [one for one in panel.inside if one is not None]
        note = f"{panel.n:,} rows" if panel.n == len(panel.target) else (
            f"{len(panel.target):,} of {panel.n:,} rows"
        )  # fmt: skip
        if known:
            note += f"; {sum(known):,} of {len(known):,} intervals drawn contain the value"
        layout = make_layout(
            320,
            f"measured {axis}".strip(),
            f"predicted {axis}".strip(),
            xaxis=scale,
            yaxis=scale,
            shapes=[draw_diagonal(low, high)],
        )
        kinds = [
            ([inside is not False for inside in panel.inside], _BAR),
            ([inside is False for inside in panel.inside], _OUTSIDE),
        ]
        # on a logarithmic axis a bar has to end above 0
        least = low / 10 if logarithmic else None
        data = [_draw_bars(panel, chosen, colour, least) for chosen, colour in kinds if any(chosen)]
        found.append(Panel(labels.get(panel.split, panel.split), note, data, layout))
    return found


def _draw_bars(
    panel: IntervalPoints, chosen: list[bool], colour: str, least: float | None
) -> Figure:
    places = [place for place, one in enumerate(chosen) if one]
    up, down = [], []
    for place in places:
        value, bottom, top = panel.prediction[place], panel.low[place], panel.high[place]
        up.append(0.0 if top is None else max(0.0, top - value))
        if bottom is not None and least is not None:
            bottom = max(bottom, least)
        down.append(0.0 if bottom is None else max(0.0, value - bottom))
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [panel.target[place] for place in places],
        "y": [panel.prediction[place] for place in places],
        "text": [escape(panel.formula[place]) for place in places],
        "marker": {"color": colour, "size": 5},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "color": _BARS[colour],
            "thickness": 0.7,
            "width": 0,
        },
        "hovertemplate": "%{text}<br>measured %{x:.4~g}, predicted %{y:.4~g}<extra></extra>",
    }
