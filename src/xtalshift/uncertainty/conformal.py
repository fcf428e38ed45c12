"""Conformal prediction: intervals from the errors on rows that the model was not trained on.

===========================================  =========================
symbol                                       variable
===========================================  =========================
conformity score s_i of calibration row i    ``scores``
level 1 - alpha                              ``level``
spread sigma(x) that scales a score          ``spread``
density ratio w(x) of target to source       ``weights``
===========================================  =========================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.families import FAMILIES
from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.metrics.checks import as_vector, check_level
from xtalshift.metrics.ranking import RankEvidence
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.noise import model_error

FloatArray = NDArray[np.float64]
ScoreKind = Literal["absolute", "normalised", "quantile"]
ScoreOrigin = Literal["held-out", "out-of-fold", "target", "proxies"]


START: dict[ScoreKind, float] = {"absolute": 0.0, "normalised": 0.0, "quantile": -1.0}
"""Lowest score of each kind: that of a target equal to its prediction."""

ONE_SIGMA = 0.6827
"""Level of the interval whose half width is reported as the ``std`` of a prediction."""

FLOOR = 0.1
"""Smallest spread, as a share of the median spread: ensemble members may agree by chance."""

_ROUNDING = 1e-12

_SAVED: Schema = {
    "calibration.scores": SavedArray(np.float64, ("n",)),
    "calibration.floor": SavedArray(np.float64, (1,), low=0.0),
}
_OPTIONAL: Schema = {
    "calibration.X": SavedArray(np.float32, ("n", "d"), missing=True),
    "calibration.families": SavedArray(np.int64, ("n",), low=0, high=len(FAMILIES) - 1),
    "calibration.start": SavedArray(np.float64, (1,), high=0.0),
    "calibration.noise": SavedArray(np.float64, ("n",), low=0.0),
    "calibration.typical_noise": SavedArray(np.float64, (1,), low=0.0),
}


@dataclass(frozen=True, eq=False)
class ScoreLaw:
    """The distribution of the score of a new row that calibration rows leave possible.

    If the new row is exchangeable with n calibration rows, its score is equally likely to lie in
    each of the n + 1 gaps that their scores leave (Vovk, Gammerman and Shafer, Algorithmic Learning
    in a Random World, 2005). Under covariate shift gaps have weights: the one that ends at a
    calibration row has the density ratio ``p_target(x) / p_source(x)`` of that row, the last one,
    which has no end, that of the new row (Tibshirani et al., NeurIPS 2019, equation 7). `bound`
    uses nothing else. Where the score lies inside its gap is not known; `share`, `quantile` and
    `excess` spread it evenly. The unbounded share stays behind the largest score.

    Methods take `own`, the weights of new rows (1 without weights), and `start`, the lowest score
    that a row can have, below which there is no gap.
    """

    scores: FloatArray
    """Shape (n,). Scores of the calibration rows, ascending."""
    reached: FloatArray
    """Shape (n,). Sum of the weights up to each of them."""

    @classmethod
    def of(cls, scores: ArrayLike, weights: ArrayLike | None = None) -> Self:
        """Return the law of scores in any order.

        Parameters
        ----------
        scores : array_like of float, shape (n,)
            Finite, n above 0.
        weights : array_like of float, shape (n,), optional
            Density ratio of each row, at least 0, up to a common factor; by default 1.

        Raises
        ------
        DataError
            If there is no score, a value is not finite, a weight is negative, or shapes differ.
        """
        known = as_vector(scores, "scores")
        if not len(known):
            raise DataError("there are no scores; calibrate with at least one row")
        if weights is None:
            return cls(np.sort(known), np.arange(1.0, len(known) + 1))
        w = as_vector(weights, "weights")
        if w.shape != known.shape:
            raise DataError(f"{w.shape=} and {known.shape=}: expected one weight per score")
        if (w < 0).any():
            raise DataError("weights must not be negative; a density ratio never is")
        order = np.argsort(known, kind="stable")
        return cls(known[order], np.cumsum(w[order]))

    def equals(self, other: Self) -> bool:
        """Return whether two laws are the same."""
        return self is other or (
            np.array_equal(self.scores, other.scores)
            and np.array_equal(self.reached, other.reached)
        )

    @property
    def largest(self) -> float:
        """The largest score."""
        return float(self.scores[-1])

    def bound(self, level: float, own: ArrayLike = 1.0) -> FloatArray:
        """Return the score that a new row does not exceed with probability at least `level`.

        It is one of the scores: without weights the ``ceil((n + 1) level)``-th smallest.

        Parameters
        ----------
        level : float
            In (0, 1).
        own : array_like of float, shape () or (m,)
            Weights of the new rows.

        Returns
        -------
        ndarray of float64, shape of `own`
            ``inf`` if the calibration rows are too few, or have too little weight, for a finite
            bound.

        Raises
        ------
        ConfigError
            If `level` is not inside (0, 1).
        """
        check_level(level)
        total = self.reached[-1] + np.asarray(own, dtype=np.float64)
        place = np.searchsorted(self.reached, (level - _ROUNDING) * total, side="left")
        # if all weights are 0 there is no bound
        place = np.where(total > 0, place, len(self.scores))
        return np.asarray(np.append(self.scores, np.inf)[place])

    def share(
        self, scores: FloatArray, own: FloatArray, start: float, *, below: bool = False
    ) -> FloatArray:
        """Return the probability of a score up to those given, or strictly `below` them."""
        after = np.searchsorted(self.scores, scores, side="left" if below else "right")
        (low, weight), (high, more) = self._gap(after, start)
        width = high - low
        given = np.minimum(scores, high)  # finite
        part = np.divide(given - low, width, out=np.ones_like(width), where=width > 0)
        within = np.where(after < len(self.scores), weight + part * (more - weight), more)
        return self._divided(within, own)

    def quantile(self, levels: FloatArray, own: FloatArray, start: float) -> FloatArray:
        """Return the scores that are not exceeded with given probabilities; may be infinite."""
        total = self.reached[-1] + own
        wanted = levels * total
        # a level that `share` returned for the largest score may be rounded up
        near = wanted <= self.reached[-1] + _ROUNDING * total
        wanted = np.where(near, np.minimum(wanted, self.reached[-1]), wanted)
        after = np.searchsorted(self.reached, wanted, side="left")
        (low, weight), (high, more) = self._gap(after, start)
        gain = more - weight
        part = np.divide(wanted - weight, gain, out=np.ones_like(gain), where=gain > 0)
        known = (after < len(self.scores)) & (total > 0)
        return np.asarray(np.where(known, low + part * (high - low), np.inf))

    def excess(self, scores: FloatArray, own: FloatArray, start: float) -> FloatArray:
        """Return ``E[max(0, S - s)]`` for given scores s of at least `start`.

        The share behind the largest score counts as if it were at that score, because the
        calibration does not tell how far it is. The integral of the probability to exceed s is
        exact: that probability is linear in each gap.
        """
        after = np.searchsorted(self.scores, scores, side="right")
        last = np.minimum(after, len(self.scores) - 1)
        end = self._divided(self.reached[last], own)
        here = self.share(scores, own, start)
        gap = (self.scores[last] - scores) * (1.0 - (here + end) / 2)
        behind = self._lengths[last] - self._divided(self._areas[last], own)
        return np.asarray(np.where(after < len(self.scores), gap + behind, 0.0))

    @cached_property
    def _lengths(self) -> FloatArray:
        return np.asarray(self.scores[-1] - self.scores)

    @cached_property
    def _areas(self) -> FloatArray:
        """Integral of the weight reached, from each score to the largest."""
        parts = np.diff(self.scores) * (self.reached[1:] + self.reached[:-1]) / 2
        return np.append(np.cumsum(parts[::-1])[::-1], 0.0)

    def _gap(
        self, after: NDArray[np.intp], start: float
    ) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
        """Return score and weight reached at both ends of the gap before the given number."""
        before = np.maximum(after - 1, 0)
        low = np.where(after > 0, self.scores[before], start)
        weight = np.where(after > 0, self.reached[before], 0.0)
        last = np.minimum(after, len(self.scores) - 1)
        return (low, weight), (self.scores[last], self.reached[last])

    def _divided(self, weight: FloatArray, own: FloatArray) -> FloatArray:
        total = self.reached[-1] + own + np.zeros_like(weight)
        return np.asarray(np.divide(weight, total, out=np.zeros_like(total), where=total > 0))


def conformity_scores(
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    spread: ArrayLike | None = None,
    quantiles: tuple[ArrayLike, ArrayLike] | None = None,
) -> FloatArray:
    """Return the conformity score of each prediction: its error on the scale of the interval.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the same unit.
    spread : array_like of float, shape (n,), optional
        Positive; the score is ``|y - f| / spread`` (Papadopoulos et al., ECML 2002), so that the
        width of an interval is proportional to the spread.
    quantiles : pair of array_like of float, shapes (n,), optional
        Predicted lower and upper quantile. Outside, the score is the distance from the nearer one
        (conformalised quantile regression: Romano, Patterson and Candes, NeurIPS 2019, equation 6).
        Inside it is the share of the way from the quantile to the prediction, negative: theirs, the
        distance, lets the bounds of narrow intervals pass each other, and meet anywhere.

    Returns
    -------
    ndarray of float64, shape (n,)
        ``|y - f|`` if neither is given.
    """
    y = as_vector(targets, "targets")
    if quantiles is not None:
        low, high = (as_vector(side, "quantiles") for side in quantiles)
        middle = np.clip(as_vector(predictions, "predictions"), low, high)
        upper = y >= middle
        beyond = np.where(upper, y - high, low - y)
        way = np.where(upper, high - middle, middle - low)
        inside = np.divide(beyond, way, out=np.zeros_like(beyond), where=way > 0)
        return np.where(beyond >= 0, beyond, inside)
    error = np.abs(y - as_vector(predictions, "predictions"))
    return error if spread is None else np.asarray(error / as_vector(spread, "spread"))


@dataclass(frozen=True)
class Calibration:
    """Conformity scores of rows that the model was not trained on, with their features."""

    scores: FloatArray
    """Shape (n,). See `conformity_scores`; on the scale of the regressor."""
    kind: ScoreKind = "absolute"
    """Kind of score."""
    origin: ScoreOrigin = "held-out"
    """Rows held out from training; training rows, each predicted by a model of the other folds;
    labels of the target domain; or rows of hold-outs that imitate candidates."""
    floor: float = 0.0
    """Smallest spread, for ``normalised`` scores."""
    X: NDArray[np.float32] | None = None
    """Shape (n, d). Features, from which density ratios are estimated."""
    families: NDArray[np.int64] | None = None
    """Shape (n,). Chemical family of each row, for intervals by family."""
    ranking: RankEvidence | None = None
    """How well predictions rank these rows; None if the model was calibrated by an earlier version,
    or ranks mean nothing."""
    noise: NDArray[np.float64] | None = None
    """Shape (n,). Standard deviation of the measurement of each row, in the unit of its score; None
    if it is not known. Not for scores of the kind ``quantile``."""
    typical_noise: float = 0.0
    """Root mean square of the uncertainties, on the scale of the regressor."""
    formulas: NDArray[np.object_] | None = None
    """Shape (n,). Reduced formulas of the rows, if a fit knows them."""

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def start(self) -> float:
        """The lowest score that a row can have."""
        return START[self.kind]

    @cached_property
    def law(self) -> ScoreLaw:
        """The law of all scores."""
        return ScoreLaw.of(self.scores)

    @cached_property
    def model_error(self) -> float:
        """Standard deviation of the error of the model in the unit of the scores, without noise."""
        assert self.noise is not None
        return model_error(self.scores, self.noise)

    def without_noise(self) -> Self:
        """Return the calibration for true values, if `noise` is known.

        A score is the error of the model plus that of the measurement. Divided by the standard
        deviation of both it has, for all rows alike, the law of which quantiles are taken; times
        `model_error` it is the score that the true value would have. This is exact where both
        errors are normal, and leaves the order of equally certain rows as it is.
        """
        if self.noise is None:
            return self
        share = self.model_error / np.hypot(self.model_error, self.noise)
        return replace(self, scores=self.scores * share, noise=None)

    def laws_by_family(
        self, families: NDArray[np.int64], level: float
    ) -> tuple[tuple[ScoreLaw, ...], NDArray[np.int64]]:
        """Return the laws of chemical families, and which of them applies to each new row.

        Each family has its own (Mondrian; Vovk et al., 2005, section 4.5); all families with too
        few calibration rows for a finite bound share one.

        Parameters
        ----------
        families : ndarray of int64, shape (m,)
            Family of the new rows.
        level : float
            In (0, 1): the level for which bounds are to be finite.

        Returns
        -------
        tuple of ScoreLaw, ndarray of int64 of shape (m,)

        Raises
        ------
        ConfigError
            If the families of the calibration rows are unknown.
        """
        if self.families is None:
            raise ConfigError("the calibration rows have no families; conformalize the model again")
        needed = int(np.ceil(1.0 / (1.0 - level) - _ROUNDING)) - 1  # for a finite bound
        counts = np.bincount(self.families, minlength=len(FAMILIES))
        shared = counts < needed
        pooled = self.scores[shared[self.families]]
        laws = [self.law if len(pooled) < needed else ScoreLaw.of(pooled)]  # too few even together
        places = np.zeros(len(counts), dtype=np.int64)
        for code in np.flatnonzero(~shared):
            places[code] = len(laws)
            laws.append(ScoreLaw.of(self.scores[self.families == code]))
        return tuple(laws), places[families]

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes, by names that begin with ``calibration.``."""
        state: dict[str, NDArray[Any]] = {
            "calibration.scores": self.scores,
            "calibration.floor": np.array([self.floor]),
        }
        if self.kind == "quantile":  # earlier versions had other scores, without this
            state["calibration.start"] = np.array([self.start])
        if self.X is not None:
            state["calibration.X"] = self.X
        if self.families is not None:
            state["calibration.families"] = self.families
        if self.noise is not None:
            state["calibration.noise"] = self.noise
            state["calibration.typical_noise"] = np.array([self.typical_noise])
        return state

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        given = {name: saved for name, saved in _OPTIONAL.items() if name in found}
        return {**_SAVED, **given}

    @classmethod
    def from_state(
        cls,
        state: dict[str, NDArray[Any]],
        *,
        kind: ScoreKind,
        origin: ScoreOrigin,
        ranking: RankEvidence | None = None,
    ) -> Self:
        """Return a calibration from the arrays of `get_state`, after a check, and the other fields.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        found = check_arrays(state, cls.saved(state))
        if not found["n"]:
            raise ModelFormatError("the calibration has no scores")
        start = START[kind]
        if state.get("calibration.start", np.zeros(1))[0] != start:
            raise ModelFormatError(
                f"its scores of kind {kind!r} are not those of this version; calibrate it again"
            )
        if (lowest := state["calibration.scores"].min()) < start:
            raise ModelFormatError(f"a score of kind {kind!r} is {lowest:g}, below {start:g}")
        return cls(
            state["calibration.scores"],
            kind,
            origin,
            float(state["calibration.floor"][0]),
            state.get("calibration.X"),
            state.get("calibration.families"),
            ranking,
            state.get("calibration.noise"),
            float(state.get("calibration.typical_noise", np.zeros(1))[0]),
        )
