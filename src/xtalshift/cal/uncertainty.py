"""What the members of an ensemble say about the same rows: their mean, and how far they differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xtalshift.nn.rows import weighted_mean


def predict_all(model: nn.Module, x: Tensor) -> Tensor:
    """Return the prediction of every member for every row, without dropout.

    Parameters
    ----------
    model : torch.nn.Module
        Ensemble of K members, called as ``model(x)``.
    x : Tensor, shape (..., n, d)
        Rows; a leading axis, such as that of the members' batches, does not matter.

    Returns
    -------
    Tensor, shape (K, ..., n)
    """
    return model(x.reshape(-1, x.shape[-1])).unflatten(-1, x.shape[:-1])  # type: ignore[no-any-return]


def mean_prediction(model: nn.Module, x: Tensor) -> Tensor:
    """Return the mean of the members for every row, shape (..., n); arguments of `predict_all`."""
    with torch.no_grad():
        return predict_all(model, x).mean(dim=0)


def disagreement_gradient(
    model: nn.Module, x: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean over rows of the standard deviation of the members, and its gradient in x.

    ``s(x)^2 = sum_k (f_k(x) - mean_k f_k(x))^2 / (K - 1)``; where all members agree the gradient is
    taken as 0.

    ============ ====================== ===========
    symbol       variable               shape
    ============ ====================== ===========
    f_k(x)       predictions            (K, n)
    s(x)         spread                 (n,)
    ============ ====================== ===========

    Parameters
    ----------
    model : torch.nn.Module
        Ensemble of K members, called as ``model(x)``.
    x : Tensor, shape (n, d)
        Rows.
    weights : Tensor, shape (n,), optional
        Non-negative sample weights of the mean.

    Returns
    -------
    mean : Tensor, shape ()
    gradient : Tensor, shape (n, d)
    """
    leaf = x.detach().requires_grad_()
    predictions = predict_all(model, leaf)
    spread = predictions.std(dim=0)
    mean = weighted_mean(spread, weights)
    (gradient,) = torch.autograd.grad(mean, leaf)
    return mean.detach(), gradient
