"""CAL training: warm-up, ranking of rows, alternating ERM and CAL steps, selection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import attack
from xtalshift.cal.kept_attack import KeptStructureAttack
from xtalshift.cal.settings import CALConfig, Objective
from xtalshift.cal.step import Attack, StepReport, step
from xtalshift.cal.weights import CALState, close_epoch, init
from xtalshift.errors import DataError, TrainingError
from xtalshift.nn.checkpoint import State
from xtalshift.nn.erm import erm_step
from xtalshift.nn.irnet import Parameters, copy_parameters
from xtalshift.nn.losses import SMOOTH_L1, Loss, RowLoss
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import (
    Rows,
    TrainingData,
    draw_batches,
    draw_order,
    iterate_batches,
    row_losses,
)
from xtalshift.nn.training import (
    EpochRecord,
    LossLog,
    Training,
    cosine_rate,
    predict_rows,
    update_ema,
)

TARGET_STEPS = 10
"""Smallest number of CAL steps of an epoch with replay, however few target labels there are."""


class CALTraining(Training):
    """Crystal Adversarial Learning (arXiv:2408.09297); targeted if there are target labels.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place.
    data : TrainingData
        Source rows; CAL steps use the target rows if there are any, else the source rows that
        partial sampling keeps.
    config : CALConfig
        Settings.
    generator : torch.Generator
        Draws batches, environments and dropout.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap sample of each member of an ensemble.
    attacker : callable, optional
        The attack; by default that of the features.
    criterion : Loss
        What is minimised, by the attack maximised.

    Notes
    -----
    The best parameters are chosen among the epochs that attacked, because the warm-up is plain
    training. The record of each epoch gives the size of its attack, so an attack that does nothing
    can be seen.
    """

    name = "CAL"
    config: CALConfig

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        config: CALConfig,
        generator: torch.Generator,
        *,
        sample: Tensor | None = None,
        attacker: Attack | None = None,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        optimizer = make_adamw(model.parameters(), config.learning_rate, config.weight_decay)
        super().__init__(
            model, optimizer, data.train, generator, sample=sample, criterion=criterion
        )
        self.config = config
        self.target = data.target
        self.attacker = attacker or partial(attack, loss=criterion.rows)
        self.cal = init(self.rows.x.shape[-1], config, like=self.rows.x, members=self.members)
        first = torch.arange(config.hard_rows(len(self.rows)), device=self.rows.y.device)
        self.hard = first if self.members is None else first.expand(self.members, -1)

    def extras(self) -> Parameters:
        """Return the current transport cost."""
        return {"weights": self.cal.weights, "gamma": self.cal.gamma}

    def may_select(self, epoch: int) -> bool:
        """Return whether `epoch` is past the warm-up, which is plain training, not CAL."""
        return epoch >= self.config.warmup_epochs or self.config.epochs <= self.config.warmup_epochs

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Take the ERM and CAL steps of one epoch."""
        config = self.config
        attacking = epoch >= config.warmup_epochs
        self._rank(epoch)
        dropout = self.generator if epoch < config.dropout_epochs else None
        # after a rollback, steps on adversarial rows are smaller too
        rate = config.theta_learning_rate * self.step_scale
        stepping = config.model_copy(update={"theta_learning_rate": rate})
        log = LossLog(self.loss_limit)
        reports: list[StepReport] = []
        schedule = list(self._schedule(attacking))
        for number, (batch, cal_batches) in enumerate(schedule):
            if config.schedule == "cosine":
                done, total = epoch * len(schedule) + number, config.epochs * len(schedule)
                self.set_rate(cosine_rate(config.learning_rate, done, total))
            else:
                self.set_rate(config.learning_rate)
            if batch is not None:
                found = erm_step(self.model, batch, self.optimizer, dropout, self.criterion.rows)
                log.add("ERM", found, len(batch))
            for rows in cal_batches:
                self.cal, report = step(
                    self.model,
                    rows,
                    self.cal,
                    stepping,
                    epoch,
                    self.generator,
                    optimizer=self.optimizer,
                    attacker=self.attacker,
                    measure=not reports,
                    loss=self.criterion.rows,
                )
                reports.append(report)
                log.add("CAL", report.loss, len(rows))
            if config.ema_every == "step" and epoch >= config.ema_start:
                update_ema(self.ema, self.model, config.ema_decay)
        losses = log.close(epoch, self.members or 1)
        if attacking:
            self.cal = close_epoch(self.cal, config)
            if not bool(torch.isfinite(self.cal.weights).all()):
                raise TrainingError(f"a covariate weight is not finite after epoch {epoch} (CAL)")
        self._average(epoch)
        phase = "cal" if attacking else "warm-up"
        loss = losses.get("ERM", losses.get("CAL"))
        return {"phase": phase, "train_loss": loss, **self._summarise(reports, losses)}

    def get_state(self) -> State:
        """Return everything that the next epoch depends on (not copied)."""
        cal = self.cal
        own = {
            "hard": self.hard,
            "weights": cal.weights,
            "frozen": cal.frozen,
            "gamma": cal.gamma,
            "steps": cal.steps,
        }
        if isinstance(self.attacker, KeptStructureAttack):
            own["kept"] = self.attacker.get_state()
        return {**super().get_state(), "cal": own}

    def check_state(self, state: State) -> None:
        """Raise `DataError` unless `get_state` of this training may return `state`."""
        super().check_state(state)
        hard = state["cal"]["hard"]
        if not bool(((hard >= 0) & (hard < len(self.rows))).all()):
            raise DataError(f"cal.hard has numbers of rows beyond the {len(self.rows)} there are")

    def set_state(self, state: State) -> None:
        """Restore what `get_state` returned."""
        super().set_state(state)
        own = state["cal"]
        self.hard = own["hard"]
        self.cal = CALState(own["weights"], own["frozen"], own["gamma"], own["steps"])
        if isinstance(self.attacker, KeptStructureAttack):
            self.attacker.set_state(own["kept"])

    def _rank(self, epoch: int) -> None:
        """Choose the hardest rows, every ``resample_every`` epochs."""
        since = epoch - self.config.warmup_epochs
        if since >= 0 and since % self.config.resample_every == 0:
            count = self.config.hard_rows(len(self.rows))
            objective = self.config.objective
            self.hard = select_hardest(
                self.model, self.rows, count, self.sample, objective, self.criterion.rows
            )
            if isinstance(self.attacker, KeptStructureAttack):
                self.attacker.forget()

    def _schedule(self, attacking: bool) -> Iterator[tuple[Rows | None, list[Rows]]]:  # noqa: FBT001
        """Yield each ERM batch of an epoch with the CAL batches that follow it."""
        config, size = self.config, self.config.batch_size
        if attacking and self.target is not None and config.replay > 0:
            yield from self._replay(self.target)
            return
        everything = not attacking or config.erm_rows == "all"
        order = self.shuffled() if everything else self.hard
        erm = [self.rows.take(part) for part in iterate_batches(order, size)]
        if not attacking or config.theta_steps == 0:
            cal: list[Rows] = []
        elif self.target is not None:
            cal = self._target_batches(self.target, len(erm))
        elif everything:
            # members that are compared are attacked on the same batch
            together = config.objective == "uncertainty"
            members = None if together else self.members
            mixed = draw_order(self.hard.shape[-1], members, self.generator)
            order = self.hard.gather(-1, mixed.expand_as(self.hard))
            cal = [self.rows.take(part) for part in iterate_batches(order, size)]
        else:
            cal = erm
        for number, batch in enumerate(erm):
            first, last = (math.floor(k * len(cal) / len(erm)) for k in (number, number + 1))
            yield batch, cal[first:last]

    def _replay(self, target: Rows) -> Iterator[tuple[Rows | None, list[Rows]]]:
        """Yield CAL batches of target labels, with `replay` source batches before each."""
        config = self.config
        steps = max(math.ceil(len(target) / config.batch_size), TARGET_STEPS)
        count = math.ceil(steps * config.replay)
        order = self.shuffled()
        while order.shape[-1] < count * config.batch_size:
            order = torch.cat([order, self.shuffled()], dim=-1)
        parts = iterate_batches(order[..., : count * config.batch_size], config.batch_size)
        sources = [self.rows.take(part) for part in parts]
        taken = 0
        for number, batch in enumerate(self._target_batches(target, steps)):
            due = math.floor((number + 1) * count / steps)
            for source in sources[taken : max(due - 1, taken)]:
                yield source, []
            adversarial = [batch] if config.theta_steps else []
            yield sources[due - 1] if due > taken else None, adversarial
            taken = due

    def _target_batches(self, target: Rows, count: int) -> list[Rows]:
        size = self.config.batch_size
        return draw_batches(target, size, count, self.members, self.generator)

    def _average(self, epoch: int) -> None:
        config = self.config
        if epoch < config.ema_start or (epoch == config.ema_start and config.ema_every == "epoch"):
            self.ema = copy_parameters(self.model)
        elif config.ema_every == "epoch":
            update_ema(self.ema, self.model, config.ema_decay)

    def _summarise(self, reports: list[StepReport], losses: dict[str, float]) -> EpochRecord:
        """Return what the attacks of an epoch did, for its record."""
        if not reports:
            return {}
        members = self.members or 1
        gains = [report.loss_gain for report in reports if report.loss_gain is not None]
        rms = torch.stack([report.displacement_rms for report in reports])
        largest = torch.stack([report.displacement_max for report in reports])
        weights = self.cal.weights.float()
        levels = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], device=weights.device)
        spectrum = torch.quantile(weights.flatten(), levels).tolist()
        names = ("weight_min", "weight_p10", "weight_median", "weight_p90", "weight_max")
        share = 1.0 if self.target is not None else self.hard.shape[-1] / len(self.rows)
        return {
            "adversarial_loss": losses["CAL"],
            "attack_loss_gain": float(torch.stack(gains).mean()) / members if gains else None,
            "displacement_rms": float(rms.square().mean().sqrt()),
            "displacement_max": float(largest.max()),
            **dict(zip(names, spectrum, strict=True)),
            "weights_frozen": int(self.cal.frozen.sum()),
            "gamma": float(self.cal.gamma.mean()),
            "hard_share": share,
        }


