"""Ascent of one objective per row in the variables of a material, inside a budget of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import ball_norm
from xtalshift.cal.settings import CALConfig
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.rows import row_losses

Within = Callable[[Tensor], Tensor]
"""Displacements in feature space (m, d) -> whether each is allowed, bool (m,), for any m."""

ROUNDING = 1e-6
_BISECTIONS = 6  # a row that is pulled back ends within 1/64 of its path from the budget


class Features(Protocol):
    """The features of a batch as a differentiable function of its variables."""

    def __call__(self, at: Tensor, row: Tensor | None = None, /) -> Tensor:
        """Return standardised features, (n, d), for variables (n, k).

        With `row`, int64 (m,), those of some rows, whose variables are (m, k).
        """


Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Variables (n, k), gradient (n, k), length (n, 1) -> variables after a step uphill (n, k)."""


class Iterate(NamedTuple):
    """Variables (n, k), their objective (n,), its gradient (n, k) and their features (n, d)."""

    at: Tensor
    value: Tensor
    gradient: Tensor
    x: Tensor

    def where(self, chosen: Tensor, other: Iterate) -> Iterate:
        """Return these rows where `chosen` (n,), those of `other` elsewhere."""
        column = chosen[:, None]
        return Iterate(
            torch.where(column, self.at, other.at),
            torch.where(chosen, self.value, other.value),
            torch.where(column, self.gradient, other.gradient),
            torch.where(column, self.x, other.x),
        )


@dataclass(frozen=True)
class Goal:
    """The objective of each row and its budget: ``l(f(x'), y) - gamma * sum_j w_j (x'_j - x_j)^2``.

    Attributes
    ----------
    model : torch.nn.Module
        Called as ``model(x, generator)``.
    x, y : Tensor, shapes (n, d) and (n,)
        Rows before the attack: features, and the labels that `loss` takes.
    weights, gamma : Tensor of shape (d,), float
        Transport cost.
    within : callable
        Decides which displacements are allowed.
    generator : torch.Generator, optional
        If given, dropout is on.
    loss : callable
        The loss ``l`` of each row.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    weights: Tensor
    gamma: float
    within: Within
    generator: torch.Generator | None = None
    loss: RowLoss = row_losses

    def value(self, x_adv: Tensor, row: Tensor | None = None) -> Tensor:
        """Return the objective of each adversarial row; `row` are the rows they come from."""
        x, y = (self.x, self.y) if row is None else (self.x[row], self.y[row])
        cost = ((x_adv - x).square() * self.weights).sum(dim=1)
        return self.loss(self.model(x_adv, self.generator), y) - self.gamma * cost

    def climb(
        self, features: Features, start: Tensor, step: Step, steps: int, length: float
    ) -> Iterate:
        """Take steps uphill; one that brings nothing is undone, and the next is half as long.

        Parameters
        ----------
        features : callable
            From variables to features.
        start : Tensor, shape (n, k)
            Variables before the attack.
        step : callable
            Takes a step that keeps the constraints of the variables.
        steps : int
            Number of steps.
        length : float
            Length of the first step.
        """
        best = self._evaluate(features, start, start, slope=steps > 0)
        lengths = torch.full_like(start[:, :1], length)
        for number in range(1, steps + 1):
            trial = step(best.at, best.gradient, lengths)
            found = self._evaluate(features, start, trial, slope=number < steps)
            better = found.value > best.value
            best = found.where(better, best)
            lengths = torch.where(better[:, None], lengths, 0.5 * lengths)
        return best

    def _evaluate(self, features: Features, start: Tensor, at: Tensor, *, slope: bool) -> Iterate:
        """Pull variables back into the budget of the features and evaluate the objective."""
        with torch.set_grad_enabled(slope):
            leaf = at.detach().clone().requires_grad_(slope)
            x_adv = features(leaf)
            allowed = self.within(x_adv.detach() - self.x)
            outside = (~allowed).nonzero().flatten()
            if len(outside):
                leaf = at.detach().clone()
                leaf[outside] = self._pull_back(features, start, at, outside)
                leaf.requires_grad_(slope)
                x_adv = features(leaf)
            value = self.value(x_adv)
            gradient = torch.zeros_like(at)
            if slope:
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return Iterate(leaf.detach(), value.detach(), torch.nan_to_num(gradient), x_adv.detach())

    @torch.no_grad()
    def _pull_back(self, features: Features, start: Tensor, at: Tensor, row: Tensor) -> Tensor:
        """Return the farthest allowed points found on the path from the start."""
        start, way, x = start[row], (at - start)[row], self.x[row]
        near, far = torch.zeros_like(start[:, :1]), torch.ones_like(start[:, :1])
        for _ in range(_BISECTIONS):
            middle = 0.5 * (near + far)
            inside = self.within(features(start + middle * way, row) - x)[:, None]
            near, far = torch.where(inside, middle, near), torch.where(inside, far, middle)
        return start + near * way


def within_ball(config: CALConfig, weights: Tensor) -> Within:
    """Return which displacements are in the ball of the settings, for covariate weights (d,)."""

    def within(displacement: Tensor) -> Tensor:
        if config.ball == "none":
            shape = displacement.shape[:-1]
            return torch.ones(shape, dtype=torch.bool, device=displacement.device)
        size = ball_norm(displacement, weights, config.ball)
        return size <= config.epsilon * (1 + ROUNDING)

    return within
