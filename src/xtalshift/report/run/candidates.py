"""The candidates of a run: verdict, hold-outs behind it, predictions, and what to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from xtalshift.benchmark.answer import Answer, CandidateCrystal
from xtalshift.report.shared.answer_text import (
    NEXT_STEP,
    error_sentences,
    measure_sentence,
    unlike_sentences,
    verdict_sentence,
)
from xtalshift.report.shared.crystals import draw_texts
from xtalshift.report.shared.figures import (
    BAD,
    INK,
    Figure,
    Panel,
    escape,
    make_layout,
    scale_axis,
)
from xtalshift.report.shared.text import format_number
from xtalshift.words import name_crystal

N_SHOWN = 10
"""Predictions that the page shows at either end of the order."""
CANDIDATE_TEXTS = ("formula", "unseen_elements", "nearest_formula")
CANDIDATE_NUMBERS = (
    "rank", "prediction", "lower", "upper", "in_domain", "nearest_target", "measured",
)  # fmt: skip
"""`CANDIDATE_TEXTS`, `CANDIDATE_NUMBERS`: columns that the page needs."""
_SHOWN = (
    "rank", "formula", "prediction", "lower", "upper", "in_domain", "unseen_elements",
    "nearest_formula", "nearest_target", "measured",
)  # fmt: skip
_CRYSTALS = ("id", "nearest_id", "nearest_space_group")
"""Further columns of candidates with structures."""
_BAND = "rgba(0, 114, 178, 0.16)"


@dataclass(frozen=True)
class PredictedRow:
    """One candidate on the page; numbers in the unit of the target."""

    rank: int
    formula: str
    prediction: float
    lower: float
    upper: float
    in_domain: bool
    new_elements: str
    """Elements that no training material has, joined by spaces."""
    nearest: str
    nearest_target: float
    """`nearest`, `nearest_target`: the nearest training material and its value."""
    measured: float | None
    """Its value, if it is in the table."""
    crystal: Markup | None = None
    nearest_crystal: Markup | None = None
    """`crystal`, `nearest_crystal`: drawings of it and of the nearest material; None without
    structures."""
    id: str = ""
    nearest_id: str = ""
    nearest_space_group: int = 0
    """`id`, `nearest_id`, `nearest_space_group`: which crystals they are, if structures were read;
    a space group of 0 is unknown."""

    @property
    def name(self) -> str:
        """The formula, with the id of a crystal."""
        return name_crystal(self.formula, self.id)

    @property
    def nearest_name(self) -> str:
        """The formula of the nearest material, with id and space group of a crystal."""
        if not self.nearest_id:
            return self.nearest
        group = f"space group {self.nearest_space_group}" if self.nearest_space_group else ""
        return name_crystal(self.nearest, self.nearest_id, group)


@dataclass(frozen=True)
class CandidatesReport:
    """What the page says about the candidates."""

    answer: Answer
    verdict: str
    errors: list[str]
    unlike: list[str]
    measure: str
    next_step: str
    highest: list[PredictedRow]
    lowest: list[PredictedRow]
    """`highest`, `lowest`: the candidates with the largest and the smallest predictions; the second
    is empty if the first holds all of them."""


def report_candidates(
    answer: Answer | None, table: pd.DataFrame | None, unit: str
) -> CandidatesReport | None:
    """Return what the page says about candidates; None if there are none.

    Parameters
    ----------
    answer : Answer or None
        From ``results.json``.
    table : DataFrame or None
        ``candidates.parquet``; without it no predictions are shown.
    unit : str
        Unit of the target; may be empty.
    """
    if answer is None:
        return None
    rows = [] if table is None else _rows(table, _draw(answer.crystals))
    return CandidatesReport(
        answer=answer,
        verdict=verdict_sentence(answer),
        errors=error_sentences(answer, unit),
        unlike=unlike_sentences(answer),
        measure=measure_sentence(answer),
        next_step=NEXT_STEP,
        highest=rows[:N_SHOWN],
        lowest=rows[N_SHOWN:][-N_SHOWN:],
    )


def _draw(crystals: Sequence[CandidateCrystal]) -> dict[int, tuple[Markup | None, Markup | None]]:
    """Return the drawings of each candidate by its rank."""
    own = draw_texts([one.structure for one in crystals], "candidate-")
    near = draw_texts([one.nearest for one in crystals], "known-")
    ranks = [one.rank for one in crystals]
    return dict(zip(ranks, zip(own, near, strict=True), strict=True))


def _rows(
    table: pd.DataFrame, drawn: dict[int, tuple[Markup | None, Markup | None]]
) -> list[PredictedRow]:
    """Return the candidates with a prediction, the largest first."""
    good = table[table["rank"].notna()].sort_values("rank")
    columns = [good[name] for name in _SHOWN]
    crystals: Sequence[tuple[object, ...]] = [()] * len(good)
    if set(_CRYSTALS) <= set(good):
        good = good.assign(nearest_space_group=good["nearest_space_group"].fillna(0))
        crystals = list(zip(*(good[name] for name in _CRYSTALS), strict=True))
    return [
        PredictedRow(
            int(rank), str(formula), float(value), float(low), float(high), bool(inside), str(new),
            str(nearest), float(known), None if np.isnan(measured) else float(measured),
            *drawn.get(int(rank), (None, None)),
            *(kind(cell) for kind, cell in zip((str, str, int), crystal, strict=False)),
        )
        for (rank, formula, value, low, high, inside, new, nearest, known, measured), crystal
        in zip(zip(*columns, strict=True), crystals, strict=True)
    ]  # fmt: skip


def draw_proxies(answer: Answer, unit: str) -> Panel:
    """Draw the error on each hold-out, that of a constant, and the error to expect."""
    shown = list(reversed(answer.proxies))
    names = [escape(one.name) for one in shown]
    errors, constants = [one.mae for one in shown], [one.mae_dummy for one in shown]
    layout = make_layout(
        110 + 27 * len(shown),
        f"mean absolute error{f' ({unit})' if unit else ''}",
        "",
        xaxis=scale_axis([*errors, *constants, answer.expected_low, answer.expected_high]),
        yaxis={"showgrid": False, "ticks": "", "type": "category"},
        margin={"l": 8},
        shapes=_expected_range(answer),
    )
    data = [
        _points(names, errors, answer.method, "circle", INK),
        _points(names, constants, "the mean of the table", "line-ns-open", BAD),
    ]
    note = (
        f"dots: {answer.method}; red: the mean of the table; blue: the error to expect for the "
        f"candidates, {format_number(answer.expected_low)} to {format_number(answer.expected_high)}"
    )
    return Panel("Errors on the hold-outs", note, data, layout)


def _expected_range(answer: Answer) -> list[Figure]:
    ends = {"y0": 0, "y1": 1, "yref": "paper", "xref": "x"}
    band = {"type": "rect", "x0": answer.expected_low, "x1": answer.expected_high, **ends,
            "fillcolor": _BAND, "line": {"width": 0}, "layer": "below"}  # fmt: skip
    middle = {"type": "line", "x0": answer.expected_mae, "x1": answer.expected_mae, **ends,
              "line": {"color": "#0072b2", "width": 1.5}, "layer": "below"}  # fmt: skip
    return [band, middle]


def _points(
    names: Sequence[str], values: Sequence[float], label: str, symbol: str, colour: str
) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(values),
        "y": list(names),
        "name": label,
        "marker": {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2}},
        "hovertemplate": f"%{{y}}: %{{x:.3g}} ({escape(label)})<extra></extra>",
    }
