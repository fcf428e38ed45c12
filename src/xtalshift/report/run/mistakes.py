"""Where the chosen method goes wrong: its errors by element, chemical family and distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.families import FAMILIES, family_codes
from xtalshift.chem.formulas import Notation
from xtalshift.report.run.samples import Fits, training_rows
from xtalshift.report.shared.methods import DUMMY
from xtalshift.report.shared.text import format_number, format_ratio, join_words
from xtalshift.uncertainty.settings import LEVEL

DISTANCES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Edges of the groups by OOD score, finer for new materials; the last group includes 1."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GroupError:
    """Errors of the chosen method on a group of held-out materials.

    `n` counts materials, each once for all seeds. `mae` and `dummy_mae`, that of the constant, have
    the unit of the target; `factor` and `dummy_factor` say by which factor predictions are
    typically wrong, None unless the method was trained on logarithms. `coverage` is that of the
    90 % intervals, None without intervals. An empty group has no errors.
    """

    name: str
    n: int
    mae: float | None = None
    dummy_mae: float | None = None
    factor: float | None = None
    dummy_factor: float | None = None
    coverage: float | None = None


@dataclass(frozen=True)
class ElementError:
    """Errors on the held-out materials that contain an element.

    `n_train` training materials contain it; None if that is not known. `lift` is the mean
    prediction for these materials minus that for all others, or the ratio of the geometric means
    where the method was trained on logarithms; None without materials on both sides.
    """

    symbol: str
    group: GroupError
    n_train: int | None
    lift: float | None = None

    @property
    def unseen(self) -> bool:
        """Whether held-out materials contain it, but no training material does."""
        return self.n_train == 0 and self.group.n > 0


@dataclass(frozen=True)
class Mistakes:
    """Errors of one method on all its held-out materials, ID and OOD, all seeds together.

    `elements` are those of the table in the order of atomic numbers, `families` those of
    `xtalshift.chem.families.FAMILIES` that occur, `distances` the groups between `DISTANCES`.
    """

    method: str
    whole: GroupError
    elements: list[ElementError]
    families: list[GroupError]
    distances: list[GroupError]

    @property
    def unseen(self) -> list[str]:
        """The elements that no training material contains."""
        return [one.symbol for one in self.elements if one.unseen]


def find_mistakes(
    predictions: pd.DataFrame,
    table: pd.DataFrame | None,
    method: str,
    fits: Fits,
    *,
    logarithmic: bool = False,
) -> Mistakes | None:
    """Work out the errors of a method by element, family and distance to the training materials.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``method, split, role, seed, id, formula, target, prediction``, and optionally
        ``needed_level`` and ``ood_score``.
    table : DataFrame or None
        As `xtalshift.report.run.samples.histograms` takes it; without it, the training materials
        are not known.
    method : str
        The method; None is returned if it has no predictions.
    fits : mapping
        Splits, each with those of the same training.
    logarithmic : bool
        Whether the method was trained on logarithms.
    """
    rows = _unique_rows(predictions, method)
    rows = rows[np.isfinite(rows[["target", "prediction"]].to_numpy(float)).all(axis=1)]
    if rows.empty:
        return None
    constant = _unique_rows(predictions, DUMMY).drop_duplicates(["seed", "id"])
    rows = rows.merge(
        constant[["seed", "id", "prediction"]].rename(columns={"prediction": "constant"}),
        on=["seed", "id"],
        how="left",
    )
    measured = _Measured.of(rows, logarithmic=logarithmic)
    found, _, _ = parse_formulas(rows["formula"], Notation("expand"))
    elements = found.contained_elements()
    codes = np.where(found.sizes > 0, family_codes(found), -1)
    return Mistakes(
        method,
        measured.group("all", np.ones(len(rows), dtype=bool)),
        _by_element(elements, measured, _count_training(predictions, table, fits)),
        [
            measured.group(name, codes == code)
            for code, name in enumerate(FAMILIES)
            if (codes == code).any()
        ],
        _by_distance(rows, measured),
    )


def _unique_rows(predictions: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the predictions of a method; one row that several splits test counts once."""
    rows = predictions[predictions["method"] == method]
    return rows.drop_duplicates(["seed", "id", "prediction"])


