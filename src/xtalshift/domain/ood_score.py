"""The OOD score: how unlike the training materials a row is, calibrated on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.domain.neighbour_index import INDEX, NeighbourIndex
from xtalshift.errors import ModelFormatError
from xtalshift.featurize.scale import PIECE_ROWS, SCALER, FeatureScaler
from xtalshift.saved_arrays import POSITIVE, SavedArray, Schema

FloatArray = NDArray[np.float64]

BIN_WIDTH = 0.02
"""Width of the bins in standard deviations; a value is counted in its bin and both adjacent ones.
This is narrow enough to separate the elements by values such as their melting points."""

_POWER = 16  # of the mean over features: nearly the maximum, with less noise
_N_NEIGHBOURS = 5
_FLOOR = 0.25  # of the median local distance: smaller distances in crowded regions are not novel
_WIDEST = 1000.0  # clip in standard deviations; it gives the number of bins
_FOLDS = 10
_ENOUGH = 2000

REFERENCE: Schema = {
    **SCALER,
    "scaler.clip": SavedArray(np.float64, (1,), low=POSITIVE, high=_WIDEST),
    **INDEX,
    "rarity.counts": SavedArray(np.uint32, ("kept", "bins")),
    "rarity.n": SavedArray(np.int64, (1,), low=1),
    "local": SavedArray(np.float32, ("n",), low=0.0),
    "floor": SavedArray(np.float64, (1,), low=POSITIVE),
}
"""Arrays of `Reference.get_state`; n materials."""


class FeatureRarity:
    """Histogram-based outlier score (Goldstein and Dengel, KI 2012) with a soft maximum.

    The surprise of a value is ``-log((c + 1) / (n + 1)) / log(n + 1)`` where c of n training
    materials have (almost) this value: 1 if none has it, about 0 if all have it. The rarity of a
    row is the power mean of its surprises with exponent 16, in place of the sum of the published
    score: a material of a new element has a few values that no training material has, and many
    usual ones.

    Parameters
    ----------
    counts : ndarray of uint32, shape (d, n_bins)
        Training materials in each bin of each standardised feature.
    n : int
        Training materials.
    """

    def __init__(self, counts: NDArray[np.uint32], n: int) -> None:
        self.counts = counts
        self.n = n
        near = counts.astype(np.float64)
        near[:, 1:] += counts[:, :-1]
        near[:, :-1] += counts[:, 1:]
        self._surprises = 1 - np.log1p(near) / np.log1p(n)
        self._powers = (self._surprises**_POWER).astype(np.float32)

    @classmethod
    def build(cls, points: NDArray[np.float32], clip: float) -> Self:
        """Count the values of training materials, (n, d), standardised and clipped at `clip`."""
        return cls(_count(points, _n_bins(clip)), len(points))

    def extended(self, points: NDArray[np.float32]) -> Self:
        """Return the rarity with further materials counted, shape (m, d)."""
        counts = self.counts + _count(points, self.counts.shape[1])
        return type(self)(counts, self.n + len(points))

    def score(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the rarity of each row, shape (n,), in [0, 1]."""
        places = _bins(points, self.counts.shape[1])
        places += np.arange(points.shape[1], dtype=np.int32) * np.int32(self.counts.shape[1])
        means = self._powers.ravel().take(places).mean(axis=1, dtype=np.float64)
        return np.asarray(means ** (1 / _POWER))

    def surprises(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the surprise of every value, shape (n, d), in [0, 1]."""
        return np.asarray(
            self._surprises[np.arange(points.shape[1]), _bins(points, self.counts.shape[1])]
        )

    def shares(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of training materials with (almost) each value, shape (n, d)."""
        near = np.expm1((1 - self.surprises(points)) * np.log1p(self.n))
        return np.asarray(near.round() / self.n)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the counts as named arrays."""
        return {"rarity.counts": self.counts, "rarity.n": np.array([self.n], dtype=np.int64)}

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned, checked by `REFERENCE`; other names are ignored."""
        return cls(state["rarity.counts"], int(state["rarity.n"][0]))


class Measures(NamedTuple):
    """Relative distance, rarity, nearest material and its distance of n rows, shape (n,) each."""

    ratio: FloatArray
    rarity: FloatArray
    nearest: NDArray[np.int64]
    nearest_distance: FloatArray


class NoveltyScores(NamedTuple):
    """OOD scores of n rows."""

    score: FloatArray
    """Shape (n,). 1 - conformal p-value, in [0, 1]: share of the held-out rows that are less
    novel."""
    distance_rank: FloatArray
    rarity_rank: FloatArray
    """Shape (n,). `distance_rank`, `rarity_rank`: the same for the relative distance and the rarity
    alone; the larger decides the score."""
    nearest: NDArray[np.int64]
    """Shape (n,). Number of the nearest training material."""
    nearest_distance: FloatArray
    """Shape (n,). Euclidean, in standard deviations of the features."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The training materials: positions, local density and histograms of their features."""

    scaler: FeatureScaler
    """Fitted on them."""
    index: NeighbourIndex
    """Their standardised features."""
    local: NDArray[np.float32]
    """Shape (n,). Mean distance of each to the 5 nearest others."""
    floor: float
    """Added to local distances: a quarter of their median."""
    rarity: FeatureRarity
    """Histograms of their features."""

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
        # all materials at one point: any distance is far
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

    def features(self, rows: NDArray[np.int64]) -> FloatArray:
        """Return the features of materials by number, shape (n, d)."""
        found = np.empty((len(rows), len(self.scaler.kept_)))
        points = self.index.unsorted()[rows].astype(np.float64)
        found[:, self.scaler.kept_] = points * self.scaler.scale_ + self.scaler.mean_
        found[:, ~self.scaler.kept_] = self.scaler.constant_
        return found

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
        """Restore what `get_state` returned, checked by `REFERENCE`; other names are ignored.

        Raises
        ------
        ModelFormatError
            If the arrays do not agree.
        """
        points, centres, counts = (
            state[name] for name in ("index.points", "index.centres", "rarity.counts")
        )
        clip, n = float(state["scaler.clip"][0]), int(state["rarity.n"][0])
        scaler = FeatureScaler(clip).set_state(state)
        if not len(centres) or max(np.abs(points).max(), np.abs(centres).max()) > clip:
            raise ModelFormatError("the index of the domain has points beyond its clip")
        if n != len(points) or counts.shape[1] != _n_bins(clip) or (counts.sum(axis=1) != n).any():
            raise ModelFormatError(f"the domain does not count all of its {len(points)} materials")
        return cls(
            scaler,
            NeighbourIndex.from_state(state),
            state["local"],
            float(state["floor"][0]),
            FeatureRarity.from_state(state),
        )


@dataclass(frozen=True, eq=False)
class Novelty:
    """Relative distance and rarity, each ranked among held-out rows; the larger rank counts.

    The relative distance is the mean distance to the 5 nearest training materials over the same
    mean of those 5 (plus a quarter of the median): a simplified local outlier factor (Breunig et
    al., SIGMOD 2000), because training data are dense in some chemistries and sparse in others. It
    finds new regions. The rarity (`FeatureRarity`) finds new elements, whose compounds are between
    known ones.
    """

    reference: Reference
    """The training materials."""
    held_out: FloatArray
    """Shape (3, m). Relative distances, rarities and joint ranks of held-out rows, each
    ascending."""

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
            Features of rows that are not training materials. None: training materials are compared
            with the others instead (in ten folds, until 2,000 materials are done).
        groups : ndarray, shape (n,), optional
            Formulas, each in one fold; by default all differ.
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
                break  # every fold builds an index, and more rows hardly change the ranks
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
    """Return the share of `known` (ascending) below each value; equal values count half.

    `scipy.stats.percentileofscore` with ``kind="mean"`` compares all pairs; this bisects.
    """
    below = np.searchsorted(known, values, side="left") + np.searchsorted(
        known, values, side="right"
    )
    return np.asarray(below / (2 * len(known)))


def standardised(state: dict[str, NDArray[Any]], X: ArrayLike) -> NDArray[np.float32]:
    """Return features of shape (n, d) as points of the index, by the scaler of a saved `Reference`.

    Parameters
    ----------
    state : dict of ndarray
        As `Reference.get_state` returns it, checked by `REFERENCE`; the index is not used.
    X : array_like of float, shape (n, d)
        Features; NaN means missing.
    """
    return _standardise(FeatureScaler(float(state["scaler.clip"][0])).set_state(state), X)


def _standardise(scaler: FeatureScaler, X: ArrayLike) -> NDArray[np.float32]:
    features = np.asarray(X, dtype=np.float64)
    points = np.empty((len(features), len(scaler.mean_)), dtype=np.float32)
    with np.errstate(over="ignore"):  # what overflows is clipped
        for start in range(0, len(features), PIECE_ROWS):
            part = slice(start, start + PIECE_ROWS)
            points[part] = scaler.transform(features[part])
    return points


def _local_distances(
    index: NeighbourIndex, points: NDArray[np.float32], first: int
) -> NDArray[np.float32]:
    """Return the mean distance of points first, first + 1, ... of an index to their nearest."""
    k = min(_N_NEIGHBOURS, len(index) - 1)
    if k == 0:
        return np.zeros(len(points), dtype=np.float32)
    distances, rows = index.query(points, k + 1)
    own = rows == first + np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # k + 1 equal points were found first
    return np.asarray(distances[~own].reshape(len(points), k).mean(axis=1), dtype=np.float32)


def _count(points: NDArray[np.float32], n_bins: int) -> NDArray[np.uint32]:
    """Return how many points each bin of each feature has, shape (d, n_bins)."""
    columns = _bins(points, n_bins).T
    return np.stack([np.bincount(column, minlength=n_bins) for column in columns]).astype(np.uint32)


def _n_bins(clip: float) -> int:
    return int(2 * clip / BIN_WIDTH) + 1


def _bins(points: NDArray[np.float32], n_bins: int) -> NDArray[np.int32]:
    half = np.float32((n_bins - 1) * BIN_WIDTH / 2)
    bins = ((points + half) / np.float32(BIN_WIDTH)).astype(np.int32)
    return np.clip(bins, 0, n_bins - 1, out=bins)
