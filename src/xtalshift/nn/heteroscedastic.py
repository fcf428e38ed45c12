"""A network that predicts the mean and the standard deviation of each target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import Affine, IRNet
from xtalshift.nn.rows import weighted_mean

BETA = 0.5
"""Between 0, the likelihood, which gives up on rows it fits badly, and 1, the squared error."""

LEAST_STD = 1e-3
"""Of standardised targets; without it the likelihood of repeated rows has no bound."""


class GaussianIRNet(IRNet):
    """An `IRNet` with a second head for the standard deviation; called, it returns the mean.

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
        """Return mean and standard deviation of standardised targets, shapes as of `forward`.

        Parameters
        ----------
        x, generator
            As in `IRNet.forward`.
        """
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            h = self.embed(x, generator)
            mean, raw = self.head(h).squeeze(-1), self.scatter(h).squeeze(-1)
        return mean.to(x.dtype), F.softplus(raw.to(x.dtype)) + LEAST_STD


def beta_nll(mean: Tensor, std: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the weighted Gaussian likelihood of Seitzer et al. (ICLR 2022, equation 5).

    ``std^(2 beta) (log std + (y - mean)^2 / (2 std^2))`` with a factor that has no gradient, so
    that rows with a large scatter count as much for the mean as in a squared error of root std.

    Parameters
    ----------
    mean, std, targets : Tensor, shape (n,) or (members, n)
        Standardised.
    weights : Tensor, same shape, optional
        Sample weights.

    Returns
    -------
    Tensor
        A scalar; of an ensemble the sum over members.
    """
    likelihood = torch.log(std) + (targets - mean).square() / (2 * std.square())
    return weighted_mean(std.detach() ** (2 * BETA) * likelihood, weights).sum()


class HeteroscedasticTraining(ERMTraining):
    """`ERMTraining` with `beta_nll` in place of the smooth L1 loss."""

    name = "heteroscedastic"

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        """Return the loss of some rows, shape ()."""
        assert isinstance(self.model, GaussianIRNet)
        batch = self.rows.take(indices)
        mean, std = self.model.mean_and_std(batch.x, self.generator)
        return beta_nll(mean, std, batch.y, batch.weights)
