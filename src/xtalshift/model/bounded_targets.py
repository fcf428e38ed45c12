"""Settle the targets of which a data set knows only bounds, before a method is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators.base import FitData, Labelled, Regressor, deal_folds
from xtalshift.estimators.bounds import (
    SPREAD_ROUNDS,
    TargetBounds,
    find_spread,
    settle,
    truncated_moments,
)
from xtalshift.featurize import CompositionSource
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.words import plural

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Settled:
    """Targets that a fit learns from.

    Attributes
    ----------
    z : ndarray of float64, shape (n,)
        On the scale of the regressor; in the place of a bound what is expected, or where the loss
        takes it, the bound.
    bounds : TargetBounds of n rows, or None
        For the loss; of rows that are learned from.
    """

    z: FloatArray
    bounds: TargetBounds | None = None

    def of(self, rows: Rows) -> TargetBounds | None:
        """Return what the loss takes of some rows."""
        return None if self.bounds is None else self.bounds.take(rows)

    def expected(self, predict: Callable[[Rows], FloatArray]) -> FloatArray:
        """Return the targets with what a fitted model expects between bounds, shape (n,).

        `predict` takes row numbers.
        """
        if self.bounds is None:
            return self.z
        rows = np.flatnonzero(self.bounds.bounded)
        own, found = self.bounds.take(rows), self.z.copy()
        found[rows] = truncated_moments(predict(rows), own.spread, own.lower, own.upper)[0]
        return found


def settle_targets(
    regressor: Regressor,
    data: Dataset,
    X: FloatArray,
    rows: Rows,
    z: FloatArray,
    scale: TargetTransform,
    *,
    in_loss: bool = False,
    weights: FloatArray | None = None,
    origin: CompositionSource | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Settled:
    """Return targets in which bounds are replaced by what a model expects between them.

    Parameters
    ----------
    regressor : Regressor
        Not fitted; cross-fitted several times.
    data : Dataset
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    rows : ndarray of int64, shape (m,)
        Those that are learned from.
    z : ndarray of float64, shape (n,)
        Targets on the scale of the regressor; of bounded rows the bound.
    scale : TargetTransform
        That scale.
    in_loss : bool
        Whether the loss takes the bounds instead; cross-fits then say how far values lie from
        predictions.
    weights : ndarray of float64, shape (n,), optional
        Of the rows in the loss.
    origin : CompositionSource of m rows, optional
        For regressors whose `fit` needs it.
    seed : int
        Draws the folds.
    progress : Progress
        Receives how many rows were replaced.
    """
    if data.bounds is None or not data.bounded[rows].any():
        return Settled(z)
    lower, upper = (scale.place(side[rows]) for side in data.bounds.T)
    lower, upper = (np.where(data.bounded[rows], side, z[rows]) for side in (lower, upper))
    share = None if weights is None else weights[rows]
    folds = deal_folds(
        data.groups[rows].astype(str), FOLDS, np.random.default_rng(derive_seed(seed, "bounds"))
    )

    def predict_unseen(targets: FloatArray, bounds: TargetBounds | None = None) -> FloatArray:
        train = Labelled(
            X[rows], targets, share, origin=origin, groups=data.groups[rows], bounds=bounds
        )
        rng = np.random.default_rng(derive_seed(seed, "bounds", "fit"))  # the same in every round
        return regressor.cross_fit(FitData(train, train, None, rng), folds).predictions

    n = int(data.bounded[rows].sum())
    if in_loss:
        own = np.ones(len(rows)) if data.weights is None else data.weights[rows]
        known = find_spread(
            lower,
            upper,
            lambda bounds: predict_unseen(z[rows], bounds),
            # a row whose measurement is uncertain lies farther from its prediction
            relative=None if share is None else np.sqrt(own / share),
            weights=own,
            rounds=SPREAD_ROUNDS if len(np.unique(folds)) > 1 else 0,
        )
        progress.say(
            f"{plural(n, 'bound')} of targets in the loss; values lie "
            f"{np.median(known.spread):.3g} (standard deviation) from predictions"
            + ("" if scale.name in ("none", "clip") else f" on the scale {scale.name}")
        )
        return Settled(z, _spread_out(known, rows, len(z)))
    found = z.copy()
    if len(np.unique(folds)) > 1:
        found[rows] = settle(z[rows], lower, upper, predict_unseen)
    progress.say(f"{plural(n, 'bound')} of targets replaced by what fits expect of the values")
    return Settled(found)


def warn_of_negative_bounds(data: Dataset, rows: Rows) -> str:
    """Return a note if values below 0 are expected under limits, and no known value is.

    Parameters
    ----------
    data : Dataset
        n clean rows, with expected values in the place of bounds.
    rows : ndarray of int64
        Those that were learned from.
    """
    bounded, y = data.bounded[rows], data.y[rows]
    if not bounded.any() or bounded.all() or (y[~bounded] < 0).any():
        return ""
    n = int((y[bounded] < 0).sum())
    if not n:
        return ""
    return (
        f"note: {plural(n, 'target')} below {'its limit' if n == 1 else 'their limits'} would be "
        "expected below 0, where no known value is. If there is none, write 0-4.2 in place of "
        "<4.2, or give --transform log"
    )


def _spread_out(known: TargetBounds, rows: Rows, n: int) -> TargetBounds:
    """Return the bounds of some rows among n; NaN for the others."""
    found = np.full((3, n), np.nan)
    found[:, rows] = known.stacked().T
    return TargetBounds(*found)
