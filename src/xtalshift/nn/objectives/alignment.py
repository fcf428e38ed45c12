"""Training that makes the representations of source and target rows similar."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.losses import SMOOTH_L1, Loss
from xtalshift.nn.rows import Rows, draw_batches, iterate_batches, mean_loss
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import EpochRecord, LossLog, cosine_rate, descend, update_ema

Alignment = Literal["coral", "mmd"]

STRENGTHS: dict[str, float] = {"coral": 10.0, "mmd": 1.0}
"""Default strength of each alignment."""

KERNELS = 5
"""Number of Gaussian kernels of the MMD; squared widths: 4, 2, 1, 1/2, 1/4 times the median."""


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """Return how much the covariances of two samples differ.

    ``||C_S - C_T||_F^2 / (4 d^2)`` (Deep CORAL, eq. 1 to 3 of Sun and Saenko, ECCV Workshops 2016,
    arXiv:1607.01719).

    Parameters
    ----------
    source, target : Tensor, shapes (..., n, d) and (..., m, d)
        Representations; leading axes are the members of an ensemble.

    Returns
    -------
    Tensor, shape (...)
        0 if a sample has only one row and therefore no covariance.
    """
    if min(source.shape[-2], target.shape[-2]) < 2:  # noqa: PLR2004
        return source.new_zeros(source.shape[:-2])
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum(dim=(-2, -1)) / (4.0 * source.shape[-1] ** 2)


def _covariance(values: Tensor) -> Tensor:
    centred = values - values.mean(dim=-2, keepdim=True)
    return centred.mT @ centred / (values.shape[-2] - 1)


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples.

    The biased estimate, which is never negative (eq. 5 of Gretton et al., JMLR 13, 723, 2012):
    ``mean k(s, s') + mean k(t, t') - 2 mean k(s, t)`` over all pairs, including a row with itself.
    The kernel is the mean of five Gaussians ``exp(-r^2 / (2 h))``; ``h`` is 4, 2, 1, 1/2 and 1/4
    times the median of ``r^2`` over the pairs of different rows of both samples (the lower median,
    constant in the gradient), so the value does not depend on the scale.

    Parameters
    ----------
    source, target : Tensor, shapes (..., n, d) and (..., m, d)
        Representations; leading axes are the members of an ensemble.

    Returns
    -------
    Tensor, shape (...)
        In [0, 2].
    """
    n, m = source.shape[-2], target.shape[-2]
    rows = torch.cat([source, target], dim=-2)
    rows = rows - rows.mean(dim=-2, keepdim=True)  # else products of large numbers cancel
    squares = rows.square().sum(dim=-1)
    product = rows @ rows.mT
    distances = (squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2.0 * product).clamp_min(0)
    first, second = torch.triu_indices(n + m, n + m, 1, device=rows.device)
    with torch.no_grad():
        median = distances[..., first, second].median(dim=-1).values
        median = median.clamp_min(torch.finfo(rows.dtype).tiny)[..., None, None]
    # a Gaussian with half the squared width is the square of the wider one
    kernel = torch.exp(distances / (-8.0 * median))
    total = kernel
    for _ in range(KERNELS - 1):
        kernel = kernel * kernel
        total = total + kernel
    total = total / KERNELS
    within = total[..., :n, :n].mean(dim=(-2, -1)) + total[..., n:, n:].mean(dim=(-2, -1))
    return within - 2.0 * total[..., :n, n:].mean(dim=(-2, -1))


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"coral": coral_loss, "mmd": mmd_loss}


class AlignedConfig(ERMConfig):
    """Settings of training with alignment, in addition to those of `ERMConfig`."""

    alignment: Alignment = "coral"
    """Alignment of second moments (`coral_loss`) or of whole distributions (`mmd_loss`)."""
    strength: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Factor of that loss. Default: see `STRENGTHS`."""

    @property
    def number(self) -> float:
        """The strength, or the default one of the alignment."""
        return STRENGTHS[self.alignment] if self.strength is None else self.strength


class AlignedTraining(ERMTraining):
    """Minimise the mean loss plus a distance between the representations of two domains.

    Every step takes one batch of source rows and one of target rows, both with dropout.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place; its ``embed`` returns the input of its ``head``.
    rows, generator, sample, criterion
        As in `ERMTraining`.
    target : Rows
        Rows of the target domain; only their features are used.
    config : AlignedConfig
        Settings.
    """

    config: AlignedConfig

    def __init__(
        self,
        model: nn.Module,
        rows: Rows,
        target: Rows,
        config: AlignedConfig,
        generator: torch.Generator,
        *,
        sample: Tensor | None = None,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        super().__init__(model, rows, config, generator, sample=sample, criterion=criterion)
        self.name = config.alignment
        self.target = target
        self.bf16 = bool(getattr(model, "bf16", False))

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Take one step per batch of the shuffled source rows."""
        config, rows, members = self.config, self.rows, self.members
        count = math.ceil(len(rows) / config.batch_size)
        log = LossLog(self.loss_limit)
        sources = iterate_batches(self.shuffled(), config.batch_size)
        targets = draw_batches(self.target, config.batch_size, count, members, self.generator)
        for number, (indices, target) in enumerate(zip(sources, targets, strict=True)):
            step = epoch * count + number
            self.set_rate(cosine_rate(config.learning_rate, step, config.epochs * count))
            loss, distance = self._losses(rows.take(indices), target)
            descend(loss + config.number * distance, self.optimizer)
            update_ema(self.ema, self.model, config.ema_decay)
            log.add("ERM", loss, indices.shape[-1])
            log.add(config.alignment, distance, indices.shape[-1])
        means = log.close(epoch, members or 1)
        return {"train_loss": means["ERM"], "alignment": means[config.alignment]}

    def _losses(self, source: Rows, target: Rows) -> tuple[Tensor, Tensor]:
        """Return the mean loss of source rows and the distance to target rows, shapes ()."""
        model: Any = self.model
        n = len(source)
        with torch.autocast(source.x.device.type, torch.bfloat16, enabled=self.bf16):
            seen = model.embed(torch.cat([source.x, target.x], dim=-2), self.generator)
            predictions = model.head(seen[..., :n, :])
        if getattr(model, "outputs", None) is None:
            predictions = predictions.squeeze(-1)
        seen = seen.to(source.x.dtype)
        found = predictions.to(source.y.dtype)
        loss = mean_loss(found, source.labels, source.weights, self.criterion.rows)
        return loss, _LOSSES[self.config.alignment](seen[..., :n, :], seen[..., n:, :]).sum()
