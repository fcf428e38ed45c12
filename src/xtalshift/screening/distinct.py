"""Find repeated materials in a stream, with eight bytes of memory for each material."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.chem.formulas import Notation
from xtalshift.data.frames import RawTable
from xtalshift.data.settings import ReadingOptions

Hashes = NDArray[np.uint64]


class SeenHashes:
    """A set of 64-bit hashes, held in sorted arrays.

    The arrays are merged as they grow (a log-structured merge). A hash takes 8 bytes, and twice as
    much while the two longest arrays are merged. Two of n different materials share a hash with
    probability n^2 / 2^65, that is 3e-6 for ten million.
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Add hashes, shape (n,); return which are neither in the set nor earlier in `hashes`."""
        values, first = np.unique(hashes, return_index=True)
        known = np.zeros(len(values), dtype=np.bool_)
        for run in self._runs:
            place = np.searchsorted(run, values)
            known |= run[np.minimum(place, len(run) - 1)] == values
        new = np.zeros(len(hashes), dtype=np.bool_)
        new[first[~known]] = True
        if not known.all():
            self._runs.append(values[~known])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            joined = np.concatenate([self._runs.pop(), self._runs.pop()])
            joined.sort(kind="stable")  # merges runs instead of sorting anew
            self._runs.append(joined)
        return new


def hash_rows(
    rows: RawTable, reading: ReadingOptions, feature_cols: tuple[str, ...], notation: Notation
) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return a hash for each row, and which rows have a valid formula, shapes (n,).

    Equal materials have equal hashes: of the reduced formula, of the structure, and of the values
    of `feature_cols`, such as a temperature. Rows without a valid formula repeat nothing.
    """
    materials = rows.formulas(reading).materials(notation)
    reasons = materials.reasons
    hashes = pd.util.hash_array(materials.keys, categorize=False)
    for name in feature_cols:
        values, _ = rows.numbers(name)
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + pd.util.hash_array(values)
    return hashes, reasons == ""
