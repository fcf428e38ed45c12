"""Features of compositions: one or several blocks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates
from xtalshift.featurize.blocks import BLOCKS, Blocks, split_blocks
from xtalshift.featurize.features import Features

CHUNK_ROWS = 8192
"""Rows at once; bounds the memory of temporaries (about 3 kB per row)."""


def composition_features(
    rows: Compositions | Sequence[object],
    blocks: Blocks = "magpie",
    *,
    impute_nan: bool = True,
    hydrates: Hydrates = "refuse",
    order: Literal["C", "F"] = "C",
) -> Features:
    """Compute the features of n compositions or formulas.

    Parameters
    ----------
    rows : Compositions or sequence of str, length n
        Compositions, or texts to parse.
    blocks, impute_nan, hydrates
        See `xtalshift.featurize.CompositionFeaturizer`, its scikit-learn class.
    order : {"C", "F"}, default "C"
        Whether the rows or the columns of the values are contiguous in memory.

    Returns
    -------
    Features
        One row per composition.

    Raises
    ------
    ConfigError
        If `blocks` or `hydrates` has an unknown value.
    """
    parts = [BLOCKS[name] for name in split_blocks(blocks)]
    names = tuple(name for block in parts for name in block.names)
    values = np.empty((len(rows), len(names)), order=order)
    reasons = np.full(len(rows), "", dtype=object)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        if isinstance(rows, Compositions):
            compositions = rows.take(chunk)
            reasons[chunk][compositions.sizes == 0] = "no elements"
        else:
            compositions, reasons[chunk], _ = parse_formulas(rows[chunk], hydrates=hydrates)
        end = 0
        for block in parts:
            begin, end = end, end + len(block.names)
            columns = values[chunk, begin:end]
            block.fill(compositions, columns, reasons[chunk], impute_nan=impute_nan)
        values[chunk][reasons[chunk] != ""] = np.nan
    return Features(values, names, reasons)
