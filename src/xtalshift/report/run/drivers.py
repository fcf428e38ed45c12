"""What drives the predictions: the importance of families of features in words and a figure."""

from __future__ import annotations

from xtalshift.benchmark.explanation import Driver, Drivers
from xtalshift.report.shared.figures import Figure, Panel, make_layout
from xtalshift.report.shared.text import format_percent, join_words

SHOWN = 12
"""Most families in the figure."""

_NAMED = 3
_LEAST = 0.02
_COLOURS = {"id": "#5aa3b5", "ood": "#8e2a7f"}
_ROLES = {"id": "in distribution", "ood": "out of distribution"}


def describe_drivers(found: Drivers, method: str) -> str:
    """Name the families that matter most, in distribution and out of it."""
    texts = []
    for role, name in _ROLES.items():
        ordered = sorted(_of(found, role), key=lambda one: -one.rise)[:_NAMED]
        strong = [one for one in ordered if one.rise >= _LEAST]
        if strong:
            said = join_words([f"{one.family} (+{format_percent(one.rise)})" for one in strong])
            texts.append(f"{name}, {said}")
    if not texts:
        return (
            f"No single family of features matters to {method}: shuffling any of them raises the "
            f"error by less than {format_percent(_LEAST)}."
        )
    return (
        f"The predictions of {method} depend most on these families of features, with the rise of "
        f"the error in brackets if the values of the family are shuffled: {'; '.join(texts)}."
    )


def _of(found: Drivers, role: str) -> list[Driver]:
    return [one for one in found.found if one.role == role]


def draw_drivers(found: Drivers) -> Panel | None:
    """Draw the rise of the error for each family, the most important at the top."""
    families = list(dict.fromkeys(one.family for one in found.found))[:SHOWN][::-1]
    data: list[Figure] = []
    for role in ("ood", "id"):  # the first trace is at the bottom of each group
        known = {one.family: one for one in _of(found, role)}
        shown = [known[name] for name in families if name in known]
        if not shown:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": _ROLES[role],
                "y": [one.family for one in shown],
                "x": [100.0 * one.rise for one in shown],
                "error_x": {
                    "type": "data",
                    "array": [100.0 * (one.spread or 0.0) for one in shown],
                    "thickness": 1,
                    "width": 2,
                },
                "marker": {"color": _COLOURS[role]},
                "hovertemplate": "%{y}: %{x:.1f} %<extra>" + _ROLES[role] + "</extra>",
            }
        )
    if not data:
        return None
    layout = make_layout(
        90 + 34 * len(families),
        "rise of the mean absolute error if the family is shuffled (%)",
        "",
        yaxis={"showgrid": False, "ticks": ""},
        margin={"l": 8},
        barmode="group",
        bargap=0.3,
    )
    return Panel("", "", data, layout)
