"""What the scikit-learn estimators that take formulas share: reading rows, and drawing a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import FormulaError
from xtalshift.seeding import as_generator


def read_formulas(*rows: Any, **options: Any) -> Dataset:
    """Return formulas and targets as a clean data set; every row counts.

    Parameters
    ----------
    *rows, **options
        As in `xtalshift.Dataset.of`.

    Raises
    ------
    FormulaError
        If a formula cannot be read; the message names the row.
    DataError
        If the rows cannot be used.
    """
    data = Dataset.of(*rows, **options)
    bad = np.flatnonzero(data.materials.reasons != "")
    if bad.size:
        row, more = int(bad[0]), f" ({bad.size} bad rows in total)" if bad.size > 1 else ""
        raise FormulaError(f"row {row + 1}: {data.materials.reasons[row]}{more}")
    return clean_table(data, duplicates="keep", strict=True)


def seed_of(random_state: int | None) -> int:
    """Return the seed of a fit; without one, another each time."""
    return int(as_generator(None).integers(2**31)) if random_state is None else random_state
