"""Losses per row."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["mean_loss", "row_losses"]


def row_losses(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the smooth L1 loss of each row (quadratic below 1, linear above).

    Parameters
    ----------
    predictions, targets : Tensor, shape (n,)
        Standardised targets and their predictions.

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    ValueError
        If the shapes differ: (n,) against (n, 1) would silently broadcast to (n, n).
    """
    if predictions.shape != targets.shape or targets.ndim != 1:
        raise ValueError(
            f"predictions {tuple(predictions.shape)}, targets {tuple(targets.shape)}: "
            "expected (n,) for both"
        )
    return F.smooth_l1_loss(predictions, targets, reduction="none")


def mean_loss(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the (weighted) mean of `row_losses`, a scalar tensor.

    Parameters
    ----------
    predictions, targets : Tensor, shape (n,)
        As in `row_losses`.
    weights : Tensor, shape (n,), optional
        Non-negative sample weights; the mean is over their sum.
    """
    losses = row_losses(predictions, targets)
    if weights is None:
        return losses.mean()
    return torch.dot(losses, weights) / weights.sum().clamp_min(1e-12)
