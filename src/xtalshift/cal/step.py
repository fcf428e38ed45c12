"""One CAL step: attack, train on the attacked rows, learn the transport cost."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import attack
from xtalshift.cal.config import CALConfig
from xtalshift.cal.state import CALState
from xtalshift.cal.weights import (
    mixed_derivative,
    stability_gradient,
    update_weights,
    weight_gradient,
)
from xtalshift.nn import Rows, mean_loss

__all__ = ["StepReport", "random_environments", "step"]


class StepReport(NamedTuple):
    """What one step did, as tensors on the device (reading them would make it wait).

    Attributes
    ----------
    loss_gain : Tensor, shape ()
        Loss of the adversarial rows minus loss of the rows they started from, same parameters.
    displacement_rms, displacement_max : Tensor, shape ()
        Size of ``x_adv - x`` over rows and features, in standard deviations.
    """

    loss_gain: Tensor
    displacement_rms: Tensor
    displacement_max: Tensor


def step(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    epoch: int,
    generator: torch.Generator,
) -> tuple[CALState, StepReport]:
    """Take one CAL step on a batch; the model moves in place, the new state is returned.

    ============ ============================ =======================
    symbol       variable                     shape
    ============ ============================ =======================
    g            direction                    one tensor a parameter
    x_adv        x_adv                        (n, d)
    A            mixed                        (n, d)
    a            spread                       scalar
    ============ ============================ =======================

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(x, generator)``.
    rows : Rows
        The batch.
    state : CALState
        Transport cost before the step.
    config : CALConfig
        Settings.
    epoch : int
        From 0; decides ``a = alpha / sqrt(epoch + 1)`` and whether dropout is on.
    generator : torch.Generator
        Draws the environments and dropout.

    Returns
    -------
    state : CALState
        Transport cost after the step.
    report : StepReport
        Of the last attack.
    """
    dropout = generator if epoch < config.dropout_epochs else None
    parameters = list(model.parameters())
    n_environments = min(config.n_environments, len(rows))
    environments = random_environments(len(rows), n_environments, generator)
    spread = config.alpha / math.sqrt(epoch + 1)
    direction = stability_gradient(model, rows, environments, n_environments, spread, dropout)
    # a fresh Adam in every step, as published
    optimizer = torch.optim.Adam(parameters, lr=config.theta_learning_rate)
    mixed = torch.zeros_like(rows.x)
    for number in range(config.theta_steps):
        x_adv = attack(model, rows, state, config, dropout)
        if number == config.theta_steps - 1:
            with torch.no_grad():
                clean_loss = mean_loss(model(rows.x, dropout), rows.y, rows.weights)
        adversarial = Rows(x_adv, rows.y, rows.weights)
        part, gradient, loss = mixed_derivative(model, adversarial, direction, dropout)
        mixed += part
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        optimizer.step()
    displacement = x_adv - rows.x
    state = update_weights(state, weight_gradient(mixed, displacement, state.gamma, config), config)
    report = StepReport(
        loss - clean_loss, displacement.square().mean().sqrt(), displacement.abs().max()
    )
    return state, report


def random_environments(n_rows: int, count: int, generator: torch.Generator) -> Tensor:
    """Return a random environment for each row, numbered from 0, sizes equal to within one row.

    `count` is at most `n_rows`, so that none is empty.
    """
    order = torch.randperm(n_rows, generator=generator, device=generator.device)
    # order is a permutation, so its values modulo the count are balanced random numbers
    return order % count
