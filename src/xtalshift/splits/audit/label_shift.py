"""Shares of the classes in unlabelled rows, if the classes only became more or less frequent.

Label shift: P(class) differs between the known and the new rows, P(features | class) does not.
Then the shares of the new rows follow from what a classifier says of them. Under any other shift
the estimates are wrong, and their intervals do not show it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import check_level
from xtalshift.metrics.class_checks import as_labelled, as_probabilities
from xtalshift.seeding import Seed, as_generator

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ShareMethod = Literal["em", "bbse"]

N_RESAMPLES = 200
_MAX_STEPS = 2000
_TOLERANCE = 1e-8


class ShareEstimate(NamedTuple):
    """Estimated shares of the classes in new rows.

    Attributes
    ----------
    shares : ndarray of float64, shape (k,)
        Their sum is 1.
    low, high : ndarray of float64, shape (k,)
        Bootstrap interval of each share.
    ratios : ndarray of float64, shape (k,)
        Shares over those of the known rows; NaN for a class that no known row has.
    """

    shares: FloatArray
    low: FloatArray
    high: FloatArray
    ratios: FloatArray


def em_shares(probabilities: ArrayLike, known_shares: ArrayLike) -> FloatArray:
    """Return the most likely shares of the classes in new rows.

    Each step takes the mean over the rows of the probabilities that follow from the shares so far,
    ``p_k q_k / s_k`` over their sum, as the next shares q (expectation maximisation). Their
    likelihood has one maximum. The probabilities should be calibrated.

    Parameters
    ----------
    probabilities : array_like of float, shape (m, k)
        Of the new rows, from a classifier of rows with the shares s.
    known_shares : array_like of float, shape (k,)
        These shares s; classes with a share of 0 keep it.

    Raises
    ------
    DataError
        If there is no row, a row or the shares are no distribution, or shapes differ.

    References
    ----------
    Saerens, Latinne and Decaestecker, Neural Comput. 14, 21 (2002), equation 2.9.

    Examples
    --------
    >>> em_shares([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [0.5, 0.5]).round(4).tolist()
    [0.8125, 0.1875]
    """
    p = as_probabilities(probabilities)
    s = np.asarray(known_shares, dtype=np.float64)
    if s.shape != (p.shape[1],) or not len(p):
        raise DataError(f"{p.shape=} and {s.shape=}: expected rows, and one share per class")
    return _em(p, np.ones(len(p)), as_probabilities(s[None])[0])


def bbse_shares(
    probabilities: ArrayLike, labels: ArrayLike, new_probabilities: ArrayLike
) -> FloatArray:
    """Return the shares of new rows that explain how often each class is predicted for them.

    On known rows that the classifier was not trained on, ``C[i, j]`` is the mean probability of
    class i over the rows of class j. The mean probabilities of the new rows must be ``C q``
    (black-box shift estimation, here of soft predictions). The shares q are those of least squared
    error that are not negative, scaled to the sum 1. The probabilities need not be calibrated.

    Parameters
    ----------
    probabilities : array_like of float, shape (n, k)
        Of the known rows.
    labels : array_like of int, shape (n,)
        Their class numbers. Classes without a row keep the share 0.
    new_probabilities : array_like of float, shape (m, k)
        Of the new rows.

    Raises
    ------
    DataError
        If there is no row, a label is no class, a row is no distribution, or shapes differ.

    References
    ----------
    Lipton, Wang and Smola, ICML 2018, section 3.

    Examples
    --------
    >>> known = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]
    >>> bbse_shares(known, [0, 0, 1], [[0.5, 0.5], [0.5, 0.5]]).round(4).tolist()
    [0.5, 0.5]
    """
    y, p = as_labelled(labels, probabilities)
    new = as_probabilities(new_probabilities)
    _check_new(p, new)
    return _bbse(p, y, np.ones(len(y)), new.mean(axis=0))


def estimate_shares(
    probabilities: ArrayLike,
    labels: ArrayLike,
    new_probabilities: ArrayLike,
    *,
    method: ShareMethod = "bbse",
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: Seed = 0,
) -> ShareEstimate:
    """Return the shares of the classes in new rows, with bootstrap intervals.

    Parameters
    ----------
    probabilities, labels, new_probabilities
        As in `bbse_shares`; for ``em`` the probabilities should be calibrated.
    method : {"bbse", "em"}
        See `bbse_shares` and `em_shares`. EM has the smaller error if its probabilities are
        calibrated; BBSE does not need that.
    level : float, default 0.95
        Of the intervals, in (0, 1).
    n_resamples : int, default 200
        Bootstrap samples, each of known and of new rows.
    random_state : int, Generator or None
        Draws the samples.

    Raises
    ------
    DataError
        As `bbse_shares`.
    ConfigError
        If the method is unknown, or `level` not inside (0, 1).
    """
    if method not in get_args(ShareMethod):
        raise ConfigError(f"method = {method!r}; expected {', '.join(get_args(ShareMethod))}")
    check_level(level)
    y, p = as_labelled(labels, probabilities)
    new = as_probabilities(new_probabilities)
    _check_new(p, new)
    rng = as_generator(random_state)
    k = p.shape[1]

    def estimate(known: FloatArray, seen: FloatArray) -> FloatArray:
        """Return the shares if the rows count so many times."""
        if method == "bbse":
            return _bbse(p, y, known, seen @ new / seen.sum())
        return _em(new, seen, np.bincount(y, known, minlength=k) / known.sum())

    shares = estimate(np.ones(len(y)), np.ones(len(new)))
    drawn = [
        estimate(*(rng.multinomial(n, np.full(n, 1 / n)).astype(float) for n in (len(y), len(new))))
        for _ in range(n_resamples)
    ]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    known_shares = np.bincount(y, minlength=k) / len(y)
    ratios = np.divide(shares, known_shares, out=np.full(k, np.nan), where=known_shares > 0)
    return ShareEstimate(shares, low, high, ratios)


def _check_new(p: FloatArray, new: FloatArray) -> None:
    if new.shape[1] != p.shape[1] or not len(new):
        raise DataError(f"{p.shape=} and {new.shape=}: expected rows of the same classes")


def _em(p: FloatArray, counts: FloatArray, s: FloatArray) -> FloatArray:
    known = s > 0
    relative = p[:, known] / s[known]
    possible = relative.sum(axis=1) > 0  # a row of unknown classes alone says nothing
    relative, weights = relative[possible], counts[possible] / max(counts[possible].sum(), 1.0)
    q = s[known].copy()
    for _ in range(_MAX_STEPS):
        if not len(relative):
            break
        joint = relative * q
        following = weights @ (joint / joint.sum(axis=1, keepdims=True))
        change, q = float(np.abs(following - q).max()), following
        if change < _TOLERANCE:
            break
    found = np.zeros(len(s))
    found[known] = q / q.sum()
    return found


def _bbse(p: FloatArray, y: IntArray, counts: FloatArray, seen: FloatArray) -> FloatArray:
    k = p.shape[1]
    mass = np.bincount(y, counts, minlength=k)
    known = mass > 0
    own = counts[:, None] * (np.arange(k)[known] == y[:, None])
    told = p.T @ own / mass[known]  # shape (k, classes with rows)
    solution, _ = nnls(told, seen)
    found = np.zeros(k)
    total = solution.sum()
    found[known] = solution / total if total > 0 else mass[known] / mass.sum()
    return found
