"""The worst mean loss over distributions near that of a batch.

Each function returns the weights of the rows that make the mean loss largest. Leading axes are the
members of an ensemble: each has its own worst case.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["chi2_weights", "cvar_weights", "kl_weights"]

KL_RANGE = 1e8
"""Largest factor between the exponent of the KL ball and its lower bound."""
BISECTIONS, NEWTON_STEPS = 11, 3


@torch.no_grad()
def cvar_weights(losses: Tensor, share: float, base: Tensor | None = None) -> Tensor:
    """Return the weights whose mean is that of the worst `share` of the rows.

    The conditional value at risk of a batch (Levy et al., NeurIPS 2020, arXiv:2010.05893):
    ``max_q sum q_i l_i`` over ``0 <= q_i <= p_i / share``. The row at the boundary counts in part,
    so that it holds for every share.

    Parameters
    ----------
    losses : Tensor, shape (..., n)
        ``l``, one per row.
    share : float
        In (0, 1]; 1 is the mean.
    base : Tensor, shape (..., n), optional
        Non-negative sample weights, to which ``p`` is proportional; equal if None.

    Returns
    -------
    Tensor, shape (..., n)
        ``q``, not negative, of sum 1. The gradient of ``sum q_i l_i`` with ``q`` held is that of
        the worst case (Danskin's theorem).
    """
    p = _distribution(losses, base)
    order = losses.argsort(dim=-1, descending=True)
    p = p.gather(-1, order)
    left = (share - p.cumsum(-1) + p).clamp_min(0)  # for this row and those after it
    return torch.empty_like(p).scatter_(-1, order, torch.minimum(p, left) / share)


@torch.no_grad()
def chi2_weights(losses: Tensor, radius: float, base: Tensor | None = None) -> Tensor:
    """Return the worst weights in a chi-square ball.

    ``max_q sum q_i l_i`` over distributions with ``sum (q_i - p_i)^2 / p_i <= radius`` (Namkoong
    and Duchi, NeurIPS 2017; Levy et al., NeurIPS 2020, whose radius is half of this). The solution
    is ``q_i ~ p_i max(l_i - eta, 0)``; with the k largest losses above ``eta``, of probability P,
    mean m and variance v, the bound says ``(m - eta)^2 = v / ((1 + radius) P - 1)``.

    Parameters
    ----------
    losses, base
        As in `cvar_weights`.
    radius : float
        At least 0; 0 is the mean. From ``1 / P - 1`` on, P being the probability of the largest
        loss, that row alone counts.

    Returns
    -------
    Tensor, shape (..., n)
        ``q``, as `cvar_weights` returns it.
    """
    p = _distribution(losses, base)
    if radius == 0:
        return p
    losses = _on_support(losses, p)
    ranked, order = losses.sort(dim=-1, descending=True)
    ranked = ranked - ranked[..., :1]  # small numbers where it matters: the worst rows
    mass = p.gather(-1, order)
    total = mass.cumsum(-1).clamp_min(_tiny(p))
    mean = (mass * ranked).cumsum(-1) / total
    variance = ((mass * ranked**2).cumsum(-1) / total - mean**2).clamp_min(0)
    # the first k for which eta = l_(k+1) would be too far down: eta is between it and l_k
    gap = mean[..., :-1] - ranked[..., 1:]
    stretch = (1.0 + radius) * total
    inside = (gap > 0) & (variance[..., :-1] + gap**2 <= stretch[..., :-1] * gap**2)
    inside = torch.cat([inside, torch.ones_like(p[..., :1], dtype=torch.bool)], dim=-1)
    k = inside.to(torch.int8).argmax(dim=-1, keepdim=True)
    room = (stretch.gather(-1, k) - 1.0).clamp_min(_tiny(p))
    eta = mean.gather(-1, k) - (variance.gather(-1, k) / room).sqrt()
    excess = p * (losses - losses.amax(dim=-1, keepdim=True) - eta).clamp_min(0)
    q = excess / excess.sum(dim=-1, keepdim=True).clamp_min(_tiny(p))
    alone, worst = _worst_rows(losses, p)
    return torch.where(worst * (1.0 + radius) >= 1.0, alone, q)


@torch.no_grad()
def kl_weights(losses: Tensor, radius: float, base: Tensor | None = None) -> Tensor:
    """Return the worst weights in a Kullback-Leibler ball.

    ``max_q sum q_i l_i`` over distributions with ``sum q_i log(q_i / p_i) <= radius`` (Hu and
    Hong, Optimization Online 2013): ``q_i ~ p_i exp(b l_i)`` with the ``b`` that meets the bound,
    found by bisection of its logarithm and a few Newton steps.

    Parameters
    ----------
    losses, base
        As in `cvar_weights`.
    radius : float
        In nats, at least 0; 0 is the mean. From ``-log P`` on, P being the probability of the
        largest loss, that row alone counts.

    Returns
    -------
    Tensor, shape (..., n)
        ``q``, as `cvar_weights` returns it.
    """
    p = _distribution(losses, base)
    if radius == 0:
        return p
    losses = _on_support(losses, p)
    log_p = p.log()
    below = losses - losses.amax(dim=-1, keepdim=True)
    # the divergence is at most (b * range)^2 / 8 (Hoeffding)
    low = math.sqrt(8.0 * radius) / -below.amin(dim=-1, keepdim=True).clamp_max(-_tiny(p))
    log_b, step = low.log(), 0.5 * math.log(KL_RANGE)
    for _ in range(BISECTIONS):
        divergence = _tilt(log_b + step, below, log_p)[1]
        log_b = torch.where(divergence <= radius, log_b + step, log_b)
        step *= 0.5
    for _ in range(NEWTON_STEPS):
        _, divergence, slope = _tilt(log_b, below, log_p)
        log_b = log_b + ((radius - divergence) / slope.clamp_min(_tiny(p))).clamp(-step, 2 * step)
    q = _tilt(log_b, below, log_p)[0]
    alone, worst = _worst_rows(losses, p)
    return torch.where(-worst.log() <= radius, alone, q)


def _tilt(log_b: Tensor, below: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``q ~ p exp(b l)``, its divergence from p and the slope of that in ``log b``."""
    tilt = log_b.exp() * below
    scores = tilt + log_p
    q = scores.softmax(dim=-1)
    mean = (q * tilt).sum(dim=-1, keepdim=True)
    slope = (q * (tilt - mean) ** 2).sum(dim=-1, keepdim=True)
    return q, mean - scores.logsumexp(dim=-1, keepdim=True), slope


def _distribution(losses: Tensor, base: Tensor | None) -> Tensor:
    if base is None:
        return torch.full_like(losses, 1.0 / losses.shape[-1])
    return base / base.sum(dim=-1, keepdim=True).clamp_min(_tiny(base))


def _on_support(losses: Tensor, p: Tensor) -> Tensor:
    """Return the losses, those of rows that do not count made the smallest."""
    return torch.where(p > 0, losses, losses.amin(dim=-1, keepdim=True))


def _worst_rows(losses: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``p`` on the rows with the largest loss, of sum 1, and their probability."""
    kept = torch.where(losses == losses.amax(dim=-1, keepdim=True), p, 0.0)
    total = kept.sum(dim=-1, keepdim=True)
    return kept / total.clamp_min(_tiny(p)), total


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
