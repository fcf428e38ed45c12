"""Adaptation of a trained network to a target domain: targeted CAL and its controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from xtalshift.cal.loop import TARGET_STEPS, CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.losses import SMOOTH_L1, Loss
from xtalshift.nn.objectives.joint import JointTraining
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import Training, TrainResult, run_training
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import Registry, near_miss

FEATURES_ONLY = {
    "attack": "features",
    "objective": "loss",
    "labels": "own",
    "environments": "random",
}
"""Settings of CAL that an adaptation cannot change: it has neither compositions nor families, and
most networks are no ensemble."""


@dataclass(frozen=True)
class Adaptation:
    """A way to adapt a trained network."""

    build: Callable[[nn.Module, Rows | None, Rows, AdaptConfig, torch.Generator, Loss], Training]
    """Takes the model, source rows (or None), target rows, an `AdaptConfig`, a generator and what
    to minimise; returns a training that has not started."""
    uses_labels: bool = True
    """Whether it trains on target labels; if not, source rows select the parameters."""
    needs_source: bool = False
    """Whether it needs source rows."""
    replays: bool = True
    """Whether it trains on source rows too, if there are any."""
    attacks: bool = True
    """Whether rows may move."""
    fixed: Mapping[str, str] = field(default_factory=lambda: FEATURES_ONLY)
    """Settings of `CALConfig` that must keep a value."""


class AdaptConfig(Settings):
    """Settings of adaptation.

    All methods take the same number of steps on target rows, to within an epoch.
    """

    method: str = "targeted-cal"
    """``targeted-cal``: CAL steps on target labels, each with `replay` steps on source rows.
    ``targeted-cal-eps0``: the same, but no row moves. ``joint``: one loss over source and target
    rows. ``fine-tune``: target labels only; ``l2-sp``: the same with a pull toward the source
    model; ``head-only``: the last layer only. For others see `ADAPTATIONS`."""
    steps: int = Field(default=400, ge=1, le=1_000_000)
    """Steps on target rows."""
    patience: int = Field(default=1000, ge=1)
    """Stop after this many epochs without a better validation error. An epoch is one pass over the
    target labels; with source rows it has at least ten steps."""
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    """`batch_size`, `learning_rate`, `weight_decay`, `ema_decay`: as in ERM; the learning rate
    falls to 0."""
    l2_sp: float = Field(default=1.0, ge=0)
    """Strength of the pull of ``l2-sp``: the rate at which parameters return to the source model,
    relative to the learning rate."""
    replay: float = Field(default=1.0, gt=0)
    """Steps on source rows per step on target labels. For no replay, give no source rows."""
    target_share: float = Field(default=0.5, gt=0, le=1)
    """Weight of the target rows in ``joint``."""
    cal: dict[str, Any] = Field(default_factory=dict)
    """Settings of `CALConfig` that override the preset ``cal-targeted``."""

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ADAPTATIONS:
            hint = near_miss(name, ADAPTATIONS)
            raise ConfigError(f"unknown method{hint}. Known: {', '.join(ADAPTATIONS)}")
        return name

    @model_validator(mode="after")
    def _check_cal(self) -> Self:
        try:
            cal = self.cal_config(1)
        except ConfigError as error:
            raise ConfigError(f"in 'cal': {error}") from error
        for name, only in ADAPTATIONS[self.method].fixed.items():
            if getattr(cal, name) != only:
                raise ConfigError(
                    f"cal.{name} = {getattr(cal, name)!r} does not work with method = "
                    f"{self.method!r}; leave it at {only!r}"
                )
        return self

    def erm_config(self, steps_per_epoch: int) -> ERMConfig:
        """Return the settings of plain training."""
        names = set(ERMConfig.model_fields) - {"epochs"}
        epochs = math.ceil(self.steps / steps_per_epoch)
        return ERMConfig(epochs=epochs, **{name: getattr(self, name) for name in names})

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
        return config if ADAPTATIONS[self.method].attacks else config.without_attack()


def adapt_network(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    validation: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    *,
    criterion: Loss = SMOOTH_L1,
    progress: Progress = NO_PROGRESS,
    checkpoint: Checkpoint | None = None,
) -> TrainResult:
    """Adapt a trained network.

    Parameters
    ----------
    model : torch.nn.Module
        Network with the parameters of the source training; changed in place.
    source : Rows or None
        Labelled source rows to replay, if any.
    target : Rows
        Rows of the target domain; methods that use no labels ignore their targets.
    validation : Rows
        Labelled rows for selection: of the target domain, or of the source for methods that use no
        target labels.
    config : AdaptConfig
        Settings.
    generator : torch.Generator
        On the device of the model.
    criterion : Loss
        What is minimised, and by what parameters are selected.
    progress : Progress
        Reports each epoch.
    checkpoint : Checkpoint, optional
        From where a killed adaptation continues.

    Returns
    -------
    TrainResult
        Parameters ``"best"`` (on the validation rows), ``"last"`` and ``"ema"``, for all methods.

    Raises
    ------
    ValueError
        If the method needs source rows and there are none.
    """
    adaptation = ADAPTATIONS[config.method]
    if source is None and adaptation.needs_source:
        raise ValueError(f"method {config.method!r} trains on source rows too; give them")
    training = adaptation.build(model, source, target, config, generator, criterion)
    return run_training(
        training,
        validation,
        epochs=training.config.epochs,
        patience=config.patience,
        name=config.method,
        progress=progress,
        checkpoint=checkpoint,
    )


def steps_per_epoch(rows: Rows, config: AdaptConfig) -> int:
    """Return the number of batches of some rows."""
    return math.ceil(len(rows) / config.batch_size)


def _targeted(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    criterion: Loss,
) -> CALTraining:
    batches = steps_per_epoch(target, config)
    if source is None:  # an epoch takes one ERM and one CAL step on each batch of target labels
        cal = config.cal_config(2 * batches).model_copy(update={"replay": 0.0})
    else:
        cal = config.cal_config(max(batches, TARGET_STEPS))
    data = TrainingData(source or target, target, target)
    return CALTraining(model, data, cal, generator, criterion=criterion)


def _joint(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    criterion: Loss,
) -> JointTraining:
    assert source is not None
    steps = max(steps_per_epoch(target, config), TARGET_STEPS)
    erm = config.erm_config(steps)
    share = config.target_share
    return JointTraining(
        model, source, target, erm, generator,
        target_share=share, steps=steps, criterion=criterion,
    )  # fmt: skip


def _fine_tune(
    model: nn.Module,
    source: Rows | None,  # noqa: ARG001
    target: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    criterion: Loss,
) -> ERMTraining:
    return ERMTraining(
        model,
        target,
        config.erm_config(steps_per_epoch(target, config)),
        generator,
        layers="last" if config.method == "head-only" else "all",
        l2_sp=config.l2_sp if config.method == "l2-sp" else 0.0,
        criterion=criterion,
    )


ADAPTATIONS: Registry[Adaptation] = Registry(
    "adaptation",
    {
        "unlabelled-cal": "xtalshift.experimental.unlabelled_cal:ADAPTATION",
        "unlabelled-cal-eps0": "xtalshift.experimental.unlabelled_cal:CONTROL",
    },
)
"""Adaptations by name."""
ADAPTATIONS.add("targeted-cal", Adaptation(_targeted))
ADAPTATIONS.add("targeted-cal-eps0", Adaptation(_targeted, attacks=False))
ADAPTATIONS.add("joint", Adaptation(_joint, needs_source=True))
for _name in ("fine-tune", "l2-sp", "head-only"):
    ADAPTATIONS.add(_name, Adaptation(_fine_tune, replays=False))
