"""The inner maximisation: move rows where the loss grows most, at a transport cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xtalshift.cal.config import CALConfig
from xtalshift.cal.state import CALState
from xtalshift.nn import Rows, mean_loss

__all__ = ["adam_ascent", "attack"]

ADAM_EPSILON = 1e-8


def attack(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return adversarial features.

    ``x_adv = argmax_x' l(f(x'), y) - gamma * mean_i sum_j w_j (x'_ij - x_ij)^2``
    (arXiv:2408.09297, inner problem), by a fixed number of Adam-like ascent steps from ``x``.

    ============ ====================== ===========
    symbol       variable               shape
    ============ ====================== ===========
    x, y         rows.x, rows.y         (n, d), (n,)
    x'           x_adv                  (n, d)
    w            state.weights          (d,)
    gamma        state.gamma            scalar
    ============ ====================== ===========

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(x, generator)``.
    rows : Rows
        Rows to start from.
    state : CALState
        The transport cost.
    config : CALConfig
        Number, size and moments of the steps.
    generator : torch.Generator, optional
        Dropout is on if given.

    Returns
    -------
    Tensor, shape (n, d)
        Detached; no feature moves farther than ``attack_steps * attack_step_size`` by much, since
        Adam's steps are about one step size long.
    """
    x_adv = rows.x
    if config.attack_step_size == 0:  # the control: the same recipe without an attack
        return x_adv
    moments = (torch.zeros_like(rows.x), torch.zeros_like(rows.x))
    for step in range(1, config.attack_steps + 1):
        leaf = x_adv.detach().requires_grad_()
        loss = mean_loss(model(leaf, generator), rows.y, rows.weights)
        (gradient,) = torch.autograd.grad(loss, leaf)
        penalty = 2.0 * state.gamma / len(rows) * state.weights * (x_adv - rows.x)
        x_adv = adam_ascent(x_adv, gradient - penalty, moments, step, config)
    return x_adv


def adam_ascent(
    x: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], step: int, config: CALConfig
) -> Tensor:
    """Return `x` after one bias-corrected Adam step uphill (Kingma and Ba, arXiv:1412.6980).

    Parameters
    ----------
    x, gradient : Tensor, shape (n, d)
        Position and gradient of the objective.
    moments : tuple of Tensor, shapes (n, d)
        First and second moments; updated in place.
    step : int
        From 1.
    config : CALConfig
        Step size and betas.
    """
    first, second = moments
    beta1, beta2 = config.attack_betas
    first.lerp_(gradient, 1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    corrected = (second / (1.0 - beta2**step)).sqrt_().add_(ADAM_EPSILON)
    return torch.addcdiv(x, first, corrected, value=config.attack_step_size / (1.0 - beta1**step))
