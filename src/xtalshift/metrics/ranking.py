"""Ranking scores: rank correlation, and how well extreme materials are found."""

from __future__ import annotations

import math
from dataclasses import dataclass
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


class TopScores(NamedTuple):
    """How well the order of predictions finds the top of a set of rows; see `top_scores`.

    Both are NaN if every row is in the top.

    Attributes
    ----------
    recall : float
        Share of the top rows among as many most extreme predictions. The precision of this choice
        is the same number.
    enrichment : float
        That share over the share of the top among all rows. Chance gives 1.
    """

    recall: float
    enrichment: float


@dataclass(frozen=True)
class RankEvidence:
    """How well predictions rank rows that their model was not trained on; see `rank_evidence`."""

    n_rows: int
    """Number of rows."""
    spearman: float
    """Rank correlation of targets and predictions."""
    share: float
    """Share of the rows that is called the top."""
    highest: TopScores
    lowest: TopScores
    """`highest`, `lowest`: how well the top of either side is found."""


class Regret(NamedTuple):
    """What a search misses; see `regret`.

    Attributes
    ----------
    size : float
        In the unit of the target, at least 0; NaN if every row is picked.
    over_range : float
        Share of the range of the targets, in [0, 1]; NaN also if the targets do not vary.
    """

    size: float
    over_range: float


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

    References
    ----------
    Enrichment: Truchon & Bayly, J. Chem. Inf. Model. 47, 488 (2007), here for the share of rows
    that is in the tail.

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


def top_scores(
    targets: ArrayLike, predictions: ArrayLike, *, share: float, side: Side = "high"
) -> TopScores:
    """Return how well predictions find the rows with the most extreme targets of these rows.

    The top are the rows whose target is at or beyond that of the last row of the `share`, so that
    equal targets are in it together. Unlike `tail_scores` no edge is given: only the order counts,
    and every set of rows has a top. Predictions that tie count as the average over their orders.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In any unit; only their order counts.
    share : float
        Share of the rows, in (0, 1]; halves round up, at least one row.
    side : {"high", "low"}
        Whether the largest or the smallest targets are sought.

    Raises
    ------
    ConfigError
        If `share` or `side` is out of its range.
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    References
    ----------
    Enrichment: Truchon & Bayly, J. Chem. Inf. Model. 47, 488 (2007).

    Examples
    --------
    >>> top_scores([0.0, 1.0, 2.0, 3.0], [0.0, 1.5, 1.0, 2.5], share=0.5)
    TopScores(recall=0.5, enrichment=1.0)
    """
    y, z = as_pair(targets, predictions)
    k, sign = _count_share(share, y.size), sign_of(side)
    edge = sign * np.partition(sign * y, -k)[-k]
    found = tail_scores(y, z, threshold=float(edge), side=side)
    return TopScores(found.enrichment * found.n_tail / y.size, found.enrichment)


def rank_evidence(
    targets: ArrayLike, predictions: ArrayLike, *, share: float = 0.1
) -> RankEvidence | None:
    """Return rank correlation and `top_scores` of both sides, or None where ranks mean nothing.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In any unit; only their order counts.
    share : float
        As in `top_scores`.

    Returns
    -------
    RankEvidence or None
        None if targets or predictions do not vary, or if every row is in the top.

    Examples
    --------
    >>> rank_evidence([0.0, 1.0, 2.0, 3.0], [0.0, 1.5, 1.0, 2.5], share=0.5).spearman
    0.8
    """
    y, z = as_pair(targets, predictions)
    found = RankEvidence(
        y.size,
        round(spearman(y, z), 12),  # whatever the order of the sum
        share,
        top_scores(y, z, share=share, side="high"),
        top_scores(y, z, share=share, side="low"),
    )
    numbers = (found.spearman, *found.highest, *found.lowest)
    return found if all(map(math.isfinite, numbers)) else None


def regret(
    targets: ArrayLike, predictions: ArrayLike, *, n_picks: int, side: Side = "high"
) -> Regret:
    """Return by how much the best of the picked rows misses the best of all rows.

    The `n_picks` rows with the most extreme predictions are picked, as by someone who measures so
    many materials. If predictions tie at the edge, the result is the average over all orders of the
    tied rows; that of a constant is the regret of random picks.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the unit of the target.
    n_picks : int
        Number of rows that are picked, at least 1.
    side : {"high", "low"}
        Whether large or small targets are sought.

    Raises
    ------
    ConfigError
        If `n_picks` or `side` is out of its range.
    DataError
        If the shapes differ, are not 1-d or are empty, or a value is not finite.

    References
    ----------
    Simple regret, here with several picks: Bubeck, Munos & Stoltz, Algorithmic Learning Theory
    (ALT), LNCS 5809, 23 (2009).

    Examples
    --------
    >>> regret([0.0, 1.0, 3.0, 5.0], [0.0, 0.5, 2.0, 1.0], n_picks=1)
    Regret(size=2.0, over_range=0.4)
    """
    y, z = as_pair(targets, predictions)
    y, z = sign_of(side) * y, sign_of(side) * z
    if n_picks < 1:
        raise ConfigError(f"{n_picks=}: expected a number of rows of at least 1")
    if n_picks >= y.size:
        return Regret(float("nan"), float("nan"))
    edge = np.partition(z, -n_picks)[-n_picks]
    sure, tied = y[z > edge], np.sort(y[z == edge])
    # the chance that the largest of m rows drawn from the t tied ones is among the i smallest
    m, t, i = n_picks - sure.size, tied.size, np.arange(1, tied.size + 1)
    at_most = np.ones(t)
    for taken in range(m):
        at_most *= np.maximum(i - taken, 0) / (t - taken)
    missed = y.max() - np.maximum(tied, sure.max(initial=-np.inf))
    size = float(np.diff(at_most, prepend=0.0) @ missed)
    spread = float(np.ptp(y))
    return Regret(size, size / spread if spread else float("nan"))


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
    n_selected = _count_share(share, z.size)
    if not (math.isfinite(id_weight) and id_weight > 0):
        raise ConfigError(f"{id_weight=}: expected a finite number above 0, 1 for no weighting")
    n_ood = _expected_hits(ood, sign_of(side) * z, n_selected)
    n_id = n_selected - n_ood
    if n_id == 0:
        return 1.0
    return float(n_ood / (n_ood + Fraction(float(id_weight)) * n_id))


def _count_share(share: float, n_rows: int) -> int:
    """Return how many rows a share is, at least 1; halves round up."""
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"{share=}: expected a share of the rows above 0 and at most 1")
    # 0.29 * 50 is 14.499999999999998 in float64 but means 14.5
    return max(1, math.floor(share * n_rows + 0.5 + 1e-9))


def _expected_hits(hits: NDArray[np.bool_], scores: NDArray[np.float64], k: int) -> Fraction:
    """Return the exact mean number of hits among the k highest scores over all orders of ties."""
    edge = np.partition(scores, -k)[-k]
    above, tied = scores > edge, scores == edge
    n_left = k - int(above.sum())
    return int(hits[above].sum()) + Fraction(n_left * int(hits[tied].sum()), int(tied.sum()))
