"""A network that predicts the mean and the standard deviation of each target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import Affine, IRNet
from xtalshift.nn.losses import tobit_losses
from xtalshift.nn.rows import weighted_mean

BETA = 0.5
"""0 is the plain likelihood, which neglects rows it fits badly; 1 resembles the squared error."""

LEAST_STD = 1e-3
"""Smallest standard deviation (standardised); without it the likelihood has no upper bound."""


class GaussianIRNet(IRNet):
    """An `IRNet` with a second head for the standard deviation; `forward` returns the mean.

    Parameters
    ----------
    n_features, widths, dropout, generator
        As in `IRNet`.
    """

    def __init__(
        self,
        n_features: int,
        widths: Sequence[int],
        dropout: float,
        generator: torch.Generator | Sequence[torch.Generator],
    ) -> None:
        super().__init__(n_features, widths, dropout, generator)
        self.scatter = Affine(widths[-1], 1, generator)

    def mean_and_std(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of standardised targets, each shaped as in `forward`.

        Parameters
        ----------
        x, generator
            As in `IRNet.forward`.
        """
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            h = self.embed(x, generator)
            mean, raw = self.head(h).squeeze(-1), self.scatter(h).squeeze(-1)
        return mean.to(x.dtype), F.softplus(raw.to(x.dtype)) + LEAST_STD


def beta_nll(mean: Tensor, std: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the beta-weighted negative Gaussian log-likelihood (Seitzer et al., ICLR 2022, eq. 5).

    ``std^(2 beta) (log std + (y - mean)^2 / (2 std^2))``; the first factor has no gradient, so that
    rows with a large standard deviation are not neglected in the fit of the mean. A target that is
    only known to lie between bounds has ``-log P`` in the place of the second, with the probability
    P of this.

    Parameters
    ----------
    mean, std : Tensor, shape (n,) or (members, n)
        Standardised.
    labels : Tensor, of the same shape, or with a last axis of 3 more
        Targets, or what is known of them, see `xtalshift.nn.rows.Rows.labels`.
    weights : Tensor, same shape, optional
        Sample weights.

    Returns
    -------
    Tensor
        A scalar; for an ensemble the sum over members.
    """
    if labels.ndim == mean.ndim:
        likelihood = torch.log(std) + (labels - mean).square() / (2 * std.square())
    else:  # the losses of bounds are in units of a squared spread, here that of each row
        lower, upper, _ = labels.unbind(dim=-1)
        loss = tobit_losses(mean, torch.stack([lower, upper, std], dim=-1)) / std.square()
        likelihood = torch.where(lower == upper, torch.log(std), torch.zeros_like(std)) + loss
    return weighted_mean(std.detach() ** (2 * BETA) * likelihood, weights).sum()


class HeteroscedasticTraining(ERMTraining):
    """`ERMTraining` with `beta_nll` instead of the loss of its criterion, which selects."""

    name = "heteroscedastic"

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        """Return the loss of some rows, shape ()."""
        assert isinstance(self.model, GaussianIRNet)
        batch = self.rows.take(indices)
        mean, std = self.model.mean_and_std(batch.x, self.generator)
        return beta_nll(mean, std, batch.labels, batch.weights)
