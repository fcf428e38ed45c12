"""The worst compounds of the chosen method, with a hint at the cause of each error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtalshift.benchmark.explanation import WorstRow
from xtalshift.report.shared.text import format_ratio, join_words


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
    for row in rows:
        factor = None
        if logarithmic and row.target > 0 and row.prediction > 0:
            ratio = row.prediction / row.target
            factor = max(ratio, 1 / ratio)
        label = labels.get(row.split, row.split)
        found.append(WorstCompound(row, label, factor, find_hint(row)))
    return found


def find_hint(row: WorstRow) -> str:
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
    return _compare(row)


def _compare(row: WorstRow) -> str:
    values = sorted(one.target for one in row.neighbours)
    if not values:
        return ""
    middle = values[len(values) // 2]
    apart = abs(row.target - middle)
    nearer = all(abs(one - row.prediction) < abs(one - row.target) for one in values)
    if nearer and abs(row.prediction - middle) < apart / 2:
        return "Its neighbours agree with the prediction: check the measured value."
    if values[-1] - values[0] > apart:
        return "Its neighbours disagree with each other: composition alone may not decide here."
    return ""
