"""The inner maximisation: move rows where loss or uncertainty grows most, at a transport cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xtalshift.cal.settings import Ball, CALConfig
from xtalshift.cal.uncertainty import disagreement_gradient, mean_prediction
from xtalshift.cal.weights import CALState
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.rows import Rows, mean_loss, row_losses

ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Attacked:
    """Adversarial rows."""

    rows: Rows
    """``x_adv`` in place of ``x``, detached; ``y`` replaced if ``labels = "mean"``; everything else
    unchanged."""
    path: Tensor
    """Shape (..., n, d). ``sum_{t<T} (x_t - x)``, which the unrolled weight gradient needs."""
    start_loss: Tensor
    """Shape (). Mean loss of the rows that the attack started from, labelled in the same way."""


def attack(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    pull: Tensor | None = None,
    *,
    loss: RowLoss = row_losses,
) -> Attacked:
    """Return adversarial rows.

    ``x_adv = argmax_x' l(f(x'), y) - gamma * mean_i sum_j w_j (x'_ij - x_ij)^2``
    (arXiv:2408.09297, inner problem) inside the ball of the budget, by a fixed number of ascent
    steps from ``x``. Dropout is off. With ``objective = "uncertainty"`` the standard deviation
    ``s(x')`` of the members of an ensemble stands in place of the loss. With ``labels = "mean"``
    the target of ``x_adv`` is the mean of the members there, else ``y``.

    ============ ====================== ================
    symbol       variable               shape
    ============ ====================== ================
    x, y         rows.x, rows.y         (n, d), (n,)
    l or s       config.objective
    x'           x_adv                  (n, d)
    w            state.weights          (d,)
    gamma        state.gamma            scalar
    epsilon      config.epsilon         scalar
    eta          attack_step_size       scalar
    T            attack_steps           scalar
    ============ ====================== ================

    An ensemble has a leading axis everywhere. If the members are compared (``uncertainty``), all of
    them have the same batch and transport cost, and the rows are moved once for all.

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
    loss : callable
        The loss ``l`` of each row.

    Returns
    -------
    Attacked
    """
    if not config.attacks:  # the control: the same recipe, but no row moves
        rows = _label(model, rows, config)
        return Attacked(rows, torch.zeros_like(rows.x), _loss(model, rows, loss))
    if config.objective == "loss":
        x_adv, path, start_loss = _ascend(
            lambda x: attack_objective_gradient(model, rows, x, state, loss),
            rows.x, state, config, pull,
        )  # fmt: skip
    else:
        one = CALState(state.weights[0], state.frozen[0], state.gamma[0])
        weights = None if rows.weights is None else rows.weights[0]

        def objective(x: Tensor) -> tuple[Tensor, Tensor]:
            disagreement, gradient = disagreement_gradient(model, x, weights)
            return disagreement, _charge(gradient, x - rows.x[0], one)

        x_adv, path, _ = _ascend(objective, rows.x[0], one, config, pull)
        x_adv, path = x_adv.expand_as(rows.x), path.expand_as(rows.x)
    if config.needs_ensemble:
        start_loss = _loss(model, _label(model, rows, config), loss)
    return Attacked(_label(model, replace(rows, x=x_adv), config), path, start_loss)


def _ascend(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    state: CALState,
    config: CALConfig,
    pull: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``x_adv``, ``sum_{t<T} (x_t - x)`` and the first value of the objective.

    Parameters
    ----------
    objective : callable
        Takes ``x_t``; returns a value and the gradient of the objective.
    start, state, config, pull
        ``x`` and the arguments of `attack`.
    """
    x_adv = start
    path = torch.zeros_like(start)
    moments = (torch.zeros_like(start), torch.zeros_like(start))
    for number in range(1, config.attack_steps + 1):
        value, gradient = objective(x_adv)
        if number == 1:
            first = value
        path = path + (x_adv - start)
        move = _direction(gradient, moments, number, state, config, pull)
        moved = x_adv + config.attack_step_size * move - start
        x_adv = start + project(moved, state.weights, config.ball, config.epsilon)
    return x_adv, path, first


def _label(model: nn.Module, rows: Rows, config: CALConfig) -> Rows:
    """Return rows with the targets that adversarial rows get where they are."""
    if config.labels == "own":
        return rows
    mean = mean_prediction(model, rows.x)
    known = None
    if rows.bounds is not None:
        known = torch.stack([mean, mean, rows.bounds[..., 2]], dim=-1)
    return replace(rows, y=mean, bounds=known)


@torch.no_grad()
def _loss(model: nn.Module, rows: Rows, loss: RowLoss) -> Tensor:
    return mean_loss(model(rows.x), rows.labels, rows.weights, loss)


def attack_objective_gradient(
    model: nn.Module, rows: Rows, x_adv: Tensor, state: CALState, loss: RowLoss = row_losses
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
    loss : callable
        The loss of each row.

    Returns
    -------
    loss : Tensor, shape ()
        Mean loss, without the transport cost.
    gradient : Tensor, shape (..., n, d)
        Gradient of the objective, with the transport cost.
    """
    leaf = x_adv.detach().requires_grad_()
    mean = mean_loss(model(leaf), rows.labels, rows.weights, loss)
    (gradient,) = torch.autograd.grad(mean, leaf)
    return mean.detach(), _charge(gradient, x_adv - rows.x, state)


def _charge(gradient: Tensor, moved: Tensor, state: CALState) -> Tensor:
    """Return a gradient less that of the transport cost of a displacement, (..., n, d)."""
    factor = (2.0 / moved.shape[-2]) * state.gamma.unsqueeze(-1) * state.weights
    return torch.addcmul(gradient, factor.unsqueeze(-2), moved, value=-1)


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
