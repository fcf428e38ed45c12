"""Labelled rows on a device: batches, order in training, losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if TYPE_CHECKING:
    from xtalshift.nn.crystal_rows import CrystalRows
    from xtalshift.nn.padded_compositions import Slots


@dataclass(frozen=True)
class Rows:
    """Labelled rows on one device.

    Attributes
    ----------
    x : Tensor, shape (..., n, d)
        Standardised features; a leading axis counts the members of an ensemble.
    y : Tensor, shape (..., n)
        Standardised targets.
    weights : Tensor, shape (..., n), or None
        Sample weights.
    environments : Tensor of int64, shape (..., n), or None
        Environment of each row, numbered from 0.
    compositions : Slots of n rows, or None
        Compositions that the features were computed from.
    crystals : CrystalRows of n rows, or None
        Crystals that the features were computed from.
    bounds : Tensor, shape (..., n, 3), or None
        What is known of targets of which some are bounds: the lower and the upper one (equal for a
        value, one may be infinite), and the standard deviation of values around a prediction.

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
    crystals: CrystalRows | None = None
    bounds: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """What losses compare outputs with: the targets, or what is known of them."""
        return self.y if self.bounds is None else self.bounds

    def __post_init__(self) -> None:
        for name in ("y", "weights", "environments"):
            value = getattr(self, name)
            if value is not None and value.shape != self.x.shape[:-1]:
                raise ValueError(
                    f"x {tuple(self.x.shape)}, {name} {tuple(value.shape)}: "
                    f"expected {tuple(self.x.shape[:-1])}"
                )
        if self.bounds is not None and self.bounds.shape != (*self.x.shape[:-1], 3):
            raise ValueError(
                f"x {tuple(self.x.shape)}, bounds {tuple(self.bounds.shape)}: "
                f"expected {(*self.x.shape[:-1], 3)}"
            )

    def __len__(self) -> int:
        return self.y.shape[-1]

    def take(self, indices: Tensor) -> Self:
        """Return the rows `indices`, shape (..., k), with a leading axis for an ensemble."""
        return type(self)(*(_take(getattr(self, item.name), indices) for item in fields(self)))


def _take(value: Any, indices: Tensor) -> Any:
    if value is None:
        return None
    return value[indices] if isinstance(value, Tensor) else value.take(indices)


@dataclass(frozen=True)
class TrainingData:
    """The rows that a training loop may see."""

    train: Rows
    """Source rows."""
    validation: Rows
    """Rows for model selection."""
    target: Rows | None = None
    """Target labels of targeted training."""


def iterate_batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield consecutive pieces of `order` without losing a row; the last piece may be smaller.

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


def draw_order(n: int, members: int | None, generator: torch.Generator) -> Tensor:
    """Return a random order of n rows, shape (n,), or one per member, shape (members, n)."""
    device = generator.device
    if members is None:
        return torch.randperm(n, generator=generator, device=device)
    orders = [torch.randperm(n, generator=generator, device=device) for _ in range(members)]
    return torch.stack(orders)


def draw_batches(
    rows: Rows, batch_size: int, count: int, members: int | None, generator: torch.Generator
) -> list[Rows]:
    """Return `count` random batches in which the counts of any two rows differ by at most one.

    Parameters
    ----------
    rows : Rows
        n rows; a batch has at most n.
    batch_size, count : int
        Number of rows per batch; number of batches.
    members : int, optional
        Size of an ensemble, each with its own order.
    generator : torch.Generator
        On the device of the rows.
    """
    size = min(batch_size, len(rows))
    passes = range(math.ceil(count * size / len(rows)))
    orders = [draw_order(len(rows), members, generator) for _ in passes]
    order = torch.cat(orders, dim=-1)[..., : count * size]
    return [rows.take(part) for part in iterate_batches(order, size)]


def row_losses(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the smooth L1 loss of each row (quadratic below 1, linear above).

    Parameters
    ----------
    predictions, targets : Tensor, shape (n,), or (members, n) for an ensemble
        Standardised targets and their predictions.

    Returns
    -------
    Tensor, of the same shape

    Raises
    ------
    ValueError
        If the shapes differ: (n,) against (n, 1) would silently broadcast to (n, n).
    """
    if predictions.shape != targets.shape or targets.ndim not in {1, 2}:
        raise ValueError(
            f"predictions {tuple(predictions.shape)}, targets {tuple(targets.shape)}: "
            "expected (n,) for both"
        )
    return F.smooth_l1_loss(predictions, targets, reduction="none")


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over rows.

    Parameters
    ----------
    values : Tensor, shape (..., n)
        One number per row.
    weights : Tensor, shape (..., n), optional
        Non-negative sample weights; the mean is over their sum.

    Returns
    -------
    Tensor, shape (...)
    """
    if weights is None:
        return values.mean(dim=-1)
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp_min(1e-12)


def mean_loss(
    predictions: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = row_losses,
) -> Tensor:
    """Return the (weighted) mean of the losses of rows, a scalar tensor.

    For an ensemble it is the sum of the members' means, so that the parameters of each member get
    the gradient of its own mean.

    Parameters
    ----------
    predictions, targets : Tensor, shape (n,) or (members, n)
        As in `row_losses`, or as `loss` takes them.
    weights : Tensor, same shape, optional
        Non-negative sample weights.
    loss : callable
        The loss of each row, see `xtalshift.nn.losses.RowLoss`.
    """
    return weighted_mean(loss(predictions, targets), weights).sum()
