"""The best rows of each block, and of all blocks so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.metrics.pareto import (
    choose_by_hypervolume,
    hypervolume,
    nondominated,
    reference_point,
    upward,
)
from xtalshift.screening.settings import TopSettings

_KEY, _TIE = "xtalshift:key", "xtalshift:tie"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

REACHED = "hypervolume_share"
"""Column of a table with goals: the share of the hypervolume of the front that the rows up to each
reach."""
TOP_COLUMNS = ("rank", "input_row", "probability", REACHED, _KEY, _TIE)
"""Columns that a table of the best rows may have, besides those of the output, its group and what
is said about its rows only."""


class Floor(NamedTuple):
    """The last row of a full table: what is not better cannot enter any more."""

    key: float
    tie: float


class Ranking(NamedTuple):
    """Rows of a block that can enter the table, best first."""

    rows: IntArray
    """Shape (n,). Their places in the block; of equal rows the earlier one is first."""
    keys: FloatArray
    ties: FloatArray
    """Shape (n,). `keys`, `ties`: what they are ranked by."""

    def take(self, places: IntArray) -> Ranking:
        """Return some of them, in that order."""
        return Ranking(self.rows[places], self.keys[places], self.ties[places])


def rank_rows(
    columns: Mapping[str, NDArray[Any]], top: TopSettings, floor: Floor | None = None
) -> Ranking:
    """Return the rows that may be in the table and are better than its `floor`, best first."""
    keys, ties = sort_keys(columns, top)
    fits = ~np.isnan(keys)
    if floor is not None:
        fits &= (keys > floor.key) | ((keys == floor.key) & (ties > floor.tie))
    rows = np.flatnonzero(fits)
    return Ranking(rows, keys[rows], ties[rows]).take(_best_first(keys[rows], ties[rows]))


def _best_first(keys: FloatArray, ties: FloatArray) -> IntArray:
    return np.lexsort((-ties, -keys))  # is stable


def shortlist(groups: NDArray[np.object_] | None, n: int, top: TopSettings) -> IntArray:
    """Return the places of the table among n rows, given best first.

    A row is in if fewer than `TopSettings.per_group` better rows of its group are, and fewer than
    `TopSettings.k` better rows in all. So the table of all rows is that of the tables of any parts
    of them: a row that is out of the table of its part has enough better rows there.
    """
    if groups is None:
        return np.arange(min(n, top.k))
    _, codes = np.unique(groups.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    number = np.empty(n, dtype=np.int64)  # of better rows in the group
    number[order] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.flatnonzero(number < top.per_group)[: top.k]


def goal_values(
    columns: Mapping[str, NDArray[Any]], top: TopSettings, targets: Sequence[str]
) -> FloatArray:
    """Return the predictions of the goals, signed so that high ones are good, shape (n, g)."""
    assert top.goals is not None
    both = [one for one in zip(targets, top.goals, strict=True) if one[1] != "-"]
    values = np.column_stack([columns[f"prediction_{name}"] for name, _ in both])
    return upward(values, [goal for _, goal in both])


def over_targets(
    columns: Mapping[str, NDArray[Any]], targets: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return what conditions and counts need of predictions, of one target or of all together.

    A row is in the domain if it is in that of each target, and its OOD score is the highest.
    """
    if not targets:
        return {name: columns[name] for name in ("status", "in_domain", "ood_score", "n_clipped")}

    def each(name: str) -> NDArray[Any]:
        return np.stack([columns[f"{name}_{target}"] for target in targets])

    return {
        "status": columns["status"],
        "in_domain": each("in_domain").all(axis=0),
        "ood_score": each("ood_score").max(axis=0),
        "n_clipped": each("n_clipped").max(axis=0),
    }


def rank_front(
    columns: Mapping[str, NDArray[Any]], top: TopSettings, targets: Sequence[str]
) -> Ranking:
    """Return the rows of a block that may be in a table with goals, in order."""
    assert top.goals is not None
    counting = [name for name, goal in zip(targets, top.goals, strict=True) if goal != "-"]
    fits = np.isfinite(goal_values(columns, top, targets)).all(axis=1)
    rows = np.flatnonzero(fits & _meets(over_targets(columns, counting), top))
    return Ranking(rows, np.zeros(len(rows)), np.zeros(len(rows)))


def choose(
    pick: Callable[[IntArray], IntArray], n: int, admit: Callable[[IntArray], BoolArray]
) -> IntArray:
    """Return the places of the table among n rows, of which some are refused.

    `pick` returns which of some rows are in the table. Whether a row is admitted may take long to
    find out, so that `admit`, which takes places and returns a mask, is called only for rows that
    would be in the table: those that are refused leave it, others take their places, until all are
    admitted.
    """
    left, seen = np.arange(n), np.zeros(n, dtype=np.bool_)
    while True:
        chosen = pick(left)
        new = chosen[~seen[chosen]]
        if not new.size:
            return chosen
        seen[new] = True
        refused = new[~admit(new)]
        left = left[~np.isin(left, refused, assume_unique=True)]


def chances(found: Any, top: TopSettings) -> dict[str, FloatArray]:
    """Return what rows are ranked by besides their columns, if they are ranked by probability.

    `found` are `Predictions`, or the `ClassPredictions` of a model of classes.

    The probability to lie beyond the threshold, and how many widths the median is beyond it: this
    tells rows apart that are all as sure, or as unlikely, as the calibration can tell. Of a class
    its probability alone.
    """
    if top.by != "probability":
        return {}
    if top.of_class is not None:
        likely = found.probability(top.of_class)
        likely = 1.0 - likely if top.lowest else likely
        return {"probability": likely, "margin": np.zeros(len(likely))}
    assert top.threshold is not None
    if found.distribution is None:  # no good row
        unknown = np.full(len(found.prediction), np.nan)
        return {"probability": unknown, "margin": unknown}
    margin = found.distribution.margin(top.threshold)
    if top.lowest:
        return {"probability": found.probability(below=top.threshold), "margin": margin}
    return {"probability": found.probability(above=top.threshold), "margin": -margin}


