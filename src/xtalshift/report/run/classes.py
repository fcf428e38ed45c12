"""Classes of a run: how reliable, where it errs, what abstention gains, and the prediction sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.metrics import (
    AbstentionCurve,
    Reliability,
    abstention_curve,
    confusion_matrix,
    reliability,
)
from xtalshift.model.class_predictions import probability_column
from xtalshift.report.run.run_summary import Cell, Column
from xtalshift.report.shared.figures import (
    INK,
    Figure,
    Panel,
    draw_diagonal,
    escape,
    make_layout,
    shorten,
)
from xtalshift.report.shared.text import format_percent, join_words

_HEIGHT = 300
_MOST_BINS = 10
"""Bins of the diagram; fewer where a bin would have fewer than `_BIN_ROWS` rows."""
_BIN_ROWS = 15
_ANSWERED = 0.8
"""Share of rows for which the table states the error of the most certain answers."""
_MOST_NAMED = 12
"""Classes up to which cells of a confusion matrix have their numbers written in."""
_LONGEST = 16
LEVEL_NAME = "90 %"
_NEAR = 0.03
"""Coverage this far from the level or farther is said to be off."""


@dataclass(frozen=True, eq=False)
class ClassRows:
    """The test rows of one split, all seeds together, as the chosen method named them."""

    column: Column
    cell: Cell | None
    """Means of the scores over seeds."""
    n: int
    """Materials and seeds."""
    reliability: Reliability
    abstention: AbstentionCurve
    confusion: NDArray[np.int64]
    """Shape (k, k). Rows of each class by predicted class."""
    few: float
    """Error of the most certain 80 % of the answers."""


@dataclass(frozen=True, eq=False)
class ClassReport:
    """What the page of a run says of classes; about one method."""

    method: str
    names: tuple[str, ...]
    parts: list[ClassRows]
    sentences: list[str]


def report_classes(
    predictions: pd.DataFrame | None,
    names: Sequence[str],
    method: str | None,
    columns: Sequence[Column],
    cells: Sequence[Cell],
) -> ClassReport | None:
    """Return what a page shows of the predicted classes; None without predictions.

    Parameters
    ----------
    predictions : DataFrame or None
        As `xtalshift.benchmark.class_scores.class_frame` returns them, of all tasks.
    names : sequence of str
        The classes.
    method : str or None
        The method to show.
    columns : sequence of Column
        The splits.
    cells : sequence of Cell
        Scores of all methods.
    """
    if predictions is None or method is None:
        return None
    own = predictions[predictions["method"] == method]
    cell_of = {(cell.split, cell.role): cell for cell in cells if cell.method == method}
    parts = []
    for column in columns:
        rows = own[(own["split"] == column.split) & (own["role"] == column.role)]
        if not len(rows):
            continue
        p = rows[[probability_column(name) for name in names]].to_numpy(dtype=float)
        y = rows["target"].map({name: place for place, name in enumerate(names)}).to_numpy()
        curve = abstention_curve(y, p)
        bins = max(1, min(_MOST_BINS, len(y) // _BIN_ROWS))
        parts.append(
            ClassRows(
                column,
                cell_of.get((column.split, column.role)),
                len(y),
                reliability(y, p, n_bins=bins),
                curve,
                confusion_matrix(y, p.argmax(axis=1), len(names)),
                curve.error_at(_ANSWERED),
            )
        )
    return ClassReport(method, tuple(names), parts, _describe(method, parts)) if parts else None


def _describe(method: str, parts: Sequence[ClassRows]) -> list[str]:
    """Return what to expect of the method, one sentence per kind of rows and one on sets."""
    found = []
    for part in parts:
        cell = part.cell
        if cell is None or cell.accuracy is None:
            continue
        like = "For materials like the training data"
        where = like if part.column.role == "id" else f"On {part.column.label}"
        text = (
            f"{where}, {method} predicts the class of {format_percent(cell.accuracy)} of the rows "
            "correctly"
        )
        if cell.balanced_accuracy is not None:
            text += f" (mean over classes {format_percent(cell.balanced_accuracy)})"
        if part.few < 1 - cell.accuracy:
            right = format_percent(1 - part.few)
            text += f"; of the {format_percent(_ANSWERED)} it is most certain of, {right}"
        found.append(f"{text}.")
    off = [
        f"{format_percent(cell.set_coverage_90)} on {part.column.label}"
        for part in parts
        if (cell := part.cell) is not None
        and cell.set_coverage_90 is not None
        and cell.set_coverage_90 < 0.9 - _NEAR
    ]
    if off:
        found.append(
            f"Sets that were to hold the class of {LEVEL_NAME} of the rows hold it for "
            f"{join_words(off)}: "
            "calibrate the model on labels of such a region (xtalshift calibrate)."
        )
    return found


def draw_reliability(report: ClassReport) -> list[Panel | None]:
    """Draw how often the predicted class is right against its probability, one panel per split."""
    panels: list[Panel | None] = []
    for part in report.parts:
        found = part.reliability
        trace: Figure = {
            "type": "scatter",
            "mode": "lines+markers",
            "x": found.confidence.tolist(),
            "y": found.accuracy.tolist(),
            "text": [f"{n:,} rows" for n in found.n.tolist()],
            "marker": {"size": 7, "color": INK},
            "line": {"color": INK, "width": 1.4},
            "hovertemplate": "probability %{x:.2f}, right %{y:.2f}, %{text}<extra></extra>",
        }
        low = 1 / len(report.names)
        layout = make_layout(
            _HEIGHT,
            "probability of the predicted class",
            "share that is right",
            xaxis={"range": [low, 1.01]},
            yaxis={"range": [0, 1.02]},
            shapes=[draw_diagonal(low, 1.0, "dot")],
        )
        note = (
            ""
            if part.cell is None or part.cell.ece is None
            else (f"calibration error {part.cell.ece:.3f}")
        )
        panels.append(Panel(_title(part), note, [trace], layout))
    return panels


def draw_abstention(report: ClassReport) -> list[Panel | None]:
    """Draw the error against the share of rows that are answered, one panel per split."""
    panels: list[Panel | None] = []
    for part in report.parts:
        curve = part.abstention
        kept = np.unique(np.linspace(0, len(curve.error) - 1, 200).astype(int))
        trace: Figure = {
            "type": "scatter",
            "mode": "lines",
            "x": curve.answered[kept].tolist(),
            "y": curve.error[kept].tolist(),
            "text": [f"{value:.2f}" for value in curve.threshold[kept].tolist()],
            "line": {"color": INK, "width": 1.6},
            "hovertemplate": "answered %{x:.0%}, error %{y:.1%}, from probability %{text}"
            "<extra></extra>",
        }
        layout = make_layout(
            _HEIGHT,
            "share of the rows that are answered",
            "share of wrong answers",
            xaxis={"range": [0, 1.01], "tickformat": ".0%", "dtick": 0.25},
            yaxis={"rangemode": "tozero", "tickformat": ".0%"},
        )
        note = f"all answered: {format_percent(float(curve.error[-1]))} wrong"
        panels.append(Panel(_title(part), note, [trace], layout))
    return panels


def draw_confusion(report: ClassReport) -> list[Panel | None]:
    """Draw the rows of each class by predicted class, one panel per split."""
    names = [escape(shorten(name, _LONGEST)) for name in report.names]
    panels: list[Panel | None] = []
    for part in report.parts:
        totals = part.confusion.sum(axis=1, keepdims=True)
        shares = part.confusion / np.maximum(totals, 1)
        written = len(names) <= _MOST_NAMED
        trace: Figure = {
            "type": "heatmap",
            "x": names,
            "y": names,
            "z": shares.tolist(),
            "customdata": part.confusion.tolist(),
            "zmin": 0,
            "zmax": 1,
            "colorscale": [[0, "#ffffff"], [1, "#5aa3b5"]],
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
            "hovertemplate": "%{y}, predicted %{x}: %{customdata:,} rows (%{z:.0%})<extra></extra>",
        }
        notes = [
            {
                "x": names[j],
                "y": names[i],
                "text": f"{shares[i, j]:.0%}<br>{part.confusion[i, j]:,}",
                "showarrow": False,
                "font": {"size": 11},
            }
            for i in range(len(names))
            for j in range(len(names))
            if written and part.confusion[i, j]
        ]
        layout = make_layout(
            max(_HEIGHT, 90 + 26 * len(names)),
            "predicted",
            "true class",
            xaxis={"type": "category", "showgrid": False},
            yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
            annotations=notes,
        )
        panels.append(Panel(_title(part), f"{part.n:,} rows of all seeds", [trace], layout))
    return panels


def _title(part: ClassRows) -> str:
    return f"{part.column.label} ({part.column.role.upper()})"
