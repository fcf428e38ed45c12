"""The worst compounds of the chosen method, with a hint at the cause of each error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xtalshift.benchmark.explanation import WorstRow
from xtalshift.report.shared.crystals import draw_texts
from xtalshift.report.shared.text import format_ratio, join_words

N_DRAWN = 6
"""Most compounds of each role whose crystals are drawn."""


@dataclass(frozen=True)
class WorstCompound:
    """A held-out compound with a large error.

    `label` names its split, `factor` is by which factor the prediction is wrong (None unless the
    method was trained on logarithms), `hint` says what the training data suggest, if anything.
    """

    row: WorstRow
    label: str
    factor: float | None
    hint: str
    crystal: Markup | None = None
    nearest_crystal: Markup | None = None
    """`crystal`, `nearest_crystal`: drawings of it and of the nearest training material; None for
    rows without structures."""

    @property
    def error(self) -> float:
        """Prediction minus measured value."""
        return self.row.prediction - self.row.target

    @property
    def covered(self) -> bool | None:
        """Whether the interval contains the measured value; None without an interval."""
        low, high = self.row.lower, self.row.upper
        if low is None or high is None:
            return None
        return low <= self.row.target <= high

    @property
    def factor_text(self) -> str:
        """The factor and the side on which the prediction lies."""
        if self.factor is None:
            return ""
        side = "high" if self.error > 0 else "low"
        return f"{format_ratio(self.factor)} times too {side}"


def build_worst(
    rows: Sequence[WorstRow], labels: dict[str, str], *, logarithmic: bool
) -> list[WorstCompound]:
    """Return the worst compounds, in distribution first, with hints."""
    found = []
    shown = _draw(rows)
    for number, row in enumerate(rows):
        factor = None
        if logarithmic and row.target > 0 and row.prediction > 0:
            ratio = row.prediction / row.target
            factor = max(ratio, 1 / ratio)
        label = labels.get(row.split, row.split)
        hint = find_hint(row, logarithmic=logarithmic)
        found.append(WorstCompound(row, label, factor, hint, *shown.get(number, (None, None))))
    return found


def _draw(rows: Sequence[WorstRow]) -> dict[int, tuple[Markup | None, Markup | None]]:
    """Return the drawings of the first rows of each role that have a structure, by their place."""
    chosen: list[int] = []
    for role in ("id", "ood"):
        chosen += [i for i, row in enumerate(rows) if row.role == role and row.structure][:N_DRAWN]
    own = draw_texts([rows[i].structure for i in chosen], "worst-")
    near = draw_texts(
        [rows[i].neighbours[0].structure if rows[i].neighbours else "" for i in chosen], "beside-"
    )
    return dict(zip(chosen, zip(own, near, strict=True), strict=True))


def find_hint(row: WorstRow, *, logarithmic: bool = False) -> str:
    """Say what the nearest training materials suggest about an error.

    They cannot tell a wrong measurement from a material that is truly different, so that the text
    names what to check.
    """
    if row.unseen:
        return f"No training material contains {join_words(row.unseen)}."
    if row.split == "prior":
        return "Values this extreme were kept from the training."
    if row.in_domain is False:
        return "It is unlike all training materials."
    return _compare(row, logarithmic=logarithmic)


def _compare(row: WorstRow, *, logarithmic: bool) -> str:
    values = [row.target, row.prediction, *(one.target for one in row.neighbours)]
    if logarithmic and min(values) > 0:
        values = [math.log(value) for value in values]
    target, prediction, *near = values
    if not near:
        return ""
    near.sort()
    middle = near[len(near) // 2]
    off, missed = abs(target - middle), abs(prediction - middle)
    nearer = sum(abs(one - prediction) < abs(one - target) for one in near)
    if nearer == len(near) and missed < off / 2:
        return "Its neighbours agree with the prediction: check the measured value."
    if nearer == 0 and off < missed / 2:
        return "Its neighbours agree with the measured value: the method fails here."
    if near[-1] - near[0] > abs(target - prediction):
        return "Its neighbours disagree with each other: composition alone may not decide here."
    return ""