@dataclass(frozen=True, eq=False)
class _Measured:
    """Errors of n predictions, and of the constant for the same rows."""

    ids: NDArray[np.object_]
    error: FloatArray
    constant: FloatArray
    value: FloatArray
    """On the scale of `lift`: the prediction or its logarithm."""
    ratio: FloatArray | None
    constant_ratio: FloatArray | None
    covered: FloatArray
    """1 or 0; NaN without interval."""

    @classmethod
    def of(cls, rows: pd.DataFrame, *, logarithmic: bool) -> _Measured:
        target, value, constant = (
            rows[name].to_numpy(float) for name in ("target", "prediction", "constant")
        )
        covered = np.full(len(rows), np.nan)
        if "needed_level" in rows:
            needed = rows["needed_level"].to_numpy(float)
            covered = np.where(np.isnan(needed), np.nan, needed < LEVEL)
        ratio = constant_ratio = None
        shown = value
        if logarithmic and (target > 0).all() and (value > 0).all():
            ratio = np.abs(np.log(value / target))
            shown = np.log(value)
            with np.errstate(divide="ignore", invalid="ignore"):
                constant_ratio = np.abs(np.log(constant / target))
        ids = rows["id"].to_numpy(object)
        errors = np.abs(value - target), np.abs(constant - target)
        return cls(ids, *errors, shown, ratio, constant_ratio, covered)

    def lift(self, rows: NDArray[np.bool_]) -> float | None:
        """Return by how much some rows are predicted higher than the others, see `ElementError`."""
        if rows.all() or not rows.any():
            return None
        gap = float(self.value[rows].mean() - self.value[~rows].mean())
        return gap if self.ratio is None else float(np.exp(gap))

    def group(self, name: str, rows: NDArray[np.bool_]) -> GroupError:
        """Return the errors of some rows."""
        covered = self.covered[rows]
        ratio, constant_ratio = self.ratio, self.constant_ratio
        return GroupError(
            name,
            len(set(self.ids[rows])),
            _mean(self.error[rows]),
            _mean(self.constant[rows]),
            None if ratio is None else _factor(ratio[rows]),
            None if constant_ratio is None else _factor(constant_ratio[rows]),
            _mean(covered[~np.isnan(covered)]),
        )


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _factor(logs: FloatArray) -> float | None:
    mean = _mean(logs)
    return None if mean is None else float(np.exp(mean))


def _by_element(
    elements: NDArray[np.bool_], measured: _Measured, training: NDArray[np.int64] | None
) -> list[ElementError]:
    known = elements.any(axis=0)
    if training is not None:
        known |= training > 0
    return [
        ElementError(
            SYMBOLS[place + 1],
            measured.group(SYMBOLS[place + 1], elements[:, place]),
            None if training is None else int(training[place]),
            measured.lift(elements[:, place]),
        )
        for place in np.flatnonzero(known)
    ]


def _count_training(
    predictions: pd.DataFrame, table: pd.DataFrame | None, fits: Fits
) -> NDArray[np.int64] | None:
    """Return how many training materials contain each element, (118,); the fewest of any training.

    An element that one training lacks is new to the materials that this training is tested on.
    """
    if table is None:
        return None
    contains = parse_formulas(table["formula"], Notation("expand"))[0].contained_elements()
    trainings = {tuple(sorted(together)): split for split, together in fits.items()}
    counts = [
        contains[training_rows(predictions, table, split, together)].sum(axis=0)
        for together, split in trainings.items()
    ]
    return np.min(counts, axis=0) if counts else None


def _by_distance(rows: pd.DataFrame, measured: _Measured) -> list[GroupError]:
    if "ood_score" not in rows or rows["ood_score"].isna().all():
        return []
    score = rows["ood_score"].to_numpy(float)
    edges = [*DISTANCES[:-1], np.inf]
    return [
        measured.group(f"{low:g} to {high:g}", (score >= low) & (score < edge))
        for low, high, edge in zip(DISTANCES[:-1], DISTANCES[1:], edges[1:], strict=True)
    ]


