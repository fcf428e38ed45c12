"""Ranking scores: rank correlation, and how well extreme materials are found."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import Side, as_pair, as_vector, sign_of


class TailScores(NamedTuple):
    """How well predictions find the rows whose targets are extreme.

    The last three are NaN if no row or every row is in the tail.

    Attributes
    ----------
    n_tail : int
        Rows whose target is at or beyond the threshold.
    recall : float
        Share of the tail rows that are predicted at or beyond the threshold.
    precision : float
        Share of the rows predicted there that are tail rows; NaN if none is predicted there.
    enrichment : float
        Share of tail rows among the `n_tail` most extreme predictions, over their share among all
        rows. Chance gives 1. A method whose predictions vary too little can still rank well.
    """

    n_tail: int
    recall: float
    precision: float
    enrichment: float


def spearman(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Return the rank correlation (Spearman) of targets and predictions.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In any unit; only their order counts.

    Returns
    -------
    float
        In [-1, 1]; NaN if either does not vary.

    Raises
    ------
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    References
    ----------
    Spearman, Am. J. Psychol. 15, 72 (1904).

    Examples
    --------
    >>> round(spearman([1.0, 2.0, 30.0], [0.1, 0.3, 0.2]), 12)
    0.5
    """
    y, z = as_pair(targets, predictions)
    if y.min() == y.max() or z.min() == z.max():
        return float("nan")
    return float(scipy.stats.spearmanr(y, z).statistic)


def tail_scores(
    targets: ArrayLike, predictions: ArrayLike, *, threshold: float, side: Side = "high"
) -> TailScores:
    """Return how well `predictions` find the rows whose target is at or beyond `threshold`.

    If predictions tie at the edge of the `n_tail` most extreme ones, the enrichment is the average
    over all orders of the tied rows; a constant has exactly 1.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the unit of the target.
    threshold : float
        In the unit of the target, for instance the largest target of the training rows.
    side : {"high", "low"}
        Whether the tail is ``>= threshold`` or ``<= threshold``.

    Raises
    ------
    ConfigError
        If `side` is invalid or `threshold` is not finite.
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    Examples
    --------
    >>> tail_scores([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.5, 2.5], threshold=2.0)
    TailScores(n_tail=2, recall=0.5, precision=1.0, enrichment=2.0)
    """
    y, z = as_pair(targets, predictions)
    sign = sign_of(side)
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
    """Return the weighted share of out-of-distribution (OOD) rows among extreme predictions.

    ID and OOD test rows are pooled and the `share` of them with the most extreme predictions is
    selected; the result is ``n_ood / (n_ood + id_weight * n_id)`` over the selected rows. With
    ``id_weight=1`` this is the precision, which for random predictions is the OOD share of the
    pool. Segal et al. count a selected ID row 19 times (``id_weight=19``), because they expect 95
    ID rows for 5 OOD rows in practice, while test sets hold far more OOD rows.

    If predictions tie at the edge of the selection, `n_ood` and `n_id` are averages over all orders
    of the tied rows.

    Parameters
    ----------
    targets_are_ood : array_like of bool, shape (n,)
        Whether each row is OOD. The result is 0 if none is and 1 if all are.
    predictions : array_like of float, shape (n,)
        In any unit; only their order counts.
    share : float
        Share of the rows that is selected, in (0, 1]; halves round up, at least one row.
    id_weight : float
        Weight of a selected ID row, above 0.
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
        raise ConfigError(f"{share=}: expected a share of the rows above 0 and at most 1")
    if not (math.isfinite(id_weight) and id_weight > 0):
        raise ConfigError(f"{id_weight=}: expected a finite number above 0, 1 for no weighting")
    # 0.29 * 50 is 14.499999999999998 in float64 but means 14.5
    n_selected = max(1, math.floor(share * z.size + 0.5 + 1e-9))
    n_ood = _expected_hits(ood, sign_of(side) * z, n_selected)
    n_id = n_selected - n_ood
    if n_id == 0:
        return 1.0
    return float(n_ood / (n_ood + Fraction(float(id_weight)) * n_id))


def _expected_hits(hits: NDArray[np.bool_], scores: NDArray[np.float64], k: int) -> Fraction:
    """Return the exact mean number of hits among the k highest scores over all orders of ties."""
    edge = np.partition(scores, -k)[-k]
    above, tied = scores > edge, scores == edge
    n_left = k - int(above.sum())
    return int(hits[above].sum()) + Fraction(n_left * int(hits[tied].sum()), int(tied.sum()))
