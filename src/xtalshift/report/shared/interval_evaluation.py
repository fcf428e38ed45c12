"""Interval evaluation: coverage, width and domain on test rows, in numbers, words and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.records import TRUST_COLUMNS
from xtalshift.report.shared.figures import (
    Figure,
    Panel,
    draw_diagonal,
    draw_level,
    escape,
    make_layout,
    scale_axis,
)
from xtalshift.report.shared.methods import DUMMY
from xtalshift.report.shared.text import Caution, format_number, format_percent, join_words
from xtalshift.uncertainty.settings import LEVEL

LEVELS = [percent / 100 for percent in range(1, 100)]
"""Levels at which nominal and observed coverage are compared."""

EDGES = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0]
"""Edges of the bins of the OOD score, finer for new materials; the last bin includes 1."""

_FEWEST = 20
_WIDTH_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST_GAP = 0.02
_FOUND = 0.5
_NARROWER = 0.97
_HEIGHT = 290


class RowSet(NamedTuple):
    """A set of test rows: its split, its role (``"id"`` or ``"ood"``) and its name for readers."""

    split: str
    role: str
    label: str


@dataclass(frozen=True)
class ScoreBin:
    """Rows with an OOD score in one bin; None for fewer than `fewest` materials."""

    n: int
    coverage: float | None = None
    median_error: float | None = None
    high_error: float | None = None


@dataclass(frozen=True)
class IntervalPart:
    """Intervals of one method on one set of test rows, all seeds together.

    `coverage` and `median_width` (in the unit of the target) are those of the 90 % intervals, and
    `outside` is the share of rows outside the domain. `width_over_dummy` and `widths` (5, 25, 50,
    75 and 95 % quantiles) are relative to the median width of the dummy. `curve` is the coverage
    at each of `LEVELS`, `bins` are those between `EDGES`, and `short` tells whether the coverage
    is clearly below the level, see `falls_short`.
    """

    rows: RowSet
    n: int
    materials: int
    coverage: float
    median_width: float
    width_over_dummy: float | None
    outside: float | None
    curve: list[float]
    bins: list[ScoreBin]
    widths: list[float] | None
    short: bool = False


@dataclass(frozen=True)
class Statement:
    """A sentence about intervals; `bad` if it is a reason for distrust."""

    text: str
    bad: bool = False


@dataclass(frozen=True)
class MethodIntervals:
    """Intervals of one method."""

    method: str
    parts: list[IntervalPart]
    sentences: list[Statement]


@dataclass(frozen=True)
class IntervalEvaluation:
    """Intervals of all methods, the dummy first; `first` is shown first, `saved` is the model's.

    A bin of the OOD score has values from `fewest` materials on.
    """

    saved: str | None
    first: str
    methods: list[MethodIntervals]
    fewest: int = _FEWEST


def evaluate_intervals(
    predictions: pd.DataFrame | None, columns: Sequence[RowSet], saved: str | None
) -> IntervalEvaluation | None:
    """Work out coverage, width and domain of every method on every set of test rows.

    `predictions` is ``predictions.parquet`` (one row per method, seed and test row), `saved` the
    method of the saved model. Returns None if no method has intervals, as in early folders.
    """
    if predictions is None or not set(TRUST_COLUMNS) <= set(predictions.columns):
        return None
    known = predictions[predictions["needed_level"].notna()]
    groups = dict(iter(known.groupby(["method", "split", "role"], sort=False)))
    methods = []
    for name in sorted(known["method"].unique(), key=lambda name: name != DUMMY):
        parts = [
            _evaluate(column, groups[name, *key], groups.get((DUMMY, *key)))
            for column in columns
            if (name, *(key := (column.split, column.role))) in groups
        ]
        if parts:
            inside = next((part for part in parts if part.rows.role == "id"), None)
            parts = [replace(part, short=falls_short(part, inside)) for part in parts]
            methods.append(MethodIntervals(name, parts, describe_intervals(name, parts)))
    if not methods:
        return None
    names = [method.method for method in methods]
    return IntervalEvaluation(saved, saved if saved in names else names[-1], methods)


def _evaluate(column: RowSet, rows: pd.DataFrame, constant: pd.DataFrame | None) -> IntervalPart:
    needed, width = rows["needed_level"].to_numpy(float), _widths(rows)
    error = (rows["prediction"] - rows["target"]).abs().to_numpy(float)
    # the dummy has one width per calibration; several with transformed targets
    unit = math.inf if constant is None else float(np.median(_widths(constant)))
    relative = width / unit if unit and math.isfinite(unit) else None
    inside = rows["in_domain"].astype("boolean")
    quantiles = None if relative is None else np.quantile(relative, _WIDTH_QUANTILES)
    shown = quantiles is not None and bool(np.isfinite(quantiles).all())
    return IntervalPart(
        rows=column,
        n=len(rows),
        materials=int(rows["id"].nunique()),
        coverage=float(np.mean(needed < LEVEL)),
        median_width=float(np.median(width)),
        width_over_dummy=None if relative is None else float(np.median(relative)),
        outside=None if inside.isna().all() else float((~inside.dropna()).mean()),
        curve=[_short(float(np.mean(needed < level))) for level in LEVELS],
        bins=_bins(rows, needed, error),
        widths=[_short(value) for value in quantiles] if quantiles is not None and shown else None,
    )


def _bins(
    rows: pd.DataFrame, needed: NDArray[np.float64], error: NDArray[np.float64]
) -> list[ScoreBin]:
    """Return coverage and errors by OOD score; the seeds repeat the materials of an OOD split."""
    frame = pd.DataFrame({"id": rows["id"].to_numpy(), "needed": needed, "error": error})
    edges = [-math.inf, *EDGES[1:-1], math.inf]
    frame["bin"] = pd.cut(
        rows["ood_score"].to_numpy(float), edges, right=False, labels=range(len(EDGES) - 1)
    )
    bins = []
    for _, chosen in frame.groupby("bin", observed=False):
        n, measured = chosen["id"].nunique(), chosen["error"]
        if n < _FEWEST:
            bins.append(ScoreBin(n))
            continue
        values = (chosen["needed"] < LEVEL).mean(), measured.median(), measured.quantile(LEVEL)
        bins.append(ScoreBin(n, *(_short(v) if math.isfinite(v) else None for v in values)))
    return bins


def _widths(rows: pd.DataFrame) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # both bounds of a prediction that overflows
        width = rows["upper"].to_numpy(float) - rows["lower"].to_numpy(float)
    return np.where(np.isnan(width), np.inf, width)


def _short(value: float | np.floating) -> float:
    """Round to five significant digits: enough for a picture, and half the file."""
    return float(f"{value:.5g}")


def falls_short(part: IntervalPart, inside: IntervalPart | None) -> bool:
    """Return whether the coverage is clearly below the level of the intervals.

    Clearly: by more than 2 points, and by more than two standard deviations of the coverage of so
    many materials after a calibration on as many as there are ID rows.
    """
    counts = [part.materials, inside.materials if inside else part.materials]
    noise = math.sqrt(LEVEL * (1 - LEVEL) * sum(1 / count for count in counts))
    return bool(part.coverage < LEVEL - max(_LEAST_GAP, 2 * noise))


def describe_intervals(method: str, parts: Sequence[IntervalPart]) -> list[Statement]:
    """Say what the numbers of one method mean for users of its intervals."""
    inside = next((part for part in parts if part.rows.role == "id"), None)
    shifted = [part for part in parts if part.rows.role == "ood"]
    short = [part for part in shifted if part.short]
    found = []
    if inside:
        text = (
            f"On ID rows, the 90 % intervals of {method} contain "
            f"{format_percent(inside.coverage)} of the targets."
        )
        found.append(Statement(text, bad=inside.short))
    if short:
        text = (
            f"{_name_coverage(short)}: the intervals are calibrated on rows like the training "
            "data, and these rows differ from them."
        )
        found.append(Statement(text, bad=True))
    if kept := [part for part in shifted if not part.short]:
        found.append(Statement(f"{_name_coverage(kept)}: no clear loss of coverage."))
    found += _describe_domain(inside, shifted)
    if method != DUMMY and inside and (ratio := inside.width_over_dummy) is not None:
        text = f"On ID rows, the median interval is {format_number(ratio)} times as wide as that "
        found.append(
            Statement(f"{text}of a constant.")
            if ratio <= _NARROWER
            else Statement(
                "Even on ID rows, the intervals are no narrower than those of a constant.", bad=True
            )
        )
    return found


def _name_coverage(parts: list[IntervalPart]) -> str:
    first, *rest = parts
    places = [f"On {first.rows.label}, they contain {format_percent(first.coverage)}"]
    places += [f"on {part.rows.label} {format_percent(part.coverage)}" for part in rest]
    return join_words(places)


def _describe_domain(inside: IntervalPart | None, shifted: list[IntervalPart]) -> list[Statement]:
    shares = [(part, part.outside) for part in shifted if part.outside is not None]
    if not shares:
        return []
    text = join_words([f"{format_percent(share)} of {part.rows.label}" for part, share in shares])
    if inside and inside.outside is not None:
        text += f", and {format_percent(inside.outside)} of the ID rows (false alarms)"
    found = [Statement(f"Outside the domain lie {text}.")]
    silent = [part.rows.label for part, share in shares if part.short and share < _FOUND]
    if silent:
        text = (
            f"On {join_words(silent)}, most rows lie inside the domain: neither the intervals nor "
            "the domain warn of the errors there."
        )
        found.append(Statement(text, bad=True))
    return found


def interval_caution(found: IntervalEvaluation | None) -> list[Caution]:
    """Return a caution if the intervals of the method shown first have too low a coverage."""
    if found is None:
        return []
    method = next(one for one in found.methods if one.method == found.first)
    short = [part for part in method.parts if part.short]
    if not short:
        return []
    held = join_words([f"{format_percent(part.coverage)} on {part.rows.label}" for part in short])
    text = (
        f"The 90 % intervals of {method.method} contain fewer targets than they should: {held}. If "
        "such materials matter, calibrate on a few measured values (xtalshift calibrate)."
    )
    return [Caution("care", text)]


@dataclass(frozen=True)
class SplitStyle:
    """Colour and dash of a split in the figures."""

    color: str
    dash: str = "solid"


# the colour of OOD rows in shades that differ in lightness; dashes help in addition
_SHIFTED = (
    SplitStyle("#8e2a7f"),
    SplitStyle("#d08ac4", "dash"),
    SplitStyle("#3f1240", "dot"),
    SplitStyle("#b0559f", "dashdot"),
)


def split_styles(columns: Sequence[RowSet]) -> dict[str, SplitStyle]:
    """Give every split a colour and a dash, the same in all figures of the section."""
    shifted = [column.split for column in columns if column.role == "ood"]
    styles = {name: _SHIFTED[number % len(_SHIFTED)] for number, name in enumerate(shifted)}
    inside = {one.split: SplitStyle("#5aa3b5") for one in columns if one.role != "ood"}
    return inside | styles


def draw_intervals(
    found: IntervalEvaluation | None, styles: dict[str, SplitStyle], unit: str
) -> dict[str, list[Panel | None]]:
    """Return one section per method (``intervals-0`` ...) of at most four panels."""
    methods = found.methods if found else []
    return {
        f"intervals-{number}": [
            _draw_calibration(method.parts, styles),
            _draw_coverage(method.parts, styles),
            _draw_errors(method.parts, styles, unit),
            _draw_widths(method.parts, styles),
        ]
        for number, method in enumerate(methods)
    }


def _draw_calibration(parts: list[IntervalPart], styles: dict[str, SplitStyle]) -> Panel:
    percent = [100 * level for level in LEVELS]
    says = "level %{x:.0f} %, coverage %{y:.1f} %"
    data = [
        _line(part, styles, (percent, [100 * share for share in part.curve]), says)
        for part in parts
    ]
    axis: Figure = {"range": [0, 100], "dtick": 20}
    layout = make_layout(
        _HEIGHT,
        "level of the interval (%)",
        "coverage (%)",
        xaxis=axis,
        yaxis=axis,
        margin={"r": 20},  # half of the last number
        shapes=[draw_diagonal(0, 100, "dot")],
    )
    return Panel("Calibration", "below the diagonal: too narrow", data, layout)


def _draw_coverage(parts: list[IntervalPart], styles: dict[str, SplitStyle]) -> Panel | None:
    points = {part.rows.split: _points([one.coverage for one in part.bins], 100) for part in parts}
    if not any(y for _, y in points.values()):
        return None
    data = [
        _line(p, styles, points[p.rows.split], "coverage %{y:.1f} %", marks=True) for p in parts
    ]
    layout = _make_score_layout(
        "coverage (%)", {"range": [0, 102]}, shapes=[draw_level(100 * LEVEL, "y")]
    )
    return Panel("Coverage against OOD score", "of the 90 % intervals", data, layout)


def _draw_errors(
    parts: list[IntervalPart], styles: dict[str, SplitStyle], unit: str
) -> Panel | None:
    data, values = [], []
    for part in parts:
        high = _points([one.high_error for one in part.bins])
        middle = _points([one.median_error for one in part.bins])
        thin = {"color": styles[part.rows.split].color, "width": 1, "dash": "dot"}
        data += [
            _line(part, styles, high, "90 % of errors below %{y:.4~g}") | {"line": thin},
            _line(part, styles, middle, "median error %{y:.4~g}", marks=True),
        ]
        values += [value for value in high[1] + middle[1] if value]
    if not values:
        return None
    axis = f"absolute error{f' ({unit})' if unit else ''}"
    note = "thick: median; thin, dotted: 90 % of the errors lie below"
    layout = _make_score_layout(axis, scale_axis(values))
    return Panel("Error against OOD score", note, data, layout)


def _draw_widths(parts: list[IntervalPart], styles: dict[str, SplitStyle]) -> Panel | None:
    known = [(part, part.widths) for part in reversed(parts) if part.widths]
    if not known:
        return None
    data: list[Figure] = []
    notes = []
    for part, (low, quarter, middle, three, high) in known:
        color, label = styles[part.rows.split].color, escape(part.rows.label)
        bars: list[Figure] = [
            {"type": "scatter", "mode": "lines", "x": ends, "y": [label, label]}
            | {"line": {"color": color, "width": thick}, "hoverinfo": "skip"}
            for ends, thick in (([low, high], 1.5), ([quarter, three], 7))
        ]
        circle: Figure = {
            "type": "scatter",
            "mode": "markers",
            "x": [middle],
            "y": [label],
            "marker": {"color": "#ffffff", "size": 9, "line": {"color": color, "width": 2}},
            "hovertemplate": "median %{x:.3f}<extra>" + label + "</extra>",
        }
        data += [*bars, circle]
        notes.append(
            {"xref": "paper", "x": 1.0, "xanchor": "left", "xshift": 8, "y": label}
            | {"text": f"{middle:.2f}", "showarrow": False, "font": {"size": 12}}
        )
    longest = max(1.0, *(widths[-1] for _, widths in known))
    layout = make_layout(
        _HEIGHT,
        "width / width of the constant's interval",
        "",
        xaxis={"range": [0, 1.06 * longest]},
        yaxis={"showgrid": False, "ticks": "", "range": [-0.6, len(known) - 0.4]},
        margin={"l": 8, "r": 48},
        shapes=[draw_level(1, "x")],
        annotations=notes,
    )
    note = "circle: median; bars: middle 50 % and 90 % of the rows"
    return Panel("Width of the 90 % intervals", note, data, layout)


Points = tuple[list[float], list[float]]


def _points(values: list[float | None], times: float = 1.0) -> Points:
    known = [(float(place), times * v) for place, v in enumerate(values) if v is not None]
    return [place for place, _ in known], [value for _, value in known]


def _line(
    part: IntervalPart,
    styles: dict[str, SplitStyle],
    points: Points,
    says: str,
    *,
    marks: bool = False,
) -> Figure:
    style, label = styles[part.rows.split], escape(part.rows.label)
    return {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "x": points[0],
        "y": points[1],
        "line": {"color": style.color, "width": 2, "dash": style.dash},
        "marker": {"color": style.color, "size": 7},
        "name": label,
        "hovertemplate": f"{says}<extra>{label}</extra>",
    }


def _make_score_layout(y: str, yaxis: Figure, **further: object) -> Figure:
    """Return a layout whose x axis gives all bins of the OOD score equal width."""
    xaxis = {
        "tickmode": "array",
        "tickvals": [place - 0.5 for place in range(len(EDGES))],
        "ticktext": [f"{edge:g}" for edge in EDGES],
        "range": [-0.5, len(EDGES) - 1.5],
        "tickangle": 0,
    }
    margin: Figure = {"r": 20}  # half of the last number
    return make_layout(_HEIGHT, "OOD score", y, xaxis=xaxis, yaxis=yaxis, margin=margin, **further)
