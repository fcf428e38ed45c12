"""Cleaning with a report: what was dropped or merged, and how much repeated rows differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.classes import class_findings, tie_finding, vote, without_empty
from xtalshift.data.dataset import Dataset
from xtalshift.data.formula_findings import (
    cause_of_formula,
    formula_findings,
    formula_remedy,
    note_details,
    note_kinds,
)
from xtalshift.data.intake import MAX_EXAMPLES, CleaningReport, Example, Finding
from xtalshift.data.merging import UNITS_WITHIN, merge_findings
from xtalshift.data.number_findings import REMEDIES, UNIT_MIX, find_sentinels, value_findings
from xtalshift.data.number_style import refuse_ambiguous
from xtalshift.data.numbers import cause_of, parse_numbers
from xtalshift.data.replicates import Measured, merge_rows, replicate_noise
from xtalshift.data.row_weights import row_problems
from xtalshift.data.structure_texts import NO_FILE
from xtalshift.data.target_bounds import bounds_findings, join_bounds, use_bounds
from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss

DuplicateRule: TypeAlias = Literal["keep", "mean", "median", "lowest", "highest"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
ObjectArray: TypeAlias = npt.NDArray[np.object_]
IntArray: TypeAlias = npt.NDArray[np.intp]


NO_STRUCTURE_FILE = "structure: no file of its name"
UNUSABLE_STRUCTURE = "structure: it cannot be used"
STRUCTURE_REMEDIES = {
    NO_STRUCTURE_FILE: "Write the names of files of the folder",
    UNUSABLE_STRUCTURE: "Correct each as its reason says; check --fix OUT writes all reasons",
}
"""Kinds of rows without a usable crystal structure, and what to do."""


def clean_table(
    table: Dataset,
    *,
    duplicates: DuplicateRule = "mean",
    strict: bool = False,
    feature_cols: Sequence[str] = (),
    noise_from_replicates: bool = False,
    bounds: Literal["drop", "use", "tobit"] = "drop",
) -> Dataset:
    """Drop unusable rows and merge rows of the same material.

    Parameters
    ----------
    table : Dataset
        A data set with targets.
    duplicates : str
        Rule for rows with equal reduced formula, equal feature columns and equal structure:
        ``"keep"`` all, or merge them into one row with the ``"mean"``, ``"median"``, ``"lowest"``
        or ``"highest"`` target and the id, formula and extra columns of the first. Mean and median
        are weighted if rows have weights or uncertainties, see
        `xtalshift.data.replicates.merge_rows`. Rows of classes vote, by their weights, and those of
        a material without a majority are dropped; ``"lowest"`` and ``"highest"`` are for ordered
        classes.
    strict : bool
        Whether to raise at the first unusable row instead of dropping it.
    feature_cols : sequence of str
        Extra columns to use as features (temperature, doping): a row without them is unusable, and
        rows that differ in them are not duplicates.
    noise_from_replicates : bool
        Whether the pooled standard deviation of rows of one material is the uncertainty of every
        row, see `xtalshift.data.replicates.replicate_noise`.
    bounds : {"drop", "use", "tobit"}
        Whether rows whose target is a bound or a range (``<4.2``, ``19-21``) are unusable, or keep
        what is known of it in `bounds`; ``tobit``: for the loss of a fit.

    Returns
    -------
    Dataset
        Usable rows in the order of first appearance. `intake` reports what was dropped and merged;
        the feature columns are in ``materials.extra``.

    Raises
    ------
    DataError
        If there is no target, targets can be read in two ways, no row is usable, a feature column
        does not exist, or (`strict`) a row is unusable; the message names row, value and reason.
    ConfigError
        If the duplicate rule is unknown, or is not for classes.
    """
    table = _checked(table, duplicates)
    if table.classes is not None:
        if table.noise is not None:
            raise ConfigError("classes have no uncertainties; leave --uncertainty-col out")
        if duplicates in ("lowest", "highest") and not table.ordered:
            raise ConfigError(
                f"duplicates = {duplicates!r} needs ordered classes (--task ordinal); rows of one "
                "material vote by default"
            )
        return _clean_classes(table, duplicates, strict=strict, feature_cols=feature_cols)
    if bounds != "drop":
        table = replace(use_bounds(table), bounds_in_loss=bounds == "tobit")
    assert table.targets is not None
    found = inspect_table(table, feature_cols, merge=duplicates != "keep")
    if strict and found.bad.size:
        raise DataError(_first_fault(table, found))
    good, features = found.good, found.features
    if not good.size:
        raise DataError(_nothing_left(table, found.dropped))
    codes, first = found.groups
    targets, known, findings = table.targets[good], None, found.findings
    if bounds != "drop" and table.bounds is not None:
        told = join_bounds(codes, targets, table.bounds[good], merge=duplicates != "keep")
        good, codes, targets, known = good[told.kept], codes[told.kept], told.targets, told.bounds
        first = np.unique(codes, return_index=True)[1]
        findings = (*bounds_findings(table, found.good), *findings)
    scatter = _scatter(codes, targets)
    noise = None if table.noise is None else table.noise[good]
    if noise_from_replicates:
        noise = np.full(len(good), replicate_noise(codes, targets))
    measured = Measured(targets, None if table.weights is None else table.weights[good], noise)
    kept = good
    if duplicates != "keep":
        kept, measured = (
            good[first],
            merge_rows(codes, measured, duplicates, enlarge=not noise_from_replicates),
        )
        known = None if known is None else known[first]
    kept_targets = measured.targets
    names = tuple(feature_cols) or table.materials.extra_names
    materials = replace(table.materials.take(kept), extra=features[kept], extra_names=names)
    intake = CleaningReport(
        rows_read=len(table),
        rows_kept=len(kept),
        dropped=found.dropped,
        notes=found.notes,
        duplicates=duplicates,
        rows_merged=found.good.size - len(kept),
        zero_share=float(np.mean(kept_targets == 0)),
        unit=table.unit,
        findings=findings,
        reading=table.reading,
        noise_of_one=_noise_of_one(noise, measured.noise),
        **scatter,
    )
    return replace(
        table.take(kept),
        materials=materials,
        targets=kept_targets,
        weights=measured.weights,
        noise=measured.noise,
        problems=None,
        row_problems=None,
        bounds=_if_open(known),
        intake=intake,
    )


def _clean_classes(
    table: Dataset, duplicates: DuplicateRule, *, strict: bool, feature_cols: Sequence[str]
) -> Dataset:
    """Drop unusable rows of a table of classes, and let rows of one material vote."""
    assert table.targets is not None
    assert table.classes is not None
    found = inspect_table(table, feature_cols, merge=duplicates != "keep")
    if strict and found.bad.size:
        raise DataError(_first_fault(table, found))
    good, dropped = found.good, found.dropped
    if not good.size:
        raise DataError(_nothing_left(table, dropped))
    codes, first = found.groups
    weights = None if table.weights is None else table.weights[good]
    voted = vote(codes, table.targets[good], weights, len(table.classes))
    kept, targets = good, table.targets[good]
    if duplicates != "keep":
        kept, targets = good[first], voted.codes
        if duplicates in ("lowest", "highest"):
            targets = merge_rows(codes, Measured(table.targets[good]), duplicates).targets
        elif not voted.kept.all():
            tied = tie_finding(table, good[~voted.kept])
            if strict:
                raise DataError(f"{tied.first()}: {tied.kind}; {tied.remedy}")
            dropped = (*dropped, tied)
        if weights is not None:
            weights = np.bincount(codes, weights).astype(np.float64)
    there = np.isfinite(targets)
    if not there.any():
        raise DataError(_nothing_left(table, dropped))
    sizes = np.bincount(codes)
    names = tuple(feature_cols) or table.materials.extra_names
    materials = replace(
        table.materials.take(kept[there]), extra=found.features[kept[there]], extra_names=names
    )
    gone = sum(one.count for one in dropped)
    intake = CleaningReport(
        rows_read=len(table),
        rows_kept=int(there.sum()),
        dropped=dropped,
        notes=found.notes,
        duplicates=duplicates,
        duplicate_groups=int(np.sum(sizes > 1)),
        duplicate_rows=int(np.sum(sizes[codes] > 1)),
        rows_merged=len(table) - gone - int(there.sum()),
        duplicate_scatter=None,
        error_floor=voted.error_floor,
        zero_share=0.0,
        findings=found.findings,
        reading=table.reading,
    )
    return without_empty(
        replace(
            table.take(kept[there]),
            materials=materials,
            targets=targets[there],
            weights=None if weights is None else weights[there],
            problems=None,
            row_problems=None,
            bounds=None,
            intake=intake,
        )
    )


def _checked(table: Dataset, duplicates: str) -> Dataset:
    """Return a table that can be cleaned."""
    rules = get_args(DuplicateRule)
    if duplicates not in rules:
        raise ConfigError(
            f"unknown rule for duplicates {duplicates!r}{near_miss(duplicates, rules)}. "
            f"Known: {', '.join(rules)}"
        )
    if table.targets is None:
        raise DataError(f"{table.source or 'the table'} has no target column to clean or train on")
    if table.problems is not None:
        refuse_ambiguous(table.problems, table.target_name)
    return table


def _first_fault(table: Dataset, found: Inspection) -> str:
    row = int(found.bad[0])
    kind, value, reason = found.faults[row]
    why = ": ".join(filter(None, (kind, reason)))
    shown = "" if value in reason else f" (value {value!r})"
    return (
        f"row {table.row_numbers[row]} (id {table.ids[row]}): {why}{shown}"
        "; correct the row, or run without strict to drop such rows"
    )


def _noise_of_one(rows: FloatArray | None, merged: FloatArray | None) -> float:
    """Return by which factor the uncertainties of rows exceed those of merged rows."""
    if rows is None or merged is None or not merged.any():
        return 1.0
    return float(np.sqrt(np.mean(rows**2) / np.mean(merged**2)))


def _if_open(bounds: FloatArray | None) -> FloatArray | None:
    """Return bounds of which some are more than a value."""
    return bounds if bounds is not None and (bounds[:, 0] < bounds[:, 1]).any() else None


@dataclass(frozen=True, eq=False)
class Inspection:
    """Which of n rows are usable, and what a user should know about the others."""

    features: FloatArray
    """Shape (n, k). The feature columns."""
    faults: list[tuple[str, str, str]]
    """Length n. Kind, value and reason of the first fault of each row; empty texts if it is
    usable. The reason says what the kind does not, and may be empty."""
    dropped: tuple[Finding, ...]
    """Unusable rows by kind."""
    notes: tuple[Finding, ...]
    """Usable rows with a remark on how their formula was read."""
    findings: tuple[Finding, ...]
    """What is odd about formulas and targets, and what rows of one material disagree on."""
    good: IntArray
    bad: IntArray
    """`good`, `bad`: numbers of the usable and of the unusable rows."""
    groups: tuple[IntArray, IntArray]
    """Number of the material of each usable row, and the first usable row of each material."""


def inspect_table(
    table: Dataset, feature_cols: Sequence[str] = (), *, merge: bool = True
) -> Inspection:
    """Find the unusable rows of a table and what is odd about it; nothing is changed.

    Parameters
    ----------
    table : Dataset
        n rows; targets are looked at if there are any.
    feature_cols : sequence of str
        As `clean_table`.
    merge : bool
        Whether rows of one material are to be merged.

    Raises
    ------
    DataError
        If a feature column does not exist.
    """
    features, faults = find_faults(table, feature_cols)
    materials = table.materials
    usable = np.array([not kind for kind, _, _ in faults], dtype=bool)
    good, bad = np.flatnonzero(usable), np.flatnonzero(~usable)
    structures = materials.structures
    groups = _number_groups(
        table.groups[good], features[good], None if structures is None else structures.keys[good]
    )
    noted = materials.notes != ""
    words = [*materials.notes[noted], *materials.reasons[materials.reasons != ""]]
    findings = formula_findings(
        table.formulas.tolist(),
        materials.compositions,
        alloys=any("a mixture" in text for text in words),
    )
    if table.classes is not None:
        findings += class_findings(table, good)
    elif table.targets is not None:
        of_target = _target_findings(table, table.targets, good)
        of_materials = merge_findings(
            groups[0],
            table.targets[good],
            table.columns[[name for name in table.columns if name not in feature_cols]].iloc[good],
            names=table.formulas[good].tolist(),
            rows=table.row_numbers[good],
            style=table.style,
            merge=merge,
        )
        if any(finding.kind.endswith(f": {UNIT_MIX}") for finding in of_target):
            # the rows are named already
            of_materials = tuple(one for one in of_materials if one.kind != UNITS_WITHIN)
        findings += of_target + of_materials
    remarks = (
        (row, kind, table.formulas[row], note_details(materials.notes[row], kind))
        for row in np.flatnonzero(usable & noted).tolist()
        for kind in note_kinds(materials.notes[row])
    )
    return Inspection(
        features,
        faults,
        _findings(table, ((row, *faults[row]) for row in bad.tolist())),
        _findings(table, remarks),
        findings,
        good,
        bad,
        groups,
    )


def find_faults(
    table: Dataset, feature_cols: Sequence[str]
) -> tuple[FloatArray, list[tuple[str, str, str]]]:
    """Find the first fault of each row, in the order formula, target, features, weight.

    Parameters
    ----------
    table : Dataset
        n rows.
    feature_cols : sequence of str
        As `clean_table`.

    Returns
    -------
    features : ndarray of float64, shape (n, k)
        The feature columns.
    faults : list of (str, str, str), length n
        Kind, value and reason; empty texts if the row is usable.

    Raises
    ------
    DataError
        If a feature column does not exist.
    """
    faults = [("", "", "")] * len(table)
    given = {name: table.parse_column(name) for name in feature_cols}
    if not given:  # features that came with the materials, not from columns
        extra = table.materials.extra
        given = {
            name: parse_numbers(pd.Series(extra[:, k]))
            for k, name in enumerate(table.materials.extra_names)
        }
    features = np.column_stack([np.empty((len(table), 0)), *(v for v, _ in given.values())])
    columns = [
        (f"column {name!r}", _with_sentinels(values, problems))
        for name, (values, problems) in given.items()
    ]
    columns.reverse()
    if table.targets is not None:
        columns.append(("target", _target_problems(table, table.targets)))
    for row, text in enumerate(row_problems(table)):
        if text:
            label, _, rest = text.partition(": ")
            kind, _, reason = rest.partition(": ")
            faults[row] = (f"{label}: {kind}", reason.partition(" (")[0].strip("'"), reason)
    # the last one wins, so that a wrong formula is named before a wrong target
    for label, problems in columns:
        for row in np.flatnonzero(problems != "").tolist():
            kind, _, reason = problems[row].partition(": ")
            faults[row] = (f"{label}: {kind}", reason.partition(" (")[0].strip("'"), reason)
    for row in np.flatnonzero(table.materials.reasons != "").tolist():
        reason = table.materials.reasons[row]
        if table.materials.structures is None:
            faults[row] = (f"formula: {cause_of_formula(reason)}", table.formulas[row], reason)
        else:
            kind = NO_STRUCTURE_FILE if reason.startswith(NO_FILE) else UNUSABLE_STRUCTURE
            faults[row] = (kind, str(table.ids[row]), reason)
    return features, faults


def _target_problems(table: Dataset, targets: FloatArray) -> ObjectArray:
    problems = table.problems if table.problems is not None else parse_numbers(targets)[1]
    return problems if table.classes is not None else _with_sentinels(targets, problems)


def _with_sentinels(values: FloatArray, problems: ObjectArray) -> ObjectArray:
    """Return the problems with those of numbers that stand for a missing value."""
    rows = np.flatnonzero(find_sentinels(np.where(problems == "", values, np.nan)))
    problems = problems.copy()
    problems[rows] = [f"a sentinel: '{value:g}'" for value in values[rows].tolist()]
    return problems


def _target_findings(table: Dataset, targets: FloatArray, good: IntArray) -> tuple[Finding, ...]:
    """Return what is odd about the targets of the rows that stay and of those that leave."""
    leaves = np.ones(len(table), dtype=bool)
    leaves[good] = False
    lower, upper = (targets, targets) if table.bounds is None else table.bounds.T
    unknown = ~np.isfinite(targets) if table.bounds is None else np.zeros(len(table), dtype=bool)
    problems = _target_problems(table, targets)
    unknown[[row for row in np.flatnonzero(leaves) if cause_of(problems[row]) == "a sentinel"]] = (
        True
    )
    return value_findings(
        targets,
        np.where(unknown, -np.inf, lower),
        np.where(unknown, np.inf, upper),
        leaves,
        table.target_name or "target",
        [f"{name}: {value:.6g}" for name, value in zip(table.formulas, targets, strict=True)],
    )


def _findings(table: Dataset, rows: Iterable[tuple[int, str, str, str]]) -> tuple[Finding, ...]:
    """Group (row, kind, value, reason) by kind, the most frequent kind first."""
    counts: dict[str, int] = {}
    examples: dict[str, list[Example]] = {}
    for row, kind, value, reason in rows:
        counts[kind] = counts.get(kind, 0) + 1
        shown = examples.setdefault(kind, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append(Example(int(table.row_numbers[row]), table.ids[row], value, reason))
    return tuple(
        Finding(kind, counts[kind], tuple(examples[kind]), _remedy(kind))
        for kind in sorted(counts, key=lambda kind: -counts[kind])
    )


def _remedy(kind: str) -> str:
    if kind.startswith("formula: "):
        return formula_remedy(kind.removeprefix("formula: "))
    if kind in STRUCTURE_REMEDIES:
        return STRUCTURE_REMEDIES[kind]
    return next((text for cause, text in REMEDIES.items() if kind.endswith(f" {cause}")), "")


def _number_groups(
    groups: ObjectArray, features: FloatArray, structures: ObjectArray | None
) -> tuple[IntArray, IntArray]:
    """Return a group number per row, in order of first appearance, and each group's first row.

    Polymorphs are different materials.
    """
    keys = pd.DataFrame(features)
    keys["formula"] = groups
    if structures is not None:
        keys["structure"] = structures
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
        f"{finding.count} x {finding.kind} ({finding.first()})" for finding in dropped
    )
    if len(table) == 1:
        return f"the only row of {where} is not usable: {causes}"
    return f"none of the {len(table):,} rows of {where} is usable: {causes}"
