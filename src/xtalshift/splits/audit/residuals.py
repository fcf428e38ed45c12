"""Relation shift: whether test rows follow another function than training rows like them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.ensemble import ExtraTreesRegressor

from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.shift_measures import nearest, sample, standardise

__all__ = ["ResidualTest", "residual_test"]

FloatArray = NDArray[np.float64]

_N_TREES = 100


class ResidualTest(NamedTuple):
    """What the residuals say; the last two are NaN if there were too few rows to test.

    Attributes
    ----------
    tested : bool
        Whether there were enough rows.
    reason : str
        Why not; ``""`` if there were.
    n_supported : int
        Test rows (of those drawn) that have training rows about them.
    share_supported : float
        The same over the test rows drawn.
    shift : float
        Median residual (target minus prediction) of supported test rows minus that of training
        rows near them, over the standard deviation of the latter.
    p_value : float
        Two-sided Mann-Whitney test of the two sets of residuals, as if they were independent; in
        groups of like materials they are not quite, so a small p alone proves little.
    """

    tested: bool
    reason: str
    n_supported: int
    share_supported: float
    shift: float = np.nan
    p_value: float = np.nan


def residual_test(
    X_train: NDArray[Any],
    y_train: FloatArray,
    X_test: NDArray[Any],
    y_test: FloatArray,
    *,
    n_max: int = 5000,
    seed: int,
    min_supported: int = 20,
) -> ResidualTest:
    """Test whether P(y|x) is another one where test and training rows are alike.

    A forest learns the training rows and predicts each from the trees that did not see it. A test
    row is supported if its nearest training row is no farther than 95 % of the training rows are
    from their own nearest one; only there can a change of the function be told from missing data.
    Residuals of supported test rows are compared with those of the training rows nearest to them,
    so that a noisy region is compared with itself.

    The test sees a shift of location only: the same median with more scatter is not found. Rows
    selected by their target (a tail) have another P(y|x) too, so both give a shift.

    Parameters
    ----------
    X_train, X_test : ndarray of float, shapes (n, d) and (m, d)
        Features, finite or NaN, one row per formula.
    y_train, y_test : ndarray of float, shapes (n,) and (m,)
        Finite targets in any unit.
    n_max : int
        Rows of either side that are used.
    seed : int
        Decides which rows are drawn, and the trees.
    min_supported : int
        Fewest supported test rows, and fewest training rows near them, that are tested.

    Returns
    -------
    ResidualTest
    """
    if min(len(y_train), len(y_test)) < min_supported:
        return ResidualTest(
            False,
            f"{len(y_train)} training and {len(y_test)} test formulas with a target; at least "
            f"{min_supported} of each are needed",
            0,
            0.0,
        )
    rows = sample(len(y_train), n_max, derive_seed(seed, "train"))
    queries = sample(len(y_test), n_max, derive_seed(seed, "test"))
    known, asked = standardise(X_train[rows], X_test[queries])
    own, _ = nearest(known, known, np.arange(len(known)))
    distances, neighbours = nearest(asked, known)
    supported = distances <= np.quantile(own, 0.95)
    near = np.unique(neighbours[supported])  # one residual counts once
    found = (int(supported.sum()), float(supported.mean()))
    if min(found[0], len(near)) < min_supported:
        return ResidualTest(
            False,
            f"{found[0]} of {len(queries)} test formulas have training formulas about them, and "
            f"{len(near)} training formulas are nearest to these; at least {min_supported} of "
            f"each are needed",
            *found,
        )
    forest = ExtraTreesRegressor(
        _N_TREES,
        max_features=1 / 3,
        min_samples_leaf=2,
        bootstrap=True,
        oob_score=True,
        random_state=derive_seed(seed, "trees"),
        n_jobs=1,
    ).fit(known, y_train[rows])
    reference = (y_train[rows] - forest.oob_prediction_)[near]
    residuals = (y_test[queries] - forest.predict(asked))[supported]
    scatter = float(np.std(reference))
    if scatter <= 1e-12 * max(1.0, float(np.abs(y_train).max())):
        return ResidualTest(
            False, f"the {len(near)} training residuals nearby are all the same", *found
        )
    shift = float(np.median(residuals) - np.median(reference)) / scatter
    p_value = float(mannwhitneyu(residuals, reference, method="asymptotic").pvalue)
    return ResidualTest(True, "", *found, shift, p_value)
