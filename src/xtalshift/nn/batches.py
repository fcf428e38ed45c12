"""Rows that live on the device, and the order in which training sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

if TYPE_CHECKING:
    from xtalshift.nn.padded_compositions import Slots

__all__ = ["Rows", "TrainingData", "iterate_batches"]


@dataclass(frozen=True)
class Rows:
    """Labelled rows on one device.

    Attributes
    ----------
    x : Tensor, shape (..., n, d)
        Standardised features; leading axes are the members of an ensemble.
    y : Tensor, shape (..., n)
        Standardised targets.
    weights : Tensor, shape (..., n), or None
        Sample weights.
    environments : Tensor of int64, shape (..., n), or None
        Environment of each row, numbered from 0.
    compositions : Slots of n rows, or None
        What the features were computed from.

    Raises
    ------
    ValueError
        If the shapes differ: (n,) against (n, 1) would silently broadcast to (n, n).
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None = None
    environments: Tensor | None = None
    compositions: Slots | None = None

    def __post_init__(self) -> None:
        for name in ("y", "weights", "environments"):
            value = getattr(self, name)
            if value is not None and value.shape != self.x.shape[:-1]:
                raise ValueError(
                    f"x {tuple(self.x.shape)}, {name} {tuple(value.shape)}: "
                    f"expected {tuple(self.x.shape[:-1])}"
                )

    def __len__(self) -> int:
        return self.y.shape[-1]

    def take(self, indices: Tensor) -> Self:
        """Return the rows `indices`, shape (..., k); leading axes are members of an ensemble."""
        return type(self)(*(_take(getattr(self, item.name), indices) for item in fields(self)))


def _take(value: Any, indices: Tensor) -> Any:
    if value is None:
        return None
    return value[indices] if isinstance(value, Tensor) else value.take(indices)


@dataclass(frozen=True)
class TrainingData:
    """What a training loop may see.

    Attributes
    ----------
    train : Rows
        Source rows.
    validation : Rows
        For model selection.
    target : Rows, optional
        Target labels of targeted training.
    """

    train: Rows
    validation: Rows
    target: Rows | None = None


def iterate_batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield consecutive pieces of `order`; the last one may be smaller, and no row is lost.

    Parameters
    ----------
    order : Tensor of int64, shape (..., n)
        Row numbers in the order of training.
    batch_size : int
        Rows per batch.

    Yields
    ------
    Tensor of int64, shape (..., <= batch_size)
    """
    yield from torch.split(order, batch_size, dim=-1)
