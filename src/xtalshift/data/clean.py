"""Cleaning with a report: what was dropped or merged, and how far repeated rows scatter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates
from xtalshift.data.numbers import parse_numbers
from xtalshift.data.table import MaterialsTable
from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss

__all__ = ["CleaningReport", "DuplicateRule", "Example", "Finding", "clean_table"]

DuplicateRule: TypeAlias = Literal["keep", "mean", "median", "lowest", "highest"]
_AGGREGATES = {"mean": "mean", "median": "median", "lowest": "min", "highest": "max"}
_MAX_EXAMPLES = 5
_ZERO_INFLATED = 0.10

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]
IntArray: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Example:
    """One row that shows a finding; `row` counts from 1 below the header."""

    row: int
    id: str
    value: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """A kind of finding, how many rows it concerns, and up to five of them."""

    kind: str
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class CleaningReport:
    """What `clean_table` did.

    Attributes
    ----------
    rows_read, rows_kept : int
        Before cleaning, and after dropping and merging.
    dropped : tuple of Finding
        Rows left out, by kind of reason; a row counts once, formula before target before features.
    notes : tuple of Finding
        Rows kept although their formula was read in a way worth knowing (D counted as H).
    duplicates : str
        The rule for rows of equal reduced formula (and equal feature columns).
    duplicate_groups, duplicate_rows, rows_merged : int
        Groups of at least two rows, the rows in them, and the rows that merging removed.
    duplicate_scatter : float or None
        Mean absolute deviation from the group *mean*, over the rows of those groups only, in the
        unit of the target: how far repeated rows lie apart. None if there are none.
    error_floor : float
        Mean absolute deviation from the group *median*, over all usable rows before merging, where
        a row without a double deviates by 0: no function of formula and feature columns has a
        smaller mean absolute error on these rows, since the median minimises it in each group.
    zero_share : float
        Share of the kept targets that are exactly 0.
    unit : str
        Unit of `duplicate_scatter` and `error_floor`.
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
    unit: str

    @property
    def rows_dropped(self) -> int:
        """Rows left out as unusable."""
        return sum(finding.count for finding in self.dropped)

    @property
    def zero_inflated(self) -> bool:
        """Whether at least a tenth of the targets is exactly zero."""
        return self.zero_share >= _ZERO_INFLATED

    @property
    def remedy(self) -> str:
        """What to do about a zero-inflated target; empty if it is none."""
        if not self.zero_inflated:
            return ""
        return (
            f"{self.zero_share:.0%} of the targets are exactly 0. A regression blurs zeros and "
            "values together: keep only the non-zero rows if zero means 'not of this kind' "
            "(a metal's gap), or set the transform (--transform) to 'clip' or 'log1p' so that "
            "predictions cannot be negative, and read the errors of zero and non-zero rows apart."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            **asdict(self),
            "rows_dropped": self.rows_dropped,
            "zero_inflated": self.zero_inflated,
            "remedy": self.remedy,
        }


def clean_table(
    table: MaterialsTable,
    *,
    duplicates: DuplicateRule = "mean",
    hydrates: Hydrates = "refuse",
    strict: bool = False,
    feature_cols: Sequence[str] = (),
) -> tuple[MaterialsTable, Compositions, CleaningReport]:
    """Drop unusable rows and merge rows of the same material.

    Parameters
    ----------
    table : MaterialsTable
        As read; with targets.
    duplicates : str
        What becomes of rows with equal reduced formula and equal feature columns: ``"keep"`` all,
        or one row with the ``"mean"``, ``"median"``, ``"lowest"`` or ``"highest"`` target and the
        id, formula and extra columns of the first.
    hydrates : str
        As `xtalshift.chem.compositions.parse_formulas` takes it.
    strict : bool
        Raise at the first unusable row instead of dropping it.
    feature_cols : sequence of str
        Extra columns that serve as features (temperature, doping): a row without them is unusable,
        and two rows that differ in them are not duplicates.

    Returns
    -------
    table : MaterialsTable
        Usable rows in the order of first appearance, with `groups` (reduced formulas).
    compositions : Compositions
        One per row of the returned table.
    report : CleaningReport

    Raises
    ------
    DataError
        If there is no target, no row is usable, a feature column does not exist, or (`strict`) a
        row is unusable; the message names row, value and reason.
    ConfigError
        If the duplicate rule is unknown.
    """
    rules = get_args(DuplicateRule)
    if duplicates not in rules:
        raise ConfigError(
            f"unknown rule for duplicates {duplicates!r}{near_miss(duplicates, rules)}; "
            f"known: {', '.join(rules)}"
        )
    if table.targets is None:
        raise DataError(f"{table.source or 'the table'} has no target column to clean or train on")
    compositions, reasons, notes = parse_formulas(table.formulas, hydrates=hydrates)
    features, dropped_as = _judge(table, table.targets, reasons, feature_cols)
    bad = np.flatnonzero([kind != "" for kind, _, _ in dropped_as])
    if strict and bad.size:
        row = int(bad[0])
        kind, value, reason = dropped_as[row]
        raise DataError(
            f"row {row + 1} (id {table.ids[row]}): {kind}: {reason} (value {value!r}); "
            "mend the row, or run without strict to drop such rows"
        )
    dropped = _findings(table, ((row, *dropped_as[row]) for row in bad.tolist()))
    good = np.setdiff1d(np.arange(len(table)), bad)
    if not good.size:
        raise DataError(_nothing_left(table, dropped))

    groups = compositions.take(good).reduced_formulas()
    codes, first = _number_groups(groups, features[good])
    targets = table.targets[good]
    scatter = _scatter(codes, targets)
    if duplicates == "keep":
        kept, merged_targets, merged_groups = good, targets, groups
    else:
        merged = pd.Series(targets).groupby(codes).agg(_AGGREGATES[duplicates])
        kept, merged_targets, merged_groups = good[first], merged.to_numpy(), groups[first]
    cleaned = replace(table.take(kept), targets=merged_targets, groups=merged_groups, problems=None)
    report = CleaningReport(
        rows_read=len(table),
        rows_kept=len(cleaned),
        dropped=dropped,
        notes=_findings(
            table,
            (
                (row, notes[row], table.formulas[row], notes[row])
                for row in good.tolist()
                if notes[row]
            ),
        ),
        duplicates=duplicates,
        rows_merged=good.size - len(cleaned),
        zero_share=float(np.mean(merged_targets == 0)),
        unit=table.unit,
        **scatter,
    )
    return cleaned, compositions.take(kept), report


