"""Acquisition rules by name: scores of candidates for an aim, and the batch they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.acquisition.batch_selection import Batch, select_batch
from xtalshift.data.transform import TargetTransform
from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import Side, sign_of
from xtalshift.registry import Registry
from xtalshift.seeding import Seed, as_generator
from xtalshift.uncertainty.predictive import PredictiveDistribution
from xtalshift.uncertainty.settings import LEVEL

FloatArray = NDArray[np.float64]

_NEGLIGIBLE = 1e-3  # share of the score of a prediction at the goal
_HOPELESS = 1e9  # widths from the goal: behind every score
_TIE = 1e-12  # relative; orders equal scores only
_UNCHANGED = TargetTransform()


@dataclass(frozen=True, eq=False)
class Candidates:
    """Known quantities of n candidates; a rule names those it needs."""

    n: int
    """Number of candidates."""
    mean: ArrayLike | None = None
    """Shape (n,). Predictions, in the unit of the target."""
    distribution: PredictiveDistribution | None = None
    """Their n predictive distributions."""
    points: ArrayLike | None = None
    """Shape (n, d). Positions of the candidates, such as standardised features."""
    known: ArrayLike | None = None
    """Shape (m, d). Positions of the measured materials."""
    probabilities: ArrayLike | None = None
    """Shape (n, k). Their probabilities of k classes."""


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
    level: float = LEVEL
    """Level of the intervals whose bounds ``ucb`` compares."""
    of_class: int | None = None
    """Number of the wanted class."""


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
    rule needs ``distribution``."""
    directed: bool = False
    """Whether values far beyond the goal are as good: of equal scores the one that is farther on
    the wanted side counts first, unless the goal is a window."""


RULES: Registry[Rule] = Registry("rule")

