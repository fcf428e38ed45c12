"""Whether the extreme materials are found: order of the predictions, and their tail."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import as_pair, as_vector

__all__ = ["Side", "TailScores", "extrapolative_precision", "spearman", "tail_scores"]

Side: TypeAlias = Literal["high", "low"]


class TailScores(NamedTuple):
    """How well predictions find the rows whose targets are extreme.

    The last three are NaN where no row or every row is in the tail, as there is nothing to find.

    Attributes
    ----------
    n_tail : int
        Rows whose target is at or beyond the threshold.
    recall : float
        Share of these that are predicted at or beyond the threshold.
    precision : float
        Share of the rows predicted there that belong there; NaN if none is predicted there.
    enrichment : float
        Share of tail rows among the `n_tail` most extreme predictions, over their share among all
        rows; 1 is chance, and a method that predicts too flat can still rank well.
    """

    n_tail: int
    recall: float
    precision: float
    enrichment: float


def spearman(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Return the rank correlation of targets and predictions, ties at their mean rank.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In any unit, as only their order counts.

    Returns
    -------
    float
        In [-1, 1]; NaN where either does not vary.

    Raises
    ------
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    References
    ----------
    Spearman, Am. J. Psychol. 15, 72 (1904).

    Examples
    --------
    >>> spearman([1.0, 2.0, 30.0], [0.1, 0.3, 0.2])
    0.5
    """
    y, z = as_pair(targets, predictions)
    if y.min() == y.max() or z.min() == z.max():
        return float("nan")
    middle = (y.size + 1) / 2
    a, b = rankdata(y) - middle, rankdata(z) - middle
    correlation = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, correlation))


def tail_scores(
    targets: ArrayLike, predictions: ArrayLike, *, threshold: float, side: Side = "high"
) -> TailScores:
    """Return how well `predictions` find the rows whose target is at or beyond `threshold`.

    Where predictions tie at the edge of the `n_tail` most extreme ones, the enrichment is what a
    random order of the tied rows gives on average, so that a constant has exactly 1.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the unit of the target.
    threshold : float
        In the unit of the target; the largest target of the training rows, for instance.
    side : {"high", "low"}
        Whether the tail is ``>= threshold`` or ``<= threshold``.

    Raises
    ------
    ConfigError
        If `side` is neither, or `threshold` is not finite.
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    Examples
    --------
    >>> tail_scores([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.5, 2.5], threshold=2.0)
    TailScores(n_tail=2, recall=0.5, precision=1.0, enrichment=2.0)
    """
    y, z = as_pair(targets, predictions)
    sign = _sign(side)
    if not math.isfinite(threshold):
        raise ConfigError(f"{threshold=}: the tail needs a finite edge in the unit of the target")
    tail, predicted = sign * y >= sign * threshold, sign * z >= sign * threshold
    n_tail, n_predicted = int(tail.sum()), int(predicted.sum())
    if n_tail in (0, y.size):
        return TailScores(n_tail, float("nan"), float("nan"), float("nan"))
    n_both = int((tail & predicted).sum())
    return TailScores(
        n_tail=n_tail,
        recall=n_both / n_tail,
        precision=n_both / n_predicted if n_predicted else float("nan"),
        enrichment=float(_expected_hits(tail, sign * z, n_tail) * y.size / n_tail**2),
    )


def extrapolative_precision(
    targets_are_ood: ArrayLike,
    predictions: ArrayLike,
    *,
    share: float = 0.3,
    id_weight: float = 1.0,
    side: Side = "high",
) -> float:
    """Return which weighted part of the most extreme predictions belongs to OOD rows.

    The test rows inside and outside the distribution are pooled, and the `share` of them with the
    most extreme predictions is selected: ``n_ood / (n_ood + id_weight * n_id)`` over these. With
    ``id_weight=1`` it is a plain precision, whose value for random predictions is the OOD share of
    the pool. Segal et al. count a wrongly selected ID row 19 times (``id_weight=19``), since ID and
    OOD rows stand 95 to 5 in nature, while a test has far more OOD rows than that.

    Where predictions tie at the edge of the selection, `n_ood` and `n_id` are what a random order
    of the tied rows gives on average; a constant prediction selects the composition of the pool.

    Parameters
    ----------
    targets_are_ood : array_like of bool, shape (n,)
        Whether a row is out of distribution. The result is 0 if none is and 1 if all are.
    predictions : array_like of float, shape (n,)
        In any unit, as only their order counts.
    share : float
        Part of the rows that is selected, in (0, 1]; halves are rounded up, at least one row.
    id_weight : float
        How often a selected ID row counts, above 0.
    side : {"high", "low"}
        Whether the largest or the smallest predictions are selected.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ConfigError
        If `share`, `id_weight` or `side` is out of its range.
    DataError
        If the shapes differ, are not 1-d or are empty, a prediction is not finite, or
        `targets_are_ood` is not boolean.

    References
    ----------
    Segal et al., "Known Unknowns: Out-of-Distribution Property Prediction in Materials and
    Molecules", AI4Mat workshop, NeurIPS 2024 (MatEx).

    Examples
    --------
    >>> extrapolative_precision([True, True, False, False], [4.0, 1.0, 3.0, 2.0], share=0.5)
    0.5
    """
    z = as_vector(predictions, "predictions")
    ood = np.asarray(targets_are_ood)
    if ood.shape != z.shape or z.size == 0:
        raise DataError(f"{ood.shape=} and {z.shape=}: expected equal lengths above 0")
    if ood.dtype != np.bool_:
        raise DataError(f"targets_are_ood has dtype {ood.dtype}; expected bool, True for OOD rows")
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"{share=}: expected a part of the rows above 0 and at most 1")
    if not (math.isfinite(id_weight) and id_weight > 0):
        raise ConfigError(f"{id_weight=}: expected a finite number above 0, 1 for no weighting")
    # 0.29 * 50 is 14.499999999999998, which is meant as a half
    n_selected = max(1, math.floor(share * z.size + 0.5 + 1e-9))
    n_ood = _expected_hits(ood, _sign(side) * z, n_selected)
    n_id = n_selected - n_ood
    if n_id == 0:
        return 1.0
    return float(n_ood / (n_ood + Fraction(float(id_weight)) * n_id))


def _expected_hits(hits: NDArray[np.bool_], scores: NDArray[np.float64], k: int) -> Fraction:
    """Return how many of the k rows of highest score are hits, on average over the order of ties.

    It is exact, so that what should be 1 is no rounding error away from it.
    """
    edge = np.partition(scores, -k)[-k]
    above, tied = scores > edge, scores == edge
    n_left = k - int(above.sum())
    return int(hits[above].sum()) + Fraction(n_left * int(hits[tied].sum()), int(tied.sum()))


def _sign(side: Side) -> float:
    if side not in {"high", "low"}:
        raise ConfigError(f'{side=}: expected "high" or "low"')
    return 1.0 if side == "high" else -1.0
