"""Plotly figures as plain data: panels, axes, lines, and places for the names of points."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

Figure: TypeAlias = dict[str, object]
"""A trace, a layout or a part of one, as Plotly takes it."""

INK, BAD, SOFT = "#2b2f33", "#a61e1e", "#5c656e"
_GRID, _RULE = "#e9ecef", "#adb5bd"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"
_LOG_FROM = 30.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


class Kind(NamedTuple):
    """How a page shows one kind of thing: its name, its colour, and its mark in a scatter plot."""

    title: str
    colour: str
    symbol: str = "circle"


FOLD_KINDS = {
    "covariate": Kind("covariate shift", "#0072b2"),
    "prior": Kind("prior shift", "#e69f00"),
    "relation": Kind("relation shift", "#8e2a7f"),
    "several": Kind("several shifts", "#2b2f33"),
    "interpolation": Kind("interpolation", "#009e73"),
    "degenerate": Kind("degenerate", "#b6bdc4"),
}
"""What an audit calls a fold; red is left for leaks."""


@dataclass(frozen=True)
class Panel:
    """A small figure with a title and a note above it."""

    title: str
    note: str
    data: list[Figure]
    layout: Figure
    """`data`, `layout`: as Plotly takes them."""
    id: str = ""
    """Of the div; set by `number_panels`."""
    index: int = 0
    """Position among the panels of its section, before those without data are left out."""


def number_panels(sections: Mapping[str, Iterable[Panel | None]]) -> dict[str, list[Panel]]:
    """Give each panel the id ``figure-SECTION-NUMBER`` and leave out those that are None."""
    return {
        name: [
            replace(panel, id=f"figure-{name}-{index + 1}", index=index)
            for index, panel in enumerate(panels)
            if panel is not None
        ]
        for name, panels in sections.items()
    }


def make_layout(
    height: int,
    x: str,
    y: str,
    *,
    xaxis: Figure | None = None,
    yaxis: Figure | None = None,
    margin: Figure | None = None,
    **further: object,
) -> Figure:
    """Return the layout of a figure.

    Parameters
    ----------
    height : int
        In pixels.
    x, y : str
        Titles of the axes.
    xaxis, yaxis, margin : dict, optional
        Changes to the usual axes and margins.
    **further : object
        Further parts of the layout, such as ``shapes`` and ``annotations``.
    """
    axis = {
        "gridcolor": _GRID,
        "linecolor": _RULE,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": _RULE,
        "zeroline": False,
        "automargin": True,
    }
    return {
        "height": height,
        "autosize": True,
        "margin": {"l": 52, "r": 10, "t": 8, "b": 44} | (margin or {}),
        "font": {"family": _FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": axis | {"title": {"text": x, "font": {"size": 12}}} | (xaxis or {}),
        "yaxis": axis | {"title": {"text": y, "font": {"size": 12}}} | (yaxis or {}),
        **further,
    }


def scale_axis(values: Sequence[float]) -> Figure:
    """Return an axis from zero on, or a logarithmic one for values that spread widely."""
    if min(values) > 0 and max(values) > _LOG_FROM * min(values):
        return {"type": "log", "exponentformat": "power", "nticks": 6}
    return {"rangemode": "tozero"}


def log_axis(low: float, high: float) -> Figure:
    """Return a logarithmic axis over few powers of ten.

    Numbers stand at 1, 2 and 5 of each: Plotly itself would write lone digits between the powers.

    Parameters
    ----------
    low, high : float
        Smallest and largest value, above 0.
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [float(f"{mark}e{power}") for power in powers for mark in (1, 2, 5)]
    return {"type": "log", "exponentformat": "none", "tickvals": ticks}


def draw_level(value: float, axis: str, dash: str = "dot") -> Figure:
    """Return a line across the figure at a value of the axis ``"x"`` or ``"y"``."""
    other = "y" if axis == "x" else "x"
    return {
        "type": "line",
        f"{axis}ref": axis,
        f"{other}ref": "paper",
        f"{axis}0": value,
        f"{axis}1": value,
        f"{other}0": 0,
        f"{other}1": 1,
        "line": {"color": INK, "width": 1.3, "dash": dash},
    }


def draw_diagonal(low: float, high: float, dash: str = "solid") -> Figure:
    """Return the line on which both coordinates are equal."""
    ends = {"x0": low, "y0": low, "x1": high, "y1": high}
    return {"type": "line", **ends, "line": {"color": INK, "width": 1, "dash": dash}}


def escape(text: str) -> str:
    """Return a text that Plotly does not read as markup."""
    return html.escape(text, quote=False)


def shorten(text: str, longest: int) -> str:
    """Cut a text that is too long for its place."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


_WIDTH = 6.3
"""Of a character, in pixels at 11 px."""
_HEIGHT = 13.0
_GAP = 7.0
_SIDES = {
    "middle right": (_GAP, -_HEIGHT / 2, 0.0),
    "middle left": (-_GAP, -_HEIGHT / 2, -1.0),
    "top center": (0.0, -_HEIGHT - _GAP + 1, -0.5),
    "bottom center": (0.0, _GAP - 1, -0.5),
    "top right": (_GAP / 2, -_HEIGHT - _GAP / 2, 0.0),
    "bottom right": (_GAP / 2, _GAP / 2, 0.0),
    "top left": (-_GAP / 2, -_HEIGHT - _GAP / 2, -1.0),
    "bottom left": (-_GAP / 2, _GAP / 2, -1.0),
}
"""Plotly's names: shift of the upper left corner, and of the left edge in widths of the text."""

Box: TypeAlias = tuple[float, float, float, float]


def place_labels(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    size: tuple[float, float],
    obstacles: Sequence[tuple[float, float]] = (),
) -> list[str | None]:
    """Choose the side of each point for its name, so that names do not cover each other.

    Parameters
    ----------
    points : sequence of (float, float)
        In shares of the width and height of the plot, from the lower left corner.
    names : sequence of str
        One per point; an earlier one is placed first.
    size : (float, float)
        Width and height of the plot in pixels.
    obstacles : sequence of (float, float)
        Further points that no name may cover.

    Returns
    -------
    list of str or None
        Values of Plotly's ``textposition``; None where there is no free place.

    Examples
    --------
    >>> place_labels([(0.5, 0.5), (0.53, 0.5)], ["ridge", "erm"], (400, 300))
    ['middle left', 'middle right']
    """
    width, height = size
    pixels = [(x * width, (1.0 - y) * height) for x, y in (*points, *obstacles)]
    taken: list[Box] = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in pixels]
    sides: list[str | None] = []
    for (x, y), name in zip(pixels, names, strict=False):
        side = None
        for candidate, (right, down, shift) in _SIDES.items():
            long = _WIDTH * len(name)
            left, top = x + right + shift * long, y + down
            box = (left, top, left + long, top + _HEIGHT)
            inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
            if inside and not any(_overlap(box, other) for other in taken):
                side = candidate
                taken.append(box)
                break
        sides.append(side)
    return sides


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
