"""Which crystal each training material is: two polymorphs of one formula have two names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.domain.reasons import decode_texts, encode_texts
from xtalshift.errors import ModelFormatError
from xtalshift.saved_arrays import TEXT, SavedArray, Schema

CRYSTALS: Schema = {
    "ids": TEXT,
    "space_groups": SavedArray(np.int64, ("n",), low=0, high=230),
}
"""Arrays of `KnownCrystals.get_state`; n materials."""


@dataclass(frozen=True, eq=False)
class KnownCrystals:
    """Ids and symmetries of n crystals."""

    ids: NDArray[np.object_]
    """Shape (n,). Texts."""
    space_groups: NDArray[np.int64]
    """Shape (n,). Numbers of the space groups, 0 where none is found."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Any) -> Self:
        """Return the rows that an index or mask selects."""
        return type(self)(self.ids[rows], self.space_groups[rows])

    def replaced(self, places: NDArray[np.intp], others: Self) -> Self:
        """Return the same with other crystals at some places."""
        ids, groups = self.ids.copy(), self.space_groups.copy()
        ids[places], groups[places] = others.ids, others.space_groups
        return type(self)(ids, groups)

    def joined(self, others: Self) -> Self:
        """Return these and then the others."""
        return type(self)(
            np.concatenate([self.ids, others.ids]),
            np.concatenate([self.space_groups, others.space_groups]),
        )

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays."""
        return {"ids": encode_texts(self.ids), "space_groups": self.space_groups}

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned, checked by `CRYSTALS`; other names are ignored.

        Raises
        ------
        ModelFormatError
            If the arrays do not agree.
        """
        ids = np.array(decode_texts("ids", state["ids"]), dtype=object)
        if len(ids) != len(state["space_groups"]):
            raise ModelFormatError(f"{len(ids)} ids for {len(state['space_groups'])} crystals")
        return cls(ids, state["space_groups"])
