"""Training for the worst mean loss in a chi-square or Kullback-Leibler ball around a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.objectives.robust import distribution
from xtalshift.nn.rows import TrainingData
from xtalshift.nn.settings import ERMConfig

Ball = Literal["chi2", "kl"]

RADII: dict[str, float] = {"chi2": 0.1, "kl": 0.03}
"""The radius of each ball where none is given."""
KL_RANGE = 1e8
"""Largest factor between the exponent of the KL ball and its lower bound."""
BISECTIONS, NEWTON_STEPS = 11, 3


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
    p = distribution(losses, base)
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
    p = distribution(losses, base)
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


class DivergenceBallConfig(ERMConfig):
    """Settings of training in a ball; those of `ERMConfig` mean what they mean there."""

    objective: Ball = "chi2"
    """Kind of ball (`chi2_weights`, `kl_weights`)."""
    strength: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Its radius. Default: see `RADII`."""


class DivergenceBallTraining(ERMTraining):
    """Minimise the worst mean loss in a ball, otherwise as `ERMTraining` does."""

    config: DivergenceBallConfig

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        """Return the worst mean loss of some rows, shape ()."""
        config, batch = self.config, self.rows.take(indices)
        losses = self.criterion.rows(self.model(batch.x, self.generator), batch.labels)
        radius = RADII[config.objective] if config.strength is None else config.strength
        find = chi2_weights if config.objective == "chi2" else kl_weights
        return (find(losses, radius, batch.weights) * losses).sum()


@dataclass(eq=False, repr=False, kw_only=True)
class DivergenceBallRegressor(IRNetRegressor):
    """IRNet trained for the worst mean loss in a ball around each batch.

    Parameters
    ----------
    objective : {"chi2", "kl"}, default "chi2"
        Kind of ball.
    strength : float, optional
        Its radius, see `DivergenceBallConfig`.
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    n_members, bootstrap, weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`.
    """

    architecture: str | Sequence[int] = "auto"
    objective: Ball = field(default="chi2", kw_only=False)
    strength: float | None = field(default=None, kw_only=False)

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> DivergenceBallTraining:
        config = self._values_of(DivergenceBallConfig)
        criterion = self.criterion_of(data.train)
        training = DivergenceBallTraining(model, data.train, config, criterion=criterion, **how)
        training.name = self.objective
        return training
