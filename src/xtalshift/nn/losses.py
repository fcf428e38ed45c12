"""Losses per row."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["mean_loss", "row_losses", "weighted_mean"]


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


def mean_loss(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the (weighted) mean of `row_losses`, a scalar tensor.

    For an ensemble it is the sum of the members' means: each member's parameters then get the
    gradient of its own mean.

    Parameters
    ----------
    predictions, targets : Tensor, shape (n,) or (members, n)
        As in `row_losses`.
    weights : Tensor, same shape, optional
        Non-negative sample weights.
    """
    return weighted_mean(row_losses(predictions, targets), weights).sum()
