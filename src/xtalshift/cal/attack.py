"""The inner maximisation: move rows where the loss grows most, at a transport cost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xtalshift.cal.settings import Ball, CALConfig
from xtalshift.cal.weights import CALState
from xtalshift.nn.rows import Rows, mean_loss

ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Attacked:
    """Adversarial rows."""

    rows: Rows
    """``x_adv`` in place of ``x``, detached; everything else unchanged."""
    path: Tensor
    """Shape (..., n, d). ``sum_{t<T} (x_t - x)``, which the unrolled weight gradient needs."""
    start_loss: Tensor
    """Shape (). Mean loss of the rows that the attack started from."""


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
    if not config.attacks:  # the control: the same recipe, but no row moves
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
        Rows that the attack started from.
    x_adv : Tensor, shape (..., n, d)
        Their current position.
    state : CALState
        The transport cost.

    Returns
    -------
    loss : Tensor, shape ()
        Mean loss, without the transport cost.
    gradient : Tensor, shape (..., n, d)
        Gradient of the objective, with the transport cost.
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
    """Return step number `number` in units of the step size."""
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
    """Return a bias-corrected Adam step (Kingma and Ba, arXiv:1412.6980); update the moments."""
    first, second = moments
    beta1, beta2 = betas
    first.lerp_(gradient, 1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    corrected = (second / (1.0 - beta2**number)).sqrt_().add_(ADAM_EPSILON)
    return first / corrected.mul_(1.0 - beta1**number)


def ball_norm(displacement: Tensor, weights: Tensor, ball: Ball) -> Tensor:
    """Return the size of each row's displacement in the norm of a ball.

    ``linf``: ``max_j |d_j|``; ``l2``: ``sqrt(mean_j d_j^2)``; ``weighted-l2``:
    ``sqrt(sum_j w_j d_j^2 / sum_j w_j)``. The last two are root mean squares over the features, so
    a radius means the same for any number of features.

    Parameters
    ----------
    displacement : Tensor, shape (..., n, d)
        ``x' - x`` in standard deviations.
    weights : Tensor, shape (..., d)
        Covariate weights ``w``, positive.
    ball : {"linf", "l2", "weighted-l2"}
        Norm.

    Returns
    -------
    Tensor, shape (..., n)
    """
    if ball == "linf":
        return displacement.abs().amax(dim=-1)
    if ball == "l2":
        return displacement.square().mean(dim=-1).sqrt()
    share = (weights / weights.sum(dim=-1, keepdim=True)).unsqueeze(-2)
    return (share * displacement.square()).sum(dim=-1).sqrt()


def project(displacement: Tensor, weights: Tensor, ball: Ball, epsilon: float) -> Tensor:
    """Return the displacement pulled back into the ball of radius `epsilon`.

    For ``linf`` each feature is clamped; for the others the displacement is shortened, which keeps
    its direction.

    Parameters
    ----------
    displacement : Tensor, shape (..., n, d)
        ``x' - x`` in standard deviations.
    weights : Tensor, shape (..., d)
        Covariate weights.
    ball : {"none", "linf", "l2", "weighted-l2"}
        Norm; ``none`` changes nothing.
    epsilon : float
        Radius in standard deviations.

    Returns
    -------
    Tensor, shape (..., n, d)
    """
    if ball == "none":
        return displacement
    if ball == "linf":
        return displacement.clamp(-epsilon, epsilon)
    size = ball_norm(displacement, weights, ball).unsqueeze(-1)
    return displacement * (epsilon / size.clamp_min(epsilon))


def steepest_direction(gradient: Tensor, weights: Tensor, ball: Ball) -> Tensor:
    """Return the displacement of norm 1 along which a linear function grows most, per row.

    Parameters
    ----------
    gradient : Tensor, shape (..., n, d)
        Gradient of the function.
    weights : Tensor, shape (..., d)
        Covariate weights.
    ball : {"none", "linf", "l2", "weighted-l2"}
        Norm; ``none`` is taken as ``l2``.

    Returns
    -------
    Tensor, shape (..., n, d)
        0 where the gradient of a row is 0.
    """
    # a NaN gradient must show in the loss; it must not look like a row that stays
    if ball == "linf":
        return torch.where(gradient.isnan(), gradient, gradient.sign())
    if ball == "weighted-l2":
        gradient = gradient / weights.unsqueeze(-2)
    size = ball_norm(gradient, weights, "weighted-l2" if ball == "weighted-l2" else "l2")
    size = size.unsqueeze(-1)
    # no floor under the size: the gradient of a mean over many rows is small
    return torch.where(size == 0, torch.zeros_like(gradient), gradient / size)
