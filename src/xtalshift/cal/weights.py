"""The outer problem: which features may be moved cheaply."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from xtalshift.cal.config import CALConfig
from xtalshift.cal.state import CALState
from xtalshift.nn import Rows, mean_loss, row_losses

__all__ = [
    "close_epoch",
    "mixed_derivative",
    "stability_gradient",
    "stability_loss",
    "update_weights",
    "weight_gradient",
]


def stability_loss(
    losses: Tensor, environments: Tensor, n_environments: int, spread: float
) -> Tensor:
    """Return ``R = sum_e L_e``, the largest term times ``1 + a``, the smallest times ``1 - a``.

    Parameters
    ----------
    losses : Tensor, shape (n,)
        Loss of each row.
    environments : Tensor of int64, shape (n,)
        Environment of each row, numbered from 0 without gaps.
    n_environments : int
        How many there are.
    spread : float
        ``a = alpha / sqrt(epoch + 1)``.

    Returns
    -------
    Tensor, shape ()
    """
    # a product, not index_add: that sums in no fixed order on a GPU
    members = F.one_hot(environments, n_environments).to(losses.dtype)
    means = (losses @ members) / members.sum(dim=0)
    if n_environments == 1:
        return means[0]
    return means.sum() + spread * (means.max() - means.min())


def stability_gradient(
    model: nn.Module,
    rows: Rows,
    environments: Tensor,
    n_environments: int,
    spread: float,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Return ``g = dR / dtheta``, one tensor per parameter; arguments as in `stability_loss`."""
    losses = row_losses(model(rows.x, generator), rows.y)
    if rows.weights is not None:
        losses = losses * (rows.weights / rows.weights.mean())
    loss = stability_loss(losses, environments, n_environments, spread)
    return list(torch.autograd.grad(loss, list(model.parameters())))


def mixed_derivative(
    model: nn.Module,
    adversarial: Rows,
    direction: list[Tensor],
    generator: torch.Generator | None = None,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return ``A = d/dx <g, dl(x)/dtheta>`` and, from the same pass, ``dl(x)/dtheta``.

    Parameters
    ----------
    model : torch.nn.Module
        At the current theta.
    adversarial : Rows
        Adversarial features with their targets.
    direction : list of Tensor
        ``g``, one tensor per parameter.
    generator : torch.Generator, optional
        Dropout is on if given.

    Returns
    -------
    mixed : Tensor, shape (n, d)
        ``A``.
    gradient : list of Tensor
        ``dl/dtheta``, one tensor per parameter.
    loss : Tensor, shape ()
        ``l``, the mean loss of the adversarial rows.
    """
    leaf = adversarial.x.detach().requires_grad_()
    loss = mean_loss(model(leaf, generator), adversarial.y, adversarial.weights)
    gradient = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    inner = torch.stack([torch.sum(g * h) for g, h in zip(direction, gradient, strict=True)]).sum()
    (mixed,) = torch.autograd.grad(inner, leaf)
    return mixed, [part.detach() for part in gradient], loss.detach()


def weight_gradient(mixed: Tensor, displacement: Tensor, gamma: float, config: CALConfig) -> Tensor:
    """Return the published ``dR/dw_j = sum_i (-rho A_ij) (-2 gamma eta (x_adv - x)_ij)``.

    It is not the exact derivative of anything (``docs/science/cal.md``); the preset ``paper`` uses
    it as it is.

    Parameters
    ----------
    mixed : Tensor, shape (n, d)
        ``A``, summed over the parameter steps.
    displacement : Tensor, shape (n, d)
        ``x_adv - x`` of the last attack.
    gamma : float
        Penalty factor of that attack.
    config : CALConfig
        Gives ``rho`` and ``eta = attack_step_size``.

    Returns
    -------
    Tensor, shape (d,)
    """
    factor = 2.0 * config.rho * gamma * config.attack_step_size
    return factor * (mixed * displacement).sum(dim=0)


def update_weights(state: CALState, gradient: Tensor, config: CALConfig) -> CALState:
    """Return the state after ``w -= delta / max_j |dR/dw_j| * dR/dw``; frozen weights stay.

    Parameters
    ----------
    state : CALState
        Before the step.
    gradient : Tensor, shape (d,)
        ``dR/dw``; where it is all 0 the weights stay.
    config : CALConfig
        Gives ``delta``.
    """
    largest = gradient.abs().max()
    # compared on the device: reading a number would make a GPU wait
    scale = torch.where(largest > 0, config.delta / largest, torch.zeros_like(largest))
    moved = state.weights - scale * gradient
    return replace(state, weights=torch.where(state.frozen, state.weights, moved))


def close_epoch(state: CALState) -> CALState:
    """Return the state after an epoch: a weight below 0 becomes 1 for good, ``gamma = 1/min w``.

    A weight of exactly 0 counts as below: 100 less five times 20 is common, and gamma would be
    infinite.
    """
    spent = state.weights <= 0
    weights = torch.where(spent, torch.ones_like(state.weights), state.weights)
    return CALState(weights, state.frozen | spent, 1.0 / float(weights.min()))
