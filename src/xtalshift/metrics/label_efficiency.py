"""Label efficiency of adaptation, and forgetting of the source distribution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import DataError
from xtalshift.metrics.checks import as_vector


def label_efficiency(
    budgets: ArrayLike,
    errors: ArrayLike,
    reference_budgets: ArrayLike,
    reference_errors: ArrayLike,
) -> list[float]:
    """Return the labels a reference needs for the same error, per label of the method.

    A value of 2 means that the reference needs twice as many labels. Its learning curve is made
    monotone (at each budget, the smallest error up to it) and interpolated linearly in the
    logarithm of the budget.

    Parameters
    ----------
    budgets : array_like of float, shape (n,)
        Numbers of labels of the method, above 0.
    errors : array_like of float, shape (n,)
        Errors of the method at these budgets, in any unit; smaller is better.
    reference_budgets : array_like of float, shape (m,)
        Numbers of labels of the reference, above 0, each once, in any order.
    reference_errors : array_like of float, shape (m,)
        Errors of the reference at these budgets, in the same unit.

    Returns
    -------
    list of float, length n
        If the reference reaches the error at its smallest budget already, the value is
        ``min(reference_budgets) / budget``, an upper bound. If the reference never reaches it, the
        value is inf.

    Raises
    ------
    DataError
        If the shapes do not match, a value is not finite, a budget is not above 0, or reference
        budgets repeat or are missing.

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
    """Return the relative growth of the in-distribution (ID) error by adaptation.

    Parameters
    ----------
    error_after, error_before : float
        ID error after and before adaptation, in the same unit, at least 0.

    Returns
    -------
    float
        ``(after - before) / before``: 0.1 is 10 % worse, negative is better; NaN if the error
        before is 0.

    Raises
    ------
    DataError
        If an error is not finite or below 0.

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
    """Return the smallest budget at which a curve that never rises reaches `error`."""
    reached = curve <= error
    if not reached.any():
        return float("inf")
    i = int(np.argmax(reached))
    if i == 0 or curve[i] == error:
        return float(n[i])
    t = float((curve[i - 1] - error) / (curve[i - 1] - curve[i]))
    return float(n[i - 1] * (n[i] / n[i - 1]) ** t)
