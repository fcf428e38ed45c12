"""Plain training (ERM), and what every training loop shares: selection, history, safety."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from xtalshift.config import Settings
from xtalshift.errors import TrainingError
from xtalshift.nn.batches import Rows, TrainingData, iterate_batches
from xtalshift.nn.ema import Parameters, copy_parameters, update_ema
from xtalshift.nn.losses import mean_loss
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["ERMConfig", "Selection", "TrainResult", "predict_rows", "train_erm"]

PREDICT_ROWS = 16_384


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


@dataclass
class TrainResult:
    """What training leaves behind.

    Attributes
    ----------
    states : dict of dict of Tensor
        Parameters ``"best"`` (lowest validation error), ``"last"`` and ``"ema"``.
    best_epoch : int
        Epoch of ``"best"``, from 0.
    history : list of dict
        One record per epoch with plain numbers.
    """

    states: dict[str, Parameters]
    best_epoch: int
    history: list[dict[str, Any]]


@dataclass
class Selection:
    """Keeps the best parameters by validation error, and says when to stop."""

    patience: int
    best_error: float = math.inf
    best_epoch: int = -1
    best: Parameters = field(default_factory=dict)

    def update(self, epoch: int, error: float, model: nn.Module) -> None:
        """Note the validation error of `epoch`; keep a copy of the parameters if it is the best."""
        if error < self.best_error:
            self.best_error, self.best_epoch, self.best = error, epoch, copy_parameters(model)

    def should_stop(self, epoch: int) -> bool:
        """Return whether `patience` epochs have passed since the best one."""
        return epoch - self.best_epoch >= self.patience

    def result(
        self, model: nn.Module, ema: Parameters, history: list[dict[str, Any]]
    ) -> TrainResult:
        """Return the result of a training that ends with `model`."""
        states = {"best": self.best, "last": copy_parameters(model), "ema": ema}
        return TrainResult(states, self.best_epoch, history)


def train_erm(
    model: nn.Module,
    data: TrainingData,
    config: ERMConfig,
    generator: torch.Generator,
    *,
    progress: Progress = NO_PROGRESS,
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
    progress : Progress
        Told after each epoch.
    name : str
        What the progress line is called.

    Returns
    -------
    TrainResult

    Raises
    ------
    TrainingError
        If the loss is not finite; the message names epoch and batch.
    """
    rows = data.train
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    steps = config.epochs * math.ceil(len(rows) / config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    ema = copy_parameters(model)
    selection = Selection(config.patience)
    history: list[dict[str, Any]] = []
    with progress.task(name, config.epochs) as task:
        for epoch in range(config.epochs):
            order = torch.randperm(len(rows), generator=generator, device=rows.y.device)
            total = torch.zeros((), device=rows.y.device)
            for indices in iterate_batches(order, config.batch_size):
                loss = erm_step(model, rows.take(indices), optimizer, generator)
                schedule.step()
                update_ema(ema, model, config.ema_decay)
                total += loss * len(indices)
            train_loss = check_finite(float(total) / len(rows), epoch, "ERM")
            error = validation_error(model, data.validation)
            selection.update(epoch, error, model)
            history.append({"epoch": epoch, "train_loss": train_loss, "val_mae": error})
            task.advance(train_loss=train_loss, val_mae_in_sd=error)
            if selection.should_stop(epoch):
                break
    return selection.result(model, ema, history)


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


def check_finite(value: float, epoch: int, part: str) -> float:
    """Return `value`, or raise `TrainingError` naming epoch and part if it is not finite."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} in epoch {epoch} ({part}); "
            "use a smaller learning_rate, or check the targets for outliers"
        )
    return value


@torch.no_grad()
def predict_rows(model: nn.Module, x: Tensor) -> Tensor:
    """Return predictions without dropout in pieces of bounded memory, shape (n,)."""
    return torch.cat([model(piece) for piece in torch.split(x, PREDICT_ROWS)])


def validation_error(model: nn.Module, rows: Rows) -> float:
    """Return the (weighted) mean absolute error in standard deviations of the target."""
    error = (predict_rows(model, rows.x) - rows.y).abs()
    if rows.weights is None:
        return float(error.mean())
    return float(torch.dot(error, rows.weights) / rows.weights.sum().clamp_min(1e-12))
