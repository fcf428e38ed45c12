"""Exponential moving average of parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Parameters", "copy_parameters", "update_ema"]

Parameters = dict[str, Tensor]


def copy_parameters(model: nn.Module) -> Parameters:
    """Return detached copies of the parameters, by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@torch.no_grad()
def update_ema(average: Parameters, model: nn.Module, decay: float) -> None:
    """Move `average` toward the parameters of `model`, in place.

    ``average <- decay * average + (1 - decay) * parameters``

    Parameters
    ----------
    average : dict of Tensor
        As `copy_parameters` returns it.
    model : torch.nn.Module
        The model in training.
    decay : float
        In [0, 1).
    """
    torch._foreach_lerp_(list(average.values()), list(model.parameters()), 1.0 - decay)
