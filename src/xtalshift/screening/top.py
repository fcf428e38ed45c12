"""The best rows of each block, and of all blocks so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.screening.settings import TopSettings

if TYPE_CHECKING:
    from xtalshift.model import Predictions

_KEY, _TIE = "xtalshift:key", "xtalshift:tie"

FloatArray = NDArray[np.float64]

TOP_COLUMNS = ("rank", "input_row", "probability", _KEY, _TIE)
"""Columns that a table of the best rows may have, besides those of the output."""


def best_rows(columns: Mapping[str, NDArray[Any]], top: TopSettings) -> NDArray[np.int64]:
    """Return the numbers of the best rows, best first; of equal rows the earlier one first."""
    keys, ties = sort_keys(columns, top)
    rows = np.flatnonzero(~np.isnan(keys))
    return rows[_best_first(keys[rows], ties[rows])[: top.k]]


def _best_first(keys: FloatArray, ties: FloatArray) -> NDArray[np.int64]:
    return np.lexsort((-ties, -keys))  # is stable


def chances(found: Predictions, top: TopSettings) -> dict[str, FloatArray]:
    """Return what rows are ranked by besides their columns, if they are ranked by probability.

    The probability to lie beyond the threshold, and how many widths the median is beyond it: this
    tells rows apart that are all as sure, or as unlikely, as the calibration can tell.
    """
    if top.by != "probability":
        return {}
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
    fits = columns["status"] == "ok"
    if top.in_domain:
        fits = fits & columns["in_domain"]
    if top.max_ood is not None:
        fits = fits & (columns["ood_score"] <= top.max_ood)
    return np.where(fits, keys, np.nan), ties


def pick(
    table: pa.Table, columns: Mapping[str, NDArray[Any]], top: TopSettings, first: int
) -> pa.Table:
    """Return the best rows of a block with the columns that `TopTable.add` needs.

    `first` is the number of rows before the block.
    """
    rows = best_rows(columns, top)
    keys, ties = sort_keys(columns, top)
    best = table.take(pa.array(rows)).append_column("input_row", pa.array(first + rows + 1))
    return best.append_column(_KEY, pa.array(keys[rows])).append_column(_TIE, pa.array(ties[rows]))


class TopTable:
    """The best rows so far.

    Parameters
    ----------
    top : TopSettings
        Ranking.
    table : pyarrow.Table, optional
        The best rows of an earlier session.
    """

    def __init__(self, top: TopSettings, table: pa.Table | None = None) -> None:
        self._top = top
        self.table = table

    def add(self, best: pa.Table) -> bool:
        """Add the rows of `pick` that are not in the table yet; return whether it changed."""
        if not best.num_rows and self.table is not None:
            return False
        joined = best if self.table is None else pa.concat_tables([self.table, best])
        _, places = np.unique(joined["input_row"].to_numpy(), return_index=True)  # in row order
        keys, ties = (joined[name].to_numpy()[places] for name in (_KEY, _TIE))
        chosen = places[_best_first(keys, ties)[: self._top.k]]
        before = 0 if self.table is None else self.table.num_rows
        if self.table is not None and np.array_equal(chosen, np.arange(before)):
            return False
        self.table = joined.take(pa.array(chosen)).combine_chunks()
        return True


def top_frame(table: pa.Table, top: TopSettings) -> pa.Table:
    """Return the table for the user: rank and row (from 1), probability, all other columns."""
    lead = {"rank": pa.array(np.arange(1, table.num_rows + 1)), "input_row": table["input_row"]}
    if top.by == "probability":
        lead["probability"] = table[_KEY]
    rest = table.drop_columns(["input_row", _KEY, _TIE])
    return pa.table({**lead, **dict(zip(rest.column_names, rest.columns, strict=True))})
