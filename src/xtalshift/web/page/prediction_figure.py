"""The figure of predictions: their values and intervals beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.data.units import name_with_unit
from xtalshift.jsonio import Plain
from xtalshift.report.shared.figures import make_layout
from xtalshift.web.page.targets import Target

_INSIDE, _OUTSIDE = "#0072b2", "#d55e00"
"""Colours of predictions inside and outside the domain."""


def draw_predictions(rows: Sequence[Plain], number: int, target: Target) -> Plain:
    """Draw the target of some number in rows as `prediction_view.View` returns them."""
    traces = []
    for inside, name, colour, symbol in (
        (True, "inside the domain", _INSIDE, "circle"),
        (False, "outside the domain", _OUTSIDE, "diamond-open"),
    ):
        shown = [(row, row["targets"][number]) for row in rows]
        shown = [(row, one) for row, one in shown if one["in_domain"] is inside]
        if not shown:
            continue
        trace: Plain = {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [one["prediction"] for _, one in shown],
            "y": [f"{row['name']} ({row['row']})" for row, _ in shown],
            "marker": {"color": colour, "symbol": symbol, "size": 9},
        }
        if all(one["has_interval"] for _, one in shown):
            trace["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": [_length(one["prediction"], one["upper"]) for _, one in shown],
                "arrayminus": [_length(one["lower"], one["prediction"]) for _, one in shown],
                "color": colour,
                "thickness": 1.5,
            }
        traces.append(trace)
    names = [f"{row['name']} ({row['row']})" for row in rows]
    shown_as = name_with_unit(target.name, "" if target.unit == "1" else target.unit)
    return {
        "id": f"figure-predictions-{number}",
        "group": "predictions",
        "title": f"{target.name}: predictions of this page",
        "note": "Circles: inside the domain. Diamonds: outside, where the interval need not hold.",
        "data": traces,
        "layout": make_layout(
            90 + 22 * len(rows),
            shown_as,
            "",
            yaxis={
                "autorange": "reversed",
                "type": "category",
                "categoryorder": "array",
                "categoryarray": names,
            },
        ),
    }


def _length(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else high - low
