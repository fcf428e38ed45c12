"""Plain training (ERM)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xtalshift.nn.irnet import copy_parameters, select_parameters
from xtalshift.nn.losses import SMOOTH_L1, Loss, RowLoss
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import Rows, iterate_batches, mean_loss, row_losses
from xtalshift.nn.settings import ERMConfig, Layers
from xtalshift.nn.training import (
    EpochRecord,
    LossLog,
    Training,
    cosine_rate,
    descend,
    update_ema,
)


class ERMTraining(Training):
    """Minimise the mean loss over the training rows.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place.
    rows : Rows
        Training rows.
    config : ERMConfig
        Settings.
    generator : torch.Generator
        Draws batches and dropout.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap sample of each member of an ensemble.
    layers : {"all", "first", "last"}
        Layers that are trained; the others do not change.
    l2_sp : float, default 0
        Factor of ``sum (theta - theta_0)^2 / 2``, the pull toward the initial parameters (Li,
        Grandvalet and Davoine, arXiv:1802.01483, without their term for new layers).
    criterion : Loss
        What is minimised.
    """

    name = "ERM"
    config: ERMConfig

    def __init__(
        self,
        model: nn.Module,
        rows: Rows,
        config: ERMConfig,
        generator: torch.Generator,
        *,
        sample: Tensor | None = None,
        layers: Layers = "all",
        l2_sp: float = 0.0,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        parameters = select_parameters(model, layers).values()
        optimizer = make_adamw(parameters, config.learning_rate, config.weight_decay)
        super().__init__(model, optimizer, rows, generator, sample=sample, criterion=criterion)
        self.config = config
        self.anchor = copy_parameters(model) if l2_sp else {}
        self.l2_sp = l2_sp

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Take one step per batch of the shuffled rows."""
        config = self.config
        per_epoch = math.ceil(len(self.rows) / config.batch_size)
        log = LossLog(self.loss_limit)
        for number, indices in enumerate(iterate_batches(self.shuffled(), config.batch_size)):
            step = epoch * per_epoch + number
            self.set_rate(cosine_rate(config.learning_rate, step, config.epochs * per_epoch))
            loss = descend(self.loss(indices, epoch), self.optimizer)
            self._pull()
            update_ema(self.ema, self.model, config.ema_decay)
            log.add(self.name, loss, indices.shape[-1])
        return {"train_loss": log.close(epoch, self.members or 1)[self.name]}

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        """Return the loss of some rows, shape ()."""
        batch = self.rows.take(indices)
        return mean_loss(
            self.model(batch.x, self.generator), batch.labels, batch.weights, self.criterion.rows
        )

    @torch.no_grad()
    def _pull(self) -> None:
        """Step toward the initial parameters, apart from the gradient (as AdamW decays weights)."""
        share = self.l2_sp * self.optimizer.param_groups[0]["lr"]
        for name, value in self.model.named_parameters():
            if name in self.anchor:
                value.lerp_(self.anchor[name], min(share, 1.0))


def erm_step(
    model: nn.Module,
    batch: Rows,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator | None,
    loss: RowLoss = row_losses,
) -> Tensor:
    """Take one optimiser step on the mean loss of `batch`; return that loss, detached."""
    found = mean_loss(model(batch.x, generator), batch.labels, batch.weights, loss)
    return descend(found, optimizer)
