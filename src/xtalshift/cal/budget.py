"""How far a row may move: norms and balls."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Ball", "ball_norm", "project", "steepest_direction"]

Ball = Literal["none", "linf", "l2", "weighted-l2"]


def ball_norm(displacement: Tensor, weights: Tensor, ball: Ball) -> Tensor:
    """Return the size of each row's displacement in the norm of a ball.

    ``linf``: ``max_j |d_j|``; ``l2``: ``sqrt(mean_j d_j^2)``; ``weighted-l2``:
    ``sqrt(sum_j w_j d_j^2 / sum_j w_j)``. The two last are root mean squares over the features, so
    that a radius means the same for any number of them.

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

    Features are clamped for ``linf``; rows are shortened for the others, which keeps the direction.

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
        Of the function.
    weights : Tensor, shape (..., d)
        Covariate weights.
    ball : {"none", "linf", "l2", "weighted-l2"}
        Norm; ``none`` is taken as ``l2``.

    Returns
    -------
    Tensor, shape (..., n, d)
        0 where the gradient of a row is 0.
    """
    # a gradient that is not a number must show in the loss, not pass for a row that stays
    if ball == "linf":
        return torch.where(gradient.isnan(), gradient, gradient.sign())
    if ball == "weighted-l2":
        gradient = gradient / weights.unsqueeze(-2)
    size = ball_norm(gradient, weights, "weighted-l2" if ball == "weighted-l2" else "l2")
    size = size.unsqueeze(-1)
    # not a floor under the size: gradients of a mean over many rows are small numbers
    return torch.where(size == 0, torch.zeros_like(gradient), gradient / size)
