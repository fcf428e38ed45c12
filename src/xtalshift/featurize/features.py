"""Features of materials, with a reason for each row that has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Features:
    """The features of n materials.

    Attributes
    ----------
    values : ndarray of float64, shape (n, d)
        One row per material; NaN for bad rows.
    names : tuple of str, length d
        Names of the columns.
    reasons : ndarray of object, shape (n,)
        Why a row is bad; ``""`` for good rows.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    reasons: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.values)

    def write(self, values: NDArray[np.float64], reasons: NDArray[np.object_]) -> None:
        """Write values and reasons, shapes (n, d) and (n,), to arrays; earlier reasons stay."""
        values[:] = self.values
        new = reasons == ""
        reasons[new] = self.reasons[new]

    def take(self, rows: Any) -> Self:
        """Return the rows that an index, slice or mask selects."""
        return type(self)(self.values[rows], self.names, self.reasons[rows])
