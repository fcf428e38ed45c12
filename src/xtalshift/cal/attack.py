"""The inner maximisation: move rows where the loss grows most, at a transport cost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xtalshift.cal.budget import ball_norm, project, steepest_direction
from xtalshift.cal.config import CALConfig
from xtalshift.cal.state import CALState
from xtalshift.nn import Rows, mean_loss

__all__ = ["Attacked", "attack", "attack_objective_gradient"]

ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Attacked:
    """Adversarial rows.

    Attributes
    ----------
    rows : Rows
        ``x_adv`` in place of ``x``, detached; everything else as it was.
    path : Tensor, shape (..., n, d)
        ``sum_{t<T} (x_t - x)``, what the unrolled weight gradient needs.
    start_loss : Tensor, shape ()
        Mean loss of the rows that the attack started from.
    """

    rows: Rows
    path: Tensor
    start_loss: Tensor


def attack(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    pull: Tensor | None = None,
) -> Attacked:
    """Return adversarial rows.

    ``x_adv = argmax_x' l(f(x'), y) - gamma * mean_i sum_j w_j (x'_ij - x_ij)^2``
    (arXiv:2408.09297, inner problem) inside the ball of the budget, by a fixed number of ascent
    steps from ``x``. Dropout is off.

    ============ ====================== ================
    symbol       variable               shape
    ============ ====================== ================
    x, y         rows.x, rows.y         (n, d), (n,)
    x'           x_adv                  (n, d)
    w            state.weights          (d,)
    gamma        state.gamma            scalar
    epsilon      config.epsilon         scalar
    eta          attack_step_size       scalar
    T            attack_steps           scalar
    ============ ====================== ================

    An ensemble has a leading axis everywhere.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(x)``.
    rows : Rows
        Rows to start from.
    state : CALState
        The transport cost.
    config : CALConfig
        Number, size and kind of the steps, and the ball.
    pull : Tensor, shape (..., n, d), optional
        Direction of norm 1 per row that is added to every step's direction of norm 1 (``steepest``
        only): unlabelled target rows draw the adversarial rows toward themselves.

    Returns
    -------
    Attacked
    """
    start = rows.x
    if not config.attacks:  # the control: the same recipe, and no row moves
        with torch.no_grad():
            loss = mean_loss(model(start), rows.y, rows.weights)
        return Attacked(rows, torch.zeros_like(start), loss)
    x_adv = start
    path = torch.zeros_like(start)
    moments = (torch.zeros_like(start), torch.zeros_like(start))
    for number in range(1, config.attack_steps + 1):
        loss, gradient = attack_objective_gradient(model, rows, x_adv, state)
        if number == 1:
            start_loss = loss
        path = path + (x_adv - start)
        move = _direction(gradient, moments, number, state, config, pull)
        moved = x_adv + config.attack_step_size * move - start
        x_adv = start + project(moved, state.weights, config.ball, config.epsilon)
    return Attacked(
        Rows(x_adv, rows.y, rows.weights, rows.environments, rows.compositions), path, start_loss
    )


def attack_objective_gradient(
    model: nn.Module, rows: Rows, x_adv: Tensor, state: CALState
) -> tuple[Tensor, Tensor]:
    """Return the mean loss at `x_adv` and the gradient of the attack's objective in `x_adv`.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(x)``.
    rows : Rows
        Where the attack started.
    x_adv : Tensor, shape (..., n, d)
        Where it is.
    state : CALState
        The transport cost.

    Returns
    -------
    loss : Tensor, shape ()
        Without the transport cost.
    gradient : Tensor, shape (..., n, d)
        With it.
    """
    leaf = x_adv.detach().requires_grad_()
    loss = mean_loss(model(leaf), rows.y, rows.weights)
    (gradient,) = torch.autograd.grad(loss, leaf)
    factor = (2.0 / len(rows)) * state.gamma.unsqueeze(-1) * state.weights
    return loss.detach(), torch.addcmul(gradient, factor.unsqueeze(-2), x_adv - rows.x, value=-1)


def _direction(
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    number: int,
    state: CALState,
    config: CALConfig,
    pull: Tensor | None,
) -> Tensor:
    """Return the step `number` in units of the step size."""
    if config.attack_method == "adam":
        return _adam_direction(gradient, moments, number, config.attack_betas)
    if config.attack_method == "ascent":
        return gradient
    direction = steepest_direction(gradient, state.weights, config.ball)
    if pull is None:
        return direction
    direction = direction + pull
    norm = "l2" if config.ball == "none" else config.ball
    return direction / ball_norm(direction, state.weights, norm).unsqueeze(-1).clamp_min(1e-12)


def _adam_direction(
    gradient: Tensor, moments: tuple[Tensor, Tensor], number: int, betas: tuple[float, float]
) -> Tensor:
    """Return a bias-corrected Adam step (Kingma and Ba, arXiv:1412.6980); moments in place."""
    first, second = moments
    beta1, beta2 = betas
    first.lerp_(gradient, 1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    corrected = (second / (1.0 - beta2**number)).sqrt_().add_(ADAM_EPSILON)
    return first / corrected.mul_(1.0 - beta1**number)