def select_hardest(
    model: nn.Module,
    rows: Rows,
    count: int,
    sample: Tensor | None = None,
    objective: Objective = "loss",
    loss: RowLoss = row_losses,
) -> Tensor:
    """Return the numbers of the `count` rows with the largest loss, hardest first.

    Parameters
    ----------
    model : torch.nn.Module
        Evaluated without dropout.
    rows : Rows
        All source rows; each is ranked.
    count : int
        Number of rows to return; all rows if there are fewer.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap sample of each member of an ensemble; rows are chosen from it.
    objective : {"loss", "uncertainty"}
        What hard means: a large loss, or a large standard deviation of the members of an ensemble,
        which is the same for all of them.
    loss : callable
        The loss of each row.

    Returns
    -------
    Tensor of int64, shape (min(count, n),); for an ensemble (members, min(count, n))
    """
    predictions = predict_rows(model, rows.x)
    if objective == "loss":
        members = getattr(model, "members", None)
        labels = rows.labels
        losses = loss(
            predictions, labels if members is None else labels.expand(members, *labels.shape)
        )
    else:
        losses = predictions.std(dim=0).expand_as(predictions)
    if rows.weights is not None:
        losses = losses * rows.weights
    if sample is not None:
        losses = losses.gather(-1, sample)
    order = torch.argsort(losses, dim=-1, descending=True, stable=True)[..., :count]
    return order if sample is None else sample.gather(-1, order)
