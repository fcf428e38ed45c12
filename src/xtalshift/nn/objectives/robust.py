"""Training for a worst case, for several environments, or on mixed rows."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from xtalshift.errors import ConfigError
from xtalshift.nn.checkpoint import State
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import Parameters
from xtalshift.nn.losses import SMOOTH_L1, Loss
from xtalshift.nn.objectives.environments import (
    GroupWeights,
    draw_balanced,
    environment_risks,
    vrex_loss,
)
from xtalshift.nn.objectives.mixup import draw_beta, draw_partners, mix_rows
from xtalshift.nn.rows import Rows, mean_loss
from xtalshift.nn.settings import ERMConfig

Objective = Literal["cvar", "group-dro", "v-rex", "c-mixup"]

STRENGTHS: dict[str, float] = {
    "cvar": 0.5,
    "group-dro": 0.01,
    "v-rex": 1.0,
    "c-mixup": 0.3,
}
"""Default strength of each objective."""

GROUPED = frozenset({"group-dro", "v-rex"})
"""Objectives that need the environment of each row."""

PENALTY_FROM = 0.1
"""V-REx: share of the epochs that have no penalty yet."""
POOL = 1024
"""C-Mixup: largest number of rows, besides the batch, among which a partner is drawn."""
MIX_SHAPE = 2
"""C-Mixup: the shares are drawn from Beta(2, 2)."""


class RobustConfig(ERMConfig):
    """Settings of robust training, in addition to those of `ERMConfig`."""

    objective: Objective = "cvar"
    """- ``cvar``: mean loss of the worst rows of a batch (`cvar_weights`); - ``group-dro``: loss of
    the worst environment (`GroupWeights`); - ``v-rex``: mean over the environments plus the
    variance between them (`vrex_loss`), the variance only after the first tenth of the epochs; -
    ``c-mixup``: mean loss over mixtures of rows with similar targets (`draw_partners`)."""
    strength: float | None = None
    """The share of the rows (``cvar``), the step of the weights (``group-dro``), the factor of the
    variance (``v-rex``) or the width in standard deviations of the target (``c-mixup``). Default:
    see `STRENGTHS`."""

    @property
    def number(self) -> float:
        """The strength, or the default one of the objective."""
        return STRENGTHS[self.objective] if self.strength is None else self.strength

    @model_validator(mode="after")
    def _check_strength(self) -> Self:
        value, name = self.number, self.objective
        if name == "cvar" and not 0 < value <= 1:
            raise ConfigError(f"strength = {value}, the share of 'cvar'; expected it in (0, 1]")
        if name == "c-mixup" and not 0 < value < math.inf:
            raise ConfigError(f"strength = {value}, the width of 'c-mixup'; expected it above 0")
        if not 0 <= value < math.inf:
            raise ConfigError(f"strength = {value} of {name!r}; expected at least 0")
        return self


class RobustTraining(ERMTraining):
    """Minimise one of the objectives of `RobustConfig`, otherwise like `ERMTraining`.

    Parameters
    ----------
    model, generator, sample, criterion
        As in `ERMTraining`; mixtures of rows are for numbers.
    rows : Rows
        Training rows, with environments if the objective needs them. Batches then have, on average,
        the same number of rows of each environment.
    config : RobustConfig
        Settings.

    Raises
    ------
    ConfigError
        If environments are missing.
    """

    config: RobustConfig

    def __init__(
        self,
        model: nn.Module,
        rows: Rows,
        config: RobustConfig,
        generator: torch.Generator,
        *,
        sample: Tensor | None = None,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        super().__init__(model, rows, config, generator, sample=sample, criterion=criterion)
        self.name = name = config.objective
        if name in GROUPED and rows.environments is None:
            raise ConfigError(f"objective = {name!r} needs the environment of each row")
        if name == "c-mixup" and rows.bounds is not None:
            raise ConfigError("objective = 'c-mixup' mixes targets, and bounds cannot be mixed")
        self.environments = rows.environments if name in GROUPED else None
        self.n_environments = 1
        if self.environments is not None:
            self.n_environments = int(self.environments.max()) + 1
        self.groups = GroupWeights.uniform(self.n_environments, self.members, rows.y)
        self.penalty_from = int(PENALTY_FROM * config.epochs) if name == "v-rex" else 0

    def shuffled(self) -> Tensor:
        """Return row numbers in a random order, balanced by environment if there are any."""
        if self.environments is None:
            return super().shuffled()
        if self.members is None:
            return draw_balanced(self.environments, self.generator)
        everyone = torch.arange(len(self.rows), device=self.environments.device)
        sample = everyone.expand(self.members, -1) if self.sample is None else self.sample
        return sample.gather(-1, draw_balanced(self.environments[sample], self.generator))

    def loss(self, indices: Tensor, epoch: int) -> Tensor:
        """Return the objective of some rows, shape (); group DRO also updates its weights."""
        config, batch = self.config, self.rows.take(indices)
        if config.objective == "c-mixup":
            batch = self._mix(batch, indices)
            return mean_loss(self.model(batch.x, self.generator), batch.y, batch.weights)
        losses = self.criterion.rows(self.model(batch.x, self.generator), batch.labels)
        if self.environments is None:
            return (cvar_weights(losses, config.number, batch.weights) * losses).sum()
        risks, present = environment_risks(
            losses, self.environments[indices], self.n_environments, batch.weights
        )
        if config.objective == "v-rex":
            factor = config.number if epoch >= self.penalty_from else 0.0
            return vrex_loss(risks, present, factor).sum()
        self.groups = self.groups.update(risks, present, config.number)
        return (self.groups.values * risks).sum()

    def _mix(self, batch: Rows, indices: Tensor) -> Rows:
        """Return mixtures of the rows of a batch with partners of similar targets."""
        rows, places = self.rows, self._candidates(indices)
        weights = None if rows.weights is None else rows.weights[places]
        found = draw_partners(batch.y, rows.y[places], self.config.number, self.generator, weights)
        partners = places[found] if places.ndim == 1 else places.gather(-1, found)
        share = draw_beta(MIX_SHAPE, batch.y.shape, batch.y, self.generator)
        return mix_rows(batch, rows.take(partners), share)

    def _candidates(self, indices: Tensor) -> Tensor:
        """Return row numbers of possible partners, shape (k,) or (members, k)."""
        n = len(self.rows)
        if n <= POOL:
            return torch.arange(n, device=indices.device) if self.sample is None else self.sample
        drawn = torch.randint(n, (POOL,), device=indices.device, generator=self.generator)
        drawn = drawn if self.sample is None else self.sample[:, drawn]
        # a row is among its own candidates, so that one far from all others is not mixed with them
        return torch.cat([drawn.expand(*indices.shape[:-1], -1), indices], dim=-1)

    def may_select(self, epoch: int) -> bool:
        """Return whether the objective was complete in `epoch`."""
        return epoch >= self.penalty_from

    def extras(self) -> Parameters:
        """Return what group DRO learned: ``group_weights``, shape (..., environments)."""
        return {"group_weights": self.groups.values} if self.config.objective == "group-dro" else {}

    def get_state(self) -> State:
        """Return everything that the next epoch depends on (not copied)."""
        return {**super().get_state(), "groups": self.groups.log}

    def set_state(self, state: State) -> None:
        """Restore what `get_state` returned."""
        super().set_state(state)
        self.groups = GroupWeights(state["groups"])


@torch.no_grad()
def cvar_weights(losses: Tensor, share: float, base: Tensor | None = None) -> Tensor:
    """Return weights with which the weighted mean is that of the worst `share` of the rows.

    The conditional value at risk of a batch (Levy et al., NeurIPS 2020, arXiv:2010.05893):
    ``max_q sum q_i l_i`` over ``0 <= q_i <= p_i / share``. The row at the boundary counts in part,
    so that any share is possible.

    Parameters
    ----------
    losses : Tensor, shape (..., n)
        Losses ``l`` of the rows.
    share : float
        In (0, 1]; 1 is the mean.
    base : Tensor, shape (..., n), optional
        Non-negative sample weights, to which ``p`` is proportional; equal if None.

    Returns
    -------
    Tensor, shape (..., n)
        ``q``, not negative, with sum 1. The gradient of ``sum q_i l_i`` at constant ``q`` is that
        of the worst case (Danskin's theorem).
    """
    p = distribution(losses, base)
    order = losses.argsort(dim=-1, descending=True)
    p = p.gather(-1, order)
    left = (share - p.cumsum(-1) + p).clamp_min(0)  # for this row and those after it
    return torch.empty_like(p).scatter_(-1, order, torch.minimum(p, left) / share)


def distribution(losses: Tensor, base: Tensor | None) -> Tensor:
    """Return the weights of rows with sum 1, equal if `base` is None, shape (..., n)."""
    if base is None:
        return torch.full_like(losses, 1.0 / losses.shape[-1])
    return base / base.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(base.dtype).tiny)
