"""The best rows of each block, and of all blocks so far."""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.screening.settings import TopSettings

_KEY = "xtalshift:key"

TOP_COLUMNS = ("rank", "input_row", "probability", _KEY)
"""Columns that a table of the best rows may have, besides those of the output."""


def best_rows(columns: Mapping[str, NDArray[Any]], top: TopSettings) -> NDArray[np.int64]:
    """Return the numbers of the best rows, best first; of equal rows the earlier one first."""
    keys = sort_keys(columns, top)
    rows = np.flatnonzero(~np.isnan(keys))
    return rows[np.argsort(-keys[rows], kind="stable")[: top.k]]


def sort_keys(columns: Mapping[str, NDArray[Any]], top: TopSettings) -> NDArray[np.float64]:
    """Return the rank key of each row: larger is better, NaN is excluded."""
    sign = -1.0 if top.lowest else 1.0
    if top.by == "probability":
        # the distance in standard deviations has the order of the probability, and fewer ties
        assert top.threshold is not None
        with np.errstate(divide="ignore", invalid="ignore"):
            keys = sign * (columns["prediction"] - top.threshold) / columns["std"]
        keys[~np.isfinite(columns["std"])] = np.nan
    else:
        values = columns["std" if top.by == "uncertainty" else top.by]
        keys = np.where(np.isfinite(values), sign * values, np.nan)
    fits = columns["status"] == "ok"
    if top.in_domain:
        fits = fits & columns["in_domain"]
    if top.max_ood is not None:
        fits = fits & (columns["ood_score"] <= top.max_ood)
    return np.where(fits, keys, np.nan)


def pick(
    table: pa.Table, columns: Mapping[str, NDArray[Any]], top: TopSettings, first: int
) -> pa.Table:
    """Return the best rows of a block with the columns that `TopTable.add` needs.

    `first` is the number of rows before the block.
    """
    rows = best_rows(columns, top)
    keys = sort_keys(columns, top)[rows]
    best = table.take(pa.array(rows))
    return best.append_column("input_row", pa.array(first + rows + 1)).append_column(
        _KEY, pa.array(keys)
    )


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
        keys = joined[_KEY].to_numpy()[places]
        chosen = places[np.argsort(-keys, kind="stable")[: self._top.k]]
        before = 0 if self.table is None else self.table.num_rows
        if self.table is not None and np.array_equal(chosen, np.arange(before)):
            return False
        self.table = joined.take(pa.array(chosen)).combine_chunks()
        return True


def top_frame(table: pa.Table, top: TopSettings) -> pa.Table:
    """Return the table for the user: rank and row (from 1), probability, all other columns."""
    lead = {"rank": pa.array(np.arange(1, table.num_rows + 1)), "input_row": table["input_row"]}
    if top.by == "probability":
        lead["probability"] = pa.array(
            [erfc(-key / sqrt(2)) / 2 for key in table[_KEY].to_pylist()]
        )
    rest = table.drop_columns(["input_row", _KEY])
    return pa.table({**lead, **dict(zip(rest.column_names, rest.columns, strict=True))})
