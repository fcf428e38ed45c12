"""Train an encoder of compositions on several tables at once.

Each table is a task with masked targets: a material counts for the tables that have it. A table
gives two targets, on two scales, so that the encoder serves properties of either kind. The last
layer of the encoder is bounded by tanh, and linear heads predict the targets from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from xtalshift.errors import TrainingError
from xtalshift.nn.irnet import Affine
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import draw_order, iterate_batches
from xtalshift.nn.settings import PretrainSettings
from xtalshift.nn.training import cosine_rate, descend
from xtalshift.progress import NO_PROGRESS, Progress

FloatArray = NDArray[np.float64]

FARTHEST = 10.0
"""Targets are clipped at this many mean deviations from the median."""
SIZE_QUANTILE = 0.1


@dataclass(frozen=True, eq=False)
class PretrainedNetwork:
    """The parameters of an encoder, and how well it predicts formulas that it has not seen."""

    parameters: dict[str, NDArray[np.float16]]
    """``first.weight``, ``first.bias``, ``second.weight`` ... ``output.bias``."""
    errors: FloatArray
    """Shape (t,). Mean absolute error of each target on held-out rows, divided by that of 0, which
    is the median; NaN where none are held out."""


class EncoderNetwork(nn.Module):
    """Three layers: ReLU, ReLU, tanh; then a linear head for each target.

    Parameters
    ----------
    n_inputs, n_targets : int
        Numbers of inputs and of targets.
    settings : PretrainSettings
        Widths of the layers.
    generator : torch.Generator
        Draws the initial parameters.
    """

    def __init__(
        self, n_inputs: int, n_targets: int, settings: PretrainSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        first, second = settings.widths
        self.first = Affine(n_inputs, first, generator)
        self.second = Affine(first, second, generator)
        self.output = Affine(second, settings.size, generator)
        self.heads = Affine(settings.size, n_targets, generator)

    def encode(self, x: Tensor) -> Tensor:
        """Return the features of standardised inputs, shape (n, size)."""
        return torch.tanh(self.output(torch.relu(self.second(torch.relu(self.first(x))))))

    def forward(self, x: Tensor) -> Tensor:
        """Return the predicted targets, shape (n, t)."""
        return self.heads(self.encode(x))  # type: ignore[no-any-return]


def scale_targets(y: FloatArray, train: NDArray[np.bool_]) -> FloatArray:
    """Return a property on two scales: in mean deviations from the median, itself and its asinh.

    The second scale is ``asinh(y / s)`` with s the 10 % quantile of the sizes of the targets, which
    is logarithmic for nearly all of them and harmless for zeros and negative ones.

    Parameters
    ----------
    y : ndarray of float64, shape (n,)
        Targets; NaN where there is none.
    train : ndarray of bool, shape (n,)
        Rows that define the scales.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        From -10 to 10; NaN where there is none.
    """
    known = train & np.isfinite(y)
    sizes = np.abs(y[known & (y != 0)])
    size = float(np.quantile(sizes, SIZE_QUANTILE)) if len(sizes) else 1.0
    columns = []
    for values in (y, np.arcsinh(y / size)):
        told = values[known]
        median = np.median(told)
        deviation = np.abs(told - median).mean() or 1.0
        columns.append(np.clip((values - median) / deviation, -FARTHEST, FARTHEST))
    return np.stack(columns, axis=1)


def masked_loss(predictions: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the smooth L1 errors.

    Parameters
    ----------
    predictions, targets, weights : Tensor, shape (n, t)
        The weight of a target that is not known is 0.

    Returns
    -------
    Tensor, shape ()
        0 if nothing is known.
    """
    errors = F.smooth_l1_loss(predictions, targets, reduction="none")
    return (errors * weights).sum() / weights.sum().clamp_min(1e-12)


def pretrain(
    X: NDArray[np.float32],
    Z: FloatArray,
    held_out: NDArray[np.bool_],
    settings: PretrainSettings,
    *,
    seed: int,
    progress: Progress = NO_PROGRESS,
) -> PretrainedNetwork:
    """Train an encoder.

    The loss is the smooth L1 error of all known targets; a target that few rows have weighs more,
    by the root of the ratio of the numbers of rows.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Standardised inputs.
    Z : ndarray of float64, shape (n, t)
        Targets on their scales, NaN where there is none. Each has a row that is not held out.
    held_out : ndarray of bool, shape (n,)
        Rows that only measure the error.
    settings : PretrainSettings
        Widths and training.
    seed : int
        Seed of initial parameters and batches.
    progress : Progress
        Receives the epochs.

    Returns
    -------
    PretrainedNetwork

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    network = EncoderNetwork(X.shape[1], Z.shape[1], settings, generator)
    inputs = torch.from_numpy(X)
    known = torch.from_numpy(np.isfinite(Z))
    targets = torch.from_numpy(np.nan_to_num(Z).astype(np.float32))
    rows = torch.from_numpy(np.flatnonzero(~held_out))
    counts = known[rows].sum(dim=0).float()
    weights = known * torch.sqrt(counts.max() / counts)
    optimizer = make_adamw(network.parameters(), settings.learning_rate, settings.weight_decay)
    per_epoch = math.ceil(len(rows) / settings.batch_size)
    step, total = 0, settings.epochs * per_epoch
    with progress.task("pretraining", settings.epochs) as task:
        for epoch in range(settings.epochs):
            losses = []
            order = rows[draw_order(len(rows), None, generator)]
            for batch in iterate_batches(order, settings.batch_size):
                for group in optimizer.param_groups:
                    group["lr"] = cosine_rate(settings.learning_rate, step, total)
                step += 1
                loss = masked_loss(network(inputs[batch]), targets[batch], weights[batch])
                losses.append(descend(loss, optimizer))
            mean = float(torch.stack(losses).mean())
            if not math.isfinite(mean):
                raise TrainingError(
                    f"the loss of epoch {epoch + 1} is {mean}; use a smaller learning_rate"
                )
            task.advance(loss=mean)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.half())  # the errors are those of what is saved
    return PretrainedNetwork(
        {
            name: value.detach().half().numpy()
            for name, value in network.named_parameters()
            if not name.startswith("heads.")
        },
        _errors(network, inputs, targets, known, torch.from_numpy(held_out)),
    )


@torch.no_grad()
def _errors(
    network: EncoderNetwork, inputs: Tensor, targets: Tensor, known: Tensor, rows: Tensor
) -> FloatArray:
    """Return the errors of the held-out rows as `PretrainedNetwork` has them."""
    known, targets = known[rows], targets[rows]
    deviations = (network(inputs[rows]) - targets).abs() * known
    found = deviations.sum(dim=0) / (targets.abs() * known).sum(dim=0)  # 0 / 0 = NaN
    return np.asarray(found.numpy(), dtype=np.float64)
