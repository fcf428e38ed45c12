"""The inner maximisation on real compositions: substitute elements, then move their fractions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.row_ascent import Goal, Within, within_ball
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import Attack
from xtalshift.cal.substitution import Trials, substitute_best
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.cal.weights import CALState
from xtalshift.errors import ConfigError, DataError
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.padded_compositions import Slots
from xtalshift.nn.rows import Rows, mean_loss, row_losses

MIN_FRACTION = 1e-3
"""Lower limit of a fraction (or its starting value, if that is less)."""


@dataclass(frozen=True)
class CompositionAttack:
    """Adversarial compositions.

    ``c_adv = argmax_c' l(f(phi(c')), y) - gamma * sum_j w_j (phi(c')_j - x_j)^2``: the inner
    problem of arXiv:2408.09297 with the features ``phi`` of a composition ``c'`` instead of free
    features, solved for each row separately (sample weights do not matter):

    1. substitution: of all replacements of one element by a similar one
       (`chem.element_similarity.similar_elements`) the one with the largest objective, if that is
       an increase and the budget allows it; `substitutions` times, no element twice;
    2. fractions: `steps` steps of steepest ascent along the simplex, projected on the bounds
       (Rosen's gradient projection). A step that leaves the budget of the features is pulled back
       toward the start. A step that does not raise the objective is undone, and the next one is
       half as long.

    ============ ============================ ===========
    symbol       variable                     shape
    ============ ============================ ===========
    x, y         rows.x, rows.y               (n, d), (n,)
    c            rows.compositions            (n, k)
    phi          features
    w, gamma     weights, gamma               (d,), scalar
    ============ ============================ ===========

    Parameters
    ----------
    features : TorchFeatures
        ``phi``; ``rows.x`` are its values.
    steps : int
        Number of steps of the fractions.
    step_size : float
        Euclidean length of the first step, in atomic fractions.
    fraction_budget : float
        Largest change of any atomic fraction after substitution; 0 disables the whole attack.
    charge_neutral : bool
        Where a neutral assignment of oxidation states is known, keep it: fractions move only along
        directions that keep the total charge, and an element is replaced only by one that can have
        its oxidation state.
    substitutions : int
        Number of elements of a row that may be replaced.
    neighbours : int
        Number of candidates for each.
    loss : callable
        ``l``, the loss of each row.

    Raises
    ------
    ConfigError
        If a number is negative or, for `neighbours`, below 1.

    Notes
    -----
    The number of atoms and the number of elements of a row do not change: no fraction falls below
    `MIN_FRACTION` (or below its starting value, if that is less).

    ``compound possible`` is computed after a substitution and held fixed while fractions move. That
    is exact with `charge_neutral` and a known assignment; otherwise almost any move would end an
    exact cancellation of charges.
    """

    features: TorchFeatures
    steps: int
    step_size: float
    fraction_budget: float
    charge_neutral: bool = True
    substitutions: int = 0
    neighbours: int = 5
    loss: RowLoss = row_losses

    def __post_init__(self) -> None:
        for name in ("steps", "step_size", "fraction_budget", "substitutions"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must not be negative")
        if self.neighbours < 1:
            raise ConfigError(f"neighbours = {self.neighbours}: must be at least 1")

    def __call__(
        self,
        model: nn.Module,
        rows: Rows,
        weights: Tensor,
        gamma: float,
        within: Within,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Slots]:
        """Return adversarial rows.

        Parameters
        ----------
        model : torch.nn.Module
            Called as ``model(x, generator)``.
        rows : Rows
            Rows to start from, with compositions.
        weights : Tensor, shape (d,)
            Covariate weights ``w``.
        gamma : float
            Factor of the transport cost.
        within : callable
            Decides which displacements are allowed (see `Within`); those of the result always are.
        generator : torch.Generator, optional
            If given, dropout is on, with a new mask in each evaluation.

        Returns
        -------
        x_adv : Tensor, shape (n, d)
            Detached features ``phi`` of the adversarial compositions; rows that did not move are
            those of `rows`, bit for bit.
        compositions : Slots
            Adversarial compositions; charges are NaN where the fractions are no longer neutral.

        Raises
        ------
        DataError
            If `rows` has no compositions, or a leading axis for the members of an ensemble.
        """
        slots = rows.compositions
        if slots is None:
            raise DataError("rows have no compositions; attack their features instead")
        if rows.x.ndim != 2:  # noqa: PLR2004
            raise DataError(f"{rows.x.ndim=}: attack the members of an ensemble one by one")
        if self.fraction_budget == 0 or (self.steps == 0 and self.substitutions == 0):
            return rows.x, slots
        goal = Goal(model, rows.x, rows.labels, weights, gamma, within, generator, self.loss)
        point = _Point(slots, self.features.read_possible(rows.x), rows.x)
        if self.substitutions:
            slots, x = substitute_best(
                slots,
                rows.x,
                goal,
                self._try,
                times=self.substitutions,
                neighbours=self.neighbours,
                charge_neutral=self.charge_neutral,
            )
            point = _Point(slots, self.features.read_possible(x), x)
        if self.steps:
            point = self._move(point, goal)
        return point.x, point.slots

    def _try(self, slots: Slots, trials: Trials) -> tuple[Tensor, Tensor]:
        """Return the features of each trial, shape (m, d), and whether it may be chosen."""
        possible, unknown = self._possible(slots, trials)
        return self.features(trials.rows_of(slots), possible), ~unknown

    def _possible(self, slots: Slots, trials: Trials) -> tuple[Tensor, Tensor]:
        """Return ``compound possible`` of trials, and whether it is undecided, shapes (m,)."""
        possible = torch.ones_like(slots.amounts[:1, 0]).expand(len(trials)).clone()
        unknown = torch.zeros_like(trials.keeps_charge)
        rest = ~trials.keeps_charge
        if rest.any():
            asked = trials.take(rest).rows_of(slots)
            possible[rest], unknown[rest] = self.features.try_possible(asked)
        return possible, unknown

    def _move(self, point: _Point, goal: Goal) -> _Point:
        """Move the fractions; keep an iterate only if it is better than all before."""
        phi = self.features.fix(point.slots, point.possible)
        total = point.slots.amounts.sum(dim=1, keepdim=True)
        start = point.slots.fractions
        neutral = point.slots.known_charges & self.charge_neutral
        space = _Space(
            lower=torch.maximum(start - self.fraction_budget, start.clamp(max=MIN_FRACTION)),
            upper=torch.where(start > 0, start + self.fraction_budget, start),
            charges=torch.where(neutral[:, None], point.slots.charges, 0.0),
        )

        def features(fractions: Tensor, row: Tensor | None = None) -> Tensor:
            if row is None:
                return phi(fractions * total)
            return phi.take(row)(fractions * total[row])

        best = goal.climb(features, start, space.step, self.steps, self.step_size)
        moved = (best.at != start).any(dim=1, keepdim=True)
        slots = replace(
            point.slots,
            amounts=torch.where(moved, best.at * total, point.slots.amounts),
            charges=torch.where(
                moved & ~neutral[:, None] & (start > 0), torch.nan, point.slots.charges
            ),
        )
        return _Point(slots, point.possible, torch.where(moved, best.x, point.x))


@dataclass(frozen=True)
class _Point:
    """State of an attack: compositions (n, k), ``compound possible`` (n,), features (n, d)."""

    slots: Slots
    possible: Tensor
    x: Tensor


@dataclass(frozen=True)
class _Space:
    """Allowed fractions: between bounds, with a constant sum and a constant total charge.

    All fields have shape (n, k); `charges` are 0 where the charge does not matter.
    """

    lower: Tensor
    upper: Tensor
    charges: Tensor

    def step(self, fractions: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
        """Return `fractions` after a step of at most `length` (n, 1) uphill."""
        slack = 10.0 * torch.finfo(fractions.dtype).eps
        free = self.upper > self.lower
        at_lower, at_upper = fractions <= self.lower + slack, fractions >= self.upper - slack
        for _ in range(fractions.shape[1] + 1):  # each round but the last fixes an element
            direction = self._project(gradient, free)
            blocked = free & ((direction > 0) & at_upper | (direction < 0) & at_lower)
            if not blocked.any():
                break
            free = free & ~blocked
        room = torch.where(direction > 0, self.upper - fractions, self.lower - fractions)
        room = torch.where(direction == 0, torch.inf, room / direction).amin(dim=1, keepdim=True)
        moved = fractions + torch.minimum(length, room) * direction
        return torch.minimum(torch.maximum(moved, self.lower), self.upper)

    def _project(self, gradient: Tensor, free: Tensor) -> Tensor:
        """Return the direction of steepest ascent of length 1; 0 where there is none."""
        slope = _centre(gradient, free)
        charges = _centre(self.charges, free)
        size = charges.square().sum(dim=1, keepdim=True)
        charged = size > 1e-6  # noqa: PLR2004 - oxidation states are whole numbers
        along = (slope * charges).sum(dim=1, keepdim=True) / torch.where(charged, size, 1.0)
        slope = torch.where(charged, _centre(slope - along * charges, free), slope)
        norm = torch.linalg.vector_norm(slope, dim=1, keepdim=True)
        # a slope of the size of rounding errors counts as 0
        noise = 100.0 * torch.finfo(slope.dtype).eps * gradient.abs().amax(dim=1, keepdim=True)
        dimensions = free.sum(dim=1, keepdim=True) - 1 - charged.to(torch.int64)
        real = (norm > noise) & (dimensions > 0)
        return torch.where(real, slope / torch.where(real, norm, 1.0), 0.0)


def _centre(values: Tensor, free: Tensor) -> Tensor:
    """Return `values` minus their mean over the free elements, 0 elsewhere; shapes (n, k)."""
    values = torch.where(free, values, 0.0)
    mean = values.sum(dim=1, keepdim=True) / free.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(free, values - mean, 0.0)


def attack_compositions(features: TorchFeatures, loss: RowLoss = row_losses) -> Attack:
    """Return an attack that moves compositions; their features follow.

    Parameters
    ----------
    features : TorchFeatures
        From compositions to the standardised features of the model.
    loss : callable
        The loss of each row.

    Returns
    -------
    callable
        An `Attack` for `xtalshift.cal.step`, on rows with ``compositions``. Its ``path`` is the
        last displacement, since the unrolled weight gradient is exact only for free features.
    """

    def attacker(model: nn.Module, rows: Rows, state: CALState, config: CALConfig) -> Attacked:
        if not config.attacks:
            return attack(model, rows, state, config, loss=loss)

        mover = CompositionAttack(
            features,
            steps=config.attack_steps,
            step_size=config.attack_step_size,
            fraction_budget=config.fraction_budget,
            charge_neutral=config.charge_neutral,
            substitutions=config.substitutions,
            neighbours=config.neighbours,
            loss=loss,
        )
        with torch.no_grad():
            start_loss = mean_loss(model(rows.x), rows.labels, rows.weights, loss)
        within = within_ball(config, state.weights)
        x_adv, moved = mover(model, rows, state.weights, float(state.gamma), within)
        return Attacked(replace(rows, x=x_adv, compositions=moved), x_adv - rows.x, start_loss)

    return attacker
