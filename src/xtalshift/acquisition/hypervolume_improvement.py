"""What to measure next for several goals: expected hypervolume improvement, by Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.metrics.pareto import Front, Goal, upward
from xtalshift.seeding import as_generator
from xtalshift.uncertainty.predictive import PredictiveDistribution

FloatArray = NDArray[np.float64]


def draw_values(
    distributions: Sequence[PredictiveDistribution],
    goals: Sequence[Goal],
    n_samples: int,
    seed: int,
) -> FloatArray:
    """Return samples of the values of n candidates, signed as `upward`, shape (s, n, g).

    Parameters
    ----------
    distributions : sequence of PredictiveDistribution, length t
        Those of each target, n rows each. Errors of different targets are drawn independently.
    goals : sequence of str, length t
    n_samples : int
        Number s of samples of each candidate.
    seed : int
        Draws them.
    """
    rng = as_generator(seed)
    drawn = [one.sample(n_samples, rng) for one in distributions]
    return upward(np.stack(drawn, axis=-1), goals)


def expected_improvement(front: Front, samples: FloatArray) -> FloatArray:
    """Return the expected hypervolume improvement of n candidates, shape (n,).

    ``E[max(0, HV(front + y) - HV(front))]`` over the samples of shape (s, n, g), exact but for
    these.

    References
    ----------
    Emmerich, Giannakoglou and Naujoks, IEEE Trans. Evol. Comput. 10, 421 (2006), with this
    predictive distribution.
    """
    s, n, g = samples.shape
    gained = front.improvement(np.ascontiguousarray(samples).reshape(s * n, g))
    return np.asarray(gained.reshape(s, n).mean(axis=0))


@dataclass(frozen=True, eq=False)
class SeveralBatch:
    """Chosen candidates in the order of choice."""

    rows: NDArray[np.int64]
    score: FloatArray
    """Expected improvement on what is known."""
    utility: FloatArray
    """Expected improvement on what is known and the predictions of those that were chosen before;
    this decides."""


def choose_batch(
    front: Front, samples: FloatArray, predictions: FloatArray, n: int
) -> SeveralBatch:
    """Choose n candidates that together should improve a front.

    One after the other, the candidate with the largest expected improvement is chosen, and its
    prediction then counts as if it had been measured (Ginsbourger, Le Riche and Carraro, 2010, call
    it the believer), so that the next one improves something else.

    Parameters
    ----------
    front : Front
        What is known.
    samples : ndarray of float64, shape (s, m, g)
        See `draw_values`.
    predictions : ndarray of float64, shape (m, g)
        Signed as the samples.
    n : int
        At most m are chosen.
    """
    score = expected_improvement(front, samples)
    utility, left = score, np.arange(len(score))
    rows, decided = [], []
    for _ in range(min(n, len(score))):
        place = int(np.argmax(utility))
        row = int(left[place])
        rows.append(row)
        decided.append(float(utility[place]))
        left = np.delete(left, place)
        front = front.plus(predictions[row])
        utility = expected_improvement(front, samples[:, left])
    chosen = np.array(rows, dtype=np.int64)
    return SeveralBatch(chosen, score[chosen], np.array(decided))
