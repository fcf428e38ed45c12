"""Acquisition rules by name: scores of candidates for an aim, and the batch they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.acquisition import acquisition_functions as acquisition
from xtalshift.acquisition.batch_selection import Batch, select_batch
from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import Side
from xtalshift.registry import Registry
from xtalshift.seeding import Seed, as_generator

FloatArray = NDArray[np.float64]

_NEGLIGIBLE = 1e-3  # share of the score of a prediction at the goal: about 3 standard deviations
_OPTIMISM = 2.0  # standard deviations that `shortfall` subtracts


@dataclass(frozen=True, eq=False)
class Candidates:
    """Known quantities of n candidates; a rule names those it needs."""

    n: int
    """Number of candidates."""
    mean: ArrayLike | None = None
    std: ArrayLike | None = None
    """Shape (n,). `mean`, `std`: predictions and their standard deviations, in the unit of the
    target."""
    points: ArrayLike | None = None
    """Shape (n, d). Positions of the candidates, such as standardised features."""
    known: ArrayLike | None = None
    """Shape (m, d). Positions of the measured materials."""


@dataclass(frozen=True)
class Aim:
    """The values that are wanted, in the unit of the target."""

    direction: Side = "high"
    """Whether high or low values are good."""
    best: float | None = None
    """Best value measured so far, see `best_measured`."""
    target: float | None = None
    """The wanted value."""
    threshold: float | None = None
    """Values at or beyond it are wanted."""
    window: tuple[float, float] | None = None
    """Values within it are wanted."""
    kappa: float = 2.0
    """Optimism of ``ucb`` in standard deviations."""


ScoreFunction = Callable[[Candidates, Aim, np.random.Generator], FloatArray]


@dataclass(frozen=True)
class Rule:
    """A way to choose what to measure."""

    score: ScoreFunction
    """Takes `Candidates`, `Aim` and a generator, returns scores of shape (n,), larger is better."""
    needs: tuple[str, ...] = ()
    """Attributes of `Candidates` and `Aim` that must be given."""
    summary: str = ""
    """Purpose in one line."""
    diversity: float = 1.0
    radius: float | None = None
    """`diversity`, `radius`: defaults of `xtalshift.acquisition.batch_selection.select_batch`."""
    uses_known: bool = False
    """Whether the batch keeps its distance from measured materials too."""
    from_lowest: bool = False
    """Whether scores may be negative; a batch then counts them from the lowest candidate."""
    goal: Callable[[Aim], float | None] | None = None
    """Takes an `Aim`, returns the value of the target that the rule looks for. Scores that are
    negligible compared with that of a prediction at this value do not decide, see `shortfall`; the
    rule needs ``mean`` and ``std``."""


RULES: Registry[Rule] = Registry("rule")

_MEANING = {
    "mean": "predictions",
    "std": "standard deviations of the predictions: use a method that gives them",
    "points": "positions of the candidates",
    "best": "the best value measured so far",
    "target": "the wanted value",
}


def register_rule(
    name: str, *, needs: tuple[str, ...] = (), **settings: Any
) -> Callable[[ScoreFunction], ScoreFunction]:
    """Return a decorator that adds a score function to `RULES`.

    Parameters
    ----------
    name : str
        Name of the rule.
    needs : tuple of str
        As in `Rule`.
    **settings
        Further attributes of `Rule`. The summary is the first line of the function's docstring.
    """

    def decorate(score: ScoreFunction) -> ScoreFunction:
        summary = (score.__doc__ or "").strip().split("\n")[0]
        RULES.add(name, Rule(score, needs, summary, **settings))
        return score

    return decorate


@register_rule("uncertainty", needs=("std",))
def _uncertainty(given: Candidates, _aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look where the prediction is least certain: largest standard deviation."""
    (std,) = _present(given.std)
    # with mean 0 and kappa = 1 this is the standard deviation, checked
    return acquisition.confidence_bound(np.zeros(given.n), std, 1.0)


