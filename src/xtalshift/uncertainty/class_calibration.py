"""What rows that a classifier was not trained on say: calibrated probabilities and sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.conformal import ScoreOrigin
from xtalshift.uncertainty.prediction_sets import SetCalibration, SetKind
from xtalshift.uncertainty.probabilities import (
    ProbabilityCalibration,
    ProbabilityKind,
    fit_probabilities,
)

_PREFIX = "calibration."
_FEATURES = f"{_PREFIX}X"
_SAVED: Schema = {_FEATURES: SavedArray(np.float32, ("n", "d"), missing=True)}


@dataclass(frozen=True, eq=False)
class ClassCalibration:
    """Calibration of the probabilities of a classifier, and of its prediction sets.

    Sets are made of the probabilities as the classifier gives them, whose scores the calibration
    rows have too: with calibrated ones, learned from the same rows, the guarantee would not be
    exact.
    """

    probabilities: ProbabilityCalibration
    sets: SetCalibration
    origin: ScoreOrigin = "held-out"
    """Where the rows come from, see `xtalshift.uncertainty.conformal.Calibration`."""
    X: NDArray[np.float32] | None = None
    """Shape (n, d). Features, from which density ratios are estimated."""
    formulas: NDArray[np.object_] | None = None
    """Shape (n,). Reduced formulas of the rows, if a fit knows them."""

    @classmethod
    def of(
        cls,
        probabilities: ArrayLike,
        labels: ArrayLike,
        *,
        origin: ScoreOrigin,
        X: NDArray[np.float64] | None = None,
        groups: ArrayLike | None = None,
        kind: SetKind = "lac",
        learned: ProbabilityCalibration | None = None,
    ) -> Self:
        """Return the calibration of rows that the classifier was not trained on.

        Parameters
        ----------
        probabilities : array_like of float, shape (n, k)
            As the classifier gives them.
        labels : array_like of int, shape (n,)
            Class numbers.
        origin : {"held-out", "out-of-fold", "target", "proxies"}
            Where the rows come from.
        X : ndarray of float64, shape (n, d), optional
            Their features.
        groups : array_like, shape (n,), optional
            Reduced formulas.
        kind : {"lac", "aps", "class-conditional"}
            Of the sets.
        learned : ProbabilityCalibration, optional
            Of the probabilities; by default learned from the rows.

        Raises
        ------
        DataError
            If there are fewer than 10 rows, a label is no class or a row no distribution.
        """
        largest = np.finfo(np.float32).max  # infinity would be no feature
        features = None if X is None else np.clip(X, -largest, largest).astype(np.float32)
        return cls(
            learned or fit_probabilities(probabilities, labels, groups=groups),
            SetCalibration.of(probabilities, labels, kind),
            origin,
            features,
            None if groups is None else np.asarray(groups, dtype=object),
        )

    def __len__(self) -> int:
        return len(self.sets)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes, by names that begin with ``calibration.``."""
        features = {} if self.X is None else {_FEATURES: self.X}
        parts = {**self.probabilities.get_state(), **self.sets.get_state()}
        return {**{f"{_PREFIX}{name}": array for name, array in parts.items()}, **features}

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        features = _SAVED if _FEATURES in found else {}
        inner = {name.removeprefix(_PREFIX): one for name, one in found.items()}
        own = {name: one for name, one in inner.items() if name.startswith("probabilities.")}
        schema = {**ProbabilityCalibration.saved(own), **SetCalibration.saved(inner)}
        return {**{f"{_PREFIX}{name}": one for name, one in schema.items()}, **features}

    @classmethod
    def from_state(
        cls,
        state: dict[str, NDArray[Any]],
        *,
        n_classes: int,
        probabilities: ProbabilityKind,
        sets: SetKind,
        origin: ScoreOrigin,
    ) -> Self:
        """Return a calibration from the arrays of `get_state`, after a check, and its names.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        inner = {name.removeprefix(_PREFIX): array for name, array in state.items()}
        features = inner.pop("X", None)
        own = {name: inner.pop(name) for name in list(inner) if name.startswith("probabilities.")}
        made = SetCalibration.from_state(inner, kind=sets, n_classes=n_classes)
        learned = ProbabilityCalibration.from_state(own, kind=probabilities, n_classes=n_classes)
        if features is not None:
            check_arrays({_FEATURES: features}, _SAVED, n=len(made))
        return cls(learned, made, origin, features)
