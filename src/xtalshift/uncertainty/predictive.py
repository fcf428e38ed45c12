"""Predictive distributions: what a calibrated model says about the target of each row.

Intervals, probabilities, expected improvements and samples are all taken from them, so that they
cannot contradict each other.

===========================================  ===========================
symbol                                       variable
===========================================  ===========================
score S of a row, at least `start`           `ScoreLaw`
target on the scale of the regressor         ``high + width S`` or
                                             ``low - width S``, each with
                                             probability 1/2; for S < 0 the
                                             width is the distance of the
                                             bound from the median
===========================================  ===========================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.transform import TargetTransform
from xtalshift.errors import DataError, UsageError
from xtalshift.metrics.checks import Side, sign_of
from xtalshift.seeding import Seed, as_generator
from xtalshift.uncertainty.conformal import ONE_SIGMA, ScoreLaw

FloatArray = NDArray[np.float64]

_ROUNDINGS = 3
"""Steps of the last bit that make up for the rounding of a transform and of its inverse."""
_NARROW = 1e-4
"""Half a window below this number of widths has one density: differences would lose digits."""


@dataclass(frozen=True, eq=False)
class PredictiveDistribution:
    """The distribution of the target of each of n rows.

    A conformity score says how far a target is from its prediction, but not on which side: the
    target is ``high + width S`` or ``low - width S`` with equal probability, where S follows the
    law of the scores of the calibration rows. A predictor of quantiles has negative scores for
    targets between these: -1 is at the prediction, 0 at the quantile. The prediction is the median.
    The transform of the target is monotonic, so a quantile on the scale of the regressor is
    transformed to the quantile in the unit of the target.

    Behind the largest score nothing is known: with n scores, a share of 1 / (n + 1) of the targets
    lies there. Quantiles of these levels are infinite; expectations and samples count this share as
    if it were at the largest score.

    Every result of a row depends on that row only, except samples. Rows with NaN have NaN results.
    """

    scale: TargetTransform
    """Transform of the target to the scale of the regressor."""
    middle: FloatArray
    """Shape (n,). Medians, on the scale of the regressor."""
    low: FloatArray
    high: FloatArray
    """Shape (n,). `low`, `high`: bounds at the score 0, on the scale of the regressor; both are the
    median unless the regressor predicts quantiles."""
    width: FloatArray
    """Shape (n,). Above 0; what a score of 1 means on the scale of the regressor."""
    laws: tuple[ScoreLaw, ...]
    """Distributions of scores."""
    law: NDArray[np.int64]
    """Shape (n,). Which of them is that of each row."""
    own: FloatArray
    """Shape (n,). Weight of each row among the calibration rows, see `ScoreLaw`."""
    start: float = 0.0
    """Lowest score: 0, or -1 if the regressor predicts quantiles."""

    def __len__(self) -> int:
        return len(self.low)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return the distributions of some rows, in that order."""
        return replace(
            self,
            middle=self.middle[rows],
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
            middle=spread(self.middle, np.nan),
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
            middle=np.concatenate([part.middle for part in parts]),
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            width=np.concatenate([part.width for part in parts]),
            law=np.concatenate([part.law for part in parts]),
            own=np.concatenate([part.own for part in parts]),
        )

    def _joins(self, other: Self) -> bool:
        return (
            (self.scale, self.start) == (other.scale, other.start)
            and len(self.laws) == len(other.laws)
            and all(map(ScoreLaw.equals, self.laws, other.laws))
        )

    def centred_at(self, value: float, widths: float = 0.0) -> Self:
        """Return the distributions moved so that `value` is the median, or some widths from it.

        They are moved on the scale of the regressor; `value` is in the unit of the target.
        """
        shift = self._on_scale("value", value) + widths * self.width - self.middle
        return replace(
            self, middle=self.middle + shift, low=self.low + shift, high=self.high + shift
        )

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
        return self._outward(low, -math.inf), self._outward(high, math.inf)

    def _outward(self, z: FloatArray, to: float) -> FloatArray:
        """Return bounds in the unit of the target that rounding does not move inwards."""
        found = self.scale.inverse(z)
        if self.scale.name in {"none", "clip"}:
            return found
        moved, sign = z, math.copysign(1.0, to)
        for _ in range(_ROUNDINGS):
            moved = np.nextafter(moved, to)
            off = np.isfinite(found) & (sign * self.scale.place(found) < sign * z)
            further = np.stack([self.scale.inverse(moved), np.nextafter(found, to)])
            found = np.where(off, sign * (sign * further).max(axis=0), found)
        return found

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
            return np.asarray((self.scale.place(y) - self.middle) / self.width)

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
        ways = np.array([self.width, self.high - self.middle, self.middle - self.low])
        narrow = h < _NARROW * np.where(ways > 0, ways, np.inf).min(axis=0)
        return np.clip(np.where(narrow, inside * h / 2, direct), 0.0, h)

    def _bounds(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the intervals on the scale of the regressor."""
        return self._at(self._of_law(lambda law, own: law.bound(level, own)))

    def _at(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lower and the upper bound at scores of shape (..., n)."""
        inside = scores < 0
        down = np.where(inside, self.middle - self.low, self.width)
        up = np.where(inside, self.high - self.middle, self.width)
        return self.low - down * scores, self.high + up * scores

    def _quantile(self, p: ArrayLike, most: float) -> FloatArray:
        """Return quantiles on the scale of the regressor, at most `most` largest scores away."""
        levels = np.asarray(p, dtype=np.float64)
        if not ((levels >= 0) & (levels <= 1)).all():
            raise UsageError("p: expected probabilities in [0, 1]")
        levels = np.broadcast_to(levels, np.broadcast_shapes(levels.shape, self.low.shape))

        def score(law: ScoreLaw, own: FloatArray, level: FloatArray) -> FloatArray:
            found = law.quantile(level, own, self.start)
            return found if most == math.inf else np.minimum(found, law.largest)

        lower, upper = self._at(self._of_law(score, np.abs(2 * levels - 1)))
        half = 0.5
        return np.where(levels > half, upper, np.where(levels < half, lower, self.middle))

    def _below(self, z: FloatArray, *, strict: bool) -> FloatArray:
        """Return the probability of values up to z, or `strict` below z; z is on the scale."""
        z = np.broadcast_to(z, np.broadcast_shapes(z.shape, self.low.shape))
        upper = self._scores(z - self.high, self.high - self.middle)
        lower = self._scores(self.low - z, self.middle - self.low)

        def share(law: ScoreLaw, own: FloatArray, at: FloatArray) -> FloatArray:
            return law.share(at, own, self.start, below=strict)

        def behind(law: ScoreLaw, own: FloatArray, at: FloatArray) -> FloatArray:
            # at least the score: what is not below it
            return 1.0 - law.share(at, own, self.start, below=not strict)

        found = np.where(
            z > self.middle if strict else z >= self.middle,
            0.5 + self._of_law(share, upper) / 2,
            self._of_law(behind, lower) / 2,
        )
        found = np.where(np.isfinite(z), found, np.where(z > 0, 1.0, 0.0))
        return np.where(np.isnan(self.middle), np.nan, found)

    def _scores(self, beyond: FloatArray, way: FloatArray) -> FloatArray:
        """Return the scores at a distance beyond a bound; negative ones are shares of a way."""
        scale = np.where(beyond < 0, way, self.width)
        with np.errstate(over="ignore"):  # tiny widths
            found = np.divide(beyond, scale, out=np.zeros_like(beyond), where=scale > 0)
        return np.maximum(found, self.start)

    def _gain(self, z: float, sign: float) -> FloatArray:
        """Return ``E[max(0, sign (Z - z))]``; Z has no values below those of the transform."""
        floor = float(self.scale.place(self.scale.floor))
        if sign > 0:
            return self._unclipped_gain(max(z, floor), sign) + max(floor - z, 0.0)
        if z <= floor:
            return np.where(np.isnan(self.middle), np.nan, 0.0)
        lost = 0.0 if floor == -math.inf else self._unclipped_gain(floor, sign)
        return np.asarray(np.maximum(self._unclipped_gain(z, sign) - lost, 0.0))

    def _unclipped_gain(self, z: float, sign: float) -> FloatArray:
        """Return the integral of the probability to be beyond each value from z on."""
        near, far = (self.high, self.low) if sign > 0 else (self.low, self.high)
        near_way, far_way = sign * (near - self.middle), sign * (self.middle - far)
        short, passed = sign * (z - near), sign * (far - z)

        def excess(at: FloatArray) -> FloatArray:
            """Integral of the probability to exceed a score, from `at` on."""
            return self._of_law(
                lambda law, own, at: law.excess(np.minimum(at, law.largest), own, self.start), at
            )

        def split(beyond: FloatArray, way: FloatArray) -> tuple[FloatArray, FloatArray]:
            """Scores of a distance beyond a bound: the part inside, and the part outside of it."""
            scores = self._scores(beyond, way)
            return np.minimum(scores, 0.0), np.maximum(scores, 0.0)

        zero, start = excess(np.zeros(len(self))), excess(np.full(len(self), self.start))
        # the half on the wanted side is beyond z with every score above that of `short`
        inside, outside = split(short, near_way)
        upper = self.width * excess(outside) + near_way * (excess(inside) - zero)
        upper = upper + np.maximum(sign * (self.middle - z), 0.0)
        # the other half with every score below that of `passed`
        inside, outside = split(passed, far_way)
        lower = far_way * (inside - self.start - (start - excess(inside)))
        lower = lower + np.maximum(passed, 0.0) - self.width * (zero - excess(outside))
        found = (upper + np.maximum(lower, 0.0)) / 2
        return np.where(np.isnan(self.middle), np.nan, found)

    def _of_law(self, evaluate: Callable[..., FloatArray], *values: FloatArray) -> FloatArray:
        """Return a function of a law, own weights and values of shape (..., n)."""
        if len(self.laws) == 1:
            return evaluate(self.laws[0], self.own, *values)
        found = np.empty(values[0].shape if values else self.own.shape)
        for number, law in enumerate(self.laws):
            rows = np.flatnonzero(self.law == number)
            if rows.size:
                found[..., rows] = evaluate(
                    law, self.own[rows], *(part[..., rows] for part in values)
                )
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
