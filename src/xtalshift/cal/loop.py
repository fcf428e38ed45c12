"""The CAL training loop: warm-up, ranking, alternating ERM and CAL steps, selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xtalshift.cal.config import CALConfig
from xtalshift.cal.sampling import select_hardest
from xtalshift.cal.state import CALState, init
from xtalshift.cal.step import StepReport, step
from xtalshift.cal.weights import close_epoch
from xtalshift.nn import Rows, Selection, TrainingData, TrainResult, copy_parameters, update_ema
from xtalshift.nn.batches import iterate_batches
from xtalshift.nn.train import check_finite, erm_step, validation_error
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["train_cal"]


def train_cal(
    model: nn.Module,
    data: TrainingData,
    config: CALConfig,
    generator: torch.Generator,
    *,
    progress: Progress = NO_PROGRESS,
    name: str = "CAL",
) -> TrainResult:
    """Train by Crystal Adversarial Learning (arXiv:2408.09297).

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place; called as ``model(x, generator)``.
    data : TrainingData
        Rows on the device of `model`.
    config : CALConfig
        Settings.
    generator : torch.Generator
        On the device of `model`; draws batches, environments and dropout.
    progress : Progress
        Told after each epoch.
    name : str
        What the progress line is called.

    Returns
    -------
    TrainResult
        ``"best"`` is chosen among the epochs that attacked: parameters of the warm-up are plain
        training, not CAL. The history holds the size of the attack per epoch, so that one that
        does nothing shows.

    Raises
    ------
    TrainingError
        If the loss is not finite; the message names epoch and part.
    """
    rows = data.train
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    state = init(rows.x.shape[1], config, like=rows.x)
    selection = Selection(config.patience)
    ema = copy_parameters(model)
    history: list[dict[str, Any]] = []
    order = torch.empty(0, dtype=torch.int64)
    with progress.task(name, config.epochs) as task:
        for epoch in range(config.epochs):
            attacking = epoch >= config.warmup_epochs
            order = _choose_rows(model, rows, config, epoch, order, generator)
            dropout = generator if epoch < config.dropout_epochs else None
            total = torch.zeros((), dtype=rows.y.dtype, device=rows.y.device)
            reports: list[StepReport] = []
            for indices in iterate_batches(order, config.batch_size):
                batch = rows.take(indices)
                total += erm_step(model, batch, optimizer, dropout) * len(batch)
                if attacking:
                    state, report = step(model, batch, state, config, epoch, generator)
                    reports.append(report)
            if attacking:
                state = close_epoch(state)
            if epoch <= config.ema_start:
                ema = copy_parameters(model)
            else:
                update_ema(ema, model, config.ema_decay)
            part = "cal" if attacking else "warm-up"
            train_loss = check_finite(float(total) / len(order), epoch, part)
            error = validation_error(model, data.validation)
            if attacking or config.epochs <= config.warmup_epochs:
                selection.update(epoch, error, model)
            record = {"epoch": epoch, "phase": part, "train_loss": train_loss, "val_mae": error}
            history.append({**record, **_summarise(reports, state)})
            task.advance(train_loss=train_loss, val_mae_in_sd=error)
            if attacking and selection.should_stop(epoch):
                break
    return selection.result(model, ema, history)


def _choose_rows(
    model: nn.Module,
    rows: Rows,
    config: CALConfig,
    epoch: int,
    previous: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return the rows of this epoch in the order of training."""
    since_warmup = epoch - config.warmup_epochs
    if since_warmup < 0:
        return torch.randperm(len(rows), generator=generator, device=rows.y.device)
    if since_warmup % config.resample_every == 0:
        return select_hardest(model, rows, config.partial_batches * config.batch_size)
    return previous


def _summarise(reports: list[StepReport], state: CALState) -> dict[str, float]:
    if not reports:
        return {}
    gains, rms, largest = (torch.stack(values) for values in zip(*reports, strict=True))
    return {
        "attack_loss_gain": float(gains.mean()),
        "displacement_rms": float(rms.square().mean().sqrt()),
        "displacement_max": float(largest.max()),
        "weight_min": float(state.weights.min()),
        "weight_max": float(state.weights.max()),
        "weights_frozen": int(state.frozen.sum()),
        "gamma": state.gamma,
    }
