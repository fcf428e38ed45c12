"""What is odd about a column of numbers: refused cells, sentinels, mixed units, outliers, bias."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.numbers import NumberColumn, cause_of

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.intp]
ObjectArray: TypeAlias = npt.NDArray[np.object_]

REMEDIES = {
    "missing": "Fill the cells, or leave the rows for prediction",
    "infinite": "Correct the cells; an overflow or a division by zero is no value",
    "out of range": "Use another unit",
    "a bound": "The value itself is not known; --bounds use trains on what is known of it",
    "a range": "Write one value, or train on what is known of it: --bounds use",
    "a reversed range": "Write the lower end first (1-2), or the value itself",
    "several values": "Write one row for each value",
    "a date": "Restore the number; spreadsheets turn 1-2 and 3/4 into dates",
    "ambiguous": "Give --decimal and --thousands, which settle how numbers are written",
    "another decimal mark": "Write all numbers with one decimal mark, or give --decimal",
    "another unit": "Convert the values to one unit, or give each unit a column",
    "not a number": "Correct the cells",
    "a word among 0 and 1": "Write 0 or 1, or make it a class of its own: --task classification",
    "not in the class order": "Correct the cells, or name all classes in --class-order",
    "negative": "Correct the cells; a weight or an uncertainty is never below 0",
    "zero": "Such rows are left out; give them a positive weight to use them",
    "a sentinel": "Leave the cells empty; this number stands for a missing value",
    "a unit": "Check that it is the unit of the column; values are not converted",
    "no unit": "Check that these values have the unit of the others",
    "an uncertainty": "The value is used and its uncertainty is not",
    "approximate": "The value is used as if it were exact",
}
"""What to do about each cause of a problem or note of `xtalshift.data.numbers.read_numbers` and
`xtalshift.data.classes.read_classes`."""

UNIT_FACTORS = {
    1000.0: "a prefix, such as meV beside eV or MPa beside GPa",
    1e6: "two prefixes, such as W beside MW",
    100.0: "percent beside fractions, or cm beside m",
    10.0: "kbar beside GPa, or angstrom beside nm",
    96.4853: "kJ/mol beside eV",
    23.0605: "kcal/mol beside eV",
    27.2114: "eV beside hartree",
    13.6057: "eV beside rydberg",
    8065.54: "1/cm beside eV",
    4.184: "kJ beside kcal",
    1.88973: "bohr beside angstrom",
}
"""Ratios of units that people mix, and between which units they are."""

UNIT_MIX = "perhaps a mix of units"
"""Kind of a finding on values that a factor of units separates from the others."""

_NINES = re.compile(r"-?(?:9{2,8}(?:\.9{1,4})?|8{4,8}|32767|32768|2147483648)")
_NINES_WHOLE = np.array(
    [
        *(int("9" * digits) for digits in range(2, 9)),
        *(int("8" * digits) for digits in range(4, 9)),
        *(32767, 32768, 2147483648),
    ]
)  # the whole parts of such numbers
_LARGE = 999  # a single number of this form and size, far away, is a sentinel
_FEW = 5  # numbers that tell what is far away
_FAR = 3.0  # spreads between the others and a sentinel
_REPEATED = 3
_UNLIKELY = 10.0  # logarithm of one chance in 22,000
_ENOUGH = 20
_OUTLYING, _OUTLYING_LOG = 8.0, 5.0  # robust standard deviations, and those of the logarithms
_TENTH = 0.1
_SIGMA = 3.0
_ONE_SIDE = 0.75  # mean rank of the rows that leave, if they lie at one end


@dataclass(frozen=True)
class UnitMix:
    """Values that are about a factor of units away from the others."""

    rows: IntArray
    """Row numbers of the rarer values."""
    factors: tuple[float, ...]
    """Those of `UNIT_FACTORS` that fit, the best first."""
    larger: bool
    """Whether the rarer values are the larger ones."""

    def describe(self) -> str:
        """Say it in one line."""
        times = "times" if self.larger else "times smaller than"
        units = "; or ".join(UNIT_FACTORS[factor] for factor in self.factors)
        return f"about {self.factors[0]:g} {times} the others: {units}"


def number_findings(
    column: NumberColumn, cells: Sequence[object] | pd.Series, name: str
) -> tuple[Finding, ...]:
    """Return everything that a user should know about a column of numbers.

    Parameters
    ----------
    column : NumberColumn
        n cells as they were read.
    cells : sequence of length n
        The cells, for the examples.
    name : str
        The column, for the texts.

    Returns
    -------
    tuple of Finding
        Causes of refused cells and what was left out in reading (each the most frequent first);
        then as `value_findings`.
    """
    texts = list(cells)
    found = [*_by_cause(column.problems, texts, name), *_by_cause(column.notes, texts, name)]
    leaves = column.problems != ""
    found += value_findings(column.values, column.lower, column.upper, leaves, name, texts)
    return tuple(found)


def remark_findings(
    column: NumberColumn, cells: Sequence[object] | pd.Series, name: str
) -> tuple[Finding, ...]:
    """Return what was left out in reading numbers: of `number_findings` those on notes."""
    return tuple(_by_cause(column.notes, list(cells), name))


def _by_cause(words: ObjectArray, texts: Sequence[object], name: str) -> list[Finding]:
    by_cause: dict[str, list[int]] = {}
    for row in np.flatnonzero(words != "").tolist():
        by_cause.setdefault(cause_of(words[row]), []).append(row)
    return [
        _finding(f"{name}: {cause}", rows, texts, words[rows[0]], REMEDIES[cause])
        for cause, rows in sorted(by_cause.items(), key=lambda item: -len(item[1]))
    ]


def value_findings(
    values: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    leaves: BoolArray,
    name: str,
    texts: Sequence[object],
) -> tuple[Finding, ...]:
    """Return what is odd about the values that stay, and the bias by those that leave.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite for the rows that stay.
    lower, upper : ndarray of float64, shape (n,)
        What is known of each value, as in `NumberColumn`.
    leaves : ndarray of bool, shape (n,)
        Rows that are left out.
    name : str
        The column, for the texts.
    texts : sequence of length n
        The cells, for the examples.

    Returns
    -------
    tuple of Finding
        Bias by the rows that leave (`find_bias`), sentinels, a mix of units, and outliers. The
        values are not changed.
    """
    values = np.where(leaves, np.nan, values)
    sentinels = find_sentinels(values)
    bias = find_bias(
        np.where(sentinels, -np.inf, lower),
        np.where(sentinels, np.inf, upper),
        leaves | sentinels,
        name,
    )
    found = [] if bias is None else [bias]

    def add(kind: str, rows: npt.NDArray[np.intp], reason: str, remedy: str) -> None:
        if rows.size:
            found.append(_finding(f"{name}: {kind}", rows.tolist(), texts, reason, remedy))
            values[rows] = np.nan

    missing = REMEDIES["a sentinel"]
    add("a sentinel", np.flatnonzero(sentinels), "far from all other values", missing)
    doubtful = np.flatnonzero(find_doubtful_sentinels(values))
    add("perhaps a sentinel", doubtful, "an end of the range, in several rows; kept", missing)
    mix = find_unit_mix(values)
    if mix is not None:
        remedy = "Convert the values to one unit, or drop the rows"
        add(UNIT_MIX, mix.rows, mix.describe(), remedy)
    add(
        "outliers",
        find_outliers(values),
        f"more than {_OUTLYING:g} robust standard deviations from the median; kept",
        "Check the values and their unit",
    )
    return tuple(found)


def _finding(
    kind: str, rows: list[int], texts: Sequence[object], reason: str, remedy: str
) -> Finding:
    examples = (Example(row + 1, "", str(texts[row]), reason) for row in rows[:MAX_EXAMPLES])
    return Finding(kind, len(rows), tuple(examples), remedy)


def find_sentinels(values: FloatArray) -> BoolArray:
    """Return which numbers stand for a missing value.

    Such are -9999, -999, 999.9, 99, 8888 and the like, if they are further from all other numbers
    than three times the spread (5% to 95%) of these. 99 must also occur twice.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN where there is no number.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return _like_sentinels(values, far=True)