_MEANING = {
    "mean": "predictions",
    "distribution": "predictive distributions: use a model with intervals",
    "probabilities": "probabilities of classes: use a model of classes",
    "of_class": "the wanted class (--class NAME)",
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


@register_rule("uncertainty", needs=("distribution",))
def _uncertainty(given: Candidates, _aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look where the prediction is least certain: widest 68 % interval."""
    found = _distribution(given)
    return found.std()


@register_rule("prediction", needs=("mean",), diversity=0.0, from_lowest=True)
def _prediction(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest (or lowest) value: best prediction."""
    (mean,) = _present(given.mean)
    return sign_of(aim.direction, "direction") * np.asarray(mean, dtype=np.float64)


@register_rule(
    "expected-improvement",
    needs=("distribution", "best"),
    goal=lambda aim: aim.best,
    directed=True,
)
def _expected_improvement(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for a new record: expected improvement on the best measured value."""
    found, (best,) = _distribution(given), _present(aim.best)
    return found.expected_improvement(best, aim.direction)


@register_rule("target", needs=("distribution", "best", "target"), goal=lambda aim: aim.target)
def _target(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for a wanted value: expected reduction of the distance of the nearest measured one."""
    found, (best, target) = _distribution(given), _present(aim.best, aim.target)
    return found.target_improvement(target, best)


@register_rule(
    "probability",
    needs=("distribution",),
    goal=lambda aim: aim.threshold if aim.window is None else sum(aim.window) / 2,
    directed=True,
)
def _probability(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest probability of a value beyond a threshold or within a window."""
    found = _distribution(given)
    if (aim.threshold is None) == (aim.window is None):
        raise ConfigError("rule 'probability' needs either a threshold or a window")
    if aim.window is not None:
        return found.probability(*aim.window)
    (threshold,) = _present(aim.threshold)
    high = sign_of(aim.direction, "direction") > 0
    return found.probability(above=threshold) if high else found.probability(below=threshold)


@register_rule("ucb", needs=("distribution",), from_lowest=True)
def _ucb(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for the highest upper (or lowest lower) bound of the interval."""
    found = _distribution(given)
    lower, upper = found.interval(aim.level)
    return upper if sign_of(aim.direction, "direction") > 0 else -lower


@register_rule("entropy", needs=("probabilities",))
def _entropy(given: Candidates, _aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look where the class is least certain: entropy of the probabilities."""
    (found,) = _present(given.probabilities)
    p = np.asarray(found, dtype=np.float64)
    return np.asarray(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1))


@register_rule("margin", needs=("probabilities",))
def _margin(given: Candidates, _aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look where two classes compete: 1 less the lead of the most probable one."""
    (found,) = _present(given.probabilities)
    second, first = np.sort(np.asarray(found, dtype=np.float64), axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


@register_rule("class-probability", needs=("probabilities", "of_class"), diversity=0.0)
def _class_probability(given: Candidates, aim: Aim, _rng: np.random.Generator) -> FloatArray:
    """Look for a class: its probability."""
    found, (number,) = _present(given.probabilities)[0], _present(aim.of_class)
    return np.asarray(found, dtype=np.float64)[:, number]


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
        if len(value) != candidates.n:
            raise DataError(
                f"{field.name} has {len(value)} rows; expected one per candidate, "
                f"{candidates.n} of them"
            )
    return found.score(candidates, wanted, as_generator(rng))


def shortfall(rule: str, candidates: Candidates, aim: Aim, scores: ArrayLike) -> FloatArray:
    """Return how far candidates with a negligible score are from the goal of a rule.

    A score is negligible that is below 1e-3 of that of a prediction at the goal with the same
    width, or not above that of a prediction infinitely far from it: the goal is then in the far
    tail of the distribution or behind its largest score, which no calibration supports.

    Parameters
    ----------
    rule, candidates, aim
        As in `score_candidates`.
    scores : array_like of float, shape (n,)
        Scores of the rule.

    Returns
    -------
    ndarray of float64, shape (n,)
        On the scale of the regressor: 0 if the score counts, else the distance of the goal from the
        90 % interval. Always 0 for a rule without a goal.
    """
    found = RULES[rule]
    if found.goal is None:
        return np.zeros(candidates.n)
    distribution, (goal,) = _distribution(candidates), _present(found.goal(aim))

    def score_at(widths: float) -> FloatArray:
        moved = distribution.centred_at(goal, sign_of(aim.direction, "direction") * widths)
        given = dataclasses.replace(candidates, distribution=moved)
        return found.score(given, aim, np.random.default_rng(0))

    least = np.maximum(_NEGLIGIBLE * score_at(0.0), score_at(-_HOPELESS))
    distance = distribution.outside(goal, LEVEL)
    missing = np.maximum(distance, np.finfo(np.float64).tiny)
    return np.where(np.asarray(scores) <= least, missing, 0.0)


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
    first. Of equal scores of a directed rule, the one farther on the wanted side comes first.

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
        if found.directed and wanted.window is None:
            (goal,) = _present(found.goal(wanted))
            toward = sign_of(wanted.direction, "direction")
            ahead = -toward * _distribution(candidates).margin(goal)
            place = np.argsort(np.argsort(ahead, kind="stable"), kind="stable")
            counted = counted * (1.0 + _TIE * place / candidates.n)
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


def best_measured(targets: ArrayLike, aim: Aim, scale: TargetTransform = _UNCHANGED) -> float:
    """Return the best measured value: nearest to the wanted one, else the highest or lowest.

    Parameters
    ----------
    targets : array_like of float, shape (m,)
        Measured values, in the unit of the target; NaN is skipped.
    aim : Aim
        Its `target` or `direction` defines the best.
    scale : TargetTransform
        The scale on which a value is near.

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
        distance = np.abs(scale.place(values) - scale.place(aim.target))
        return float(values[np.argmin(distance)])
    return float(values.max() if aim.direction == "high" else values.min())


def _present(*values: Any) -> tuple[Any, ...]:
    """Return values that are given, as `Rule.needs` says, for the type checker."""
    return values


def _distribution(given: Candidates) -> PredictiveDistribution:
    """Return the predictive distributions, which `Rule.needs` says are given."""
    assert given.distribution is not None
    return given.distribution
