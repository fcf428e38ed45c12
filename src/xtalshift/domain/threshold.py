"""The threshold of the domain, chosen on held-out groups of training materials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.domain.ood_score import Novelty
from xtalshift.domain.reasons import decode_texts, encode_texts
from xtalshift.errors import ModelFormatError
from xtalshift.saved_arrays import TEXT, SavedArray, Schema

FloatArray = NDArray[np.float64]

IntArray = NDArray[np.int64]

_MAX_FALSE_ALARMS = 0.1
_DEFAULT = 1 - _MAX_FALSE_ALARMS
_MIN_ROWS = 100
_MAX_ROWS = 3000
_MIN_GROUP = 20
_N_CLUSTERS = 8
_N_ELEMENTS = 8

THRESHOLD: Schema = {
    "threshold.rates": SavedArray(np.float64, (3,), low=0.0, high=1.0, missing=True),
    "threshold.groups": TEXT,
    "threshold.found": SavedArray(np.float64, ("groups",), low=0.0, high=1.0),
    "threshold.aurocs": SavedArray(np.float64, ("groups",), low=0.0, high=1.0),
}
"""Arrays of `DomainThreshold.get_state`."""


@dataclass(frozen=True, eq=False)
class DomainThreshold:
    """The largest score inside the domain, and its rates on held-out groups."""

    threshold: float = _DEFAULT
    """In [0, 1]."""
    true_positive_rate: float = float("nan")
    false_positive_rate: float = float("nan")
    """`true_positive_rate`, `false_positive_rate`: share of the rows of held-out groups, and of
    random held-out rows, with a larger score (means over groups); NaN if there were too few
    materials to hold out a group."""
    groups: tuple[str, ...] = ()
    """Names of the held-out groups: ``"cluster 0"``, ``"O"``."""
    found: FloatArray = field(default_factory=lambda: np.zeros(0))
    aurocs: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Shape (n_groups,). `found`, `aurocs`: true positive rate of each group, and the area under
    the ROC curve of the score."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays."""
        rates = [self.threshold, self.true_positive_rate, self.false_positive_rate]
        return {
            "threshold.rates": np.array(rates),
            "threshold.groups": encode_texts(self.groups),
            "threshold.found": self.found,
            "threshold.aurocs": self.aurocs,
        }

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned, checked by `THRESHOLD`; other names are ignored.

        Raises
        ------
        ModelFormatError
            If the arrays do not agree.
        """
        threshold, found, alarms = state["threshold.rates"].tolist()
        groups = tuple(decode_texts("threshold.groups", state["threshold.groups"]))
        if np.isnan(threshold) or len(groups) != len(state["threshold.found"]):
            raise ModelFormatError(
                f"the domain has the threshold {threshold} and the names of {len(groups)} groups "
                f"for {len(state['threshold.found'])}"
            )
        return cls(
            threshold, found, alarms, groups, state["threshold.found"], state["threshold.aurocs"]
        )


def choose_threshold(
    X: FloatArray,
    contains: NDArray[np.bool_],
    groups: NDArray[Any] | None = None,
    *,
    random_state: int = 0,
) -> DomainThreshold:
    """Choose the threshold by holding out clusters and elements in turn.

    Of the thresholds with at most 10 % false positives, take the one with the largest Youden index
    (true minus false positive rate; Youden, Cancer 3, 32, 1950), averaged over groups.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Features of the training materials; of more than 3000, a random 3000.
    contains : ndarray of bool, shape (n, 118)
        Which elements they contain.
    groups : ndarray, shape (n,), optional
        Formulas: rows of one formula under different conditions are either known or tested. By
        default all differ.
    random_state : int
        Seed of all draws.

    Returns
    -------
    DomainThreshold
        0.9 without groups and rates, for fewer than 100 materials.
    """
    from sklearn.metrics import roc_auc_score  # here and below where a threshold is learned

    generator = np.random.default_rng(random_state)
    numbers = np.arange(len(X)) if groups is None else np.unique(groups, return_inverse=True)[1]
    # whole formulas in random order, as many as fit
    place = generator.permutation(int(numbers.max()) + 1)[numbers]
    chosen = np.sort(np.argsort(place, kind="stable")[:_MAX_ROWS])
    X, contains, numbers = X[chosen], contains[chosen], numbers[chosen]
    names, far, usual = [], [], []
    if len(X) >= _MIN_ROWS:
        for name, inside in _groups(X, contains, random_state):
            rest = np.flatnonzero(~inside)
            place = generator.permutation(int(numbers.max()) + 1)[numbers[rest]]
            rest = rest[np.argsort(place, kind="stable")]
            tenth = -(-len(rest) // 10)
            tested, calibrating, known = _cut(rest, numbers[rest], tenth)
            few = len(np.unique(X[known], axis=0)) < _MIN_GROUP
            if few or not (len(tested) and len(calibrating)):
                continue
            novelty = Novelty.fit(X[known], X[calibrating], random_state=random_state)
            names.append(name)
            far.append(np.sort(novelty.assess(X[inside]).score))
            usual.append(np.sort(novelty.assess(X[tested]).score))
    if not names:
        return DomainThreshold()
    grid = np.linspace(0.5, 0.995, 100)
    alarms = np.stack(
        [1 - np.searchsorted(scores, grid, "right") / len(scores) for scores in usual]
    )
    found = np.stack([1 - np.searchsorted(scores, grid, "right") / len(scores) for scores in far])
    youden = found.mean(axis=0) - alarms.mean(axis=0)
    youden[alarms.mean(axis=0) > _MAX_FALSE_ALARMS] = -np.inf
    # ties: the largest threshold has the fewest false alarms
    best = len(grid) - 1 - int(np.argmax(youden[::-1]))
    return DomainThreshold(
        float(grid[best]),
        float(found[:, best].mean()),
        float(alarms[:, best].mean()),
        tuple(names),
        found[:, best].copy(),
        np.array(
            [
                roc_auc_score(np.repeat([1, 0], [len(a), len(b)]), np.concatenate([a, b]))
                for a, b in zip(far, usual, strict=True)
            ]
        ),
    )


def _cut(rows: IntArray, groups: IntArray, tenth: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return about one, two and seven tenths of the rows, cut between groups."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    first, second = (int(starts[np.abs(starts - n).argmin()]) for n in (tenth, 3 * tenth))
    return rows[:first], rows[first:second], rows[second:]


def _groups(
    X: FloatArray, contains: NDArray[np.bool_], random_state: int
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield names and masks, (n,), of clusters and elements that leave enough materials."""
    from xtalshift.splits.feature_space import cluster_points, embed

    points = embed(X, 10)
    n_clusters = min(_N_CLUSTERS, len(np.unique(points, axis=0)))
    if n_clusters > 1:
        codes = cluster_points(points, n_clusters, random_state=random_state)
        for cluster in range(n_clusters):
            if _MIN_GROUP <= np.count_nonzero(codes == cluster) <= len(X) / 2:
                yield f"cluster {cluster}", codes == cluster
    counts = contains.sum(axis=0)
    usable = np.flatnonzero((counts >= max(_MIN_GROUP, len(X) / 50)) & (counts <= len(X) / 2))
    if len(usable):
        # from the most to the least frequent, evenly
        ordered = usable[np.argsort(-counts[usable], kind="stable")]
        places = np.linspace(0, len(ordered) - 1, min(_N_ELEMENTS, len(ordered))).round()
        for element in ordered[places.astype(int)].tolist():
            yield SYMBOLS[element + 1], contains[:, element]
