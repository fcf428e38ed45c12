"""What labels of the new distribution are worth, and what learning from them costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError
from xtalshift.metrics.checks import as_vector

__all__ = ["forgetting", "label_efficiency"]


def label_efficiency(
    budgets: ArrayLike,
    errors: ArrayLike,
    reference_budgets: ArrayLike,
    reference_errors: ArrayLike,
) -> list[float]:
    """Return how many labels the reference needs for the error a method has, per label of it.

    2 means that the reference needs twice the labels for the same error. Its learning curve is
    made monotone by the smallest error at any budget up to each one, and is linear in the logarithm
    of the budget between them.

    Parameters
    ----------
    budgets : array_like of float, shape (n,)
        Numbers of labels given to the method, above 0.
    errors : array_like of float, shape (n,)
        Its error at each, in any unit; smaller is better.
    reference_budgets : array_like of float, shape (m,)
        Numbers of labels given to the reference, above 0, each once, in any order.
    reference_errors : array_like of float, shape (m,)
        Its error at each, in the same unit.

    Returns
    -------
    list of float, length n
        Where the error is no better than that of the reference at its smallest budget, the value is
        ``min(reference_budgets) / budget``, an upper bound: fewer labels might have done, but were
        not tried. Where the reference never was as good, it is inf.

    Raises
    ------
    DataError
        If the shapes do not match, a value is not finite, a budget is not above 0, a reference
        budget stands twice, or there is none.

    Examples
    --------
    >>> label_efficiency([10, 20], [0.5, 0.25], [10, 40, 160], [1.0, 0.5, 0.25])
    [4.0, 8.0]
    """
    n, e = _curve(budgets, errors, "budgets", "errors")
    m, f = _curve(reference_budgets, reference_errors, "reference_budgets", "reference_errors")
    if m.size == 0:
        raise DataError("reference_budgets is empty; the reference needs at least one budget")
    order = np.argsort(m, kind="stable")
    m, f = m[order], np.minimum.accumulate(f[order])
    twice = np.flatnonzero(np.diff(m) == 0)
    if twice.size:
        raise DataError(
            f"reference_budgets has {m[twice[0]]:g} more than once; average the errors of a budget "
            f"over its seeds first"
        )
    return [_labels_for(float(e[i]), m, f) / float(n[i]) for i in range(len(n))]


def forgetting(error_after: float, error_before: float) -> float:
    """Return by which part the in-distribution error grew while a method was adapted.

    Parameters
    ----------
    error_after, error_before : float
        ID error with and without the adaptation, in the same unit, at least 0.

    Returns
    -------
    float
        ``(after - before) / before``; 0.1 is 10 % worse, negative is better than before; NaN where
        the error before is 0.

    Raises
    ------
    DataError
        If an error is not finite or is below 0.

    Examples
    --------
    >>> forgetting(1.5, 1.0)
    0.5
    """
    for name, error in (("error_after", error_after), ("error_before", error_before)):
        if not (math.isfinite(error) and error >= 0):
            raise DataError(f"{name} is {error}; expected a finite error of at least 0")
    if error_before == 0:
        return float("nan")
    return (error_after - error_before) / error_before


def _curve(
    budgets: ArrayLike, errors: ArrayLike, budgets_name: str, errors_name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, e = as_vector(budgets, budgets_name), as_vector(errors, errors_name)
    if n.shape != e.shape:
        raise DataError(
            f"{len(n)} {budgets_name} and {len(e)} {errors_name}: expected one error per budget"
        )
    if (n <= 0).any():
        row = int(np.argmax(n <= 0))
        raise DataError(f"{budgets_name}[{row}] is {n[row]:g}; expected a number of labels above 0")
    return n, e


def _labels_for(error: float, n: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Return where a curve that never rises, at ascending budgets `n`, first is at `error`."""
    reached = curve <= error
    if not reached.any():
        return float("inf")
    i = int(np.argmax(reached))
    if i == 0 or curve[i] == error:
        return float(n[i])
    t = float((curve[i - 1] - error) / (curve[i - 1] - curve[i]))
    return float(n[i - 1] * (n[i] / n[i - 1]) ** t)
