"""What CAL carries from step to step beside the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtalshift.cal.config import CALConfig

__all__ = ["CALState", "init"]


@dataclass(frozen=True)
class CALState:
    """Transport cost of the attack.

    Attributes
    ----------
    weights : Tensor, shape (d,)
        Covariate weights ``w``: the cost of moving each feature.
    frozen : Tensor of bool, shape (d,)
        Weights that are no longer learned.
    gamma : float
        Factor of the transport cost in the attack's objective.
    """

    weights: Tensor
    frozen: Tensor
    gamma: float


def init(n_features: int, config: CALConfig, *, like: Tensor) -> CALState:
    """Return the state before the first CAL step.

    Parameters
    ----------
    n_features : int
        Number of features ``d``.
    config : CALConfig
        Gives the initial weights and gamma.
    like : Tensor
        Decides device and precision.
    """
    weights = torch.full((n_features,), config.weight_init, dtype=like.dtype, device=like.device)
    return CALState(weights, torch.zeros_like(weights, dtype=torch.bool), config.gamma_init)
