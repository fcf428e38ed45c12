"""Comparison of methods over tasks: paired tests and average ranks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, friedmanchisquare, rankdata, studentized_range, wilcoxon

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.checks import as_vector, check_level
from xtalshift.metrics.multiplicity import correct_holm

__all__ = [
    "Comparison",
    "PairedTest",
    "average_ranks",
    "cliques",
    "compare_all",
    "critical_difference",
    "friedman_p",
    "paired_test",
    "win_tie_loss",
]

FloatArray = NDArray[np.float64]

_MIN_METHODS = 3  # fewer are what the paired tests are for
_MIN_TASKS = 2
_MAX_EXACT = 50  # tasks, as in scipy


class PairedTest(NamedTuple):
    """Two methods, a and b, on the same tasks.

    Attributes
    ----------
    n : int
        Number of tasks.
    wins, ties, losses : int
        Tasks where the error of a is smaller, exactly equal, larger.
    mean_difference : float
        Mean error of a minus that of b, so that negative favours a; NaN without tasks.
    wilcoxon_p : float
        Two-sided signed-rank test that the differences are symmetric about 0; NaN for fewer than
        two tasks, 1 if all differences are 0.
    sign_p : float
        Two-sided sign test that a win is as likely as a loss, over the tasks that are no ties; 1 if
        all are ties, NaN without tasks.
    """

    n: int
    wins: int
    ties: int
    losses: int
    mean_difference: float
    wilcoxon_p: float
    sign_p: float


class Comparison(NamedTuple):
    """One pair of methods among several.

    Attributes
    ----------
    a, b : str
        Their names.
    test : PairedTest
        As if they were the only pair.
    wilcoxon_holm, sign_holm : float
        The p values of `test`, each corrected for all pairs compared.
    """

    a: str
    b: str
    test: PairedTest
    wilcoxon_holm: float
    sign_holm: float


def paired_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Compare the errors of two methods on the same tasks.

    The signed-rank test ranks differences of 0 too and then drops them (Pratt). For up to 50 tasks
    its p value is exact, also where differences are equal or 0: the share of all ways to choose
    their signs that are as extreme. For more it is the normal approximation.

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        One error per task, in any unit; smaller is better. The unit should be the same for all
        tasks, or the error relative to that of a constant, as the test ranks the differences.

    Raises
    ------
    DataError
        If the shapes differ or are not 1-d, or a value is not finite.

    References
    ----------
    Wilcoxon, Biometrics Bull. 1, 80 (1945); Pratt, J. Am. Stat. Assoc. 54, 655 (1959);
    Demšar, J. Mach. Learn. Res. 7, 1 (2006), section 3.1.
    """
    x, y = as_vector(a, "a"), as_vector(b, "b")
    if x.shape != y.shape:
        raise DataError(f"{x.shape=} and {y.shape=}: expected the errors of the same tasks")
    wins, losses = int((x < y).sum()), int((x > y).sum())
    difference = x - y
    return PairedTest(
        n=int(x.size),
        wins=wins,
        ties=int(x.size) - wins - losses,
        losses=losses,
        mean_difference=float(difference.mean()) if x.size else math.nan,
        wilcoxon_p=_wilcoxon_p(difference),
        sign_p=_sign_p(wins, losses) if x.size else math.nan,
    )


