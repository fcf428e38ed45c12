"""Risks of environments, and objectives that compare them.

A leading axis counts the members of an ensemble.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def environment_risks(
    losses: Tensor, environments: Tensor, count: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the (weighted) mean loss of each environment, and which of them have rows.

    Parameters
    ----------
    losses : Tensor, shape (..., n)
        Loss of each row.
    environments : Tensor of int64, shape (..., n)
        Environment of each row, in [0, count).
    count : int
        Number of environments.
    weights : Tensor, shape (..., n), optional
        Non-negative sample weights.

    Returns
    -------
    risks : Tensor, shape (..., count)
        Mean losses; 0 where there are no rows.
    present : Tensor of bool, shape (..., count)
        Whether there are rows.
    """
    # a product instead of a sum by index, which a GPU adds in a different order each time
    member = F.one_hot(environments, count).to(losses.dtype)
    shares = torch.ones_like(losses) if weights is None else weights
    mass = (shares.unsqueeze(-2) @ member).squeeze(-2)
    total = ((shares * losses).unsqueeze(-2) @ member).squeeze(-2)
    return total / mass.clamp_min(torch.finfo(losses.dtype).tiny), mass > 0


@dataclass(frozen=True)
class GroupWeights:
    """Weights of environments that grow with their losses.

    Group DRO, algorithm 1 of Sagawa et al., ICLR 2020 (arXiv:1911.08731):
    ``q_g <- q_g exp(step * l_g) / sum``, an ascent of ``sum q_g l_g``.
    """

    log: Tensor
    """Shape (..., groups). Logarithm of ``q``, which sums to 1."""

    @classmethod
    def uniform(cls, count: int, members: int | None, like: Tensor) -> Self:
        """Return equal weights with the type and device of `like`."""
        shape = (count,) if members is None else (members, count)
        return cls(like.new_full(shape, -math.log(count)))

    @property
    def values(self) -> Tensor:
        """``q``, shape (..., groups)."""
        return self.log.exp()

    @torch.no_grad()
    def update(self, risks: Tensor, present: Tensor, step: float) -> GroupWeights:
        """Return the weights after a step; a group without rows counts as a loss of 0."""
        return GroupWeights((self.log + step * risks * present).log_softmax(dim=-1))


def vrex_loss(risks: Tensor, present: Tensor, factor: float) -> Tensor:
    """Return the mean of the environments' risks plus `factor` times their variance, shape (...).

    V-REx (Krueger et al., ICML 2021, arXiv:2003.00688) with the mean of the risks instead of their
    sum, so that the effect of `factor` does not depend on the number of environments.

    Parameters
    ----------
    risks, present
        As `environment_risks` returns them; those without rows do not count.
    factor : float
        ``beta``.
    """
    count = present.sum(dim=-1).clamp_min(1)
    mean = (risks * present).sum(dim=-1) / count
    variance = ((risks - mean.unsqueeze(-1)) ** 2 * present).sum(dim=-1) / count
    return mean + factor * variance


def draw_balanced(environments: Tensor, generator: torch.Generator) -> Tensor:
    """Return n row numbers, drawn so that all environments are equally likely.

    Parameters
    ----------
    environments : Tensor of int64, shape (..., n)
        Environment of each row, in [0, number of environments).
    generator : torch.Generator
        On the same device.

    Returns
    -------
    Tensor of int64, shape (..., n)
        Drawn with replacement; within an environment all rows are equally likely.
    """
    ones = torch.ones_like(environments, dtype=torch.float32)
    size = (*environments.shape[:-1], int(environments.max()) + 1)
    counts = ones.new_zeros(size).scatter_add_(-1, environments, ones)
    probabilities = 1.0 / counts.gather(-1, environments)
    n = environments.shape[-1]
    return torch.multinomial(probabilities, n, replacement=True, generator=generator)
