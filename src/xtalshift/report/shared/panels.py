"""The frame of every small figure: title, note, axes and colours."""

from __future__ import annotations

from typing import Any

__all__ = ["BAD", "INK", "Figure", "draw_level", "make_layout", "make_panel"]

Figure = dict[str, Any]

INK, BAD = "#2b2f33", "#a61e1e"
_GRID, _RULE = "#e9ecef", "#adb5bd"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def make_panel(title: str, note: str, data: list[Figure], layout: Figure) -> dict[str, Any]:
    """Return a panel: what stands above the figure, and the figure."""
    return {
        "title": title,
        "note": note,
        "figure": {"data": data, "layout": layout},
    }


def make_layout(height: int, x: str, y: str) -> Figure:
    """Return the layout of a figure of `height` pixels with the titles of its axes."""
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
        "margin": {"l": 52, "r": 10, "t": 8, "b": 44},
        "font": {"family": _FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": axis | {"title": {"text": x, "font": {"size": 12}}},
        "yaxis": axis | {"title": {"text": y, "font": {"size": 12}}},
    }


def draw_level(value: float, axis: str) -> Figure:
    """Return a dotted line across the figure at a value of the axis ``"x"`` or ``"y"``."""
    other = "y" if axis == "x" else "x"
    return {
        "type": "line",
        f"{axis}ref": axis,
        f"{other}ref": "paper",
        f"{axis}0": value,
        f"{axis}1": value,
        f"{other}0": 0,
        f"{other}1": 1,
        "line": {"color": INK, "width": 1.3, "dash": "dot"},
    }
