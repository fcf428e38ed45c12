"""Which number of a prediction is explained, and on which scale its contributions add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.class_predictors import calibrates_any
from xtalshift.estimators.shapley import chain, follow
from xtalshift.model.class_predictions import place_of
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.explaining.record import Scale
from xtalshift.model.fitted import FittedModel
from xtalshift.uncertainty.probabilities import ProbabilityCalibration

FloatArray = NDArray[np.float64]
AnyOne = FittedModel | FittedClassifier

LEAST_ODDS = 1e-4
"""Probabilities nearer to 0 or 1 count as this one: their log odds say no more."""


@dataclass(frozen=True, eq=False)
class OfNumbers:
    """The prediction in the unit of the target, or its logarithm for a model of logarithms."""

    model: FittedModel

    @property
    def scale(self) -> Scale:
        """On which scale contributions add up."""
        return "log" if self.model.scale.name == "log" else "unit"

    @property
    def label(self) -> str:
        """No class."""
        return ""

    def values(self, X: FloatArray) -> FloatArray:
        """Return the number to explain of rows of features, shape (n,)."""
        return self._of(self.model.regressor.predict(X))

    def shown(self, predictions: Any) -> FloatArray:
        """Return the predictions that are shown, shape (n,)."""
        return np.asarray(predictions.prediction)

    def contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        """Return how each feature moves the number from each baseline to a row, shape (m, d)."""
        raw = self.model.regressor.predict(np.vstack([baselines, x]))
        after = self._of(raw)
        shares = self.model.regressor.contributions(x, baselines)
        return follow(shares, raw[-1] - raw[:-1], after[-1] - after[:-1])

    def _of(self, raw: FloatArray) -> FloatArray:
        return raw if self.scale == "log" else self.model.scale.inverse(raw)


@dataclass(frozen=True, eq=False)
class OfClass:
    """The log odds of one class, of the probabilities that are shown."""

    model: FittedClassifier
    place: int

    scale: Scale = "log odds"

    @property
    def label(self) -> str:
        """The class."""
        return self.model.classes[self.place]

    def values(self, X: FloatArray) -> FloatArray:
        """Return the number to explain of rows of features, shape (n,)."""
        return log_odds(self.model.predict_features(X)[:, self.place])

    def shown(self, predictions: Any) -> FloatArray:
        """Return the probabilities of the class, shape (n,)."""
        return np.asarray(predictions.probabilities[:, self.place])

    def contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        """Return how each feature moves the number from each baseline to a row, shape (m, d)."""
        classifier, known = self.model.classifier, self.model.calibration
        raw = classifier.predict_proba(np.vstack([baselines, x]))
        calibration = ProbabilityCalibration() if known is None else known.probabilities
        calibrate = calibrates_any(calibration)
        shares = classifier.contributions(x, baselines)
        seen = classifier.present_  # the others have the probability 0 everywhere

        def step(rows: FloatArray) -> FloatArray:
            every = np.zeros((len(rows), raw.shape[1]))
            every[:, seen] = rows
            return log_odds(calibrate(every)[:, [self.place]])

        return np.asarray(chain(shares[seen], raw[:-1, seen], raw[-1, seen], step)[0])


Outcome = OfNumbers | OfClass


def log_odds(p: FloatArray) -> FloatArray:
    """Return the natural logarithms of the odds of probabilities, not beyond `LEAST_ODDS`."""
    kept = np.clip(p, LEAST_ODDS, 1 - LEAST_ODDS)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def outcomes(model: AnyOne, predictions: Any, of_class: str | None) -> list[Outcome]:
    """Return which number of each prediction is explained: of classes that of the predicted one.

    Raises
    ------
    ConfigError
        If there is no such class, or the model is none of classes.
    """
    if isinstance(model, FittedModel):
        if of_class is not None:
            raise ConfigError(
                f"class {of_class!r}: the model predicts numbers, so that there is no class to "
                "explain; leave it out"
            )
        return [OfNumbers(model)] * len(predictions.formula)
    if of_class is not None:
        return [OfClass(model, place_of(of_class, model.classes))] * len(predictions.formula)
    return [
        OfClass(model, model.classes.index(name) if name else 0) for name in predictions.prediction
    ]