def compare_all(errors: ArrayLike, names: Sequence[str]) -> list[Comparison]:
    """Compare every pair of methods over the tasks that both have.

    Parameters
    ----------
    errors : array_like of float, shape (n_tasks, n_methods)
        Smaller is better; NaN where a method has no result for a task.
    names : sequence of str, length n_methods
        Of the methods.

    Returns
    -------
    list of Comparison, length n_methods * (n_methods - 1) / 2
        The first method with each later one, then the second, and so on. Wilcoxon and sign tests
        are corrected (Holm) as two families of their own.

    Raises
    ------
    DataError
        If `errors` is not 2-d or infinite anywhere, or `names` are not one per column, each once.
    """
    table = _error_table(errors)
    if len(names) != table.shape[1] or len(set(names)) != len(names):
        raise DataError(
            f"names are {list(names)} for {table.shape[1]} columns of errors; expected one name "
            f"per column, each once"
        )
    pairs = list(itertools.combinations(range(len(names)), 2))
    tests = []
    for i, j in pairs:
        both = ~np.isnan(table[:, [i, j]]).any(axis=1)
        tests.append(paired_test(table[both, i], table[both, j]))
    wilcoxon_holm = correct_holm(np.array([test.wilcoxon_p for test in tests]))
    sign_holm = correct_holm(np.array([test.sign_p for test in tests]))
    return [
        Comparison(names[i], names[j], test, float(ranked), float(signed))
        for (i, j), test, ranked, signed in zip(pairs, tests, wilcoxon_holm, sign_holm, strict=True)
    ]


def win_tie_loss(errors: ArrayLike, *, tolerance: float = 0.0) -> NDArray[np.int64]:
    """Count on how many tasks each method is better than, as good as, or worse than each other.

    Parameters
    ----------
    errors : array_like of float, shape (n_tasks, n_methods)
        Smaller is better; NaN where a method has no result for a task.
    tolerance : float
        Errors that differ by at most this part of the larger one (by magnitude) are a tie.

    Returns
    -------
    ndarray of int64, shape (n_methods, n_methods, 3)
        ``[i, j]`` are the wins, ties and losses of method i against j over the tasks of both; the
        diagonal holds ties only.

    Raises
    ------
    ConfigError
        If `tolerance` is not finite or below 0.
    DataError
        If `errors` is not 2-d or infinite anywhere.
    """
    table = _error_table(errors)
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ConfigError(f"{tolerance=}: expected a finite part of the error of at least 0")
    counts = np.empty((table.shape[1], table.shape[1], 3), dtype=np.int64)
    for i, own in enumerate(table.T):
        difference = table - own[:, None]
        margin = tolerance * np.maximum(np.abs(table), np.abs(own[:, None]))
        outcomes = (difference > margin, np.abs(difference) <= margin, -difference > margin)
        counts[i] = np.stack([outcome.sum(axis=0) for outcome in outcomes], axis=1)
    return counts


def average_ranks(errors: ArrayLike) -> FloatArray:
    """Return the mean rank of each method over the tasks that all of them have.

    Parameters
    ----------
    errors : array_like of float, shape (n_tasks, n_methods)
        Smaller is better; a task where any method has NaN is left out.

    Returns
    -------
    ndarray of float64, shape (n_methods,)
        1 is the smallest error; ties share their mean rank.

    Raises
    ------
    DataError
        If `errors` is not 2-d or infinite anywhere, or no task is complete.
    """
    table = _error_table(errors)
    complete = _complete(table)
    if not len(complete):
        missing = np.isnan(table).sum(axis=0).tolist()
        raise DataError(
            f"none of {len(table)} tasks has a result of every method (missing per method: "
            f"{missing}); leave out the methods with most missing"
        )
    ranks: FloatArray = np.asarray(rankdata(complete, axis=1), dtype=np.float64).mean(axis=0)
    return ranks


def friedman_p(errors: ArrayLike) -> float:
    """Return the p value of Friedman's test that all methods rank alike.

    Parameters
    ----------
    errors : array_like of float, shape (n_tasks, n_methods)
        Smaller is better; a task where any method has NaN is left out.

    Returns
    -------
    float
        From the chi-square approximation, corrected for ties; NaN for fewer than three methods or
        two complete tasks, 1 if all methods tie on every task.

    Raises
    ------
    DataError
        If `errors` is not 2-d or infinite anywhere.

    References
    ----------
    Friedman, J. Am. Stat. Assoc. 32, 675 (1937).
    """
    complete = _complete(_error_table(errors))
    if complete.shape[1] < _MIN_METHODS or len(complete) < _MIN_TASKS:
        return math.nan
    if (complete == complete[:, :1]).all():
        return 1.0  # the correction for ties would divide by 0
    return float(friedmanchisquare(*complete.T).pvalue)


