"""What reading and cleaning found: findings with counts, examples and remedies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from xtalshift.jsonio import Plain

MAX_EXAMPLES = 5
"""Most examples of a finding."""
_ZERO_INFLATED = 0.10
_DECADES = 30.0
"""Ratio of the 95 % to the 5 % quantile of positive targets from which a log scale is advised."""
_WIDTH = 60


@dataclass(frozen=True)
class Example:
    """One row that shows a finding; `row` counts from 1 below the header."""

    row: int
    id: str
    value: str
    reason: str
    """What the kind of the finding does not say; may be empty."""


@dataclass(frozen=True)
class Finding:
    """A kind of finding, the number of rows it concerns, and up to five examples."""

    kind: str
    count: int
    examples: tuple[Example, ...]
    remedy: str = ""
    """What the user can do about it."""
    warns: bool = False
    """Whether results may be wrong because of it, as where a biased part of the rows leaves."""

    def describe(self) -> str:
        """Return the finding in one line: kind, number of rows, and what to do.

        What all examples say is said here.
        """
        said = {example.reason for example in self.examples}
        reason = f": {said.pop()}" if len(said) == 1 and self.count > 1 else ""
        count = f"{self.count:,} {'row' if self.count == 1 else 'rows'}"
        remedy = f". {self.remedy}." if self.remedy else ""
        return f"{self.kind} ({count}){reason.rstrip(': ')}{remedy}"

    def first(self) -> str:
        """Return the first example in a few words: its row, and what the kind does not say."""
        example = self.examples[0]
        return ": ".join(filter(None, (f"row {example.row}", example.reason)))

    def show(self, most: int = 2) -> tuple[str, ...]:
        """Return the rows of some examples, with what `describe` does not say."""
        shown = self.examples[:most]
        if self.count > 1 and len({example.reason for example in self.examples}) == 1:
            return ("; ".join(f"row {one.row}: {_short(one.value)}" for one in shown),)
        return tuple(_join(one) for one in shown)


@dataclass(frozen=True)
class Reading:
    """What of a table was read as what."""

    source: str
    """Name of the table."""
    layout: str = ""
    """Format, encoding, separator and lines above the header, in one line."""
    formulas: str = ""
    """Column of the formulas, or columns of the elements and what their numbers are."""
    notation: str = ""
    """How formulas were read that can be read in two ways."""
    numbers: str = ""
    """Decimal mark, and mark of thousands."""
    target: str = ""
    """Column of the target, with its unit."""
    ids: str = ""
    """Column of ids."""
    weights: str = ""
    """Column of the weights of the rows, with their range."""
    noise: str = ""
    """Column of the uncertainties of the targets, with their range."""
    options: dict[str, str] = field(default_factory=dict)
    """The options with which it is read in the same way again."""
    findings: tuple[Finding, ...] = ()
    """What is odd about the table as a whole."""

    def brief(self) -> str:
        """Return what was read as what in one line."""
        parts = [self.layout, self.numbers, f"formulas in {self.formulas}"]
        parts += [f"target {self.target}"] if self.target else []
        parts += [f"weights in {self.weights}"] if self.weights else []
        parts += [f"uncertainties in {self.noise}"] if self.noise else []
        return "; ".join(filter(None, parts))

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return what was read as what, with its label, without what is empty."""
        labels = {
            "layout": "Format", "formulas": "Formulas", "notation": "Notation",
            "numbers": "Numbers", "target": "Target", "ids": "Ids",
            "weights": "Weights", "noise": "Errors",
        }  # fmt: skip
        pairs = ((label, getattr(self, name)) for name, label in labels.items())
        return tuple((label, text) for label, text in pairs if text)


