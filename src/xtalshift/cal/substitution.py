"""Replacements of one element of a compound by a similar one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from xtalshift.cal.row_ascent import Goal
from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.element_similarity import similar_elements
from xtalshift.nn.padded_compositions import Slots, pad_compositions

_CHUNK = 4096  # candidates evaluated at once

Try = Callable[[Slots, "Trials"], tuple[Tensor, Tensor]]
"""Compositions and m trials of them -> features of the trials (m, d), and which may be chosen."""


@torch.no_grad()
def substitute_best(
    slots: Slots,
    x: Tensor,
    goal: Goal,
    features: Try,
    *,
    times: int,
    neighbours: int,
    charge_neutral: bool,
) -> tuple[Slots, Tensor]:
    """Replace elements one by one, each time the one that raises the objective of a row most.

    Parameters
    ----------
    slots : Slots of n rows
        Compositions before the attack.
    x : Tensor, shape (n, d)
        Their features.
    goal : Goal
        Objective and budget.
    features : callable
        The features of trials, see `Try`.
    times : int
        Number of elements of a row that may be replaced; none is replaced twice.
    neighbours, charge_neutral
        As in `list_trials`.

    Returns
    -------
    slots : Slots
        Compositions after the substitutions, elements in the same slots.
    x : Tensor, shape (n, d)
        Their features; rows without a substitution are those of `x`, bit for bit.
    """
    value = goal.value(x)
    replaced = torch.zeros_like(slots.elements, dtype=torch.bool)
    for _ in range(times):
        trials = list_trials(slots, replaced, neighbours, charge_neutral)
        if not len(trials):
            break
        values = []
        for part in trials.split(_CHUNK):
            moved, possible = features(slots, part)
            allowed = goal.within(moved - goal.x[part.row]) & possible
            values.append(torch.where(allowed, goal.value(moved, part.row), -torch.inf))
        chosen, value = trials.choose(torch.cat(values), value)
        if not len(chosen):
            break
        x = x.clone()
        x[chosen.row] = features(slots, chosen)[0]
        slots = chosen.apply(slots)
        replaced[chosen.row, chosen.slot] = True
    return slots, x


@dataclass(frozen=True)
class Trials:
    """m replacements of one element in one row; all fields of shape (m,).

    `place` numbers the trials of a row; `keeps_charge` says whether the new element can have the
    assigned oxidation state, so that the row remains neutral.
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
        """Return the trials in pieces of `size`."""
        return [self.take(slice(at, at + size)) for at in range(0, len(self), size)]

    def choose(self, values: Tensor, current: Tensor) -> tuple[Trials, Tensor]:
        """Return the best trial of each row that is better than the row, and the value of each row.

        Parameters
        ----------
        values : Tensor, shape (m,)
            Objective of each trial.
        current : Tensor, shape (n,)
            Objective of each row as it is.
        """
        # the first best of each row
        table = values.new_full((len(current), int(self.place.max()) + 1), -torch.inf)
        table[self.row, self.place] = values
        best, place = table.max(dim=1)
        better = best > current
        chosen = self.take(better[self.row] & (self.place == place[self.row]))
        return chosen, torch.where(better, best, current)

    def rows_of(self, slots: Slots) -> Slots:
        """Return the m substituted rows; their charges do not matter."""
        rows = slots.take(self.row)
        return replace(
            rows, elements=rows.elements.scatter(1, self.slot[:, None], self.element[:, None])
        )

    def apply(self, slots: Slots) -> Slots:
        """Return all rows with these replacements, at most one per row, and their charges."""
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
    # a pure element has the state 0, which is in no table of common states
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