def describe_mistakes(found: Mistakes, unit: str) -> list[str]:
    """Say in which groups the errors are largest, as far as enough materials show it."""
    return [
        *_describe_extremes("chemical family", found.families, unit),
        *_describe_extremes("element", [one.group for one in found.elements], unit),
    ]


def describe_lifts(found: Mistakes, unit: str) -> str:
    """Name the elements whose compounds are predicted highest and lowest, if there are some."""
    known = [one for one in found.elements if one.group.n >= _ENOUGH and one.lift is not None]
    if len(known) < 2 * _NAMED:
        return ""
    ordered = sorted(known, key=lambda one: one.lift or 0.0)
    logs = found.whole.factor is not None
    ends = []
    none = 1.0 if logs else 0.0
    highest = [one for one in ordered[: -_NAMED - 1 : -1] if (one.lift or 0.0) > none]
    lowest = [one for one in ordered[:_NAMED] if (one.lift or 0.0) < none]
    for side, some in (("higher", highest), ("lower", lowest)):
        named = [f"{one.symbol} ({_name_lift(one.lift or 0.0, unit, logs=logs)})" for one in some]
        if named:
            ends.append(f"{side} for compounds with {join_words(named)}")
    return (
        "Compared with all other held-out materials, its predictions are on average "
        f"{', and '.join(ends)}; these are associations, not causes."
    )


def _name_lift(lift: float, unit: str, *, logs: bool) -> str:
    if logs:
        return f"{lift:.2g} times"
    sign = "+" if lift > 0 else ""
    return f"{sign}{format_number(lift)} {unit}".strip()


_ENOUGH = 10
_NAMED = 3


def _describe_extremes(what: str, groups: Sequence[GroupError], unit: str) -> list[str]:
    sized = {one.name: size for one in groups if one.n >= _ENOUGH and (size := size_of(one))}
    if len(sized) < 2:  # noqa: PLR2004 - nothing to compare
        return []
    worst, best = (pick(sized, key=lambda name: sized[name]) for pick in (max, min))
    sizes = [_name_size(groups, name, unit) for name in (worst, best)]
    text = (
        f"The {what} with the largest error is {worst} ({sizes[0]}), the one with the smallest is "
        f"{best} ({sizes[1]}); only those with at least {_ENOUGH} held-out materials are compared."
    )
    return [text]


def size_of(group: GroupError) -> float | None:
    """Return the factor of a group if it has one, else its mean absolute error."""
    return group.mae if group.factor is None else group.factor


def _name_size(groups: Sequence[GroupError], name: str, unit: str) -> str:
    group = next(one for one in groups if one.name == name)
    if group.factor is not None:
        return f"a factor of {format_ratio(group.factor)}"
    return f"{format_number(group.mae)} {unit}".strip()


def periodic_places() -> dict[str, tuple[int, int]]:
    """Return the column (from 1) and the row (from 1) of each element in a periodic table.

    The lanthanides and actinides stand in the rows 9 and 10, below their columns 3.

    Examples
    --------
    >>> places = periodic_places()
    >>> places["H"], places["He"], places["Fe"], places["La"], places["Hf"], places["Og"]
    ((1, 1), (18, 1), (8, 4), (3, 9), (4, 6), (18, 7))
    """
    places: dict[str, tuple[int, int]] = {}
    noble = (0, 2, 10, 18, 36, 54, 86, 118)
    for period, (before, last) in enumerate(pairwise(noble), start=1):
        for z in range(before + 1, last + 1):
            from_left, from_right = z - before, last - z
            if period >= 6 and 3 <= from_left <= 17:  # noqa: PLR2004 - the f block with La or Ac
                place = (from_left, period + 3)
            elif from_left <= 2 and (period > 1 or z == 1):  # noqa: PLR2004 - the s block
                place = (from_left, period)
            else:
                place = (18 - from_right, period)
            places[SYMBOLS[z]] = place
    return places
