"""The composition attack in the shape of every attack of a CAL step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.budget import ball_norm
from xtalshift.cal.composition_attack import CompositionAttack
from xtalshift.cal.config import CALConfig
from xtalshift.cal.state import CALState
from xtalshift.cal.step import Attack
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.nn import Rows, mean_loss

__all__ = ["attack_compositions"]

ROUNDING = 1e-6


def attack_compositions(features: TorchFeatures) -> Attack:
    """Return an attack that moves compositions; their features follow.

    Parameters
    ----------
    features : TorchFeatures
        From compositions to the standardised features of the model.

    Returns
    -------
    callable
        For `xtalshift.cal.step`. Its rows have ``compositions``. The path of the weight gradient is
        the last displacement: the unrolled formula is exact for features that move freely only.
    """

    def attacker(model: nn.Module, rows: Rows, state: CALState, config: CALConfig) -> Attacked:
        if not config.attacks:
            return attack(model, rows, state, config)

        def within(displacement: Tensor) -> Tensor:
            if config.ball == "none":
                return torch.ones(displacement.shape[:-1], dtype=torch.bool, device=rows.x.device)
            size = ball_norm(displacement, state.weights, config.ball)
            return size <= config.epsilon * (1 + ROUNDING)

        mover = CompositionAttack(
            features,
            steps=config.attack_steps,
            step_size=config.attack_step_size,
            fraction_budget=config.fraction_budget,
            charge_neutral=config.charge_neutral,
            substitutions=config.substitutions,
            neighbours=config.neighbours,
        )
        with torch.no_grad():
            start_loss = mean_loss(model(rows.x), rows.y, rows.weights)
        x_adv, moved = mover(model, rows, state.weights, float(state.gamma), within, None)
        return Attacked(replace(rows, x=x_adv, compositions=moved), x_adv - rows.x, start_loss)

    return attacker
