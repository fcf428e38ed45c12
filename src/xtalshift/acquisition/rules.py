"""Acquisition rules by name: what a candidate is worth for which aim."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.acquisition import scores as acquisition
from xtalshift.acquisition.batches import Batch, select_batch
from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import Side
from xtalshift.registry import Registry
from xtalshift.seeding import Seed, as_generator

__all__ = [
    "RULES",
    "Aim",
    "Candidates",
    "Rule",
    "best_measured",
    "choose_candidates",
    "register_rule",
    "score_candidates",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is known of n candidates; a rule says what of it it needs.

    Attributes
    ----------
    n : int
        Number of candidates.
    mean, std : array_like of float, shape (n,), optional
        Predictions and their standard deviations, in the unit of the target.
    points : array_like of float, shape (n, d), optional
        Places of the candidates, such as standardised features.
    known : array_like of float, shape (m, d), optional
        Places of the measured materials.
    """

    n: int
    mean: ArrayLike | None = None
    std: ArrayLike | None = None
    points: ArrayLike | None = None
    known: ArrayLike | None = None


@dataclass(frozen=True)
class Aim:
    """What is wanted; all values in the unit of the target.

    Attributes
    ----------
    direction : {"high", "low"}
        Which values are good.
    best : float, optional
        Best value measured so far, see `best_measured`.
    target : float, optional
        The value wanted.
    threshold : float, optional
        Values at or beyond it are wanted.
    window : pair of float, optional
        Values within it are wanted.
    kappa : float
        Optimism of ``ucb`` in standard deviations.
    """

    direction: Side = "high"
    best: float | None = None
    target: float | None = None
    threshold: float | None = None
    window: tuple[float, float] | None = None
    kappa: float = 2.0


ScoreFunction = Callable[[Candidates, Aim, np.random.Generator], FloatArray]


@dataclass(frozen=True)
class Rule:
    """A way to choose what to measure.

    Attributes
    ----------
    score : callable
        Takes `Candidates`, `Aim` and a generator, returns scores of shape (n,), larger is better.
    needs : tuple of str
        Attributes of `Candidates` and `Aim` that must be given.
    summary : str
        What it is for, in one line.
    diversity, radius : float, float or None
        Defaults of `xtalshift.acquisition.batches.select_batch`.
    uses_known : bool
        Whether the batch keeps its distance from measured materials too.
    from_lowest : bool
        Whether the zero of the score means nothing, so that it counts from the lowest candidate.
    """

    score: ScoreFunction
    needs: tuple[str, ...] = ()
    summary: str = ""
    diversity: float = 1.0
    radius: float | None = None
    uses_known: bool = False
    from_lowest: bool = False


RULES: Registry[Rule] = Registry("rule")

_MEANING = {
    "mean": "predictions",
    "std": "standard deviations of the predictions: use a method that gives them",
    "points": "places of the candidates",
    "best": "the best value measured so far",
    "target": "the value wanted",
}


def register_rule(
    name: str, *, needs: tuple[str, ...] = (), **settings: Any
) -> Callable[[ScoreFunction], ScoreFunction]:
    """Return a decorator that adds a score function to `RULES`.

    Parameters
    ----------
    name : str
        Its name.
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
def _uncertainty(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Look where the prediction is least certain: the standard deviation."""
    del aim, rng
    (std,) = _present(given.std)
    # checked as any other standard deviation is
    return acquisition.confidence_bound(np.zeros(given.n), std, 1.0)


@register_rule("expected-improvement", needs=("mean", "std", "best"))
def _expected_improvement(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Look for the highest (or lowest) value: expected gain over the best measured one."""
    del rng
    mean, std, best = _present(given.mean, given.std, aim.best)
    return acquisition.expected_improvement(mean, std, best, aim.direction)


@register_rule("target", needs=("mean", "std", "best", "target"))
def _target(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Look for a wanted value: by how much nearer to it than the nearest measured one."""
    del rng
    mean, std, best, target = _present(given.mean, given.std, aim.best, aim.target)
    return acquisition.target_improvement(mean, std, target, best)


@register_rule("probability", needs=("mean", "std"))
def _probability(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Take the probability to lie beyond a threshold or within a window."""
    del rng
    mean, std = _present(given.mean, given.std)
    if (aim.threshold is None) == (aim.window is None):
        raise ConfigError("rule 'probability' needs either a threshold or a window")
    if aim.window is not None:
        return acquisition.probability_within(mean, std, *aim.window)
    (threshold,) = _present(aim.threshold)
    return acquisition.probability_beyond(mean, std, threshold, aim.direction)


@register_rule("ucb", needs=("mean", "std"), from_lowest=True)
def _ucb(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Take the optimistic bound of high (or low) values: kappa standard deviations off."""
    del rng
    mean, std = _present(given.mean, given.std)
    return acquisition.confidence_bound(mean, std, aim.kappa, aim.direction)


@register_rule("random", diversity=0.0)
def _random(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Choose by chance, which is what the others must beat."""
    del aim
    return rng.random(given.n)


@register_rule("diversity", needs=("points",), radius=float("inf"), uses_known=True)
def _diversity(given: Candidates, aim: Aim, rng: np.random.Generator) -> FloatArray:
    """Look farthest from all that is measured or chosen; needs no prediction."""
    del aim, rng
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
        What is known of them.
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
        If something is missing that the rule needs; the message says what.
    DataError
        If a value is refused, or there is not one per candidate.
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


def choose_candidates(
    rule: str,
    candidates: Candidates,
    n: int,
    aim: Aim | None = None,
    *,
    diversity: float | None = None,
    costs: ArrayLike | None = None,
    budget: float | None = None,
    exclude: ArrayLike | None = None,
    rng: Seed = 0,
) -> Batch:
    """Choose a batch by a rule.

    Parameters
    ----------
    rule, candidates, aim
        As in `score_candidates`.
    n : int
        Candidates wanted.
    diversity : float, optional
        As in `xtalshift.acquisition.batches.select_batch`; by default the rule's own, or 0 if there
        are no points.
    costs, budget, exclude, rng
        As in `xtalshift.acquisition.batches.select_batch`.

    Returns
    -------
    Batch
        Its scores are those of the rule.

    Raises
    ------
    NotFoundError, ConfigError, DataError
        As `score_candidates` and `xtalshift.acquisition.batches.select_batch`.
    """
    generator, found = as_generator(rng), RULES[rule]
    scores = score_candidates(rule, candidates, aim, rng=generator)
    free = np.ones(len(scores), dtype=bool) if exclude is None else ~np.asarray(exclude, dtype=bool)
    counted = scores
    if found.from_lowest and free.shape == scores.shape:
        counted = scores - scores[free].min(initial=np.inf)
    if diversity is None:
        diversity = found.diversity if candidates.points is not None else 0.0
    batch = select_batch(
        counted,
        candidates.points,
        n,
        diversity=diversity,
        radius=found.radius,
        known=candidates.known if found.uses_known else None,
        costs=costs,
        budget=budget,
        exclude=exclude,
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
        Its `target` or `direction` says what is good.

    Returns
    -------
    float
        In the unit of the target.

    Raises
    ------
    DataError
        If there is none.

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
    """Hand on what `Rule.needs` has made sure of."""
    return values
