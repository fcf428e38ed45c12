"""One number for how unlike the training materials a row is, calibrated on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.domain.neighbours import NeighbourIndex
from xtalshift.domain.rarity import FeatureRarity
from xtalshift.featurize.scale import FeatureScaler

__all__ = ["Measures", "Novelty", "NoveltyScores", "Reference", "mid_rank"]

FloatArray = NDArray[np.float64]

_N_NEIGHBOURS = 5
_FLOOR = 0.25  # of the median local distance: in crowded places less is no novelty
_FOLDS = 10
_ENOUGH = 2000


class Measures(NamedTuple):
    """Of n rows: relative distance, rarity, the nearest material and its distance, (n,) each."""

    ratio: FloatArray
    rarity: FloatArray
    nearest: NDArray[np.int64]
    nearest_distance: FloatArray


class NoveltyScores(NamedTuple):
    """How new n rows are.

    Attributes
    ----------
    score : ndarray of float64, shape (n,)
        Share of the held-out rows that are nearer, in [0, 1].
    distance_rank, rarity_rank : ndarray of float64, shape (n,)
        The same of the relative distance and of the rarity alone; the larger decides the score.
    nearest : ndarray of int64, shape (n,)
        Number of the nearest training material.
    nearest_distance : ndarray of float64, shape (n,)
        Euclidean, in standard deviations of the features.
    """

    score: FloatArray
    distance_rank: FloatArray
    rarity_rank: FloatArray
    nearest: NDArray[np.int64]
    nearest_distance: FloatArray


@dataclass(frozen=True, eq=False)
class Reference:
    """Training materials: where they are, how dense, and which feature values they have.

    Attributes
    ----------
    scaler : FeatureScaler
        Fitted on them.
    index : NeighbourIndex
        Their standardised features.
    local : ndarray of float32, shape (n,)
        Mean distance of each to its nearest 5 others.
    floor : float
        What is added to local distances: a quarter of their median.
    rarity : FeatureRarity
        Their values.
    """

    scaler: FeatureScaler
    index: NeighbourIndex
    local: NDArray[np.float32]
    floor: float
    rarity: FeatureRarity

    @classmethod
    def build(
        cls, X: FloatArray, *, scaler: FeatureScaler | None = None, random_state: int = 0
    ) -> Self:
        """Learn from features of shape (n, d), no two rows the same; NaN means missing."""
        scaler = FeatureScaler().fit(X) if scaler is None else scaler
        points = _standardise(scaler, X)
        index = NeighbourIndex.build(points, random_state=random_state)
        local = _local_distances(index, points, 0)
        floor = _FLOOR * float(np.median(local))
        # all materials in one place: any distance is far
        floor = floor if floor > 0 else 1e-3
        return cls(scaler, index, local, floor, FeatureRarity.build(points, scaler.clip))

    def extended(self, X: FloatArray) -> Self:
        """Return this with further materials, shape (m, d), on the same scale."""
        points = _standardise(self.scaler, X)
        index = self.index.extended(points)
        local = np.concatenate([self.local, _local_distances(index, points, len(self.index))])
        return type(self)(self.scaler, index, local, self.floor, self.rarity.extended(points))

    def measure(self, X: ArrayLike) -> Measures:
        """Return relative distance, rarity and nearest material of rows of shape (n, d)."""
        points = _standardise(self.scaler, X)
        distances, rows = self.index.query(points, min(_N_NEIGHBOURS, len(self.index)))
        around = self.local[rows].mean(axis=1, dtype=np.float64) + self.floor
        return Measures(
            distances.mean(axis=1, dtype=np.float64) / around,
            self.rarity.score(points),
            rows[:, 0],
            distances[:, 0].astype(np.float64),
        )

    def neighbours(self, X: ArrayLike, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return distances and numbers of the k nearest materials, shapes (n, min(k, n))."""
        return self.index.query(_standardise(self.scaler, X), min(k, len(self.index)))

    def shares(self, X: ArrayLike) -> FloatArray:
        """Return the share of materials with almost the same value, (n, d); 1 for constants."""
        points = _standardise(self.scaler, X)
        shares = np.ones((len(points), len(self.scaler.kept_)))
        shares[:, self.scaler.kept_] = self.rarity.shares(points)
        return shares

    def scale(self) -> FloatArray:
        """Return the standard deviation of every feature in its unit, (d,); 0 for constants."""
        scale = np.zeros(len(self.scaler.kept_))
        scale[self.scaler.kept_] = self.scaler.scale_
        return scale

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays."""
        return {
            **self.scaler.get_state(),
            "scaler.clip": np.array([self.scaler.clip]),
            **self.index.get_state(),
            **self.rarity.get_state(),
            "local": self.local,
            "floor": np.array([self.floor]),
        }

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned; other names are ignored."""
        return cls(
            FeatureScaler(float(state["scaler.clip"][0])).set_state(state),
            NeighbourIndex.from_state(state),
            state["local"],
            float(state["floor"][0]),
            FeatureRarity.from_state(state),
        )


