"""The outer problem: which features may be moved cheaply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call

from xtalshift.cal.settings import CALConfig
from xtalshift.nn.irnet import Parameters, select_parameters
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.rows import Rows, mean_loss, row_losses
from xtalshift.nn.settings import Layers


@dataclass(frozen=True)
class CALState:
    """Transport cost of the attack. A leading axis counts the members of an ensemble."""

    weights: Tensor
    """Shape (..., d). Covariate weights ``w``: the cost of moving each feature."""
    frozen: Tensor
    """Shape (..., d). Weights that are no longer learned."""
    gamma: Tensor
    """Shape (...). Factor of the transport cost in the attack's objective."""
    steps: int = 0
    """CAL steps so far."""


def init(
    n_features: int, config: CALConfig, *, like: Tensor, members: int | None = None
) -> CALState:
    """Return the state before the first CAL step.

    Parameters
    ----------
    n_features : int
        Number of features ``d``.
    config : CALConfig
        Has the initial weights and gamma.
    like : Tensor
        Tensor whose device and precision are used.
    members : int, optional
        Size of an ensemble.
    """
    lead = () if members is None else (members,)
    weights = torch.full(
        (*lead, n_features), config.weight_init, dtype=like.dtype, device=like.device
    )
    gamma = torch.full(lead, config.gamma_init, dtype=like.dtype, device=like.device)
    return CALState(weights, torch.zeros_like(weights, dtype=torch.bool), gamma)


def stability_loss(
    losses: Tensor, environments: Tensor, n_environments: int, spread: float
) -> Tensor:
    """Return ``R = sum_e L_e``, the largest term times ``1 + a``, the smallest times ``1 - a``.

    Parameters
    ----------
    losses : Tensor, shape (..., n)
        Loss of each row.
    environments : Tensor of int64, shape (..., n)
        Environment of each row, numbered from 0.
    n_environments : int
        Number of environments; those without a row in the batch do not count.
    spread : float
        ``a = alpha / sqrt(epoch + 1)``.

    Returns
    -------
    Tensor, shape (...)
    """
    # a product instead of index_add, which sums in no fixed order on a GPU
    members = F.one_hot(environments, n_environments).to(losses.dtype)
    sizes = members.sum(dim=-2)
    present = sizes > 0
    means = (losses.unsqueeze(-2) @ members).squeeze(-2) / sizes.clamp_min(1.0)
    largest = means.masked_fill(~present, -torch.inf).amax(dim=-1)
    smallest = means.masked_fill(~present, torch.inf).amin(dim=-1)
    # with one environment, largest and smallest are equal and cancel
    return (means * present).sum(dim=-1) + spread * (largest - smallest)


def stability_gradient(
    model: nn.Module,
    rows: Rows,
    environments: Tensor,
    n_environments: int,
    spread: float,
    layers: Layers = "all",
    loss: RowLoss = row_losses,
) -> list[Tensor]:
    """Return ``g = dR / dtheta`` without dropout, one tensor per parameter of `layers`.

    `loss` is that of each row; the other arguments are those of `stability_loss`.
    """
    losses = loss(model(rows.x), rows.labels)
    if rows.weights is not None:
        losses = losses * (rows.weights / rows.weights.mean(dim=-1, keepdim=True))
    stability = stability_loss(losses, environments, n_environments, spread).sum()
    return list(torch.autograd.grad(stability, list(select_parameters(model, layers).values())))