def critical_difference(n_methods: int, n_tasks: int, *, level: float = 0.05) -> float:
    """Return how far average ranks must be apart to differ by Nemenyi's test.

    Parameters
    ----------
    n_methods : int
        At least 2.
    n_tasks : int
        Complete tasks, at least 1.
    level : float
        Chance that any of equal methods are told apart, in (0, 1).

    Raises
    ------
    ConfigError
        If an argument is out of its range.

    References
    ----------
    Demšar, J. Mach. Learn. Res. 7, 1 (2006), section 3.2.
    """
    check_level(level)
    if n_methods < 2 or n_tasks < 1:  # noqa: PLR2004 - a pair
        raise ConfigError(f"{n_methods=} and {n_tasks=}: expected at least 2 methods and 1 task")
    q = float(studentized_range.ppf(1.0 - level, n_methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6.0 * n_tasks))


def cliques(ranks: ArrayLike, difference: float) -> list[tuple[int, ...]]:
    """Return the groups of methods that are not told apart, the bars of a critical-difference plot.

    Parameters
    ----------
    ranks : array_like of float, shape (n_methods,)
        Average ranks.
    difference : float
        Ranks of a group span at most this; see `critical_difference`.

    Returns
    -------
    list of tuple of int
        Column numbers by ascending rank, two or more; best group first, none within another.

    Raises
    ------
    ConfigError
        If `difference` is NaN or below 0.
    DataError
        If `ranks` is not 1-d or not finite.
    """
    values = as_vector(ranks, "ranks")
    if not difference >= 0:
        raise ConfigError(f"{difference=}: expected a difference of ranks of at least 0")
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    found, last = [], 0
    for start in range(len(order)):
        stop = int((ascending - ascending[start] <= difference).sum())
        if stop > last and stop - start > 1:
            found.append(tuple(order[start:stop].tolist()))
        last = max(last, stop)
    return found


def _wilcoxon_p(difference: FloatArray) -> float:
    if difference.size < _MIN_TASKS:
        return math.nan
    if not difference.any():
        return 1.0
    if difference.size > _MAX_EXACT:
        return float(wilcoxon(difference, zero_method="pratt", method="approx").pvalue)
    # doubled, as ties share a rank that may be a half
    doubled = np.rint(2.0 * rankdata(np.abs(difference))).astype(np.int64)
    chances = np.zeros(int(doubled.sum()) + 1)  # of each sum of the ranks with positive sign
    chances[0] = 1.0
    for rank in doubled[difference != 0]:
        chances[rank:] += chances[:-rank].copy()
        chances /= 2.0
    observed = int(doubled[difference > 0].sum())
    tails = chances[: observed + 1].sum(), chances[observed:].sum()
    return min(1.0, 2.0 * float(min(tails)))


def _sign_p(wins: int, losses: int) -> float:
    if wins + losses == 0:
        return 1.0
    return float(binomtest(wins, wins + losses).pvalue)


def _error_table(errors: ArrayLike) -> FloatArray:
    table = np.asarray(errors, dtype=np.float64)
    if table.ndim != 2:  # noqa: PLR2004 - tasks and methods
        raise DataError(f"errors has shape {table.shape}; expected (n_tasks, n_methods)")
    if np.isinf(table).any():
        task, method = np.argwhere(np.isinf(table))[0].tolist()
        raise DataError(
            f"errors[{task}, {method}] is {table[task, method]}; expected finite numbers, or NaN "
            f"for a missing result"
        )
    return table


def _complete(table: FloatArray) -> FloatArray:
    return table[~np.isnan(table).any(axis=1)]