@dataclass(frozen=True, eq=False)
class Novelty:
    """Relative distance and rarity of features, each against held-out rows; the larger counts.

    The relative distance is the mean distance to the 5 nearest training materials over the same
    mean of those 5 themselves (plus a quarter of the median), a simplified local outlier factor
    (Breunig et al., SIGMOD 2000): training data are dense in some chemistries and sparse in
    others. It finds new regions. The rarity (`FeatureRarity`) finds new elements, whose
    compounds lie between known ones.

    Attributes
    ----------
    reference : Reference
        The training materials.
    held_out : ndarray of float64, shape (3, m)
        Relative distances, rarities and joint ranks of held-out rows, each ascending.
    """

    reference: Reference
    held_out: FloatArray

    @classmethod
    def fit(
        cls,
        X: FloatArray,
        X_held_out: FloatArray | None,
        *,
        groups: NDArray[Any] | None = None,
        random_state: int = 0,
    ) -> Self:
        """Learn from training materials and from held-out rows of the same distribution.

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features of the training materials, no two rows the same; NaN means missing.
        X_held_out : ndarray of float64, shape (m, d), or None
            Features of rows that are no training materials. None: training materials take their
            place, each against the others (ten folds, until 2,000 materials have been).
        groups : ndarray, shape (n,), optional
            Formulas, which are not split by the folds; by default all differ.
        random_state : int
            Seed of k-means and folds.

        Raises
        ------
        DataError
            If no feature varies or one is infinite.
        """
        reference = Reference.build(X, random_state=random_state)
        if X_held_out is not None:
            found = reference.measure(X_held_out)
            return cls(reference, _ascending(found.ratio, found.rarity))
        names = np.arange(len(X)) if groups is None else np.unique(groups, return_inverse=True)[1]
        order = np.random.default_rng(random_state).permutation(int(names.max()) + 1)
        folds = order[names] % min(_FOLDS, len(order))
        ratio, rarity = np.zeros(len(X)), np.zeros(len(X))
        done = np.zeros(len(X), dtype=bool)
        for fold in range(int(folds.max()) + 1 if folds.any() else 0):
            if done.sum() >= _ENOUGH:
                break  # each fold is an index of its own, and more rows tell no more
            out = folds == fold
            done |= out
            rest = Reference.build(X[~out], scaler=reference.scaler, random_state=random_state)
            ratio[out], rarity[out], *_ = rest.measure(X[out])
        if not done.any():  # a single material has no others
            done[:] = True
        return cls(reference, _ascending(ratio[done], rarity[done]))

    def assess(self, X: ArrayLike) -> NoveltyScores:
        """Compare rows of shape (n, d) with the training materials."""
        found = self.reference.measure(X)
        distance_rank = mid_rank(found.ratio, self.held_out[0])
        rarity_rank = mid_rank(found.rarity, self.held_out[1])
        return NoveltyScores(
            mid_rank(np.maximum(distance_rank, rarity_rank), self.held_out[2]),
            distance_rank,
            rarity_rank,
            found.nearest,
            found.nearest_distance,
        )


def _ascending(ratio: FloatArray, rarity: FloatArray) -> FloatArray:
    """Return both and their joint ranks, each sorted, shape (3, m)."""
    alone = np.sort(np.stack([ratio, rarity]), axis=1)
    joint = np.maximum(mid_rank(ratio, alone[0]), mid_rank(rarity, alone[1]))
    return np.concatenate([alone, np.sort(joint)[None]])


def mid_rank(values: FloatArray, known: FloatArray) -> FloatArray:
    """Return the share of `known` (ascending) below each value, equal ones counting half."""
    below = np.searchsorted(known, values, side="left") + np.searchsorted(
        known, values, side="right"
    )
    return np.asarray(below / (2 * len(known)))


def _standardise(scaler: FeatureScaler, X: ArrayLike) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows is clipped
        return np.ascontiguousarray(scaler.transform(X), dtype=np.float32)


def _local_distances(
    index: NeighbourIndex, points: NDArray[np.float32], first: int
) -> NDArray[np.float32]:
    """Return the mean distance of points first, first + 1, ... of an index to their nearest."""
    k = min(_N_NEIGHBOURS, len(index) - 1)
    if k == 0:
        return np.zeros(len(points), dtype=np.float32)
    distances, rows = index.query(points, k + 1)
    own = rows == first + np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # hidden behind k + 1 equal ones
    return np.asarray(distances[~own].reshape(len(points), k).mean(axis=1), dtype=np.float32)
