"""What the attack did, epoch by epoch, as small figures: one line per method."""

from __future__ import annotations

import math
from typing import Any

from xtalshift.report.run.attacks import NO_OP_DISPLACEMENT, NO_OP_GAIN
from xtalshift.report.shared.panels import INK, Figure, draw_level, make_layout, make_panel

__all__ = ["draw_attacks"]

_HEIGHT = 220
_FLOOR = NO_OP_DISPLACEMENT / 10
_SPECTRUM = ("weight_min", "weight_p10", "weight_median", "weight_p90", "weight_max")
_WARM_UP = "#eef0f2"
_BAND_OPACITY = 0.22

Curve = dict[str, Any]


def draw_attacks(
    curves: list[Curve], labels: dict[str, str], colours: dict[str, str]
) -> list[dict[str, Any]]:
    """Draw displacement, loss gained, covariate weights and share of hard rows of every fit.

    Parameters
    ----------
    curves : list of dict
        As `xtalshift.report.run.attacks.attack_curves` returns them.
    labels, colours : dict
        Label of each split, colour of each method.

    Returns
    -------
    list of dict
        At most four panels per fit; one whose numbers were not recorded is left out.
    """
    panels = []
    fits = dict.fromkeys(curve["split"] for curve in curves)
    for fit in fits:
        # the first method is drawn last, on top of its control
        group = [curve for curve in reversed(curves) if curve["split"] == fit]
        place = "" if len(fits) == 1 else f"{labels.get(fit, fit)}: "
        for draw in (_displacement, _gain, _weights, _hard_rows):
            panel = draw(group, colours)
            if panel is not None:
                panel["note"] = place + panel["note"]
                _mark_warm_up(panel["figure"]["layout"], group)
                panels.append(panel)
    return panels


def _displacement(curves: list[Curve], colours: dict[str, str]) -> dict[str, Any]:
    """Draw on a logarithmic axis with a floor, so that 0 is seen and the largest fits too."""
    data = []
    for key, what in (("displacement_max", "largest"), ("displacement_rms", "rms")):
        for curve in (curve for curve in curves if key in curve):
            line = _line(curve, key, what, colours, thin=what == "largest")
            line["customdata"] = line["y"]
            line["y"] = [v if v is None else max(v, _FLOOR) for v in line["y"]]
            line["hovertemplate"] = line["hovertemplate"].replace("%{y:", "%{customdata:")
            data.append(line)
    top = max(v for line in data for v in line["y"] if v is not None)
    highest = max(math.ceil(math.log10(top)), 0)
    powers = range(round(math.log10(_FLOOR)), highest + 1)
    layout = make_layout(_HEIGHT, "epoch", "sd")
    layout["yaxis"] |= {
        "type": "log",
        "range": [powers[0] - 0.1, highest + 0.1],
        "tickvals": [10.0**power for power in powers],
        "ticktext": [f"≤ {_FLOOR:g}", *(f"{10.0**power:g}" for power in powers[1:])],
    }
    layout["shapes"] = [draw_level(NO_OP_DISPLACEMENT, "y")]
    return make_panel("Displacement", "root mean square; thin: the largest", data, layout)


def _gain(curves: list[Curve], colours: dict[str, str]) -> dict[str, Any] | None:
    relative = any("gain_share" in curve for curve in curves)
    key = "gain_share" if relative else "attack_loss_gain"
    shown = [curve for curve in curves if key in curve]
    if not shown:
        return None
    factor = 100.0 if relative else 1.0
    data = [_line(curve, key, "gained", colours, factor=factor) for curve in shown]
    values = [v for line in data for v in line["y"] if v is not None]
    layout = make_layout(_HEIGHT, "epoch", "% of the loss" if relative else "loss")
    note = "share of the adversarial loss" if relative else "by the attack, same parameters"
    if relative:
        # the axis shows ten times the level at least, or a no-op would fill the picture
        highest = max(1000.0 * NO_OP_GAIN, *values)
        lowest = min(0.0, *values)
        margin = 0.05 * (highest - lowest)
        layout["yaxis"]["range"] = [lowest - margin, highest + margin]
        layout["shapes"] = [draw_level(100.0 * NO_OP_GAIN, "y")]
    else:
        layout["yaxis"]["rangemode"] = "tozero"
    return make_panel("Loss gained", note, data, layout)


