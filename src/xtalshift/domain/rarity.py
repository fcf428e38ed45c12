"""How rare the feature values of a row are among the training materials."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["BIN_WIDTH", "FeatureRarity"]

BIN_WIDTH = 0.02
"""Width of the bins in standard deviations; a value counts as present in its bin and both beside
it. Values of the elements, such as the largest melting point in a formula, are told apart so."""

_POWER = 16  # of the mean over features: nearly their maximum, but not the noise of one alone


class FeatureRarity:
    """Marginal density of every feature, joined by a soft maximum over the features.

    The surprise of a value is ``-log((c + 1) / (n + 1)) / log(n + 1)`` where c of n training
    materials have (almost) this value: 1 where none has it, about 0 where all have it. The rarity
    of a row is the power mean of its surprises with exponent 16. This is the histogram-based
    outlier score of Goldstein and Dengel (KI 2012) with a soft maximum in place of the sum: a
    material of a new element has a few values that no training material has, and many usual ones.

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
        """Count the values of training materials.

        Parameters
        ----------
        points : ndarray of float32, shape (n, d)
            Standardised features, clipped.
        clip : float
            At how many standard deviations.
        """
        return cls(_count(points, int(2 * clip / BIN_WIDTH) + 1), len(points))

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
        """Restore what `get_state` returned; other names are ignored."""
        return cls(state["rarity.counts"], int(state["rarity.n"][0]))


def _count(points: NDArray[np.float32], n_bins: int) -> NDArray[np.uint32]:
    """Return how many points each bin of each feature has, shape (d, n_bins)."""
    columns = _bins(points, n_bins).T
    return np.stack([np.bincount(column, minlength=n_bins) for column in columns]).astype(np.uint32)


def _bins(points: NDArray[np.float32], n_bins: int) -> NDArray[np.int32]:
    half = np.float32((n_bins - 1) * BIN_WIDTH / 2)
    bins = ((points + half) / np.float32(BIN_WIDTH)).astype(np.int32)
    return np.clip(bins, 0, n_bins - 1, out=bins)
