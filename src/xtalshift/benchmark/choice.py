"""The choice among methods: which has the smallest error, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.problem import ChoiceRows
from xtalshift.metrics import correct_holm, corrected_t_test, grouped_t_test

LEVEL = 0.05
"""Methods are level if the corrected p value of their difference is larger."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Rival:
    """A method that was not chosen, beside the one that was."""

    method: str
    mae: float
    """As that of `Choice`."""
    n_rows: int
    """Number of rows that both were judged by."""
    p_value: float | None = None
    """Two-sided p value of the difference, corrected for the number of rivals (Holm); None where
    nothing can be tested."""
    level: bool = True
    """Whether the difference is within the spread of the folds (or rows), so that either of the two
    may be the better one."""


@dataclass(frozen=True)
class Choice:
    """The method with the smallest error on rows that no test set holds."""

    method: str
    mae: float
    """Mean absolute error there, each row predicted by models that did not see it. A method that
    was judged by fewer rows: the error of the one judged by most, plus the mean difference to it on
    the rows of both."""
    n_rows: int
    n_folds: int = 0
    repeats: int = 0
    """`n_rows`, `n_folds`, `repeats`: the rows that choose, and their cross-fit; without folds they
    are the validation rows."""
    rivals: tuple[Rival, ...] = ()
    """The other methods, smallest error first."""

    @property
    def level_with(self) -> list[str]:
        """Names of the methods that may be as good."""
        return [one.method for one in self.rivals if one.level]


def choose(
    predictions: Mapping[str, pd.DataFrame],
    y: FloatArray,
    groups: NDArray[np.object_],
    rows: ChoiceRows,
    weights: FloatArray | None = None,
) -> Choice | None:
    """Return the method with the smallest error, with a paired comparison to each other one.

    Cross-fits are compared by the corrected resampled t-test over folds, validation rows by a
    t-test over formulas, see `xtalshift.metrics.corrected_t_test` and `grouped_t_test`.

    Parameters
    ----------
    predictions : mapping of DataFrame
        By method, as `xtalshift.benchmark.choice_rows.predict_unseen` returns them.
    y : ndarray of float64, shape (n,)
        Targets of all rows.
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    rows : ChoiceRows
        The rows that were predicted.
    weights : ndarray of float64, shape (n,), optional
        How much the error of each row counts, as in the losses of the methods.

    Returns
    -------
    Choice or None
        None if no method has finite predictions.
    """
    share = np.ones(len(y)) if weights is None else weights
    judged = {name: _Judged.of(frame, y) for name, frame in predictions.items()}
    judged = {name: one for name, one in judged.items() if len(one.rows)}
    if not judged:
        return None
    most = max(len(one.rows) for one in judged.values())
    full = {name: one.mae(share) for name, one in judged.items() if len(one.rows) == most}
    anchor = judged[min(full, key=lambda name: full[name])]
    errors = {}
    for name, one in judged.items():
        both = np.intersect1d(one.rows, anchor.rows)
        if len(both):
            gap = one.mean[both] - anchor.mean[both]
            errors[name] = anchor.mae(share) + float(np.average(gap, weights=share[both]))
    best = min(errors, key=lambda name: errors[name])
    others = sorted((name for name in errors if name != best), key=lambda name: errors[name])
    raw = np.array([_p_value(judged[best], judged[name], groups, rows, share) for name in others])
    rivals = []
    for name, p in zip(others, correct_holm(raw), strict=True):
        known = float(p) if np.isfinite(p) else None
        both = np.intersect1d(judged[name].rows, judged[best].rows)
        level = known is None or known >= LEVEL
        rivals.append(Rival(name, errors[name], len(both), known, level))
    return Choice(best, errors[best], most, rows.n_folds, rows.repeats, tuple(rivals))


@dataclass(frozen=True, eq=False)
class _Judged:
    """Absolute errors of one method on rows that it was not fitted to."""

    errors: FloatArray
    """Shape (repeats, n); NaN for rows that were not predicted."""
    folds: NDArray[np.int64]
    """Shape (repeats, n). Fold of each row."""

    @classmethod
    def of(cls, frame: pd.DataFrame, y: FloatArray) -> _Judged:
        repeats, rows = frame["repeat"].to_numpy(int), frame["row"].to_numpy(int)
        shape = (int(repeats.max()) + 1 if len(frame) else 1, len(y))
        errors, folds = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
        if "error" in frame:  # of classes
            errors[repeats, rows] = frame["error"]
        else:
            errors[repeats, rows] = np.abs(frame["prediction"].to_numpy(float) - y[rows])
        folds[repeats, rows] = frame["fold"]
        if not np.isfinite(errors[repeats, rows]).all():
            errors[:] = np.nan  # a method that overflows is not chosen
        return cls(errors, folds)

    @property
    def mean(self) -> FloatArray:
        """Mean error of each row over the repeats, shape (n,)."""
        return np.asarray(self.errors.mean(axis=0))

    def mae(self, share: FloatArray) -> float:
        """Return the mean over the rows that were predicted; `share` are weights of all rows."""
        rows = self.rows
        return float(np.average(self.mean[rows], weights=share[rows]))

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows that were predicted in each repeat."""
        return np.flatnonzero(np.isfinite(self.mean))


def _p_value(
    one: _Judged,
    other: _Judged,
    groups: NDArray[np.object_],
    rows: ChoiceRows,
    share: FloatArray,
) -> float:
    both = np.intersect1d(one.rows, other.rows)
    if not rows.repeats:
        gap = (one.mean[both] - other.mean[both]) * share[both] / share[both].mean()
        return grouped_t_test(gap, groups[both].astype(str))
    finer = max(one, other, key=lambda each: len(each.errors))
    differences: list[Any] = []
    for repeat, folds in enumerate(finer.folds):
        # the folds of a stack are its own, and not repeated
        ours, theirs = (each.errors[repeat % len(each.errors)] for each in (one, other))
        gap = (ours - theirs)[both]
        for fold in np.unique(folds[both]):
            there = folds[both] == fold
            differences.append(np.average(gap[there], weights=share[both][there]))
    return corrected_t_test(differences, 1 / (rows.n_folds - 1))
