"""Partial sampling: train on the rows with the largest loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xtalshift.nn import Rows, predict_rows, row_losses

__all__ = ["select_hardest"]


def select_hardest(
    model: nn.Module, rows: Rows, count: int, sample: Tensor | None = None
) -> Tensor:
    """Return the numbers of the `count` rows with the largest loss, hardest first.

    Parameters
    ----------
    model : torch.nn.Module
        Evaluated without dropout.
    rows : Rows
        All source rows; none is lost, whatever their number.
    count : int
        Rows wanted; all are returned if there are fewer.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap of each member of an ensemble; rows are chosen from it.

    Returns
    -------
    Tensor of int64, shape (min(count, n),); of an ensemble (members, min(count, n))
    """
    predictions = predict_rows(model, rows.x)
    losses = row_losses(predictions, rows.y.expand_as(predictions))
    if rows.weights is not None:
        losses = losses * rows.weights
    if sample is not None:
        losses = losses.gather(-1, sample)
    order = torch.argsort(losses, dim=-1, descending=True, stable=True)[..., :count]
    return order if sample is None else sample.gather(-1, order)
