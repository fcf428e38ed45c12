"""What a training minimises, and the error by which it selects: of numbers or of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from xtalshift.nn.rows import Rows, row_losses, weighted_mean

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""Takes the outputs of a model and the targets, shape (..., n); returns the loss of each row."""


@dataclass(frozen=True)
class Loss:
    """The loss of rows and the error of rows, as functions of outputs and targets."""

    rows: RowLoss
    """What the steps of a training minimise."""
    errors: RowLoss
    """Whose mean on validation rows selects the parameters."""
    metric: str
    """Name of that mean in records."""
    shown: str
    """Name of it in messages."""
    constant: Callable[[Rows], Tensor]
    """Mean loss of the best constant outputs, which tells when a loss has exploded."""


def _constant_mean(rows: Rows) -> Tensor:
    mean = weighted_mean(rows.y, rows.weights).unsqueeze(-1).expand_as(rows.y)
    return weighted_mean(row_losses(mean, rows.y), None).sum()


SMOOTH_L1 = Loss(
    row_losses,
    lambda outputs, targets: (outputs - targets).abs(),
    "val_mae",
    "val_mae_in_sd",
    _constant_mean,
)
"""That of numbers, in standard deviations."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return minus the logarithm of the probability of the class of each row.

    Parameters
    ----------
    logits : Tensor, shape (n, k), or (members, n, k) for an ensemble
        Logarithms of the probabilities, up to a constant per row.
    targets : Tensor, shape (n,) or (members, n)
        Numbers of the classes, from 0, in any type.

    Returns
    -------
    Tensor, shape of the targets

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)}: expected a last axis "
            "of classes more"
        )
    picked: Tensor = logits.log_softmax(dim=-1).gather(-1, targets.long().unsqueeze(-1))
    return -picked.squeeze(-1)


def _entropy(rows: Rows) -> Tensor:
    """Return the entropy of the shares of the classes."""
    codes = rows.y.long().flatten()
    weights = torch.ones_like(rows.y) if rows.weights is None else rows.weights
    shares = F.one_hot(codes).to(rows.y.dtype).T @ weights.flatten()
    shares = shares / shares.sum().clamp_min(1e-12)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy


CROSS_ENTROPY = Loss(cross_entropy, cross_entropy, "val_log_loss", "val_log_loss", _entropy)
"""That of classes."""
