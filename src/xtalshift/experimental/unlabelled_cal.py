"""CAL on source rows, attacked toward unlabelled rows of the target domain."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from xtalshift.cal.adaptation import FEATURES_ONLY, Adaptation, AdaptConfig, steps_per_epoch
from xtalshift.cal.attack import Attacked, attack, steepest_direction
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import Attack
from xtalshift.cal.weights import CALState
from xtalshift.nn.losses import Loss, RowLoss
from xtalshift.nn.rows import Rows, TrainingData, row_losses

MAX_TOWARD = 512
"""Unlabelled target rows that the attack looks at."""


def _build(
    model: nn.Module,
    source: Rows | None,
    target: Rows,
    config: AdaptConfig,
    generator: torch.Generator,
    criterion: Loss,
) -> CALTraining:
    """Return the training; `config.steps` counts its ERM steps, and as many CAL steps follow."""
    assert source is not None
    cal = config.cal_config(steps_per_epoch(source, config))
    toward = attack_toward(target.x[:MAX_TOWARD], criterion.rows)
    training = CALTraining(
        model, TrainingData(source, source), cal, generator, attacker=toward, criterion=criterion
    )
    weights = shift_weights(source.x, target.x, cal)
    training.cal = replace(training.cal, weights=weights.expand_as(training.cal.weights))
    return training


ADAPTATION = Adaptation(
    _build,
    uses_labels=False,
    needs_source=True,
    fixed={**FEATURES_ONLY, "attack_method": "steepest"},
)
CONTROL = replace(ADAPTATION, attacks=False)


def attack_toward(unlabelled: Tensor, loss: RowLoss = row_losses) -> Attack:
    """Return the feature attack whose steps lead toward the nearest unlabelled target row.

    Parameters
    ----------
    unlabelled : Tensor, shape (k, d)
        Standardised features of target rows.
    loss : callable
        The loss of each row.
    """

    def attacker(model: nn.Module, rows: Rows, state: CALState, config: CALConfig) -> Attacked:
        nearest = torch.cdist(rows.x, unlabelled.expand(*rows.x.shape[:-2], -1, -1)).argmin(dim=-1)
        pull = steepest_direction(unlabelled[nearest] - rows.x, state.weights, "l2")
        return attack(model, rows, state, config, pull, loss=loss)

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
