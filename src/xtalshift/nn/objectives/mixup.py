"""Mixtures of rows with similar targets.

Source: C-Mixup, Yao et al., NeurIPS 2022 (arXiv:2210.05775).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xtalshift.nn.rows import Rows

FAR = 80.0
"""``exp(-80)`` is the smallest probability: subnormal numbers would be slow, and never drawn."""


@torch.no_grad()
def draw_partners(
    targets: Tensor,
    pool: Tensor,
    width: float,
    generator: torch.Generator,
    weights: Tensor | None = None,
) -> Tensor:
    """Return a random row of the pool for each target, preferably one with a similar target.

    As in C-Mixup, the probability is proportional to ``exp(-(y_i - y_j)^2 / (2 width^2))``.

    Parameters
    ----------
    targets : Tensor, shape (..., b)
        ``y_i``.
    pool : Tensor, shape (..., p)
        ``y_j``.
    width : float
        Above 0, in the unit of the targets.
    generator : torch.Generator
        On the device of the targets.
    weights : Tensor, shape (..., p), optional
        Non-negative sample weights, which multiply the probabilities.

    Returns
    -------
    Tensor of int64, shape (..., b)
        Row numbers in [0, p).
    """
    scores = (targets.unsqueeze(-1) - pool.unsqueeze(-2)).div_(width * math.sqrt(2.0)).square_()
    if weights is not None:
        scores = scores.masked_fill_(weights.unsqueeze(-2) == 0, math.inf)
    # relative to the nearest one; else a target far from all others would have no partner
    scores = scores.sub_(scores.amin(dim=-1, keepdim=True)).clamp_max_(FAR).neg_().exp_()
    if weights is not None:
        scores.mul_(weights.unsqueeze(-2))
    cumulative = scores.cumsum(dim=-1)
    draws = torch.rand(scores.shape[:-1], dtype=scores.dtype, device=scores.device,
                       generator=generator)  # fmt: skip
    level = draws.unsqueeze(-1) * cumulative[..., -1:]
    found = torch.searchsorted(cumulative, level, right=True).squeeze(-1)
    return found.clamp_max(pool.shape[-1] - 1)


def draw_beta(shape: int, size: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return draws of Beta(shape, shape), the median of ``2 shape - 1`` uniform numbers.

    Parameters
    ----------
    shape : int
        At least 1; 1 is uniform.
    size : torch.Size
        Size of the result.
    like : Tensor
        Tensor whose type and device are used.
    generator : torch.Generator
        On that device.
    """
    uniform = torch.rand((2 * shape - 1, *size), dtype=like.dtype, device=like.device,
                         generator=generator)  # fmt: skip
    return uniform.median(dim=0).values


def mix_rows(rows: Rows, partners: Rows, share: Tensor) -> Rows:
    """Return ``share * rows + (1 - share) * partners``, for features and targets.

    Parameters
    ----------
    rows, partners : Rows of n rows
        The sample weights of the result are those of `rows`.
    share : Tensor, shape (..., n)
        In [0, 1].
    """
    x = torch.lerp(partners.x, rows.x, share.unsqueeze(-1))
    return Rows(x, torch.lerp(partners.y, rows.y, share), rows.weights)
