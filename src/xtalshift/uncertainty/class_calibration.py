"""What rows that a classifier was not trained on say: calibrated probabilities and sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.jsonio import Plain
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.conformal import ScoreOrigin
from xtalshift.uncertainty.prediction_sets import SetCalibration, SetKind
from xtalshift.uncertainty.probabilities import (
    ProbabilityCalibration,
    ProbabilityKind,
    fit_probabilities,
)

_FEATURES = "calibration.X"
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

        Raises
        ------
        DataError
            If there are fewer than 10 rows, a label is no class or a row no distribution.
        """
        largest = np.finfo(np.float32).max  # infinity would be no feature
        features = None if X is None else np.clip(X, -largest, largest).astype(np.float32)
        return cls(
            fit_probabilities(probabilities, labels, groups=groups),
            SetCalibration.of(probabilities, labels, kind),
            origin,
            features,
        )

    def __len__(self) -> int:
        return len(self.sets)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes."""
        features = {} if self.X is None else {_FEATURES: self.X}
        return {**self.probabilities.get_state(), **self.sets.get_state(), **features}

    @property
    def names(self) -> Plain:
        """What `from_state` takes besides the arrays, as plain values for JSON."""
        return {
            "probabilities": self.probabilities.kind,
            "sets": self.sets.kind,
            "origin": self.origin,
        }

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        features = _SAVED if _FEATURES in found else {}
        own = {name: one for name, one in found.items() if name.startswith("probabilities.")}
        return {**ProbabilityCalibration.saved(own), **SetCalibration.saved(found), **features}

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
        """Return a calibration from the arrays of `get_state`, after a check, and `names`.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in state.items():
            parts.setdefault(name.partition(".")[0], {})[name] = array
        try:
            made = SetCalibration.from_state(parts.pop("sets", {}), kind=sets, n_classes=n_classes)
        except ConfigError as error:
            raise ModelFormatError(str(error)) from error
        learned = ProbabilityCalibration.from_state(
            parts.pop("probabilities", {}), kind=probabilities, n_classes=n_classes
        )
        features = parts.pop("calibration", {})
        if features:
            check_arrays(features, _SAVED, n=len(made))
        if parts:
            raise ModelFormatError(
                f"the array {next(iter(next(iter(parts.values()))))!r} is unknown"
            )
        return cls(learned, made, origin, features.get(_FEATURES))
