"""Rows that live on the device, and the order in which training sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Rows", "TrainingData", "iterate_batches"]


@dataclass(frozen=True)
class Rows:
    """Labelled rows on one device.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        Standardised features.
    y : Tensor, shape (n,)
        Standardised targets.
    weights : Tensor, shape (n,), or None
        Sample weights.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Tensor) -> Rows:
        """Return the rows `indices`, shape (k,)."""
        weights = None if self.weights is None else self.weights[indices]
        return Rows(self.x[indices], self.y[indices], weights)


@dataclass(frozen=True)
class TrainingData:
    """What a training loop may see: training rows, and validation rows for model selection."""

    train: Rows
    validation: Rows


def iterate_batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield consecutive pieces of `order`; the last one may be smaller, and no row is lost.

    Parameters
    ----------
    order : Tensor of int64, shape (n,)
        Row numbers in the order of training.
    batch_size : int
        Rows per batch.

    Yields
    ------
    Tensor of int64, shape (<= batch_size,)
    """
    yield from torch.split(order, batch_size)
