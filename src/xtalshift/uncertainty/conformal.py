"""Conformal prediction: intervals from the errors on rows that the model was not trained on.

===========================================  =========================
symbol                                       variable
===========================================  =========================
conformity score s_i of calibration row i    ``scores``
level 1 - alpha                              ``level``
spread sigma(x) that scales a score          ``spread``
density ratio w(x) of target to source       ``weights``
===========================================  =========================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.families import FAMILIES
from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.metrics.checks import as_vector, check_level
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays

FloatArray = NDArray[np.float64]
ScoreKind = Literal["absolute", "normalised", "quantile"]
ScoreOrigin = Literal["held-out", "out-of-fold", "target"]


ONE_SIGMA = 0.6827
"""Level of the interval whose half width is reported as the ``std`` of a prediction."""

FLOOR = 0.1
"""Smallest spread, as a share of the median spread: ensemble members may agree by chance."""

_ROUNDING = 1e-12

_SAVED: Schema = {
    "calibration.scores": SavedArray(np.float64, ("n",)),
    "calibration.floor": SavedArray(np.float64, (1,), low=0.0),
}
_OPTIONAL: Schema = {
    "calibration.X": SavedArray(np.float32, ("n", "d"), missing=True),
    "calibration.families": SavedArray(np.int64, ("n",), low=0, high=len(FAMILIES) - 1),
}


def conformal_quantile(
    scores: ArrayLike,
    level: float,
    *,
    weights: ArrayLike | None = None,
    test_weights: ArrayLike | None = None,
) -> FloatArray:
    """Return the score that a new row does not exceed with probability at least `level`.

    Without weights it is the ``ceil((n + 1) level)``-th smallest score (Vovk, Gammerman and Shafer,
    Algorithmic Learning in a Random World, 2005), valid if the new row is exchangeable with the
    calibration rows. With weights it is the smallest score at which the cumulative weight reaches
    `level` times the total weight, that of the new row included (Tibshirani et al., NeurIPS 2019,
    equation 7), valid under covariate shift if the weights are ``p_target(x) / p_source(x)``. NumPy
    and SciPy have no quantile that includes the weight of the new row.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Scores of the calibration rows, finite.
    level : float
        In (0, 1).
    weights : array_like of float, shape (n,), optional
        Density ratio of the calibration rows, at least 0, up to a common factor.
    test_weights : array_like of float, shape (m,), optional
        Density ratio of the new rows, with the same factor; required with `weights`.

    Returns
    -------
    ndarray of float64, shape (m,), or (1,) without weights
        ``inf`` if the calibration rows are too few, or have too little weight, for a finite bound.

    Raises
    ------
    ConfigError
        If `level` is not inside (0, 1).
    DataError
        If a score or weight is not finite, a weight is negative, or shapes differ.
    """
    check_level(level)
    known = as_vector(scores, "scores")
    if (weights is None) != (test_weights is None):
        raise DataError("weights and test_weights belong together; give both or neither")
    if weights is None or test_weights is None:
        rank = int(np.ceil((len(known) + 1) * level - _ROUNDING))
        return np.array([np.sort(known)[rank - 1] if rank <= len(known) else np.inf])
    w, new = as_vector(weights, "weights"), as_vector(test_weights, "test_weights")
    if w.shape != known.shape:
        raise DataError(f"{w.shape=} and {known.shape=}: expected one weight per score")
    if (w < 0).any() or (new < 0).any():
        raise DataError("weights must not be negative; a density ratio never is")
    order = np.argsort(known, kind="stable")
    reached = np.cumsum(w[order])
    total = reached[-1] if len(reached) else 0.0
    wanted = level * (total + new)
    place = np.searchsorted(reached, wanted - _ROUNDING * (total + new), side="left")
    # if all weights are 0 there is no bound
    place = np.where(total + new > 0, place, len(known))
    return np.append(known[order], np.inf)[place]


def conformity_scores(
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    spread: ArrayLike | None = None,
    quantiles: tuple[ArrayLike, ArrayLike] | None = None,
) -> FloatArray:
    """Return the conformity score of each prediction: its error on the scale of the interval.

    Parameters
    ----------
    targets, predictions : array_like of float, shape (n,)
        In the same unit.
    spread : array_like of float, shape (n,), optional
        Positive; the score is ``|y - f| / spread`` (Papadopoulos et al., ECML 2002), so that the
        width of an interval is proportional to the spread.
    quantiles : pair of array_like of float, shapes (n,), optional
        Predicted lower and upper quantile: the score is ``max(low - y, y - high)`` (conformalised
        quantile regression: Romano, Patterson and Candes, NeurIPS 2019, equation 6).

    Returns
    -------
    ndarray of float64, shape (n,)
        ``|y - f|`` if neither is given.
    """
    y = as_vector(targets, "targets")
    if quantiles is not None:
        low, high = (as_vector(side, "quantiles") for side in quantiles)
        return np.maximum(low - y, y - high)
    error = np.abs(y - as_vector(predictions, "predictions"))
    return error if spread is None else np.asarray(error / as_vector(spread, "spread"))


@dataclass(frozen=True)
class Calibration:
    """Conformity scores of rows that the model was not trained on, with their features."""

    scores: FloatArray
    """Shape (n,). See `conformity_scores`; on the scale of the regressor."""
    kind: ScoreKind = "absolute"
    """Kind of score."""
    origin: ScoreOrigin = "held-out"
    """Rows held out from training; training rows, each predicted by a model of the other folds; or
    labels of the target domain."""
    floor: float = 0.0
    """Smallest spread, for ``normalised`` scores."""
    X: NDArray[np.float32] | None = None
    """Shape (n, d). Features, from which density ratios are estimated."""
    families: NDArray[np.int64] | None = None
    """Shape (n,). Chemical family of each row, for intervals by family."""

    def __len__(self) -> int:
        return len(self.scores)

    def half_widths(
        self,
        level: float,
        *,
        families: NDArray[np.int64] | None = None,
        weights: tuple[FloatArray, FloatArray] | None = None,
    ) -> FloatArray:
        """Return the quantile of the scores that applies to each new row.

        Parameters
        ----------
        level : float
            In (0, 1).
        families : ndarray of int64, shape (m,), optional
            Family of the new rows. Each family has its own quantile (Mondrian; Vovk et al., 2005,
            section 4.5); all families with too few calibration rows for a finite bound share one.
        weights : pair of ndarray of float64, shapes (n,) and (m,), optional
            Density ratio of the calibration and of the new rows.

        Returns
        -------
        ndarray of float64, shape (m,), or (1,) if neither is given

        Raises
        ------
        ConfigError
            If both are given, or the families of the calibration rows are unknown.
        """
        if families is None:
            known, new = (None, None) if weights is None else weights
            return conformal_quantile(self.scores, level, weights=known, test_weights=new)
        if weights is not None:
            raise ConfigError("intervals are weighted or by family, not both; choose one")
        if self.families is None:
            raise ConfigError("the calibration rows have no families; conformalize the model again")
        needed = int(np.ceil(1.0 / (1.0 - level) - _ROUNDING)) - 1  # for a finite bound
        size = int(max(self.families.max(initial=0), families.max(initial=0))) + 1
        counts = np.bincount(self.families, minlength=size)
        shared = counts < needed
        pooled = self.scores[shared[self.families]]
        if len(pooled) < needed:  # too few even together
            pooled = self.scores
        bounds = np.array(
            [
                conformal_quantile(
                    pooled if shared[code] else self.scores[self.families == code], level
                )[0]
                for code in range(size)
            ]
        )
        return np.asarray(bounds[families])

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes, by names that begin with ``calibration.``."""
        state: dict[str, NDArray[Any]] = {
            "calibration.scores": self.scores,
            "calibration.floor": np.array([self.floor]),
        }
        if self.X is not None:
            state["calibration.X"] = self.X
        if self.families is not None:
            state["calibration.families"] = self.families
        return state

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        given = {name: saved for name, saved in _OPTIONAL.items() if name in found}
        return {**_SAVED, **given}

    @classmethod
    def from_state(
        cls, state: dict[str, NDArray[Any]], *, kind: ScoreKind, origin: ScoreOrigin
    ) -> Self:
        """Return a calibration from the arrays of `get_state`, after a check.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        found = check_arrays(state, cls.saved(state))
        if not found["n"]:
            raise ModelFormatError("the calibration has no scores")
        if kind != "quantile" and state["calibration.scores"].min() < 0:
            raise ModelFormatError(f"a score of kind {kind!r} is negative")
        return cls(
            state["calibration.scores"],
            kind,
            origin,
            float(state["calibration.floor"][0]),
            state.get("calibration.X"),
            state.get("calibration.families"),
        )
