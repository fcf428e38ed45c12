"""What CAL carries from step to step beside the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtalshift.cal.config import CALConfig

__all__ = ["CALState", "init"]


@dataclass(frozen=True)
class CALState:
    """Transport cost of the attack. Leading axes are the members of an ensemble.

    Attributes
    ----------
    weights : Tensor, shape (..., d)
        Covariate weights ``w``: the cost of moving each feature.
    frozen : Tensor of bool, shape (..., d)
        Weights that are no longer learned.
    gamma : Tensor, shape (...)
        Factor of the transport cost in the attack's objective.
    steps : int
        CAL steps so far.
    """

    weights: Tensor
    frozen: Tensor
    gamma: Tensor
    steps: int = 0


def init(
    n_features: int, config: CALConfig, *, like: Tensor, members: int | None = None
) -> CALState:
    """Return the state before the first CAL step.

    Parameters
    ----------
    n_features : int
        Number of features ``d``.
    config : CALConfig
        Gives the initial weights and gamma.
    like : Tensor
        Decides device and precision.
    members : int, optional
        Size of an ensemble.
    """
    lead = () if members is None else (members,)
    weights = torch.full(
        (*lead, n_features), config.weight_init, dtype=like.dtype, device=like.device
    )
    gamma = torch.full(lead, config.gamma_init, dtype=like.dtype, device=like.device)
    return CALState(weights, torch.zeros_like(weights, dtype=torch.bool), gamma)
