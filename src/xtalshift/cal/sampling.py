"""Partial sampling: train on the rows with the largest loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xtalshift.nn import Rows, predict_rows, row_losses

__all__ = ["select_hardest"]


def select_hardest(model: nn.Module, rows: Rows, count: int) -> Tensor:
    """Return the numbers of the `count` rows with the largest loss, hardest first.

    Parameters
    ----------
    model : torch.nn.Module
        Evaluated without dropout.
    rows : Rows
        All source rows; none is lost, whatever their number.
    count : int
        Rows wanted; all are returned if there are fewer.

    Returns
    -------
    Tensor of int64, shape (min(count, n),)
    """
    losses = row_losses(predict_rows(model, rows.x), rows.y)
    if rows.weights is not None:
        losses = losses * rows.weights
    return torch.argsort(losses, descending=True, stable=True)[:count]
