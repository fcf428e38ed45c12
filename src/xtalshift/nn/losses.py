"""What a training minimises, and the error by which it selects: of numbers, bounds or classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from xtalshift.nn.rows import Rows, row_losses, weighted_mean

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""Takes the outputs of a model and the labels of rows (`Rows.labels`: targets, shape (..., n), or
bounds, (..., n, 3)); returns the loss of each row, (..., n)."""


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


def log_probability(lower: Tensor, upper: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return the logarithm of the probability that normal values lie between bounds.

    Parameters
    ----------
    lower, upper : Tensor, shape (...)
        Bounds, `lower` below `upper`; one of them may be infinite.
    mean, std : Tensor, shape (...)
        Of the normal laws.

    Returns
    -------
    Tensor, shape (...)
        Finite, with finite derivatives of all orders, also far from the bounds.
    """
    below, above = lower.isneginf(), upper.isposinf()
    # an infinite number would give NaN as the derivative of what is not chosen
    low, high = torch.where(below, upper, lower), torch.where(above, lower, upper)
    a, b = (low - mean) / std, (high - mean) / std
    one_side = _log_ndtr(torch.where(above, -a, b))
    # the tail of the normal law is exact on the negative side only
    flipped = a + b > 0
    a, b = torch.where(flipped, -b, a), torch.where(flipped, -a, b)
    top, ranges = _log_ndtr(b), ~(below | above)
    ratio = torch.where(ranges, _log_ndtr(a) - top, -torch.ones_like(top))
    return torch.where(ranges, top + (-ratio.expm1()).log(), one_side)


def _log_ndtr(x: Tensor) -> Tensor:
    """Return the logarithm of the normal law; that of PyTorch has a wrong slope far on the left."""
    left = x < -1
    tail = torch.where(left, x, -torch.ones_like(x))
    far = (torch.special.erfcx(-tail / math.sqrt(2.0)) / 2).log() - tail.square() / 2
    return torch.where(left, far, torch.special.log_ndtr(torch.where(left, torch.zeros_like(x), x)))


def tobit_losses(outputs: Tensor, bounds: Tensor) -> Tensor:
    """Return the Tobit loss of each row (Tobin, Econometrica 26, 24, 1958).

    It is ``s^2`` times minus the logarithm of the likelihood of a censored normal law, but for a
    constant: ``(f - y)^2 / 2`` of a value y, ``-s^2 ln(Phi((b - f)/s) - Phi((a - f)/s))`` of a
    target that lies between a and b. So it has the unit of a squared error, and for small errors is
    equal to the smooth L1 loss of values.

    ============ ====================== ==========
    symbol       variable               shape
    ============ ====================== ==========
    f            outputs                (..., n)
    a, b         bounds[..., 0], [..., 1]  (..., n)
    s            bounds[..., 2]         (..., n)
    ============ ====================== ==========

    Parameters
    ----------
    outputs : Tensor, shape (n,), or (members, n) for an ensemble
        Standardised predictions.
    bounds : Tensor, shape (n, 3) or (members, n, 3)
        See `xtalshift.nn.rows.Rows`.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if (*outputs.shape, 3) != tuple(bounds.shape):
        raise ValueError(
            f"outputs {tuple(outputs.shape)}, bounds {tuple(bounds.shape)}: expected a last axis "
            "of 3 more"
        )
    lower, upper, spread = bounds.unbind(dim=-1)
    known = lower == upper
    value = torch.where(known, lower, torch.zeros_like(lower))
    open_ = torch.where(known, torch.full_like(lower, -torch.inf), lower)
    sides = log_probability(open_, upper, outputs, spread)
    return torch.where(known, (outputs - value).square() / 2, -spread.square() * sides)


def _constant_tobit(rows: Rows) -> Tensor:
    mean = weighted_mean(rows.y, rows.weights).unsqueeze(-1).expand_as(rows.y)
    return weighted_mean(tobit_losses(mean, rows.labels), None).sum()


TOBIT = Loss(tobit_losses, tobit_losses, "val_tobit", "val_tobit", _constant_tobit)
"""That of numbers of which some are bounds, in standard deviations. It selects too: errors of known
values are smallest for a model that holds the others for similar."""
