"""The fitted model of classes: from materials to probabilities and a domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.materials import Materials
from xtalshift.domain.applicability import BETWEEN, ApplicabilityDomain
from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.metrics.classification import log_losses
from xtalshift.model.card import ModelCard
from xtalshift.model.class_predictions import ClassPredictions, predicted_class_columns
from xtalshift.model.material_model import Inputs, MaterialModel
from xtalshift.model.predictions import CRYSTAL_COLUMNS
from xtalshift.notebook import html_table
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.uncertainty.weighted import ShiftWeights

FloatArray = NDArray[np.float64]
MIXED = "several"
"""Class of training materials that differ in nothing but their class."""


@dataclass(frozen=True, eq=False, repr=False)
class FittedClassifier(MaterialModel):
    """A fitted model of classes. It never changes.

    Attributes
    ----------
    featurizer : CompositionFeatures
        Computes features from materials; a `CompositionFeaturizer` unless the model was loaded.
    classes : tuple of str, length k
        Names of the classes, in the order of the probabilities.
    ordered : bool
        Whether that order means something.
    classifier : ClassPredictor
        Predicts probabilities from features: a fitted `Classifier` of the numbers of the classes,
        or the part of it that a saved model has.
    card : ModelCard
        Meaning of the classes.
    calibration : ClassCalibration or None
        Rows that it was not trained on, for probabilities and prediction sets.
    domain : ApplicabilityDomain or None
        Domain of the training materials.

    Examples
    --------
    >>> import xtalshift as xs
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "Fe", "Cu", "Al", "Ni", "FeNi3"]
    >>> kinds = ["salt"] * 5 + ["metal"] * 5
    >>> model = xs.fit(xs.Dataset.of(formulas, kinds), "ridge")
    >>> model.classes, model.predict(["RbBr", "FeNi"]).prediction.tolist()
    (('metal', 'salt'), ['salt', 'metal'])
    """

    featurizer: CompositionFeatures
    classes: tuple[str, ...]
    ordered: bool
    classifier: ClassPredictor
    card: ModelCard
    calibration: ClassCalibration | None = None
    domain: ApplicabilityDomain | None = None

    calibrated: ClassVar[str] = "prediction sets"

    def __repr__(self) -> str:
        """Return what it is in one line: method, classes and domain."""
        method = self.card.provenance.get("method", self.classifier.regressor_name)
        joined = (" < " if self.ordered else ", ").join(self.classes)
        parts = [f"{method} for {self.card.target_name or 'the target'} ({joined})"]
        if self.calibration is not None:
            parts.append(
                f"probabilities and sets from {len(self.calibration):,} {self.calibration.origin} "
                "rows"
            )
        if self.domain is not None:
            parts.append(f"domain of {plural(len(self.domain.formulas_), 'material')}")
        return f"<FittedClassifier: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return what it is as a small table for a notebook."""
        rows = [
            ("features", self.featurizer.blocks),
            ("extra columns", ", ".join(self.card.feature_cols) or "none"),
            ("trained on", self.card.source or "unknown"),
        ]
        return html_table(repr(self)[1:-1], ("", ""), rows)

    @property
    def learned(self) -> ClassPredictor:
        """The estimator."""
        return self.classifier

    @property
    def task(self) -> str:
        """What it is: ``"classification"`` or ``"ordinal"``."""
        return "ordinal" if self.ordered else "classification"

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """Columns that its predictions add to a table, without explanations."""
        crystals = CRYSTAL_COLUMNS if self._knows_crystals else ()
        return (*predicted_class_columns(self.classes), *crystals)

    @property
    def column_units(self) -> dict[str, str]:
        """Unit of each column of its predictions that has one: none."""
        return {}

    def predict_features(self, X: FloatArray) -> FloatArray:
        """Return the probabilities of rows of features, calibrated if they can be, shape (n, k)."""
        return self._calibrated(self.classifier.predict_proba(X))

    def _calibrated(self, raw: FloatArray) -> FloatArray:
        return raw if self.calibration is None else self.calibration.probabilities.apply(raw)

    def row_errors(self, X: FloatArray, y: FloatArray) -> FloatArray:
        """Return the log losses of rows of features with the class numbers y, shape (n,)."""
        return log_losses(y.astype(np.int64), self.predict_features(X))

    def predict(
        self,
        X: Inputs,
        extra: ArrayLike | None = None,
        *,
        level: float = LEVEL,
        shift: ShiftWeights | None = None,
        class_ratios: ArrayLike | None = None,
        explain: bool = False,
    ) -> ClassPredictions:
        """Predict materials; a row that cannot be predicted gets a reason and raises no error.

        Parameters
        ----------
        X : Dataset, Materials or sequence of str, length n
            A table that was read, materials or formulas; one that is missing or unreadable is a bad
            row.
        extra : array_like of float, shape (n, k), optional
            The extra feature columns of the model; rows with NaN are bad rows.
        level : float
            Probability with which a prediction set holds the true class, in (0, 1).
        shift : ShiftWeights, optional
            Weights for a target domain whose features differ, see `weigh_shift`.
        class_ratios : array_like of float, shape (k,), optional
            Share of each class in the target domain over that in the calibration rows, if the
            classes only became more or less frequent; see
            `xtalshift.splits.audit.label_shift.estimate_shares`. Probabilities follow it too.
        explain : bool
            Whether to explain for each row which features are out of range and what is nearest.

        Returns
        -------
        ClassPredictions
            One entry per row, in order.

        Raises
        ------
        DataError
            If the number of extra columns is not that of the model.
        """
        materials = self.read(X, extra)
        return self.predict_featurized(
            materials,
            self.featurize(materials),
            level=level,
            shift=shift,
            class_ratios=class_ratios,
            explain=explain,
        )

    def predict_featurized(
        self,
        materials: Materials,
        features: Features,
        *,
        level: float = LEVEL,
        shift: ShiftWeights | None = None,
        class_ratios: ArrayLike | None = None,
        explain: bool = False,
    ) -> ClassPredictions:
        """Predict materials whose features are known, as `featurize` returns them; see `predict`.

        The features do not change.
        """
        reasons = features.reasons.copy()
        found = ClassPredictions.empty(
            materials,
            self.classes,
            reasons,
            explain=explain,
            crystals=self._knows_crystals,
        )
        good = np.flatnonzero(reasons == "")
        if not good.size:
            return found
        rows, known = self._take_good(found, good, materials, features)
        raw = self.classifier.predict_proba(rows)
        found.probabilities[good] = self._calibrated(raw)
        if class_ratios is not None:
            joint = found.probabilities[good] * np.asarray(class_ratios, dtype=np.float64)
            found.probabilities[good] = joint / joint.sum(axis=1, keepdims=True)
        if self.calibration is not None:
            weights = None if shift is None else (shift.known, shift(rows))
            sets = self.calibration.sets.sets(
                raw, level, weights=weights, class_ratios=class_ratios
            )
            found.in_set[good] = sets
        names = np.array(self.classes, dtype=object)
        found.prediction[good] = names[np.argmax(found.probabilities[good], axis=1)]
        if self.domain is not None:
            self._fill_domain(found, self.domain, good, rows, known)
        return found

    def shown_targets(self, domain: ApplicabilityDomain) -> NDArray[np.object_]:
        """Return the classes of the training materials, shape (n,)."""
        names = np.array((*self.classes, MIXED), dtype=object)
        targets = domain.targets_
        codes = np.where(targets == BETWEEN, len(self.classes), targets).astype(np.intp)
        return names[codes]
