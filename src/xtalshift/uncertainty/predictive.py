"""Predictive distributions: what a calibrated model says about the target of each row.

Intervals, probabilities, expected improvements and samples are all taken from them, so that they
cannot contradict each other.

===========================================  ===========================
symbol                                       variable
===========================================  ===========================
score S of a row, at least 0 or `start`      `ScoreLaw`
target on the scale of the regressor         ``high + width S`` or
                                             ``low - width S``, each with
                                             probability 1/2
===========================================  ===========================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.transform import TargetTransform
from xtalshift.errors import DataError, UsageError
from xtalshift.metrics.checks import Side, sign_of
from xtalshift.seeding import Seed, as_generator
from xtalshift.uncertainty.conformal import ONE_SIGMA, ScoreLaw

FloatArray = NDArray[np.float64]

_NARROW = 1e-4
"""Half a window below this number of widths has one density: differences would lose digits."""


@dataclass(frozen=True, eq=False)
class PredictiveDistribution:
    """The distribution of the target of each of n rows.

    A conformity score says how far a target is from its prediction, but not on which side: the
    target is ``high + width S`` or ``low - width S`` with equal probability, where S follows the
    law of the scores of the calibration rows. The middle between `low` and `high` is the median.
    The transform of the target is monotonic, so a quantile on the scale of the regressor is
    transformed to the quantile in the unit of the target.

    Behind the largest score nothing is known: with n scores, a share of 1 / (n + 1) of the targets
    lies there. Quantiles of these levels are infinite; expectations and samples count this share as
    if it were at the largest score.

    Every result of a row depends on that row only, except samples. Rows with NaN have NaN results.
    """

    scale: TargetTransform
    """Transform of the target to the scale of the regressor."""
    low: FloatArray
    high: FloatArray
    """Shape (n,). `low`, `high`: bounds at the score 0, on the scale of the regressor; both are the
    prediction unless the regressor predicts quantiles."""
    width: FloatArray
    """Shape (n,). Above 0; what a score of 1 means on the scale of the regressor."""
    laws: tuple[ScoreLaw, ...]
    """Distributions of scores."""
    law: NDArray[np.int64]
    """Shape (n,). Which of them is that of each row."""
    own: FloatArray
    """Shape (n,). Weight of each row among the calibration rows, see `ScoreLaw`."""

    def __len__(self) -> int:
        return len(self.low)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return the distributions of some rows, in that order."""
        return replace(
            self,
            low=self.low[rows],
            high=self.high[rows],
            width=self.width[rows],
            law=self.law[rows],
            own=self.own[rows],
        )

    def among(self, rows: NDArray[np.intp], n: int) -> Self:
        """Return n rows: those given are the ones of this object, the others are NaN."""

        def spread(values: FloatArray, fill: float) -> FloatArray:
            found = np.full(n, fill)
            found[rows] = values
            return found

        law = np.zeros(n, dtype=np.int64)
        law[rows] = self.law
        return replace(
            self,
            low=spread(self.low, np.nan),
            high=spread(self.high, np.nan),
            width=spread(self.width, 1.0),
            law=law,
            own=spread(self.own, 1.0),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several parts that have the same laws."""
        first = parts[0]
        if any(not first._joins(part) for part in parts):  # noqa: SLF001
            raise DataError("the distributions are of different calibrations; join those of one")
        return replace(
            first,
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            width=np.concatenate([part.width for part in parts]),
            law=np.concatenate([part.law for part in parts]),
            own=np.concatenate([part.own for part in parts]),
        )

    def _joins(self, other: Self) -> bool:
        return (
            self.scale == other.scale
            and len(self.laws) == len(other.laws)
            and all(map(ScoreLaw.equals, self.laws, other.laws))
        )

    def centred_at(self, value: float, widths: float = 0.0) -> Self:
        """Return the distributions moved so that `value` is the median, or some widths from it.

        They are moved on the scale of the regressor; `value` is in the unit of the target.
        """
        shift = self._on_scale("value", value) + widths * self.width - self._middle
        return replace(self, low=self.low + shift, high=self.high + shift)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the smallest calibrated intervals that hold at least a share of the targets.

        The bounds are at scores of calibration rows (`ScoreLaw.bound`), so that the level is
        guaranteed where the calibration is valid; the probability of both tails is equal.

        Parameters
        ----------
        level : float
            In (0, 1).

        Returns
        -------
        lower, upper : ndarray of float64, shape (n,)
            In the unit of the target; infinite if the calibration rows are too few for a bound.

        Raises
        ------
        ConfigError
            If `level` is not inside (0, 1).
        """
        low, high = self._bounds(level)
        return self.scale.inverse(low), self.scale.inverse(high)

    def std(self) -> FloatArray:
        """Return half the width of the 68.27 % intervals, shape (n,), in the unit of the target.

        NaN for predictions that overflow.
        """
        low, high = self._bounds(ONE_SIGMA)
        if self.scale.name != "clip":  # clipping the bounds would reduce the standard deviation
            low, high = self.scale.inverse(low), self.scale.inverse(high)
        with np.errstate(invalid="ignore"):  # inf - inf, where the prediction overflows
            return np.asarray((high - low) / 2)

    def outside(self, value: float, level: float) -> FloatArray:
        """Return how far a value is outside the intervals of a level.

        Parameters
        ----------
        value : float
            In the unit of the target.
        level : float
            In (0, 1).

        Returns
        -------
        ndarray of float64, shape (n,)
            On the scale of the regressor; 0 inside.
        """
        low, high = self._bounds(level)
        z = self._on_scale("value", value)
        return np.asarray(np.maximum(np.maximum(low - z, z - high), 0.0))

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Return quantiles.

        Parameters
        ----------
        p : array_like of float, shape () or (..., n)
            In [0, 1].

        Returns
        -------
        ndarray of float64, shape (..., n)
            In the unit of the target; behind the largest score ``inf``, or the smallest value that
            the transform of the target allows.

        Raises
        ------
        UsageError
            If `p` is outside [0, 1].
        """
        return self.scale.inverse(self._quantile(p, math.inf))

    def sample(self, size: int, random_state: Seed = None) -> FloatArray:
        """Return independent samples of all rows, shape (size, n), in the unit of the target.

        They are finite: samples behind the largest score are at it.

        Parameters
        ----------
        size : int
            Samples of each row.
        random_state : int, Generator or None
            Draws them.
        """
        p = as_generator(random_state).random((size, len(self)))
        return self.scale.inverse(self._quantile(p, 1.0))

    def cdf(self, y: ArrayLike) -> FloatArray:
        """Return the probability of a target of at most y.

        Parameters
        ----------
        y : array_like of float, shape () or (..., n)
            In the unit of the target.

        Returns
        -------
        ndarray of float64, shape (..., n)
            In [0, 1].
        """
        values = np.asarray(y, dtype=np.float64)
        return self._below(self.scale.place(values), strict=False)

    def probability(self, above: float = -math.inf, below: float = math.inf) -> FloatArray:
        """Return the probability of a target between two values, which count as inside.

        Parameters
        ----------
        above, below : float
            In the unit of the target; may be infinite.

        Returns
        -------
        ndarray of float64, shape (n,)
            In [0, 1]. Behind the largest score it stays at the share that is unbounded: the
            calibration does not tell more.

        Raises
        ------
        UsageError
            If a bound is NaN, or `above` is above `below`.
        """
        if not above <= below:
            raise UsageError(f"{above=} and {below=}: expected the lower value first")
        outside = np.zeros(len(self))
        if above > self.scale.floor:
            outside = self._below(self.scale.place(np.full(len(self), above)), strict=True)
        inside = self._below(self.scale.place(np.full(len(self), below)), strict=False) - outside
        return np.asarray(np.maximum(inside, 0.0))

    def margin(self, y: float) -> FloatArray:
        """Return how many widths y is above the median, on the scale of the regressor.

        This also tells rows apart whose `cdf` is the same because y is behind the largest score.

        Parameters
        ----------
        y : float
            In the unit of the target.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        with np.errstate(over="ignore"):  # tiny widths
            return np.asarray((self.scale.place(y) - self._middle) / self.width)

    def expected_improvement(self, best: float, direction: Side = "high") -> FloatArray:
        """Return the expected improvement on the best measured value, on the regressor's scale.

        ``E[max(0, z - best)]``, or ``E[max(0, best - z)]`` for low values, where z is the target
        on the scale of the regressor: for ``log``, 1 is a factor of e. It is the integral of the
        quantile function beyond `best` and exact: the distribution function is linear between
        scores. In the unit of the target a transformed one has no closed form; which of the two is
        used made no difference to what was found (docs/science/suggest.md).

        Parameters
        ----------
        best : float
            Best value measured so far, in the unit of the target.
        direction : {"high", "low"}
            Whether high or low values are wanted.

        Returns
        -------
        ndarray of float64, shape (n,)
            At least 0.

        Raises
        ------
        UsageError
            If `best` is not finite or `direction` is invalid.
        DataError
            If the transform does not take `best`.

        References
        ----------
        Jones, Schonlau and Welch, J. Glob. Optim. 13, 455 (1998), with this distribution.
        """
        sign = sign_of(direction, "direction")
        return self._gain(self._on_scale("best", best), sign)

    def target_improvement(self, target: float, best: float) -> FloatArray:
        """Return the expected reduction of the distance to a wanted value.

        ``E[max(0, h - |z - target|)]`` on the scale of the regressor, with `h` the distance of
        `best` from `target`. Uhrenholt and Jensen use the squared distance (of vectors). The
        integrand is a tent, so the result is a second difference of expected improvements.

        Parameters
        ----------
        target : float
            The wanted value, in the unit of the target.
        best : float
            The measured value nearest to `target`. If both are equal, all results are 0.

        Returns
        -------
        ndarray of float64, shape (n,)
            At least 0 and at most `h`.

        Raises
        ------
        UsageError
            If `target` or `best` is not finite.
        DataError
            If the transform does not take one of them.

        References
        ----------
        Uhrenholt and Jensen, "Efficient Bayesian optimization for target vector estimation",
        AISTATS 2019, PMLR 89, 2661.
        """
        centre = self._on_scale("target", target)
        h = abs(self._on_scale("best", best) - centre)
        direct = (
            self._gain(centre - h, 1.0) - 2 * self._gain(centre, 1.0) + self._gain(centre + h, 1.0)
        )
        lowest = float(self.scale.place(self.scale.floor))
        window = np.full(len(self), centre)
        inside = self._below(window + h, strict=False)
        if centre - h > lowest:
            inside = inside - self._below(window - h, strict=True)
        narrow = h < _NARROW * self.width
        return np.clip(np.where(narrow, inside * h / 2, direct), 0.0, h)

    @cached_property
    def _middle(self) -> FloatArray:
        with np.errstate(invalid="ignore"):  # inf - inf
            return np.asarray(self.low + (self.high - self.low) / 2)

    @cached_property
    def _start(self) -> FloatArray:
        """Score at which both bounds are in the middle, shape (n,)."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.low - self.high) / (2 * self.width))

    def _bounds(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the intervals on the scale of the regressor."""
        half = self._of_law(lambda law, own, _: law.bound(level, own), self._start) * self.width
        # a negative bound of the scores may move both past each other
        low = np.minimum(self.low - half, self._middle)
        return low, np.maximum(self.high + half, self._middle)

    def _quantile(self, p: ArrayLike, most: float) -> FloatArray:
        """Return quantiles on the scale of the regressor, at most `most` largest scores away."""
        levels = np.asarray(p, dtype=np.float64)
        if not ((levels >= 0) & (levels <= 1)).all():
            raise UsageError("p: expected probabilities in [0, 1]")
        levels = np.broadcast_to(levels, np.broadcast_shapes(levels.shape, self.low.shape))

        def score(
            law: ScoreLaw, own: FloatArray, start: FloatArray, level: FloatArray
        ) -> FloatArray:
            found = law.quantile(level, own, start)
            return found if most == math.inf else np.minimum(found, np.maximum(law.largest, start))

        away = self._of_law(score, self._start, np.abs(2 * levels - 1)) * self.width
        upper = np.maximum(self.high + away, self._middle)
        lower = np.minimum(self.low - away, self._middle)
        return np.where(levels > 0.5, upper, np.where(levels < 0.5, lower, self._middle))  # noqa: PLR2004

    def _scores_at(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the scores at which the upper and the lower bound are z; at least the start."""
        with np.errstate(over="ignore", invalid="ignore"):  # tiny widths, rows without a prediction
            upper, lower = (z - self.high) / self.width, (self.low - z) / self.width
        return np.maximum(upper, self._start), np.maximum(lower, self._start)

    def _below(self, z: FloatArray, *, strict: bool) -> FloatArray:
        """Return the probability of values up to z, or `strict` below z; z is on the scale."""
        z = np.broadcast_to(z, np.broadcast_shapes(z.shape, self.low.shape))
        upper, lower = self._scores_at(z)

        def share(law: ScoreLaw, own: FloatArray, start: FloatArray, at: FloatArray) -> FloatArray:
            return law.share(at, own, start, below=strict)

        def behind(law: ScoreLaw, own: FloatArray, start: FloatArray, at: FloatArray) -> FloatArray:
            # at least the score: what is not below it
            return 1.0 - law.share(at, own, start, below=not strict)

        above_middle = z > self._middle if strict else z >= self._middle
        found = np.where(
            above_middle,
            0.5 + self._of_law(share, self._start, upper) / 2,
            self._of_law(behind, self._start, lower) / 2,
        )
        found = np.where(np.isfinite(z), found, np.where(z > 0, 1.0, 0.0))
        return np.where(np.isnan(self._middle), np.nan, found)

    def _gain(self, z: float, sign: float) -> FloatArray:
        """Return ``E[max(0, sign (Z - z))]``; Z has no values below those of the transform."""
        floor = float(self.scale.place(self.scale.floor))
        if sign > 0:
            return self._unclipped_gain(max(z, floor), sign) + max(floor - z, 0.0)
        if z <= floor:
            return np.where(np.isnan(self._middle), np.nan, 0.0)
        lost = 0.0 if floor == -math.inf else self._unclipped_gain(floor, sign)
        return np.asarray(np.maximum(self._unclipped_gain(z, sign) - lost, 0.0))

    def _unclipped_gain(self, z: float, sign: float) -> FloatArray:
        start = self._start
        near, far = (self.high, self.low) if sign > 0 else (self.low, self.high)
        short, passed = sign * (z - near), sign * (far - z)

        def excess(law: ScoreLaw, own: FloatArray, start: FloatArray, at: FloatArray) -> FloatArray:
            return law.excess(np.minimum(at, np.maximum(law.largest, start)), own, start)

        def beyond(distance: FloatArray) -> FloatArray:
            with np.errstate(over="ignore"):  # tiny widths
                at = np.maximum(distance / self.width, start)
            return self.width * self._of_law(excess, start, at)

        # the half on the wanted side passes z with every score above `short`, the other half with
        # every score below `passed`
        first = self.width * start
        upper = beyond(short) + np.maximum(first - short, 0.0)
        lower = passed - first - self.width * self._of_law(excess, start, start) + beyond(passed)
        lower = np.where(passed > first, np.maximum(lower, 0.0), 0.0)
        found = (upper + lower) / 2
        return np.where(np.isnan(self._middle), np.nan, found)

    def _of_law(
        self, evaluate: Callable[..., FloatArray], start: FloatArray, *values: FloatArray
    ) -> FloatArray:
        """Return a function of law, own weights, starts and values of shape (..., n)."""
        if len(self.laws) == 1:
            return evaluate(self.laws[0], self.own, start, *values)
        found = np.empty(values[0].shape if values else start.shape)
        for number, law in enumerate(self.laws):
            rows = np.flatnonzero(self.law == number)
            if rows.size:
                parts = [part[..., rows] for part in values]
                found[..., rows] = evaluate(law, self.own[rows], start[rows], *parts)
        return found

    def _on_scale(self, name: str, value: float) -> float:
        if not math.isfinite(value):
            raise UsageError(
                f"{name} = {value}: expected a finite number in the unit of the target"
            )
        place = float(self.scale.place(value))
        if place == -math.inf:
            raise DataError(
                f"{name} = {value:g} is no value that the target transform {self.scale.name!r} of "
                "the model takes; leave it out, or train with another transform"
            )
        return place
