"""Adaptation of a trained network to a target domain: targeted CAL and its controls."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.budget import steepest_direction
from xtalshift.cal.config import CALConfig
from xtalshift.cal.loop import TARGET_STEPS, CALTraining
from xtalshift.cal.state import CALState
from xtalshift.cal.step import Attack
from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.nn import (
    Checkpoint,
    ERMConfig,
    ERMTraining,
    Rows,
    Training,
    TrainingData,
    TrainResult,
    run_training,
)
from xtalshift.nn.objectives.joint import JointTraining
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["AdaptConfig", "AdaptMethod", "adapt_network", "attack_toward", "shift_weights"]

AdaptMethod = Literal[
    "targeted-cal",
    "targeted-cal-eps0",
    "unlabelled-cal",
    "unlabelled-cal-eps0",
    "joint",
    "fine-tune",
    "l2-sp",
    "head-only",
]
MAX_TOWARD = 512
"""Unlabelled target rows that the attack looks at."""


class AdaptConfig(Settings):
    """Settings of adaptation.

    All methods take as many steps on target rows, to within an epoch.

    Attributes
    ----------
    method : str
        ``targeted-cal``: CAL steps on target labels, each with `replay` steps on source rows.
        ``targeted-cal-eps0``: the same, and no row moves.
        ``unlabelled-cal``: CAL on source rows, drawn toward unlabelled target rows;
        ``unlabelled-cal-eps0``: the same, and no row moves.
        ``joint``: one loss of source and target rows. ``fine-tune``: target labels only;
        ``l2-sp``: with a pull toward the source model; ``head-only``: of the last layer only.
    steps : int
        Steps on target rows. Of ``unlabelled-cal`` the ERM steps on source rows; as many CAL steps
        come on top.
    patience : int
        Stop after this many epochs without a better validation error. An epoch is a pass over the
        target labels, with source rows at least ten steps.
    batch_size, learning_rate, weight_decay, ema_decay
        As in ERM; the learning rate falls to 0.
    l2_sp : float
        Strength of the pull of ``l2-sp``: rate at which parameters return to the source model,
        relative to the learning rate.
    replay : float
        Steps on source rows per step on target labels; for none give no source rows.
    target_share : float
        Weight of the target rows in ``joint``.
    cal : dict
        Settings of `CALConfig` that override the preset ``cal-targeted``.
    """

    method: AdaptMethod = "targeted-cal"
    steps: int = Field(default=400, ge=1)
    patience: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    l2_sp: float = Field(default=1.0, ge=0)
    replay: float = Field(default=1.0, gt=0)
    target_share: float = Field(default=0.5, gt=0, le=1)
    cal: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_cal(self) -> Self:
        try:
            cal = self.cal_config(1)
        except ConfigError as error:
            raise ConfigError(f"in 'cal': {error}") from error
        for name, only in (("attack", "features"), ("environments", "random")):
            if getattr(cal, name) != only:
                raise ConfigError(
                    f"cal.{name} = {getattr(cal, name)!r} does not work in an adaptation; "
                    f"leave it at {only!r}"
                )
        if self.method.startswith("unlabelled") and cal.attack_method != "steepest":
            raise ConfigError(
                f"cal.attack_method = {cal.attack_method!r}: only 'steepest' steps can be drawn "
                "toward unlabelled rows"
            )
        return self

    def cal_config(self, steps_per_epoch: int) -> CALConfig:
        """Return the settings of the CAL steps."""
        config = CALConfig.from_dict(
            {
                "preset": "cal-targeted",
                "epochs": math.ceil(self.steps / steps_per_epoch),
                "patience": self.patience,
                "batch_size": self.batch_size,
                "learning_rate": self.learning_rate,
                "weight_decay": self.weight_decay,
                "ema_decay": self.ema_decay,
                "replay": self.replay,
                **self.cal,
            }
        )
        return config.without_attack() if self.method.endswith("eps0") else config


def adapt_network(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    validation: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    *,
    attacker: Attack = attack,
    progress: Progress = NO_PROGRESS,
    checkpoint: Checkpoint | None = None,
) -> TrainResult:
    """Adapt a trained network.

    Parameters
    ----------
    model : torch.nn.Module
        At the parameters of the source training; changed in place.
    source : Rows or None
        Labelled source rows to replay; None where they are not at hand.
    target : Rows
        Rows of the target domain; for ``unlabelled-cal`` their targets are not looked at.
    validation : Rows
        Labelled rows of the target domain, or for ``unlabelled-cal`` of the source, for selection.
    config : AdaptConfig
        Settings.
    generator : torch.Generator
        On the device of the model.
    attacker : callable
        The attack of ``targeted-cal``.
    progress : Progress
        Told after each epoch.
    checkpoint : Checkpoint, optional
        Where a killed adaptation goes on.

    Returns
    -------
    TrainResult
        All methods keep ``"best"`` on the validation rows, ``"last"`` and ``"ema"``.

    Raises
    ------
    ValueError
        If ``joint`` or ``unlabelled-cal`` have no source rows.
    """
    if source is None and (config.method == "joint" or config.method.startswith("unlabelled")):
        raise ValueError(f"method {config.method!r} trains on source rows too; give them")
    training, epochs = _build(model, source, target, config, generator, attacker)
    return run_training(
        training,
        validation,
        epochs=epochs,
        patience=config.patience,
        name=config.method,
        progress=progress,
        checkpoint=checkpoint,
    )


def _build(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    attacker: Attack,
) -> tuple[Training, int]:
    """Return the training of a method and its number of epochs."""
    per_epoch = max(math.ceil(len(target) / config.batch_size), TARGET_STEPS)
    if config.method.startswith("targeted"):
        if source is None:  # an epoch has an ERM and a CAL step on each batch of target labels
            cal = config.cal_config(2 * math.ceil(len(target) / config.batch_size))
            cal = cal.model_copy(update={"replay": 0.0})
        else:
            cal = config.cal_config(per_epoch)
        data = TrainingData(source or target, target, target)
        return CALTraining(model, data, cal, generator, attacker=attacker), cal.epochs
    if config.method.startswith("unlabelled") and source is not None:
        batches = math.ceil(len(source) / config.batch_size)
        cal = config.cal_config(batches)
        toward = attack_toward(target.x[:MAX_TOWARD])
        training = CALTraining(model, TrainingData(source, source), cal, generator, attacker=toward)
        weights = shift_weights(source.x, target.x, cal)
        training.cal = replace(training.cal, weights=weights.expand_as(training.cal.weights))
        return training, cal.epochs
    settings = {name: getattr(config, name) for name in ERMConfig.model_fields if name != "epochs"}
    if config.method == "joint" and source is not None:
        erm = ERMConfig.from_dict({**settings, "epochs": math.ceil(config.steps / per_epoch)})
        share = config.target_share
        joint = JointTraining(
            model, source, target, erm, generator, target_share=share, steps=per_epoch
        )
        return joint, erm.epochs
    batches = math.ceil(len(target) / config.batch_size)
    erm = ERMConfig.from_dict({**settings, "epochs": math.ceil(config.steps / batches)})
    fine_tune = ERMTraining(
        model,
        target,
        erm,
        generator,
        layers="last" if config.method == "head-only" else "all",
        l2_sp=config.l2_sp if config.method == "l2-sp" else 0.0,
    )
    return fine_tune, erm.epochs


def attack_toward(unlabelled: Tensor) -> Attack:
    """Return the feature attack whose steps lead toward the nearest unlabelled target row.

    Parameters
    ----------
    unlabelled : Tensor, shape (k, d)
        Standardised features of target rows.
    """

    def attacker(model: nn.Module, rows: Rows, state: CALState, config: CALConfig) -> Attacked:
        nearest = torch.cdist(rows.x, unlabelled.expand(*rows.x.shape[:-2], -1, -1)).argmin(dim=-1)
        pull = steepest_direction(unlabelled[nearest] - rows.x, state.weights, "l2")
        return attack(model, rows, state, config, pull)

    return attacker


def shift_weights(source: Tensor, target: Tensor, config: CALConfig) -> Tensor:
    """Return covariate weights that make it cheap to move where the domains differ.

    ``w_j = weight_init / (1 + (mean_target x_j - mean_source x_j)^2)``, at least the floor.

    Parameters
    ----------
    source, target : Tensor, shapes (n, d) and (k, d)
        Standardised features.
    config : CALConfig
        Gives the first weight and the floor.

    Returns
    -------
    Tensor, shape (d,)
    """
    shift = target.mean(dim=0) - source.mean(dim=0)
    return (config.weight_init / (1.0 + shift.square())).clamp_min(config.weight_floor)