def _weights(curves: list[Curve], colours: dict[str, str]) -> dict[str, Any] | None:
    data: list[Figure] = []
    for curve in curves:
        if "weight_p10" in curve and "weight_p90" in curve:
            data.append(_band(curve, colours))
        data += [
            _line(curve, key, what, colours, thin=key != "weight_median")
            for key, what in (
                ("weight_min", "smallest weight"),
                ("weight_max", "largest weight"),
                ("weight_median", "median weight"),
            )
            if key in curve
        ]
    if not data:
        return None
    known = [v for curve in curves for k in _SPECTRUM for v in curve.get(k, []) if v is not None]
    layout = make_layout(_HEIGHT, "epoch", "weight")
    if min(known) > 0 and max(known) > 30 * min(known):
        layout["yaxis"] |= {"type": "log", "exponentformat": "power", "nticks": 6}
    else:
        layout["yaxis"]["rangemode"] = "tozero"
    whole = any("weight_median" in curve for curve in curves)
    note = "median, middle 80 %; thin: extremes" if whole else "smallest and largest"
    return make_panel("Covariate weights", note, data, layout)


def _hard_rows(curves: list[Curve], colours: dict[str, str]) -> dict[str, Any] | None:
    shown = [curve for curve in curves if "hard_share" in curve]
    if not shown:
        return None
    data = [_line(curve, "hard_share", "attacked", colours, factor=100.0) for curve in shown]
    for line in data[1:]:  # methods of one recipe lie on each other: let the one below be seen
        line["line"]["dash"] = "dash"
    layout = make_layout(_HEIGHT, "epoch", "% of the rows")
    layout["yaxis"]["range"] = [0, 105]
    return make_panel("Hard rows", "share of the rows in CAL steps", data, layout)


def _line(
    curve: Curve,
    key: str,
    what: str,
    colours: dict[str, str],
    *,
    thin: bool = False,
    factor: float = 1.0,
) -> Figure:
    values = [value if value is None else factor * value for value in curve[key]]
    alone = sum(value is not None for value in values) == 1  # a line needs two points
    percent = " %" if factor != 1.0 else ""
    return {
        "type": "scatter",
        "mode": "markers" if alone else "lines",
        "x": curve["epoch"],
        "y": values,
        "line": {
            "color": colours.get(curve["method"], INK),
            "width": 0.9 if thin else 1.9,
        },
        "marker": {"color": colours.get(curve["method"], INK), "size": 4 if thin else 7},
        "opacity": 0.75 if thin else 0.95,
        "hovertemplate": f"{curve['method']}, {what}, epoch %{{x}}: "
        f"%{{y:.3~g}}{percent}<extra></extra>",
    }


def _band(curve: Curve, colours: dict[str, str]) -> Figure:
    """Return the area between the 10 % and the 90 % quantile as one closed outline."""
    rows = [
        (epoch, low, high)
        for epoch, low, high in zip(
            curve["epoch"], curve["weight_p10"], curve["weight_p90"], strict=True
        )
        if low is not None and high is not None
    ]
    epochs = [row[0] for row in rows]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": epochs + epochs[::-1],
        "y": [row[1] for row in rows] + [row[2] for row in rows[::-1]],
        "fill": "toself",
        "fillcolor": _translucent(colours.get(curve["method"], INK)),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _mark_warm_up(layout: Figure, curves: list[Curve]) -> None:
    """Begin the axis at the first epoch and shade those before the first attack."""
    epochs = [epoch for curve in curves for epoch in curve["epoch"]]
    attacked = [
        epoch
        for curve in curves
        for epoch, value in zip(curve["epoch"], curve["displacement_rms"], strict=True)
        if value is not None
    ]
    margin = 0.02 * (max(epochs) - min(epochs)) or 0.5
    layout["xaxis"]["range"] = [min(epochs) - margin, max(epochs) + margin]
    if min(attacked) > min(epochs):
        layout.setdefault("shapes", []).insert(
            0,
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": min(epochs) - margin,
                "x1": min(attacked),
                "y0": 0,
                "y1": 1,
                "fillcolor": _WARM_UP,
                "line": {"width": 0},
                "layer": "below",
            },
        )


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_BAND_OPACITY})"
