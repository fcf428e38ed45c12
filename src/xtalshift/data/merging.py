"""What merging rows of one material would hide: other conditions, scatter, a mix of units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.number_findings import UNIT_FACTORS
from xtalshift.data.number_texts import POINT, NumberStyle
from xtalshift.data.numbers import plain_numbers

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]

UNITS_WITHIN = "a mix of units within a formula"
"""Kind of a finding on materials whose targets differ by a factor of units."""

_CONDITION = re.compile(
    r"(?:^|[^a-z])(?:temp(?:erature)?|t|pressure|press|p|field|magnetic_field|h|voltage|frequency|"
    r"freq|time|thickness|doping|dopant|carrier_concentration|concentration|conc|strain|humidity|"
    r"ph|cycle|rate|wavelength|size)(?:$|[^a-z])",
    re.IGNORECASE,
)
_FEW_LEVELS = 0.2  # a condition is set to few values, a property has as many as materials
_SHARE = 0.2  # of the spread of all targets
_SAME_FACTOR = 0.02
_NO_CHANCE = 0.1  # of the materials whose targets differ; by chance a few have any ratio
_AT_LEAST = 2


def merge_findings(
    codes: IntArray,
    targets: FloatArray,
    columns: pd.DataFrame,
    *,
    names: Sequence[str],
    rows: IntArray,
    style: NumberStyle = POINT,
    merge: bool = True,
) -> tuple[Finding, ...]:
    """Say what the rows of one material disagree on.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Number of the material of each row: the reduced formula and the feature columns.
    targets : ndarray of float64, shape (n,)
        Finite.
    columns : pandas.DataFrame
        The other columns, n rows, without the feature columns.
    names : sequence of str, length n
        Formulas, for the examples.
    rows : ndarray of int, shape (n,)
        Row numbers in the table, from 1.
    style : NumberStyle
        How the numbers in text columns are written.
    merge : bool
        Whether rows of one material are merged into one.

    Returns
    -------
    tuple of Finding
        For each column of conditions that differs within a material, the rows of such materials
        (a column of numbers is a condition if its name says so, such as temperature, or if it has
        few values); the materials whose targets differ much beside all targets; and those whose
        targets differ by a factor of units.
    """
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(starts, append=len(codes))
    repeated = sizes > 1
    if not repeated.any():
        return ()

    def ends(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the smallest and the largest value of each material."""
        low = np.minimum.reduceat(values[order], starts)
        return low, np.maximum.reduceat(values[order], starts)

    def finding(
        kind: str, groups: IntArray, values: FloatArray, reason: str, remedy: str
    ) -> Finding:
        reason = f"{len(groups)} {'material' if len(groups) == 1 else 'materials'}{reason}"
        examples = []
        for group in groups[:MAX_EXAMPLES].tolist():
            members = order[starts[group] : starts[group] + sizes[group]]
            shown = ", ".join(f"{value:g}" for value in np.unique(values[members])[:MAX_EXAMPLES])
            row = int(rows[members[0]])
            examples.append(Example(row, "", f"{names[members[0]]}: {shown}", reason))
        return Finding(kind, int(sizes[groups].sum()), tuple(examples), remedy)

    merged = ", whose rows are merged" if merge else ""
    found = []
    for name, values in _conditions(columns, style):
        low, high = ends(values)
        differ = np.flatnonzero(high > low)
        if differ.size:
            remedy = f"Use it as a feature: --feature-cols {name!r}, or keep one value of it"
            kind = f"{name!r} differs within a formula"
            found.append(finding(kind, differ, values, merged, remedy))
    low, high = ends(targets)
    means = np.add.reduceat(targets[order], starts) / sizes
    deviations = np.abs(targets[order] - np.repeat(means, sizes))[np.repeat(repeated, sizes)]
    within, overall = float(deviations.mean()), float(np.abs(targets - targets.mean()).mean())
    if within > _SHARE * overall:
        differ = np.argsort(low - high, kind="stable")[: int(np.sum(high > low))]
        text = f"{merged}; they differ by {within:.3g} on average, all targets by {overall:.3g}"
        remedy = (
            "Check the values and their conditions; no model can be better than this scatter, "
            "which --uncertainty-col replicates takes as the uncertainty of the values"
        )
        found.append(finding("targets differ within a formula", differ, targets, text, remedy))
    low, high = ends(np.abs(targets))
    ratios = high / np.where(low > 0, low, np.inf)
    differing = int(np.sum(ratios > 1 + _SAME_FACTOR))
    for factor, units in UNIT_FACTORS.items():
        near = np.flatnonzero(np.abs(ratios - factor) < 2 * _SAME_FACTOR * factor)
        mixed = [
            group
            for group in near.tolist()
            if _two_units(targets[order[starts[group] : starts[group] + sizes[group]]], factor)
        ]
        if len(mixed) >= max(_AT_LEAST, _NO_CHANCE * differing):
            text = f" with values that differ by a factor of {factor:g}: {units}"
            remedy = "Convert the values to one unit, or drop the rows"
            found.append(finding(UNITS_WITHIN, np.array(mixed), targets, text, remedy))
    return tuple(found)


def _conditions(columns: pd.DataFrame, style: NumberStyle) -> Iterator[tuple[str, FloatArray]]:
    """Yield the columns of numbers that look like conditions, without blank cells."""
    for name in columns.columns:
        cells = columns[name]
        if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_complex_dtype(cells):
            continue
        if pd.api.types.is_numeric_dtype(cells):
            values: FloatArray | None = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = plain_numbers(cells, style)
        if values is None or not np.isfinite(values).all():
            continue
        few = len(np.unique(values)) <= max(_AT_LEAST, _FEW_LEVELS * len(values))
        if few or _CONDITION.search(str(name)):
            yield str(name), values


def _two_units(values: FloatArray, factor: float) -> bool:
    """Return whether each value is about the smallest or a factor larger, in size."""
    ratios = np.abs(values) / np.abs(values).min()
    near = [np.abs(np.log(ratios / level)) < _SAME_FACTOR for level in (1.0, factor)]
    return bool((near[0] | near[1]).all() and near[1].any())
