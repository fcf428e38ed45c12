"""A linear layer whose initial parameters come from a generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Affine(nn.Module):
    """``x W^T + b``, drawn uniformly in +-1/sqrt(fan_in) by the generator."""

    def __init__(self, fan_in: int, fan_out: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(fan_in)
        weight = torch.empty(fan_out, fan_in).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        bias = torch.empty(fan_out).uniform_(-bound, bound, generator=generator)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (..., fan_out)."""
        return F.linear(x, self.weight, self.bias)
