"""Cleaning with a report: what was dropped or merged, and how much repeated rows differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import MAX_EXAMPLES, CleaningReport, Example, Finding
from xtalshift.data.numbers import cause_of, parse_numbers
from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss

DuplicateRule: TypeAlias = Literal["keep", "mean", "median", "lowest", "highest"]
_AGGREGATES = {"mean": "mean", "median": "median", "lowest": "min", "highest": "max"}

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]
IntArray: TypeAlias = npt.NDArray[np.intp]


def clean_table(
    table: Dataset,
    *,
    duplicates: DuplicateRule = "mean",
    strict: bool = False,
    feature_cols: Sequence[str] = (),
) -> Dataset:
    """Drop unusable rows and merge rows of the same material.

    Parameters
    ----------
    table : Dataset
        A data set with targets.
    duplicates : str
        Rule for rows with equal reduced formula and equal feature columns: ``"keep"`` all, or merge
        them into one row with the ``"mean"``, ``"median"``, ``"lowest"`` or ``"highest"`` target
        and the id, formula and extra columns of the first.
    strict : bool
        Whether to raise at the first unusable row instead of dropping it.
    feature_cols : sequence of str
        Extra columns to use as features (temperature, doping): a row without them is unusable, and
        rows that differ in them are not duplicates.

    Returns
    -------
    Dataset
        Usable rows in the order of first appearance. `intake` reports what was dropped and merged;
        the feature columns are in ``materials.extra``.

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
            f"unknown rule for duplicates {duplicates!r}{near_miss(duplicates, rules)}. "
            f"Known: {', '.join(rules)}"
        )
    if table.targets is None:
        raise DataError(f"{table.source or 'the table'} has no target column to clean or train on")
    features, dropped_as = _find_faults(table, table.targets, feature_cols)
    bad = np.flatnonzero([kind != "" for kind, _, _ in dropped_as])
    if strict and bad.size:
        row = int(bad[0])
        kind, value, reason = dropped_as[row]
        raise DataError(
            f"row {row + 1} (id {table.ids[row]}): {kind}: {reason} (value {value!r}); "
            "correct the row, or run without strict to drop such rows"
        )
    dropped = _findings(table, ((row, *dropped_as[row]) for row in bad.tolist()))
    good = np.setdiff1d(np.arange(len(table)), bad)
    if not good.size:
        raise DataError(_nothing_left(table, dropped))

    notes, groups = table.materials.notes, table.groups[good]
    codes, first = _number_groups(groups, features[good])
    targets = table.targets[good]
    scatter = _scatter(codes, targets)
    if duplicates == "keep":
        kept, kept_targets = good, targets
    else:
        merged = pd.Series(targets).groupby(codes).agg(_AGGREGATES[duplicates])
        kept, kept_targets = good[first], merged.to_numpy()
    names = tuple(feature_cols) or table.materials.extra_names
    materials = replace(table.materials.take(kept), extra=features[kept], extra_names=names)
    intake = CleaningReport(
        rows_read=len(table),
        rows_kept=len(kept),
        dropped=dropped,
        notes=_findings(
            table,
            (
                (row, cause_of(notes[row]), table.formulas[row], notes[row])
                for row in good.tolist()
                if notes[row]
            ),
        ),
        duplicates=duplicates,
        rows_merged=good.size - len(kept),
        zero_share=float(np.mean(kept_targets == 0)),
        unit=table.unit,
        **scatter,
    )
    return replace(
        table.take(kept), materials=materials, targets=kept_targets, problems=None, intake=intake
    )


def _find_faults(
    table: Dataset, targets: FloatArray, feature_cols: Sequence[str]
) -> tuple[FloatArray, list[tuple[str, str, str]]]:
    """Return features (n, k) and, per row, (kind, value, reason) of the first fault or blanks."""
    faults = [("", "", "")] * len(table)
    given = {name: table.parse_column(name) for name in feature_cols}
    if not given:  # features that came with the materials, not from columns
        extra = table.materials.extra
        given = {
            name: parse_numbers(pd.Series(extra[:, k]))
            for k, name in enumerate(table.materials.extra_names)
        }
    features = np.column_stack([np.empty((len(table), 0)), *(v for v, _ in given.values())])
    columns = [(f"column {name!r}", problems) for name, (_, problems) in given.items()]
    columns.reverse()
    problems = table.problems if table.problems is not None else parse_numbers(targets)[1]
    columns.append(("target", problems))
    # the last one wins, so that a wrong formula is named before a wrong target
    for label, problems in columns:
        for row in np.flatnonzero(problems != "").tolist():
            kind, _, value = problems[row].partition(": ")
            faults[row] = (f"{label} {kind}", value.partition(" (")[0].strip("'"), problems[row])
    for row in np.flatnonzero(table.materials.reasons != "").tolist():
        faults[row] = ("unparsable formula", table.formulas[row], table.materials.reasons[row])
    return features, faults


def _findings(table: Dataset, rows: Iterable[tuple[int, str, str, str]]) -> tuple[Finding, ...]:
    """Group (row, kind, value, reason) by kind, the most frequent kind first."""
    counts: dict[str, int] = {}
    examples: dict[str, list[Example]] = {}
    for row, kind, value, reason in rows:
        counts[kind] = counts.get(kind, 0) + 1
        shown = examples.setdefault(kind, [])
        if len(shown) < MAX_EXAMPLES:
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
    """Return how much rows of one group differ, with the fields of `CleaningReport`."""
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


def _nothing_left(table: Dataset, dropped: tuple[Finding, ...]) -> str:
    where = table.source or "the table"
    if not dropped:
        return f"{where} has no rows"
    causes = "; ".join(
        f"{finding.count} x {finding.kind} (row {finding.examples[0].row}: "
        f"{finding.examples[0].reason})"
        for finding in dropped
    )
    return f"none of the {len(table)} rows of {where} is usable: {causes}"
