"""Which elements of a batch of compositions may be replaced by which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.element_similarity import similar_elements
from xtalshift.nn.padded_compositions import Slots, pad_compositions

__all__ = ["Trials", "list_trials"]


@dataclass(frozen=True)
class Trials:
    """m replacements of one element in one row; all fields of shape (m,).

    `place` numbers the trials of a row; `keeps_charge` says that the assigned states stay, so that
    the row is certainly neutral.
    """

    row: Tensor
    slot: Tensor
    element: Tensor
    place: Tensor
    keeps_charge: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def take(self, indices: Tensor | slice) -> Trials:
        """Return some of the trials."""
        return Trials(
            self.row[indices],
            self.slot[indices],
            self.element[indices],
            self.place[indices],
            self.keeps_charge[indices],
        )

    def split(self, size: int) -> list[Trials]:
        """Return them in pieces of `size`."""
        return [self.take(slice(at, at + size)) for at in range(0, len(self), size)]

    def rows_of(self, slots: Slots) -> Slots:
        """Return the m substituted rows; their charges do not matter."""
        rows = slots.take(self.row)
        return replace(
            rows, elements=rows.elements.scatter(1, self.slot[:, None], self.element[:, None])
        )

    def apply(self, slots: Slots) -> Slots:
        """Return all rows with these replacements, at most one a row, and the charges they have."""
        elements, charges = slots.elements.clone(), slots.charges.clone()
        elements[self.row, self.slot] = self.element
        done = Slots(elements, slots.amounts, charges)
        other = self.row[~self.keeps_charge]
        if len(other):
            new = pad_compositions(
                done.take(other).to_compositions(), dtype=charges.dtype, device=charges.device
            )
            charges[other, : new.charges.shape[1]] = new.charges
        return done


def list_trials(
    slots: Slots,
    replaced: Tensor,
    neighbours: int,
    charge_neutral: bool,  # noqa: FBT001
) -> Trials:
    """Return every replacement that may be tried, row by row, nearest elements first."""
    table, states = _neighbour_tables(neighbours, slots.elements.device)
    known = slots.known_charges[:, None] & (slots.elements > 0)
    middle = states.shape[1] // 2
    state = torch.where(known, slots.charges, 0.0).round().to(torch.int64) + middle
    alone = (slots.elements > 0).sum(dim=1, keepdim=True) == 1
    # an elementary row has the state 0, which is no common one of any element
    asked = torch.where(known & charge_neutral & ~alone, state, states.shape[1])
    candidates = table[asked, slots.elements]  # (n, k, neighbours)
    present = (candidates[..., None] == slots.elements[:, None, None, :]).any(dim=3)
    row, slot, at = ((candidates > 0) & ~present & ~replaced[:, :, None]).nonzero(as_tuple=True)
    element = candidates[row, slot, at]
    keeps = known[row, slot] & (states[element, state[row, slot]] | alone[row, 0])
    return Trials(row, slot, element, slot * neighbours + at, keeps)


@cache
def _neighbour_tables(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return candidates by state and Z, shape (18, 119, count), and `has_state`, as tensors.

    The state s has the index s + 8; the last index is for any state.
    """
    states = has_state()
    middle = states.shape[1] // 2
    asked = [*range(-middle, middle + 1), None]
    table = np.stack([similar_elements(count, state) for state in asked]).astype(np.int64)
    return torch.from_numpy(table).to(device), torch.from_numpy(states.copy()).to(device)
