"""What is found out about rows of a block only if they would be among the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Columns = dict[str, NDArray[Any]]


@dataclass(eq=False)
class CloserLook:
    """Columns that take long to find, for rows given best first; no row is looked at twice."""

    find: Callable[[IntArray], Columns]
    """Places of rows -> the columns for them."""
    kinds: Mapping[str, type]
    """Columns that the table gets, with the types of their values."""
    fits: Callable[[Columns], BoolArray] | None = None
    """Columns -> which of their rows are admitted; None: all are."""
    refusal: str = ""
    """What rows that are not admitted are counted as."""
    refused: int = 0
    """Their number."""
    _seen: list[tuple[IntArray, Columns]] = field(default_factory=list)

    def admit(self, places: IntArray) -> BoolArray:
        """Return which rows are admitted, and count the others."""
        if self.fits is None or not places.size:
            return np.ones(len(places), dtype=np.bool_)
        fits = self.fits(self._look(places))
        self.refused += int(np.sum(~fits))
        return fits

    def columns(self, places: IntArray) -> Columns:
        """Return the columns for some rows."""
        known = np.concatenate([np.zeros(0, dtype=np.int64), *(at for at, _ in self._seen)])
        missing = np.setdiff1d(places, known)
        if missing.size and self.kinds:
            self._look(missing)
            known = np.concatenate([known, missing])
        order = np.argsort(known)
        at = order[np.searchsorted(known[order], places)]
        return {
            name: np.concatenate([np.empty(0, kind), *(found[name] for _, found in self._seen)])[at]
            for name, kind in self.kinds.items()
        }

    def _look(self, places: IntArray) -> Columns:
        found = self.find(places)
        self._seen.append((places, found))
        return found


def admit_all(looks: list[CloserLook], places: IntArray) -> BoolArray:
    """Return which rows all looks admit; a row that one refuses is not shown to the next."""
    fits = np.ones(len(places), dtype=np.bool_)
    for look in looks:
        fits[fits] = look.admit(places[fits])
    return fits