def find_doubtful_sentinels(values: FloatArray) -> BoolArray:
    """Return which numbers may stand for a missing value, shape (n,).

    Such are numbers as in `find_sentinels` that are the largest or the smallest of the column and
    occur three times without being as far away; and -1 that occurs three times where all other
    numbers are positive or 0, not all of them whole.
    """
    found = _like_sentinels(values, far=False)
    negative, known = values < 0, values[np.isfinite(values) & (values >= 0)]
    ones = values == -1
    if ones.sum() >= _REPEATED and (ones == negative).all() and (known % 1 != 0).any():
        found |= ones
    return found


def _like_sentinels(values: FloatArray, *, far: bool) -> BoolArray:
    found = np.zeros(len(values), dtype=bool)
    finite = values[np.isfinite(values)]
    # few numbers are worth a look at their digits
    distinct, counts = np.unique(
        finite[np.isin(np.floor(np.abs(finite)), _NINES_WHOLE)], return_counts=True
    )
    like = [_NINES.fullmatch(np.format_float_positional(x, trim="-")) is not None for x in distinct]
    if not any(like):
        return found
    rest = finite[~np.isin(finite, distinct[like])]
    if len(rest) < _FEW:
        return found
    low, high = rest.min(), rest.max()
    spread = np.subtract(*np.quantile(rest, [0.95, 0.05])) or abs(np.median(rest))
    for value, count in zip(distinct[like], counts[like], strict=True):
        distance = max(low - value, value - high)
        if far:
            sure = distance > _FAR * spread and (count > 1 or abs(value) >= _LARGE)
        else:
            sure = distance > 0.2 * spread and count >= _REPEATED
        if sure:
            found |= values == value
    return found