def sort_keys(
    columns: Mapping[str, NDArray[Any]], top: TopSettings
) -> tuple[FloatArray, FloatArray]:
    """Return the rank key of each row, and what ranks rows with equal keys.

    Larger is better; NaN keys are excluded.
    """
    ties = np.zeros(len(columns["status"]))
    if top.by == "probability":
        keys, ties = columns["probability"], columns["margin"]
    else:
        values = columns["std" if top.by == "uncertainty" else top.by]
        keys = np.where(np.isfinite(values), -values if top.lowest else values, np.nan)
    return np.where(_meets(columns, top), keys, np.nan), ties


def _meets(columns: Mapping[str, NDArray[Any]], top: TopSettings) -> BoolArray:
    """Return which rows meet the conditions on predictions, whatever these are."""
    fits = columns["status"] == "ok"
    if top.in_domain:
        fits = fits & columns["in_domain"]
    if top.max_ood is not None:
        fits = fits & (columns["ood_score"] <= top.max_ood)
    return np.asarray(fits)


def with_ranks(table: pa.Table, ranking: Ranking, first: int) -> pa.Table:
    """Return the ranked rows of a block with the columns that `TopTable.add` needs.

    `first` is the number of rows before the block.
    """
    best = table.take(pa.array(ranking.rows))
    best = best.append_column("input_row", pa.array(first + ranking.rows + 1))
    return best.append_column(_KEY, pa.array(ranking.keys)).append_column(
        _TIE, pa.array(ranking.ties)
    )


class TopTable:
    """The best rows so far.

    Parameters
    ----------
    top : TopSettings
        Ranking.
    table : pyarrow.Table, optional
        The best rows of an earlier session.
    targets : sequence of str
        Names of several targets. With goals the table is the whole front, whose length does not
        grow with the number of rows as these do: of a million rows of three independent goals it
        has some hundred.
    """

    def __init__(
        self, top: TopSettings, table: pa.Table | None = None, targets: Sequence[str] = ()
    ) -> None:
        self._top = top
        self._targets = targets
        self.table = table

    def add(self, best: pa.Table) -> bool:
        """Add the rows of `with_ranks` that are not in the table yet; return whether it changed."""
        if not best.num_rows and self.table is not None:
            return False
        joined = best if self.table is None else pa.concat_tables([self.table, best])
        _, places = np.unique(joined["input_row"].to_numpy(), return_index=True)  # in row order
        chosen = self._chosen(joined, places)
        before = 0 if self.table is None else self.table.num_rows
        if self.table is not None and np.array_equal(chosen, np.arange(before)):
            return False
        self.table = joined.take(pa.array(chosen)).combine_chunks()
        return True

    def _chosen(self, joined: pa.Table, places: IntArray) -> IntArray:
        """Return which of some rows, given in row order, are in the table, best first."""
        if self._top.goals is not None:
            values = _table_values(joined, self._top, self._targets)
            return places[nondominated(values[places])]
        keys, ties = (joined[name].to_numpy()[places] for name in (_KEY, _TIE))
        ordered = places[_best_first(keys, ties)]
        groups = None
        if self._top.diverse is not None:
            groups = joined[self._top.diverse].to_numpy()[ordered]
        return ordered[shortlist(groups, len(ordered), self._top)]

    @property
    def floor(self) -> Floor | None:
        """The last row, if the table is full; none with goals, as all rows may enter a front."""
        if self._top.goals is not None:
            return None
        if self.table is None or self.table.num_rows < self._top.k:
            return None
        return Floor(*(self.table[name][-1].as_py() for name in (_KEY, _TIE)))


def _table_values(table: pa.Table, top: TopSettings, targets: Sequence[str]) -> FloatArray:
    columns = {name: table[name] for name in map("prediction_{}".format, targets)}
    return goal_values(columns, top, targets)


def _front_frame(table: pa.Table, top: TopSettings, targets: Sequence[str]) -> pa.Table:
    """Return k rows of a front in the order in which they add hypervolume."""
    values = _table_values(table, top, targets)
    reached = np.empty(0)
    chosen = np.empty(0, dtype=np.int64)
    if table.num_rows:
        reference = reference_point(values)
        whole = hypervolume(values, reference)
        chosen = choose_by_hypervolume(values, top.k, reference)
        first = range(1, len(chosen) + 1)
        reached = np.array([hypervolume(values[chosen[:n]], reference) / whole for n in first])
    table = table.take(pa.array(chosen))
    lead = {
        "rank": pa.array(np.arange(1, len(chosen) + 1)),
        "input_row": table["input_row"],
        REACHED: pa.array(reached),
    }
    rest = table.drop_columns(["input_row", _KEY, _TIE])
    return pa.table({**lead, **dict(zip(rest.column_names, rest.columns, strict=True))})


def top_frame(table: pa.Table, top: TopSettings, targets: Sequence[str] = ()) -> pa.Table:
    """Return the table for the user: rank and row (from 1), probability, all other columns."""
    if top.goals is not None:
        return _front_frame(table, top, targets)
    lead = {"rank": pa.array(np.arange(1, table.num_rows + 1)), "input_row": table["input_row"]}
    if top.by == "probability":
        lead["probability"] = table[_KEY]
    rest = table.drop_columns(["input_row", _KEY, _TIE])
    return pa.table({**lead, **dict(zip(rest.column_names, rest.columns, strict=True))})
