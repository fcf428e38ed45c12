"""Attacks on crystals, which are costly, made once for several epochs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.row_ascent import within_ball
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.structure_attack import StructureAttack
from xtalshift.cal.weights import CALState
from xtalshift.errors import DataError
from xtalshift.nn.rows import Rows, mean_loss


class KeptStructureAttack:
    """An attack on crystals that keeps the adversarial ones until it is told to forget them.

    It is an `Attack` of `xtalshift.cal.step`, on rows with ``crystals``. Its ``path`` is the last
    displacement, since the unrolled weight gradient is exact only for free features. A row that is
    no longer in the budget, because the covariate weights of the ball have changed, is attacked
    anew.

    Parameters
    ----------
    mover : StructureAttack
        The attack.
    rows : Rows
        All n rows of the training; their crystals are numbered from 0 to n - 1.
    """

    def __init__(self, mover: StructureAttack, rows: Rows) -> None:
        self.mover = mover
        self.kept = rows.x.clone()
        self.known = torch.zeros(len(rows), dtype=torch.bool, device=rows.x.device)

    def __call__(
        self, model: nn.Module, rows: Rows, state: CALState, config: CALConfig
    ) -> Attacked:
        """Return adversarial rows."""
        if not config.attacks:
            return attack(model, rows, state, config, loss=self.mover.loss)
        if rows.crystals is None:
            raise DataError("rows have no crystals; attack their features instead")
        numbers, within = rows.crystals.numbers, within_ball(config, state.weights)
        fresh = ~(self.known[numbers] & within(self.kept[numbers] - rows.x))
        new = fresh.nonzero().flatten()
        if len(new):
            x_new, _ = self.mover(model, rows.take(new), state.weights, float(state.gamma), within)
            self.kept[numbers[new]] = x_new
            self.known[numbers[new]] = True
        with torch.no_grad():
            start_loss = mean_loss(model(rows.x), rows.labels, rows.weights, self.mover.loss)
        x_adv = self.kept[numbers]
        return Attacked(replace(rows, x=x_adv), x_adv - rows.x, start_loss)

    def forget(self) -> None:
        """Attack every row anew when it is asked for next."""
        self.known = torch.zeros_like(self.known)

    def get_state(self) -> dict[str, Tensor]:
        """Return what is kept, for a checkpoint."""
        return {"x": self.kept, "known": self.known}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_state` returned."""
        self.kept, self.known = state["x"], state["known"]
