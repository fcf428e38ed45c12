"""The fitted model: from materials to predictions with intervals and a domain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.materials import Materials
from xtalshift.data.transform import TargetTransform
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import DataError
from xtalshift.estimators.predictors import Predictor
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.model.card import ModelCard
from xtalshift.model.intervals import Scored, predictive, score_rows
from xtalshift.model.material_model import Inputs, MaterialModel
from xtalshift.model.predictions import (
    CRYSTAL_COLUMNS,
    MEASURED_COLUMNS,
    PREDICTED_COLUMNS,
    Predictions,
)
from xtalshift.notebook import html_table
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.uncertainty.predictive import PredictiveDistribution
    from xtalshift.uncertainty.weighted import ShiftWeights

FloatArray = NDArray[np.float64]
_UNSCALED = ("none", "clip")


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel(MaterialModel):
    """A fitted model. It never changes; `adapt` and `calibrate` return new ones.

    Attributes
    ----------
    featurizer : CompositionFeatures
        Computes features from materials; a `CompositionFeaturizer` unless the model was loaded.
    scale : TargetTransform
        Transform of the target to the scale of the regressor.
    regressor : Predictor
        Predicts transformed targets from features: a fitted `Regressor`, or the part of it that a
        saved model has.
    card : ModelCard
        Meaning of the numbers.
    calibration : Calibration or None
        Conformity scores, which define the intervals.
    domain : ApplicabilityDomain or None
        Domain of the training materials.

    Examples
    --------
    >>> import xtalshift as xs
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
    >>> gaps = [8.5, 8.4, 7.1, 7.3, 13.6, 11.5, 10.8, 9.4, 7.9, 8.2]
    >>> model = xs.fit(xs.Dataset.of(formulas, gaps, unit="eV"), "ridge")
    >>> model.predict(["RbBr"]).prediction.shape
    (1,)
    """

    featurizer: CompositionFeatures
    scale: TargetTransform
    regressor: Predictor
    card: ModelCard
    calibration: Calibration | None = None
    domain: ApplicabilityDomain | None = None

    calibrated: ClassVar[str] = "intervals"

    def __repr__(self) -> str:
        """Return what it is in one line: method, target, intervals and domain."""
        card, known = self.card, self.calibration
        unit = f" in {card.unit}" if card.unit else ""
        method = card.provenance.get("method", self.regressor.regressor_name)
        parts = [
            f"{method} for {card.target_name or 'the target'}{unit}",
            "no intervals" if known is None else f"intervals from {plural(len(known), 'row')}",
        ]
        if self.domain is not None:
            parts.append(f"domain of {plural(len(self.domain.formulas_), 'material')}")
        return f"<FittedModel: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return what it is as a small table for a notebook."""
        rows = [
            ("features", self.featurizer.blocks),
            ("extra columns", ", ".join(self.card.feature_cols) or "none"),
            ("scale of the target", self.scale.name),
            ("trained on", self.card.source or "unknown"),
        ]
        return html_table(repr(self)[1:-1], ("", ""), rows)

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """Columns that its predictions add to a table, without explanations."""
        return (
            *PREDICTED_COLUMNS,
            *(CRYSTAL_COLUMNS if self._knows_crystals else ()),
            *(MEASURED_COLUMNS if self._knows_noise else ()),
        )

    @property
    def column_units(self) -> dict[str, str]:
        """Unit of each column of its predictions that has one."""
        if not self.card.unit:
            return {}
        columns = ("prediction", "lower", "upper", "std", *MEASURED_COLUMNS, "nearest_target")
        return dict.fromkeys(columns, self.card.unit)

    @property
    def _knows_noise(self) -> bool:
        """Whether its intervals are calibrated for true values and for measurements."""
        return self.calibration is not None and self.calibration.noise is not None

    @property
    def one_width(self) -> bool:
        """Whether all intervals have the same width, so that they cannot rank materials."""
        found = self.calibration
        return found is not None and found.kind == "absolute" and self.scale.name in _UNSCALED

    @property
    def learned(self) -> Predictor:
        """The estimator."""
        return self.regressor

    @property
    def may_be_negative(self) -> bool:
        """Whether a training value is negative, or none is known; see `warn_of_negative`."""
        return self.domain is None or bool(self.domain.targets_.min() < 0)

    def predict_features(self, X: FloatArray) -> FloatArray:
        """Return the predicted values of rows of features, in the unit of the target."""
        return self.scale.inverse(self.regressor.predict(X))

    def row_errors(self, X: FloatArray, y: FloatArray) -> FloatArray:
        """Return the absolute errors of rows of features, in the unit of the target, shape (n,)."""
        return np.abs(self.predict_features(X) - y)

    def predict(
        self,
        X: Inputs,
        extra: ArrayLike | None = None,
        *,
        level: float = LEVEL,
        by_family: bool = False,
        shift: ShiftWeights | None = None,
        explain: bool = False,
        noise: ArrayLike | None = None,
    ) -> Predictions:
        """Predict materials; a row that cannot be predicted gets a reason and raises no error.

        Parameters
        ----------
        X : Dataset, Materials or sequence of str, length n
            A table that was read, materials or formulas; one that is missing or unreadable is a bad
            row.
        extra : array_like of float, shape (n, k), optional
            The extra feature columns of the model; rows with NaN are bad rows.
        level : float
            Level of the intervals, in (0, 1).
        by_family : bool
            Whether each chemical family is calibrated separately.
        shift : ShiftWeights, optional
            Weights for a target domain that differs from the calibration rows, see `weigh_shift`.
        explain : bool
            Whether to explain for each row which features are out of range and what is nearest.
        noise : array_like of float, shape () or (n,), optional
            Standard deviation of a new measurement of each row, in the unit of the target, for
            `Predictions.measured_lower` and `Predictions.measured_upper`. By default the root mean
            square of those of the calibration rows.

        Returns
        -------
        Predictions
            One entry per row, in order.

        Raises
        ------
        DataError
            If the number of extra columns is not that of the model, or `noise` is given for a model
            of targets without uncertainties.
        """
        if noise is not None and not self._knows_noise:
            raise DataError(
                "the model was calibrated on targets without uncertainties, so that its intervals "
                "are those of such measurements; train it with --uncertainty-col"
            )
        materials = self.read(X, extra)
        return self.predict_featurized(
            materials,
            self.featurize(materials),
            level=level,
            by_family=by_family,
            shift=shift,
            explain=explain,
            noise=noise,
        )

    def predict_featurized(
        self,
        materials: Materials,
        features: Features,
        *,
        level: float = LEVEL,
        by_family: bool = False,
        shift: ShiftWeights | None = None,
        explain: bool = False,
        noise: ArrayLike | None = None,
    ) -> Predictions:
        """Predict materials whose features are known, as `featurize` returns them; see `predict`.

        The features do not change.
        """
        reasons = features.reasons.copy()
        found = Predictions.empty(
            materials,
            reasons,
            explain=explain,
            crystals=self._knows_crystals,
            measured=self._knows_noise,
        )
        good = np.flatnonzero(reasons == "")
        if not good.size:
            return found
        rows, known = self._take_good(found, good, materials, features)
        calibration, distribution = self.calibration, None
        forecast = score_rows(
            self.regressor, rows, "absolute" if calibration is None else calibration.kind
        )
        found.prediction[good] = self.scale.inverse(forecast.center)
        if calibration is not None:
            families = known.families if by_family else None
            weights = None if shift is None else (shift.known, shift(rows))
            distribution = self._fill_intervals(
                found, forecast, calibration, good,
                families=families, weights=weights, level=level, noise=noise,
            )  # fmt: skip
        if self.domain is not None:
            self._fill_domain(found, self.domain, good, rows, known)
        lost = good[~np.isfinite(found.prediction[good])]
        reasons[lost] = "the prediction overflows: the material is far outside the training data"
        found.in_domain[lost] = False
        parts = (found.prediction, found.lower, found.upper, found.std)
        for values in (*parts, found.measured_lower, found.measured_upper):
            if values is not None:
                values[lost] = np.nan
        if distribution is None:
            return found
        kept = np.isfinite(found.prediction[good])
        spread = distribution.take(kept).among(good[kept], len(reasons))
        return replace(found, distribution=spread)

    def _fill_intervals(
        self,
        found: Predictions,
        forecast: Scored,
        calibration: Calibration,
        good: NDArray[np.intp],
        *,
        level: float,
        noise: ArrayLike | None,
        **how: Any,
    ) -> PredictiveDistribution:
        """Fill in the intervals of the good rows, and return their distributions."""
        spread_by = partial(predictive, forecast, scale=self.scale, level=level, **how)
        distribution = spread_by(calibration=calibration.without_noise())
        found.lower[good], found.upper[good] = distribution.interval(level)
        found.std[good] = distribution.std()
        if calibration.noise is None:
            return distribution
        of_rows = self._noise_on_scale(noise, found.prediction, good)
        again = spread_by(calibration=calibration, noise=of_rows).interval(level)
        assert found.measured_lower is not None
        assert found.measured_upper is not None
        found.measured_lower[good], found.measured_upper[good] = again
        return distribution

    def _noise_on_scale(
        self, noise: ArrayLike | None, predictions: FloatArray, rows: NDArray[np.intp]
    ) -> FloatArray:
        """Return the uncertainties of new measurements of some rows on the scale of the model."""
        assert self.calibration is not None
        if noise is None:
            return np.full(len(rows), self.calibration.typical_noise)
        given = np.broadcast_to(np.asarray(noise, dtype=np.float64), predictions.shape)[rows]
        bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
        if bad.size:
            raise DataError(
                f"row {rows[bad[0]] + 1}: the uncertainty {given[bad[0]]:g} is no number from 0 on"
            )
        return np.asarray(given * self.scale.slope(predictions[rows]))
