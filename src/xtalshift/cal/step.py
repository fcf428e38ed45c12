"""One CAL step: attack, train on the attacked rows, learn the transport cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import (
    CALState,
    mixed_derivative,
    stability_gradient,
    update_weights,
    weight_gradient,
)
from xtalshift.nn.erm import erm_step
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import Rows, draw_order, mean_loss, row_losses

Attack = Callable[[nn.Module, Rows, CALState, CALConfig], Attacked]
"""Moves rows; `xtalshift.cal.attack.attack` moves their features."""


class StepReport(NamedTuple):
    """What one step did, as tensors on the device (reading them would make the device wait)."""

    loss: Tensor
    """Shape (). Mean loss of the adversarial rows in the last parameter step."""
    loss_gain: Tensor | None
    """Shape (). Loss of the adversarial rows minus that of the rows they started from, at the same
    parameters and without dropout; None if it was not measured."""
    displacement_rms: Tensor
    displacement_max: Tensor
    """Shape (). `displacement_rms`, `displacement_max`: size of ``x_adv - x`` over rows and
    features, in standard deviations."""


def step(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    epoch: int,
    generator: torch.Generator,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    attacker: Attack = attack,
    measure: bool = False,
    loss: RowLoss = row_losses,
) -> tuple[CALState, StepReport]:
    """Take one CAL step on a batch: change the model in place and return the new state.

    ============ ============================ =======================
    symbol       variable                     shape
    ============ ============================ =======================
    g            direction                    one tensor a parameter
    x_adv        attacked.rows.x              (n, d)
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
        From 0; decides ``a = alpha / sqrt(epoch + 1)`` and whether parameter steps use dropout.
    generator : torch.Generator
        Draws random environments and dropout.
    optimizer : torch.optim.Optimizer, optional
        Optimizer of the ERM steps, for ``theta_optimizer = "shared"``.
    attacker : callable
        The attack.
    measure : bool
        Whether to measure the loss gain even if no update of the weights is due.
    loss : callable
        The loss of each row; that of the attack must be the same.

    Returns
    -------
    state : CALState
        Transport cost after the step.
    report : StepReport
        Report on the last attack.
    """
    if config.theta_optimizer == "fresh" or optimizer is None:
        # as published; its near-sign steps are larger than those of the ERM steps
        optimizer = make_adamw(model.parameters(), config.theta_learning_rate)
    due = state.steps % config.weight_every == 0
    learns = due and config.attacks and config.weight_rule != "fixed"
    what = (model, rows, state, config, epoch, generator, optimizer, attacker, loss)
    if learns and config.weight_rule == "published":
        terms, attacked, last, gain = _published(*what)
    else:
        terms, attacked, last, gain = _unrolled(*what, learns=learns, measure=due or measure)
    if learns:
        gradient = weight_gradient(terms, state.gamma, config)
        if config.objective == "uncertainty":  # one transport cost for all members
            gradient = gradient.mean(dim=0).expand_as(gradient)
        state = update_weights(state, gradient, config)
    moved = attacked.rows.x - rows.x
    report = StepReport(last, gain, moved.square().mean().sqrt(), moved.abs().max())
    return replace(state, steps=state.steps + 1), report


Walk = tuple[list[tuple[Tensor, Tensor]], Attacked, Tensor, Tensor | None]


def _published(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    epoch: int,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    attacker: Attack,
    loss: RowLoss,
) -> Walk:
    """Take the theta steps with ``g`` from before; without dropout the same pass gives ``A``."""
    dropout = generator if epoch < config.dropout_epochs else None
    direction = _outer_gradient(model, rows, config, epoch, generator, loss)
    total = torch.zeros_like(rows.x)
    for _ in range(config.theta_steps):
        attacked = attacker(model, rows, state, config)
        mixed, gradient, last = mixed_derivative(
            model, attacked.rows, direction, config.outer_layers, loss=loss
        )
        total += mixed
        gain = last - attacked.start_loss
        if dropout is not None:
            last = erm_step(model, attacked.rows, optimizer, dropout, loss)
            continue
        for parameter, value in zip(model.parameters(), gradient, strict=True):
            parameter.grad = value
        optimizer.step()
    terms = [(total, attacked.rows.x - rows.x)]
    return terms, attacked, last, gain


def _unrolled(
    model: nn.Module,
    rows: Rows,
    state: CALState,
    config: CALConfig,
    epoch: int,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    attacker: Attack,
    loss: RowLoss,
    *,
    learns: bool,
    measure: bool,
) -> Walk:
    """Take the theta steps, then compute ``g`` after them and ``A`` of each at its own theta."""
    dropout = generator if epoch < config.dropout_epochs else None
    visited = []
    for _ in range(config.theta_steps):
        attacked = attacker(model, rows, state, config)
        if learns:
            visited.append((copy_parameters(model), attacked))
        if measure:
            with torch.no_grad():
                moved = attacked.rows
                after = mean_loss(model(moved.x), moved.labels, moved.weights, loss)
                gain = after - attacked.start_loss
        last = erm_step(model, attacked.rows, optimizer, dropout, loss)
    terms = []
    if learns:
        direction = _outer_gradient(model, rows, config, epoch, generator, loss)
        for theta, attacked in visited:
            mixed = mixed_derivative(
                model, attacked.rows, direction, config.outer_layers, at=theta, loss=loss
            )[0]
            terms.append((mixed, attacked.path))
    return terms, attacked, last, gain if measure else None


def _outer_gradient(
    model: nn.Module,
    rows: Rows,
    config: CALConfig,
    epoch: int,
    generator: torch.Generator,
    loss: RowLoss,
) -> list[Tensor]:
    """Return ``g`` at the current theta."""
    if rows.environments is None:
        count = min(config.n_environments, len(rows))
        members = getattr(model, "members", None)
        environments = random_environments(len(rows), count, generator, members)
    else:
        environments = rows.environments
        count = int(environments.max()) + 1
    spread = config.alpha / math.sqrt(epoch + 1)
    return stability_gradient(model, rows, environments, count, spread, config.outer_layers, loss)


def random_environments(
    n_rows: int, count: int, generator: torch.Generator, members: int | None = None
) -> Tensor:
    """Return a random environment for each row, from 0, with sizes that differ by at most one row.

    `count` must be at most `n_rows`, so that no environment is empty.
    """
    # the values of a random permutation modulo the count are balanced random numbers
    return draw_order(n_rows, members, generator) % count
