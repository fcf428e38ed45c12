"""The error of each method on each fold in one picture."""

from __future__ import annotations

import html
import math
from typing import Any

from xtalshift.report.audit.figures import KINDS
from xtalshift.report.shared.panels import BAD, INK, make_layout, make_panel

__all__ = ["draw_folds"]

# an error of a quarter and of four times that of the constant, as powers of 2
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


def draw_folds(drill: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """Draw how each method does on each fold, as a map of errors over those of the constant.

    Parameters
    ----------
    drill : dict
        One of those of `xtalshift.report.benchmark.curves.describe_folds`.
    place : dict
        Its split, see `xtalshift.report.benchmark.board.list_places`.

    Returns
    -------
    dict
        A panel; folds have coloured squares for the labels of the audit.
    """
    folds, labels = drill["folds"], drill["labels"]
    named = len(folds) <= _MOST_NAMED
    height = _FOLD_HEIGHT if named else max(3.0, _ALL_FOLDS / len(folds))
    longest = max(len(label) for label in labels)
    values = [fold["values"] for fold in folds]
    heat = {
        "type": "heatmap",
        "z": [[_level(value) for value in row] for row in values],
        "customdata": values,
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
    top, body = min(longest, _LONGEST) * 6.0 + 14, height * len(folds)
    below = max(4.0, _SCALE_HEIGHT - body)
    layout = make_layout(round(top + body + below), "", "")
    layout["margin"] = {"l": 8, "r": 46, "t": top, "b": below}
    layout["plot_bgcolor"] = "#eef0f2"
    bare = {"showgrid": False, "ticks": "", "showline": False, "fixedrange": True}
    layout["xaxis"] |= bare | {
        "side": "top",
        "tickangle": -90,
        "tickvals": heat["x"],
        "ticktext": [_escape(_shorten(label)) for label in labels],
        "tickfont": {"size": 11},
        "automargin": False,
    }
    layout["yaxis"] |= bare | {
        "autorange": "reversed",
        "showticklabels": named,
        "tickvals": heat["y"],
        "ticktext": [f"{_escape(_shorten(fold['name']))} {_squares(fold)}" for fold in folds],
        "tickfont": {"size": 11},
    }
    note = f"{len(folds)} folds, hardest first"
    return make_panel(place["label"], note, [heat], layout)


def _level(value: float | None) -> float | None:
    """Return the logarithm to base 2 of an error over the constant's."""
    if value is None:
        return None
    return max(min(math.log2(value), 4.0), -4.0) if value > 0 else -4.0


def _describe_fold(fold: dict[str, Any]) -> str:
    labels = f", {', '.join(fold['labels'])}" if fold["labels"] else ""
    return _escape(f"{fold['name']}: {fold['n_test']:,} test rows{labels}")


def _squares(fold: dict[str, Any]) -> str:
    """Return one coloured square for each label of the audit."""
    colours = [
        BAD if label == "leak" else KINDS.get(label, ("", INK))[1] for label in fold["labels"]
    ]
    return "".join(f'<span style="color:{colour}">■</span>' for colour in colours)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _escape(text: str) -> str:
    """Keep Plotly from reading a name as markup."""
    return html.escape(text, quote=False)