def _judge(
    table: MaterialsTable, targets: FloatArray, reasons: ObjectArray, feature_cols: Sequence[str]
) -> tuple[FloatArray, list[tuple[str, str, str]]]:
    """Return the features (n, k) and per row (kind, value, reason) of the first fault or blanks."""
    faults = [("", "", "")] * len(table)
    features = np.empty((len(table), len(feature_cols)))
    columns = []
    for position, name in enumerate(feature_cols):
        features[:, position], problems = table.parse_extra(name)
        columns.append((f"column {name!r}", problems))
    columns.reverse()
    problems = table.problems if table.problems is not None else parse_numbers(targets)[1]
    columns.append(("target", problems))
    # the last writer wins, so that a wrong formula is named before a wrong target
    for label, problems in columns:
        for row in np.flatnonzero(problems != "").tolist():
            kind, _, value = problems[row].partition(": ")
            faults[row] = (f"{label} {kind}", value.strip("'"), problems[row])
    for row in np.flatnonzero(reasons != "").tolist():
        faults[row] = ("unparsable formula", table.formulas[row], reasons[row])
    return features, faults


def _findings(
    table: MaterialsTable, rows: Iterable[tuple[int, str, str, str]]
) -> tuple[Finding, ...]:
    """Group (row, kind, value, reason) by kind, most frequent first."""
    counts: dict[str, int] = {}
    examples: dict[str, list[Example]] = {}
    for row, kind, value, reason in rows:
        counts[kind] = counts.get(kind, 0) + 1
        shown = examples.setdefault(kind, [])
        if len(shown) < _MAX_EXAMPLES:
            shown.append(Example(row + 1, table.ids[row], value, reason))
    return tuple(
        Finding(kind, counts[kind], tuple(examples[kind]))
        for kind in sorted(counts, key=lambda kind: -counts[kind])
    )


def _number_groups(groups: ObjectArray, features: FloatArray) -> tuple[IntArray, IntArray]:
    """Return a group number per row, in order of first appearance, and each group's first row."""
    keys = pd.DataFrame(features)
    keys["formula"] = groups
    codes = np.asarray(keys.groupby(list(keys.columns), sort=False).ngroup(), dtype=np.intp)
    return codes, np.unique(codes, return_index=True)[1]


def _scatter(codes: IntArray, targets: FloatArray) -> dict[str, Any]:
    """Return how far rows of one group lie apart, as `CleaningReport` defines it.

    ``duplicate_scatter`` describes the repeated rows (around their group's mean); ``error_floor``
    bounds the mean absolute error over all rows (around the group's median, which minimises it).
    """
    sizes = np.bincount(codes)
    repeated = sizes[codes] > 1
    grouped = pd.Series(targets).groupby(codes)
    from_mean = np.abs(targets - grouped.transform("mean").to_numpy())
    from_median = np.abs(targets - grouped.transform("median").to_numpy())
    return {
        "duplicate_groups": int(np.sum(sizes > 1)),
        "duplicate_rows": int(np.sum(repeated)),
        "duplicate_scatter": float(from_mean[repeated].mean()) if repeated.any() else None,
        "error_floor": float(from_median.mean()),
    }


def _nothing_left(table: MaterialsTable, dropped: tuple[Finding, ...]) -> str:
    where = table.source or "the table"
    if not dropped:
        return f"{where} has no rows"
    causes = "; ".join(
        f"{finding.count} x {finding.kind} (row {finding.examples[0].row}: "
        f"{finding.examples[0].reason})"
        for finding in dropped
    )
    return f"no usable row is left of the {len(table)} of {where}: {causes}"
