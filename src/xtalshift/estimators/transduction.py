"""Bilinear transduction: predict from a training row and the difference to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.scaled import ScaledRegressor, check_count
from xtalshift.nn import Parameters, Rows, Training, erm_step, run_training, update_ema
from xtalshift.nn.device import resolve_device
from xtalshift.nn.training import LossLog, cosine_rate
from xtalshift.seeding import Seed

__all__ = ["Anchors", "BilinearNetwork", "BilinearTransductionRegressor"]

EMA_DECAY = 0.99
VALIDATION_ROWS = 512
"""So many validation rows choose the epoch; each takes as many predictions as it has anchors."""
TIE = 1e-6
"""Squared distances per feature that differ by less are equal: rounding shall not choose."""


class BilinearNetwork(nn.Module):
    """``y(x) = mean over anchors a of f(x - a) . g(a)``, with two multilayer perceptrons.

    Parameters
    ----------
    n_features : int
        Features d of a row.
    widths : sequence of int
        Hidden layers of `f` and of `g`.
    embedding : int
        Length k of what `f` and `g` return.
    generator : torch.Generator
        On the CPU; draws the initial parameters, uniform in +-1/sqrt(fan in).
    """

    def __init__(
        self, n_features: int, widths: Sequence[int], embedding: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.n_features = n_features
        sizes = [n_features, *widths, embedding]
        self.difference = _layers(sizes, generator)
        self.anchor = _layers(sizes, generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Return predictions.

        Parameters
        ----------
        x : Tensor, shape (n, (1 + m) * d)
            Each row followed by its m anchors.
        generator : torch.Generator, optional
            Not used; all networks are called alike.

        Returns
        -------
        Tensor, shape (n,)
        """
        parts = x.view(len(x), -1, self.n_features)
        row, anchors = parts[:, :1], parts[:, 1:]
        products = self.difference(row - anchors) * self.anchor(anchors)
        return products.sum(dim=-1).mean(dim=-1)


def _layers(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, width in itertools.pairwise(sizes):
        # skip_init: the usual start would draw from the global generator
        layer = nn.utils.skip_init(nn.Linear, fan_in, width)
        bound = 1.0 / math.sqrt(fan_in)
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Anchors:
    """Training rows that predictions may start from, and differences seen in training.

    Attributes
    ----------
    rows : ndarray of float64, shape (c, d)
        The candidates.
    differences : ndarray of float64, shape (s, d)
        Differences of random pairs of training rows.
    """

    rows: NDArray[np.float64]
    differences: NDArray[np.float64]

    @classmethod
    def draw(
        cls, X: NDArray[np.float64], candidates: int, differences: int, rng: np.random.Generator
    ) -> Anchors:
        """Draw candidates without, and pairs with replacement from the rows `X`, shape (n, d)."""
        chosen = np.sort(rng.choice(len(X), min(candidates, len(X)), replace=False))
        ends = rng.integers(len(X), size=(2, differences))
        return cls(X[chosen], X[ends[0]] - X[ends[1]])

    def nearest(self, X: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """Return the candidates whose difference to each row is most like one seen in training.

        The squared distance of ``x - a`` to a difference ``s`` is
        ``|x - a|^2 + |s|^2 - 2 x.s + 2 a.s``: but for the sums of candidates and differences, made
        once, each row takes c s operations whatever the number of features.

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Standardised rows.
        count : int
            Candidates per row, m <= c.

        Returns
        -------
        ndarray of int64, shape (n, m)
            Numbers of candidates, the nearest first; equal ones in their order.
        """
        rows, seen = self.rows, self.differences
        pairs = 2.0 * rows @ seen.T + np.square(seen).sum(axis=1)
        own = np.square(X[:, None] - rows).sum(axis=2) if len(X) == 0 else _squared(X, rows)
        toward = 2.0 * X @ seen.T
        found = np.empty((len(X), count), dtype=np.int64)
        unit = TIE * X.shape[1]
        for i in range(len(X)):
            squared = own[i] + (pairs - toward[i]).min(axis=1)
            found[i] = np.argsort(np.rint(squared / unit), kind="stable")[:count]
        return found
