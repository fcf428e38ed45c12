"""Acquisition functions of normal predictions: one score per candidate, larger is better.

All scores but `confidence_bound` are at least 0. scipy and scikit-learn have no acquisition
functions, and those of BoTorch need torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

from xtalshift.errors import ConfigError, DataError, UsageError
from xtalshift.metrics.checks import Side, sign_of

FloatArray = NDArray[np.float64]

_FARTHEST = -40.0  # standard deviations; the normal density underflows at -39


def expected_improvement(
    mean: ArrayLike, std: ArrayLike, best: float, direction: Side = "high"
) -> FloatArray:
    """Return the expected improvement on the best measured value.

    ``E[max(0, y - best)]`` for ``y ~ N(mean, std^2)``, or ``E[max(0, best - y)]`` for low values.
    The relative error is below 1e-10, also for tiny results.

    Parameters
    ----------
    mean, std : array_like of float, shape (n,)
        Predictions and their standard deviations, in the unit of the target. A `std` of 0 means
        certainty.
    best : float
        Best value measured so far, in the unit of the target.
    direction : {"high", "low"}
        Whether high or low values are wanted.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, in the unit of the target.

    Raises
    ------
    ConfigError
        If `best` is not finite or `direction` is invalid.
    DataError
        If the shapes differ or are not 1-d, a value is not finite, or a `std` is below 0.

    References
    ----------
    Jones, Schonlau and Welch, J. Glob. Optim. 13, 455 (1998), equation 15.

    Examples
    --------
    >>> expected_improvement([1.0, 1.0], [0.0, 1.0], best=0.5).round(4).tolist()
    [0.5, 0.6978]
    """
    m, s = _normal(mean, std)
    return _mean_excess(sign_of(direction, "direction") * (m - _number("best", best)), s)


def target_improvement(mean: ArrayLike, std: ArrayLike, target: float, best: float) -> FloatArray:
    """Return the expected reduction of the distance to a wanted value.

    ``E[max(0, h - |y - target|)]`` for ``y ~ N(mean, std^2)``, with `h` the distance of `best` from
    `target`. Uhrenholt and Jensen use the squared distance (of vectors); the distance itself keeps
    the score in the unit of the target. The integrand is a tent,
    ``(y - t + h)+ - 2 (y - t)+ + (y - t - h)+``, so the result is a second difference of expected
    improvements. For `h` far below `std`, where the difference cancels, the series
    ``h^2 f (1 + (h / std)^2 (a^2 - 1) / 12)`` replaces it (`f`: normal density at `target`, `a`:
    distance of `mean` from `target` in standard deviations).

    Parameters
    ----------
    mean, std : array_like of float, shape (n,)
        As in `expected_improvement`.
    target : float
        The wanted value, in the unit of the target.
    best : float
        The measured value nearest to `target`. If both are equal, all scores are 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0 and at most ``|best - target|``, in the unit of the target.

    Raises
    ------
    ConfigError
        If `target` or `best` is not finite.
    DataError
        As `expected_improvement`.

    References
    ----------
    Uhrenholt and Jensen, "Efficient Bayesian optimization for target vector estimation", AISTATS
    2019, PMLR 89, 2661.

    Examples
    --------
    >>> target_improvement([1.4, 1.4, 3.0], [0.0, 0.2, 0.2], target=1.5, best=1.2).round(3).tolist()
    [0.2, 0.139, 0.0]
    """
    m, s = _normal(mean, std)
    reach = abs(_number("best", best) - _number("target", target))
    off = np.abs(m - target)
    direct = (
        _mean_excess(reach - off, s) - 2 * _mean_excess(-off, s) + _mean_excess(-off - reach, s)
    )
    narrow = reach * np.maximum(s, off) < 0.01 * s**2
    safe = np.where(narrow, s, 1.0)
    a, k = off / safe, reach / safe
    series = reach * k * _density(np.where(narrow, a, 0.0)) * (1 + k**2 * (a**2 - 1) / 12)
    return np.where(narrow, series, np.clip(direct, 0.0, reach))


def probability_beyond(
    mean: ArrayLike, std: ArrayLike, threshold: float, direction: Side = "high"
) -> FloatArray:
    """Return the probability that a candidate is at or beyond a threshold.

    Parameters
    ----------
    mean, std : array_like of float, shape (n,)
        As in `expected_improvement`.
    threshold : float
        In the unit of the target.
    direction : {"high", "low"}
        Whether ``y >= threshold`` or ``y <= threshold`` is wanted.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1].

    Raises
    ------
    ConfigError
        If `threshold` is not finite or `direction` is invalid.
    DataError
        As `expected_improvement`.

    References
    ----------
    Kushner, J. Basic Eng. 86, 97 (1964), with any threshold.

    Examples
    --------
    >>> probability_beyond([1.0, 1.0], [0.0, 1.0], threshold=1.0).tolist()
    [1.0, 0.5]
    """
    m, s = _normal(mean, std)
    gain = sign_of(direction, "direction") * (m - _number("threshold", threshold))
    return np.where(s > 0, ndtr(_ratio(gain, s)), gain >= 0)


def probability_within(mean: ArrayLike, std: ArrayLike, lower: float, upper: float) -> FloatArray:
    """Return the probability that a candidate is within a window, bounds included.

    Parameters
    ----------
    mean, std : array_like of float, shape (n,)
        As in `expected_improvement`.
    lower, upper : float
        The window, in the unit of the target.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1].

    Raises
    ------
    ConfigError
        If a bound is not finite or `lower` is not below `upper`.
    DataError
        As `expected_improvement`.

    Examples
    --------
    >>> probability_within([1.0, 1.0], [0.0, 1.0], 0.0, 2.0).round(4).tolist()
    [1.0, 0.6827]
    """
    m, s = _normal(mean, std)
    low, high = _number("lower", lower), _number("upper", upper)
    if not low < high:
        raise ConfigError(f"{lower=} and {upper=}: expected a window with lower < upper")
    # evaluated in the left tail, where small probabilities keep their digits
    mirrored = m < (low + high) / 2
    near = _ratio(np.where(mirrored, m - low, high - m), s)
    far = _ratio(np.where(mirrored, m - high, low - m), s)
    inside = (low <= m) & (m <= high)
    return np.where(s > 0, ndtr(near) - ndtr(far), inside)


def confidence_bound(
    mean: ArrayLike, std: ArrayLike, kappa: float = 2.0, direction: Side = "high"
) -> FloatArray:
    """Return the upper (or lower) confidence bound of a prediction.

    Parameters
    ----------
    mean, std : array_like of float, shape (n,)
        As in `expected_improvement`.
    kappa : float
        Standard deviations added to the prediction, at least 0.
    direction : {"high", "low"}
        Whether high or low values are wanted. The score is ``mean + kappa std`` for high values and
        ``-(mean - kappa std)`` for low ones.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the unit of the target; may be negative.

    Raises
    ------
    ConfigError
        If `kappa` is below 0 or not finite, or `direction` is invalid.
    DataError
        As `expected_improvement`.

    References
    ----------
    Srinivas, Krause, Kakade and Seeger, ICML 2010, equation 6 (``kappa = sqrt(beta_t)``).

    Examples
    --------
    >>> confidence_bound([1.0, 2.0], [1.0, 0.0], kappa=2.0, direction="low").tolist()
    [1.0, -2.0]
    """
    m, s = _normal(mean, std)
    if _number("kappa", kappa) < 0:
        raise ConfigError(f"{kappa=}: expected at least 0; use direction to choose the side")
    return np.asarray(sign_of(direction, "direction") * m + kappa * s)


def _mean_excess(gain: FloatArray, std: FloatArray) -> FloatArray:
    """Return ``E[max(0, gain + std Z)]`` for a standard normal Z."""
    z = _ratio(gain, std)
    near = gain * ndtr(z) + std * _density(z)
    # far below 0 the two terms cancel; Mills' ratio takes out their common factor
    tail = np.clip(z, _FARTHEST, 0.0)
    mills = math.sqrt(math.pi / 2) * erfcx(-tail / math.sqrt(2))
    far = std * _density(tail) * np.maximum(1 + tail * mills, 0.0)
    return np.where(std > 0, np.where(z < -1, far, near), np.maximum(gain, 0.0))


def _density(z: FloatArray) -> FloatArray:
    bounded = np.clip(z, _FARTHEST, -_FARTHEST)
    return np.asarray(np.exp(-(bounded**2) / 2) / math.sqrt(2 * math.pi))


def _ratio(gain: FloatArray, std: FloatArray) -> FloatArray:
    """Return ``gain / std``, or 0 where `std` is 0."""
    with np.errstate(over="ignore"):  # an infinite ratio gives the same scores as 40
        return np.divide(gain, std, out=np.zeros_like(gain), where=std > 0)


def _normal(mean: ArrayLike, std: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return checked means and standard deviations, both of shape (n,)."""
    m, s = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    if m.ndim != 1 or m.shape != s.shape:
        raise DataError(
            f"mean has shape {m.shape} and std {s.shape}; expected one number of each per "
            "candidate, shape (n,)"
        )
    for name, values, wrong in (
        ("mean", m, ~np.isfinite(m)),
        ("std", s, ~np.isfinite(s) | (s < 0)),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            expected = "a finite number" + (" of at least 0" if name == "std" else "")
            raise DataError(
                f"{name}[{row}] is {values[row]}; expected {expected}: leave out candidates "
                "without a prediction"
            )
    return m, s


def _number(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise UsageError(f"{name} = {value}: expected a finite number in the unit of the target")
    return float(value)