@dataclass(frozen=True)
class CleaningReport:
    """What `clean_table` did.

    Attributes
    ----------
    rows_read, rows_kept : int
        Numbers of rows before cleaning, and after dropping and merging.
    dropped : tuple of Finding
        Rows left out, by kind of reason. A row counts once, for its first fault in the order
        formula, target, features.
    notes : tuple of Finding
        Rows kept with a remark on how their formula was read (D counted as H).
    duplicates : str
        The rule for rows with equal reduced formula (and equal feature columns).
    duplicate_groups, duplicate_rows, rows_merged : int
        Groups of at least two rows, the rows in them, and the rows that merging removed.
    duplicate_scatter : float or None
        Mean absolute deviation from the group *mean*, over the rows of those groups only, in the
        unit of the target: how much repeated rows differ. None if there are none.
    error_floor : float
        Mean absolute deviation from the group *median*, over all usable rows before merging (0 for
        a row without a duplicate). No function of formula and feature columns has a smaller mean
        absolute error on these rows, since the median minimises it in each group. For classes, the
        share of these rows whose class is not the most frequent one of its group.
    findings : tuple of Finding
        What a user should know of the rows that stay and of those that leave: bias, sentinels, a
        mix of units, outliers, and what merging hides.
    zero_share : float
        Share of the kept targets that are exactly 0.
    unit : str
        Unit of `duplicate_scatter` and `error_floor`.
    findings : tuple of Finding
        What else is odd about formulas, targets and merged rows.
    reading : Reading or None
        What was read as what; None for data that come from no table.
    noise_of_one : float
        Root mean square of the uncertainties of the usable rows, over that of the rows they were
        merged into: how much less certain a single measurement is.
    """

    rows_read: int
    rows_kept: int
    dropped: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    duplicates: str
    duplicate_groups: int
    duplicate_rows: int
    rows_merged: int
    duplicate_scatter: float | None
    error_floor: float
    zero_share: float
    unit: str = ""
    findings: tuple[Finding, ...] = ()
    reading: Reading | None = None
    noise_of_one: float = 1.0

    @property
    def rows_dropped(self) -> int:
        """Number of rows left out as unusable."""
        return sum(finding.count for finding in self.dropped)

    @property
    def zero_inflated(self) -> bool:
        """Whether at least a tenth of the targets is exactly zero."""
        return self.zero_share >= _ZERO_INFLATED

    @property
    def remedy(self) -> str:
        """Advice for a zero-inflated target, else an empty text."""
        return advise_on_zeros(self.zero_share)

    def to_dict(self) -> Plain:
        """Return plain values, ready for JSON."""
        return {
            **asdict(self),
            "rows_dropped": self.rows_dropped,
            "zero_inflated": self.zero_inflated,
            "remedy": self.remedy,
        }


def advise_on_zeros(share: float) -> str:
    """Return advice if this share of the targets is exactly 0; an empty text if it is small."""
    if share < _ZERO_INFLATED:
        return ""
    return (
        f"{share:.0%} of the targets are exactly 0, and a regression cannot separate "
        "zeros from small values: keep only the non-zero rows if zero means 'not of this kind' "
        "(the gap of a metal), or set the transform (--transform) to 'clip' or 'log1p' so that "
        "predictions cannot be negative, and evaluate zero and non-zero rows separately."
    )


def advise_on_range(targets: NDArray[np.float64]) -> str:
    """Return advice if positive targets, shape (n,), span decades; an empty text if not."""
    if not len(targets) or targets.min() <= 0:
        return ""
    low, high = np.quantile(targets, [0.05, 0.95])
    if high < _DECADES * low:
        return ""
    return (
        f"all targets are positive, and they span a factor of {high / low:.0f} (from the 5 % to "
        "the 95 % quantile): with --transform log errors count as factors, and no interval "
        "reaches below 0"
    )


def _short(text: str) -> str:
    if not text.strip():
        return "blank"
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _join(example: Example) -> str:
    """Return the row of an example, its value and its reason, without what is said twice."""
    words = [f"row {example.row}"]
    if example.value not in example.reason or not example.reason:
        words.append(_short(example.value))
    if example.reason not in example.value:
        words.append(example.reason)
    return ": ".join(words)