def mixed_derivative(
    model: nn.Module,
    adversarial: Rows,
    direction: Sequence[Tensor],
    layers: Layers = "all",
    at: Parameters | None = None,
    loss: RowLoss = row_losses,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return ``A = d/dx <g, dl(x)/dtheta>`` and, from the same pass, ``dl(x)/dtheta``.

    Dropout is off.

    Parameters
    ----------
    model : torch.nn.Module
        Model at the current theta.
    adversarial : Rows
        Adversarial features with their targets.
    direction : sequence of Tensor
        ``g``, one tensor per parameter of `layers`.
    layers : {"all", "first", "last"}
        Layers that the inner product is over.
    at : dict of Tensor, optional
        An earlier theta to use instead of the current one.
    loss : callable
        The loss of each row.

    Returns
    -------
    mixed : Tensor, shape (..., n, d)
        ``A``.
    gradient : list of Tensor
        ``dl/dtheta``, one tensor per parameter of the model.
    loss : Tensor, shape ()
        ``l``, the mean loss of the adversarial rows.
    """
    leaf = adversarial.x.detach().requires_grad_()
    if at is None:
        parameters: Parameters = dict(model.named_parameters())
        predictions = model(leaf)
    else:
        parameters = {name: value.requires_grad_() for name, value in at.items()}
        predictions = functional_call(model, parameters, (leaf,))
    mean = mean_loss(predictions, adversarial.labels, adversarial.weights, loss)
    gradient = torch.autograd.grad(mean, list(parameters.values()), create_graph=True)
    by_name = dict(zip(parameters, gradient, strict=True))
    chosen = [by_name[name] for name in select_parameters(model, layers)]
    parts = [torch.sum(g * h) for g, h in zip(direction, chosen, strict=True)]
    (mixed,) = torch.autograd.grad(torch.stack(parts).sum(), leaf)
    return mixed, [part.detach() for part in gradient], mean.detach()


def weight_gradient(
    terms: Sequence[tuple[Tensor, Tensor]], gamma: Tensor, config: CALConfig
) -> Tensor:
    """Return the derivative of ``R`` in the covariate weights.

    ``published``: ``dR/dw_j = sum_i (-rho A_ij) (-2 gamma eta (x_adv - x)_ij)`` with ``A`` summed
    over the theta steps and the displacement of the last one. This is not an exact derivative
    (``docs/science/cal.md``).

    ``unrolled``: ``dR/dw_j = sum_k sum_i (-rho A^k_ij) (-2 gamma eta / n) sum_{t<T} (x^k_t -
    x)_ij``, from plain ascent on the mean penalty unrolled step by step; ``A^k`` is taken at theta
    step k, with ``g`` from after the last one. It is exact for two attack steps of plain ascent
    inside the ball and one plain parameter step of length rho.

    Parameters
    ----------
    terms : sequence of pairs of Tensor, shapes (..., n, d)
        ``A`` and displacement; ``published`` has one pair, ``unrolled`` one per theta step.
    gamma : Tensor, shape (...)
        Penalty factor of the attack.
    config : CALConfig
        Has ``rho``, ``eta = attack_step_size`` and the rule.

    Returns
    -------
    Tensor, shape (..., d)
    """
    total = torch.stack([(mixed * moved).sum(dim=-2) for mixed, moved in terms]).sum(dim=0)
    n = terms[0][0].shape[-2] if config.weight_rule == "unrolled" else 1
    factor = 2.0 * config.rho * config.attack_step_size / n
    return factor * gamma.unsqueeze(-1) * total


def update_weights(state: CALState, gradient: Tensor, config: CALConfig) -> CALState:
    """Return the state after ``w -= delta / max_j |dR/dw_j| * dR/dw``, except for frozen weights.

    Parameters
    ----------
    state : CALState
        State before the step.
    gradient : Tensor, shape (..., d)
        ``dR/dw``; if it is 0 everywhere, the weights do not change.
    config : CALConfig
        Has ``delta`` and, for the rule ``unrolled``, the lowest value of a weight.
    """
    largest = gradient.abs().amax(dim=-1, keepdim=True)
    # compared on the device: reading a number would make a GPU wait
    scale = torch.where(largest > 0, config.delta / largest, torch.zeros_like(largest))
    moved = state.weights - scale * gradient
    if config.weight_rule == "unrolled":
        moved = moved.clamp_min(config.weight_floor)
    return replace(state, weights=torch.where(state.frozen, state.weights, moved))


def close_epoch(state: CALState, config: CALConfig) -> CALState:
    """Return the state after an epoch.

    ``published``: a weight below 0 is set to 1 and frozen, and ``gamma = 1/min w``. A weight of
    exactly 0 is treated in the same way: it is common (100 less five times 20), and gamma would be
    infinite. The other rules change nothing.
    """
    if config.weight_rule != "published":
        return state
    spent = state.weights <= 0
    weights = torch.where(spent, torch.ones_like(state.weights), state.weights)
    gamma = 1.0 / weights.amin(dim=-1)
    return replace(state, weights=weights, frozen=state.frozen | spent, gamma=gamma)