@register_rule("expected-improvement", needs=("mean", "std", "best"), goal=lambda aim: aim.best)
def _expected_improvement(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest (or lowest) value: expected improvement on the best measured one."""
    mean, std, best = _present(given.mean, given.std, aim.best)
    return acquisition.expected_improvement(mean, std, best, aim.direction)


@register_rule("target", needs=("mean", "std", "best", "target"), goal=lambda aim: aim.target)
def _target(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for a wanted value: expected reduction of the distance of the nearest measured one."""
    mean, std, best, target = _present(given.mean, given.std, aim.best, aim.target)
    return acquisition.target_improvement(mean, std, target, best)


@register_rule(
    "probability",
    needs=("mean", "std"),
    goal=lambda aim: aim.threshold if aim.window is None else sum(aim.window) / 2,
)
def _probability(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest probability of a value beyond a threshold or within a window."""
    mean, std = _present(given.mean, given.std)
    if (aim.threshold is None) == (aim.window is None):
        raise ConfigError("rule 'probability' needs either a threshold or a window")
    if aim.window is not None:
        return acquisition.probability_within(mean, std, *aim.window)
    (threshold,) = _present(aim.threshold)
    return acquisition.probability_beyond(mean, std, threshold, aim.direction)


@register_rule("ucb", needs=("mean", "std"), from_lowest=True)
def _ucb(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest upper (or lowest lower) confidence bound, kappa deviations away."""
    mean, std = _present(given.mean, given.std)
    return acquisition.confidence_bound(mean, std, aim.kappa, aim.direction)


@register_rule("random", diversity=0.0)
def _random(given: Candidates, _aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Choose at random: the baseline for all other rules."""
    return rng.random(given.n)


@register_rule("diversity", needs=("points",), radius=float("inf"), uses_known=True)
def _diversity(given: Candidates, _aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look farthest from everything measured or chosen so far; needs no prediction."""
    return np.ones(given.n)


def score_candidates(
    rule: str, candidates: Candidates, aim: Aim | None = None, *, rng: Seed = 0
) -> FloatArray:
    """Return the scores of a rule.

    Parameters
    ----------
    rule : str
        A name in `RULES`.
    candidates : Candidates
        What is known about them.
    aim : Aim, optional
        What is wanted, by default high values.
    rng : int, Generator or None
        Randomness of rules that draw.

    Returns
    -------
    ndarray of float64, shape (n,)
        Larger is better.

    Raises
    ------
    NotFoundError
        If there is no such rule.
    ConfigError
        If the rule needs something that is missing; the message names it.
    DataError
        If a value is invalid, or a shape does not fit the number of candidates.
    """
    found, wanted = RULES[rule], aim or Aim()
    for name in found.needs:
        value = getattr(candidates, name) if hasattr(candidates, name) else getattr(wanted, name)
        if value is None:
            raise ConfigError(f"rule {rule!r} needs {name}: {_MEANING.get(name, 'give it')}")
    for field in dataclasses.fields(candidates):
        value = getattr(candidates, field.name)
        if field.name in {"n", "known"} or value is None:
            continue
        if np.shape(value)[:1] != (candidates.n,):
            raise DataError(
                f"{field.name} has shape {np.shape(value)}; expected one per candidate, "
                f"{candidates.n} of them"
            )
    return found.score(candidates, wanted, as_generator(rng))


def shortfall(rule: str, candidates: Candidates, aim: Aim, scores: ArrayLike) -> FloatArray:
    """Return how far candidates with a negligible score are from the goal of a rule.

    A score below 1e-3 of that of a prediction at the goal with the same standard deviation, that
    is, about 3 standard deviations from the goal, is negligible: scores such as 1e-44 rank
    candidates by the far tail of a normal distribution, which no calibration supports.

    Parameters
    ----------
    rule, candidates, aim
        As in `score_candidates`.
    scores : array_like of float, shape (n,)
        Scores of the rule.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the unit of the target: 0 if the score counts, else the distance of the prediction from
        the goal, less 2 standard deviations. Always 0 for a rule without a goal.
    """
    found = RULES[rule]
    if found.goal is None:
        return np.zeros(candidates.n)
    mean, std, goal = _present(candidates.mean, candidates.std, found.goal(aim))
    ideal = dataclasses.replace(candidates, mean=np.full(candidates.n, goal))
    largest = found.score(ideal, aim, np.random.default_rng(0))
    negligible = np.asarray(scores) <= _NEGLIGIBLE * largest
    distance = np.abs(np.subtract(mean, goal)) - np.multiply(_OPTIMISM, std)
    return np.where(negligible, np.maximum(distance, np.finfo(np.float64).tiny), 0.0)


def choose_candidates(
    rule: str,
    candidates: Candidates,
    n: int,
    aim: Aim | None = None,
    *,
    diversity: float | None = None,
    costs: ArrayLike | None = None,
    budget: float | None = None,
    rng: Seed = 0,
) -> Batch:
    """Choose a batch by a rule.

    Candidates with a negligible score follow after all others, those with the smallest `shortfall`
    first.

    Parameters
    ----------
    rule, candidates, aim
        As in `score_candidates`.
    n : int
        Size of the batch.
    diversity : float, optional
        As in `xtalshift.acquisition.batch_selection.select_batch`; by default that of the rule, or
        0 without points.
    costs, budget, rng
        As in `xtalshift.acquisition.batch_selection.select_batch`.

    Returns
    -------
    Batch
        Its scores are those of the rule; `decisive` is False for negligible ones.

    Raises
    ------
    NotFoundError, ConfigError, DataError
        As `score_candidates` and `xtalshift.acquisition.batch_selection.select_batch`.
    """
    generator, found, wanted = as_generator(rng), RULES[rule], aim or Aim()
    scores = score_candidates(rule, candidates, wanted, rng=generator)
    counted, fallback = scores, None
    if found.from_lowest:
        counted = scores - scores.min(initial=np.inf)
    if found.goal is not None:
        missing = shortfall(rule, candidates, wanted, scores)
        counted = np.where(missing > 0, 0.0, scores)
        fallback = np.where(missing > 0, missing.max(initial=0.0) - missing, 0.0)
    if diversity is None:
        diversity = found.diversity if candidates.points is not None else 0.0
    batch = select_batch(
        counted,
        candidates.points,
        n,
        fallback=fallback,
        diversity=diversity,
        radius=found.radius,
        known=candidates.known if found.uses_known else None,
        costs=costs,
        budget=budget,
        rng=generator,
    )
    return batch._replace(score=scores[batch.rows])


def best_measured(targets: ArrayLike, aim: Aim) -> float:
    """Return the best measured value: nearest to the wanted one, else the highest or lowest.

    Parameters
    ----------
    targets : array_like of float, shape (m,)
        Measured values, in the unit of the target; NaN is skipped.
    aim : Aim
        Its `target` or `direction` defines the best.

    Returns
    -------
    float
        In the unit of the target.

    Raises
    ------
    DataError
        If there is no measured value.

    Examples
    --------
    >>> best_measured([0.1, 1.4, 3.0], Aim(target=1.5))
    1.4
    """
    values = np.asarray(targets, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        raise DataError("no measured value; rules that look for a gain need at least one")
    if aim.target is not None:
        return float(values[np.argmin(np.abs(values - aim.target))])
    return float(values.max() if aim.direction == "high" else values.min())


def _present(*values: Any) -> tuple[Any, ...]:
    """Return values that are given, as `Rule.needs` says, for the type checker."""
    return values