def find_unit_mix(values: FloatArray) -> UnitMix | None:
    """Find a cluster of values that a factor of units separates from the others.

    The sizes of the values must fall into two clusters with a wide gap between, whose medians
    differ by about one of `UNIT_FACTORS`, and this factor must move the rarer ones into the range
    of the others. Units whose factor is smaller than the spread of the values cannot be found so.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN where there is no number.

    Returns
    -------
    UnitMix or None
    """
    rows = np.flatnonzero(np.isfinite(values) & (values != 0))
    if len(rows) < 2 * _FEW:
        return None
    sizes = np.log(np.abs(values[rows]))
    order = np.argsort(sizes, kind="stable")
    sizes, rows = sizes[order], rows[order]
    gaps = np.diff(sizes)
    cut = int(np.argmax(gaps)) + 1
    low, high = sizes[:cut], sizes[cut:]
    few, many = sorted((low, high), key=len)
    if len(few) < _REPEATED or len(many) < _FEW:
        return None
    inner = max(np.diff(low).max(initial=0.0), np.diff(high).max(initial=0.0))
    # exp(-n gap / scale) is the chance of such a gap if n small values were spread evenly up to its
    # end (scale 1), or if n large ones belonged to the tail of the others, of this mean excess
    middle = float(np.median(many))
    scale = 1.0 if few is low else float(np.mean(many[many >= middle] - middle))
    if gaps[cut - 1] < 2 * inner or len(few) * gaps[cut - 1] < _UNLIKELY * scale:
        return None
    ratio = float(np.median(high) - np.median(low))
    error = float(np.hypot(*(1.25 * np.std(side) / np.sqrt(len(side)) for side in (low, high))))
    off = {factor: abs(ratio - float(np.log(factor))) for factor in UNIT_FACTORS}
    factors = sorted(UNIT_FACTORS, key=off.__getitem__)
    if off[factors[0]] > min(2 * error, 0.5) + 0.02:
        return None
    factors = [factor for factor in factors if off[factor] <= max(0.05, off[factors[0]])]
    moved = few + np.log(factors[0]) * (1 if few is low else -1)
    margin = 0.1 * np.ptp(many) + 0.05
    if moved.min() < many.min() - margin or moved.max() > many.max() + margin:
        return None
    part = rows[:cut] if few is low else rows[cut:]
    return UnitMix(np.sort(part), tuple(factors), few is high)


