"""How the classes of test rows differ from those of training rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from xtalshift.importance.density_ratio import standardise
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.label_shift import ShareEstimate, estimate_shares
from xtalshift.splits.audit.shift_measures import sample
from xtalshift.splits.splitter import IntArray

FloatArray = NDArray[np.float64]

_N_TREES = 200
_MIN_ROWS = 20
"""Fewest rows of either side for an estimate."""


class ClassShares(NamedTuple):
    """Shares of the classes on both sides, and what unlabelled test rows would have told.

    Attributes
    ----------
    train, test : ndarray of float64, shape (k,)
        Shares among the rows.
    distance : float
        Total variation: half of the sum of their absolute differences, from 0 to 1.
    unseen : ndarray of int64
        Numbers of the classes of test rows that no training row has.
    n_unseen : int
        Test rows of such classes.
    """

    train: FloatArray
    test: FloatArray
    distance: float
    unseen: IntArray
    n_unseen: int


def class_shares(y_train: FloatArray, y_test: FloatArray, n_classes: int) -> ClassShares:
    """Compare the shares of the classes of both sides.

    Parameters
    ----------
    y_train, y_test : ndarray of float64, shapes (n,) and (m,)
        Class numbers, at least one each.
    n_classes : int
        Number of classes k.
    """
    counts = [np.bincount(y.astype(np.int64), minlength=n_classes) for y in (y_train, y_test)]
    train, test = (count / count.sum() for count in counts)
    unseen = np.flatnonzero((counts[0] == 0) & (counts[1] > 0)).astype(np.int64)
    distance = float(np.abs(train - test).sum() / 2)
    return ClassShares(train, test, distance, unseen, int(counts[1][unseen].sum()))


def unlabelled_shares(
    X_train: NDArray[Any],
    y_train: FloatArray,
    X_test: NDArray[Any],
    n_classes: int,
    *,
    n_max: int = 5000,
    seed: int,
) -> ShareEstimate | None:
    """Estimate the shares of test rows as if their classes were not known.

    A forest that scores each training row out of bag, and black-box shift estimation. Far from the
    true shares, the shift is not one of shares alone: the classes look different in the test rows.

    Parameters
    ----------
    X_train, X_test : ndarray of float, shapes (n, d) and (m, d)
        Features, finite or NaN, one row per formula.
    y_train : ndarray of float64, shape (n,)
        Class numbers.
    n_classes : int
        Number of classes k.
    n_max : int
        Most rows of either side that are used.
    seed : int
        Seed of the draws and of the trees.

    Returns
    -------
    ShareEstimate or None
        None if a side has fewer than 20 rows or training has only one class.
    """
    if min(len(X_train), len(X_test)) < _MIN_ROWS or len(np.unique(y_train)) < 2:  # noqa: PLR2004
        return None
    rows = sample(len(y_train), n_max, derive_seed(seed, "train"))
    queries = sample(len(X_test), n_max, derive_seed(seed, "test"))
    known, asked = standardise(X_train[rows], X_test[queries])
    y = y_train[rows].astype(np.int64)
    if len(np.unique(y)) < 2:  # noqa: PLR2004
        return None
    forest = ExtraTreesClassifier(
        _N_TREES,
        min_samples_leaf=2,
        bootstrap=True,
        oob_score=True,
        random_state=derive_seed(seed, "trees"),
        n_jobs=1,
    ).fit(known, y)
    held = forest.classes_
    p, new = (np.zeros((len(side), n_classes)) for side in (known, asked))
    p[:, held], new[:, held] = forest.oob_decision_function_, forest.predict_proba(asked)
    return estimate_shares(p, y, new, random_state=derive_seed(seed, "bootstrap"))
