"""Plain training (ERM)."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from xtalshift.config import Settings
from xtalshift.nn.batches import Rows, TrainingData, iterate_batches
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.ema import copy_parameters, update_ema
from xtalshift.nn.irnet import Layers, select_parameters
from xtalshift.nn.losses import mean_loss
from xtalshift.nn.training import (
    LossLog,
    Training,
    TrainResult,
    cosine_rate,
    run_training,
)
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["ERMConfig", "ERMTraining", "erm_step", "train_erm"]


class ERMConfig(Settings):
    """Settings of plain training.

    Attributes
    ----------
    epochs : int
        Largest number of passes over the training rows.
    patience : int
        Stop after this many epochs without a better validation error.
    batch_size : int
        Rows per step.
    learning_rate, weight_decay : float
        Of AdamW; the learning rate falls to 0 along half a cosine over `epochs`.
    ema_decay : float
        Per step.
    """

    epochs: int = Field(default=80, ge=1)
    patience: int = Field(default=80, ge=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)


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
        Bootstrap of each member of an ensemble.
    layers : {"all", "first", "last"}
        What is trained; the rest stays as it is.
    l2_sp : float, default 0
        Factor of ``sum (theta - theta_0)^2 / 2``, the pull toward the parameters at the start (Li,
        Grandvalet and Davoine, arXiv:1802.01483, without their term for new layers).
    """

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
    ) -> None:
        parameters = list(select_parameters(model, layers).values())
        decay = config.weight_decay
        optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=decay, fused=True
        )
        super().__init__(model, optimizer, rows, generator, sample=sample)
        self.config = config
        self.anchor = copy_parameters(model) if l2_sp else {}
        self.l2_sp = l2_sp

    def run_epoch(self, epoch: int) -> dict[str, Any]:
        """Take one step per batch of the shuffled rows."""
        config, rows = self.config, self.rows
        per_epoch = math.ceil(len(rows) / config.batch_size)
        log = LossLog(self.loss_limit)
        for number, indices in enumerate(iterate_batches(self.shuffled(), config.batch_size)):
            step = epoch * per_epoch + number
            self.set_rate(cosine_rate(config.learning_rate, step, config.epochs * per_epoch))
            loss = self.step(rows.take(indices))
            self._pull()
            update_ema(self.ema, self.model, config.ema_decay)
            log.add("ERM", loss, indices.shape[-1])
        return {"train_loss": log.close(epoch, self.members or 1)["ERM"]}

    def step(self, batch: Rows) -> Tensor:
        """Take one optimiser step on `batch`; return its loss, detached."""
        return erm_step(self.model, batch, self.optimizer, self.generator)

    @torch.no_grad()
    def _pull(self) -> None:
        """Step toward the parameters of the start, apart from the gradient as AdamW's decay is."""
        share = self.l2_sp * self.optimizer.param_groups[0]["lr"]
        for name, value in self.model.named_parameters():
            if name in self.anchor:
                value.lerp_(self.anchor[name], min(share, 1.0))


def train_erm(
    model: nn.Module,
    data: TrainingData,
    config: ERMConfig,
    generator: torch.Generator,
    *,
    sample: Tensor | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Checkpoint | None = None,
    name: str = "ERM",
) -> TrainResult:
    """Minimise the mean loss over the training rows.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place; called as ``model(x, generator)``.
    data : TrainingData
        Rows on the device of `model`.
    config : ERMConfig
        Settings.
    generator : torch.Generator
        On the device of `model`; draws batches and dropout.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap of each member of an ensemble.
    progress : Progress
        Told after each epoch.
    checkpoint : Checkpoint, optional
        Where a killed training goes on.
    name : str
        What the progress line is called.

    Returns
    -------
    TrainResult

    Raises
    ------
    TrainingError
        If the loss diverges twice; the message names epoch and batch.
    """
    return run_training(
        ERMTraining(model, data.train, config, generator, sample=sample),
        data.validation,
        epochs=config.epochs,
        patience=config.patience,
        name=name,
        progress=progress,
        checkpoint=checkpoint,
    )


def erm_step(
    model: nn.Module,
    batch: Rows,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator | None,
) -> Tensor:
    """Take one optimiser step on the mean loss of `batch`; return that loss, detached."""
    loss = mean_loss(model(batch.x, generator), batch.y, batch.weights)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()