def find_outliers(values: FloatArray) -> IntArray:
    """Return the rows of likely outliers, the furthest first.

    They are more than eight robust standard deviations (1.4826 times the median deviation) from the
    median; if no number is negative, also more than five from that of the
    logarithms.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN where there is no number; fewer than 20 numbers have no outliers.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < _ENOUGH:
        return rows[:0]
    known = values[rows]
    score = _robust_score(known)
    positive = known > 0
    if (known >= 0).all() and positive.any():
        score[~positive] = 0
        of_logs = _robust_score(np.log(known[positive])) * (_OUTLYING / _OUTLYING_LOG)
        score[positive] = np.minimum(score[positive], of_logs)
    order = np.argsort(-score, kind="stable")
    return rows[order[score[order] > _OUTLYING]]


def _robust_score(values: FloatArray) -> FloatArray:
    deviation = np.abs(values - np.median(values))
    scale = 1.4826 * float(np.median(deviation))
    return deviation / scale if scale > 0 else np.zeros(len(values))


def find_bias(lower: FloatArray, upper: FloatArray, leaves: BoolArray, name: str) -> Finding | None:
    """Say whether the rows that leave a table are a biased part of it.

    Parameters
    ----------
    lower, upper : ndarray of float64, shape (n,)
        What is known of the value of each row, as in `NumberColumn`.
    leaves : ndarray of bool, shape (n,)
        Rows that are left out, for whatever reason.
    name : str
        The column, for the texts.

    Returns
    -------
    Finding or None
        If at least a tenth of the rows leave; if the rows that leave and are known as bounds are
        all bounds from one side; or if those whose value is known (the middle of a range) lie at
        one end of the values that stay: their mean rank is in the outer quarter, by three standard
        errors. It says all of these that hold.
    """
    rows = np.flatnonzero(leaves)
    if not rows.size or rows.size == leaves.size:
        return None
    found = [*_one_sided_bounds(rows, lower, upper), *_at_one_end(rows, leaves, lower, upper)]
    sides = {side for side, _, _ in found}
    share = f"{len(rows) / len(leaves):.0%} of the rows are left out"
    many = len(rows) >= _TENTH * len(leaves)
    if not found and not many:
        return None
    end = f"rows at the {sides.pop()} end are left out" if len(sides) == 1 else ""
    reasons = [reason for _, reason, _ in found]
    if many and end:
        reasons.append(f"in all, {share}")
    shown = np.unique(np.concatenate([part for _, _, part in found])) if end else rows
    missing = "they are missing in its tests too, which therefore do not show it"
    remedy = f"A model without them is biased, and {missing}. Correct the cells" + (
        ", or treat predictions at that end as unknown" if end else ""
    )
    reason = "; ".join(reasons) or "those that stay may be no fair sample"
    examples = tuple(
        Example(row + 1, "", _interval(lower[row], upper[row]), reason)
        for row in shown[:MAX_EXAMPLES].tolist()
    )
    return Finding(f"{name}: {end or share}", len(shown), examples, remedy, warns=True)


_Part: TypeAlias = tuple[str, str, IntArray]
"""The end at which some rows lie, what shows it, and the rows."""


def _one_sided_bounds(rows: IntArray, lower: FloatArray, upper: FloatArray) -> Iterator[_Part]:
    """Yield the rows of which bounds from one side only are known, if there are no others."""
    above = rows[np.isfinite(lower[rows]) & np.isposinf(upper[rows])]
    below = rows[np.isneginf(lower[rows]) & np.isfinite(upper[rows])]
    if above.size and not below.size:
        yield "upper", "only bounds from below are known of them", above
    if below.size and not above.size:
        yield "lower", "only bounds from above are known of them", below


def _at_one_end(
    rows: IntArray, leaves: BoolArray, lower: FloatArray, upper: FloatArray
) -> Iterator[_Part]:
    """Yield the rows whose value is known, if they lie at one end of the values that stay."""
    known = rows[np.isfinite(lower[rows]) & np.isfinite(upper[rows])]
    stay = np.sort(lower[~leaves & np.isfinite(lower)])
    if len(known) < _REPEATED or len(stay) < _FEW:
        return
    middle = (lower[known] + upper[known]) / 2
    ranks = np.searchsorted(stay, middle, side="left") + np.searchsorted(stay, middle, side="right")
    mean = float(np.mean(ranks)) / (2 * len(stay))
    if max(mean, 1 - mean) >= _ONE_SIDE and abs(mean - 0.5) * np.sqrt(12 * len(known)) >= _SIGMA:
        side, where = ("upper", "above") if mean > 0.5 else ("lower", "below")  # noqa: PLR2004
        share = f"{max(mean, 1 - mean):.0%}"
        yield side, f"their values lie {where} {share} of the others on average", known


def _interval(lower: float, upper: float) -> str:
    if lower == upper:
        return f"{lower:g}"
    if np.isfinite(lower) and np.isfinite(upper):
        return f"{lower:g} to {upper:g}"
    if np.isfinite(lower):
        return f"> {lower:g}"
    return f"< {upper:g}" if np.isfinite(upper) else "no value is known"
