"""Training on source and target rows together."""

from __future__ import annotations

import torch
from torch import nn

from xtalshift.nn.losses import SMOOTH_L1, Loss
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import Rows, draw_batches, mean_loss
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import (
    EpochRecord,
    LossLog,
    Training,
    cosine_rate,
    descend,
    update_ema,
)


class JointTraining(Training):
    """Minimise a weighted sum of the mean losses over source and target rows.

    Every step takes one batch of each. An epoch is a fixed number of steps, since target rows are
    few.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place.
    source, target : Rows
        Labelled rows.
    config : ERMConfig
        Settings; ``batch_size`` counts the rows of each kind.
    generator : torch.Generator
        Draws batches and dropout.
    target_share : float
        Weight of the target loss; the source loss has the rest.
    steps : int
        Steps per epoch.
    criterion : Loss
        What is minimised.
    """

    name = "joint"
    config: ERMConfig

    def __init__(
        self,
        model: nn.Module,
        source: Rows,
        target: Rows,
        config: ERMConfig,
        generator: torch.Generator,
        *,
        target_share: float,
        steps: int,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        optimizer = make_adamw(model.parameters(), config.learning_rate, config.weight_decay)
        super().__init__(model, optimizer, source, generator, criterion=criterion)
        self.target = target
        self.config = config
        self.target_share = target_share
        self.steps = steps

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Take the steps of one epoch."""
        config = self.config
        log = LossLog(self.loss_limit)
        batches = [
            draw_batches(rows, config.batch_size, self.steps, self.members, self.generator)
            for rows in (self.rows, self.target)
        ]
        for number, (source, target) in enumerate(zip(*batches, strict=True)):
            step = epoch * self.steps + number
            self.set_rate(cosine_rate(config.learning_rate, step, config.epochs * self.steps))
            losses = [
                mean_loss(
                    self.model(rows.x, self.generator),
                    rows.labels,
                    rows.weights,
                    self.criterion.rows,
                )
                for rows in (source, target)
            ]
            loss = (1.0 - self.target_share) * losses[0] + self.target_share * losses[1]
            descend(loss, self.optimizer)
            update_ema(self.ema, self.model, config.ema_decay)
            log.add("joint", loss, len(target))
        return {"train_loss": log.close(epoch, self.members or 1)["joint"]}
