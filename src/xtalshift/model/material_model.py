"""What models of numbers and of classes share: from materials to features, and the domain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.writing import readable_key
from xtalshift.data.materials import Materials, as_materials
from xtalshift.data.ranges import in_range
from xtalshift.domain.applicability import ApplicabilityDomain, without_coordinates
from xtalshift.errors import DataError, FormulaError, NotConformalizedError
from xtalshift.estimators.predictors import Learned
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.model.card import ModelCard
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.data.dataset import Dataset
    from xtalshift.model.class_predictions import ClassPredictions
    from xtalshift.model.explaining.record import Explanation
    from xtalshift.model.predictions import Predictions
    from xtalshift.uncertainty.class_calibration import ClassCalibration
    from xtalshift.uncertainty.conformal import Calibration
    from xtalshift.uncertainty.weighted import RatioMethod, ShiftWeights

FloatArray = NDArray[np.float64]
Inputs: TypeAlias = "Dataset | Materials | Sequence[Any]"


class MaterialModel:
    """Reads materials, computes their features, and knows the domain of the training ones."""

    featurizer: CompositionFeatures
    card: ModelCard
    calibration: Calibration | ClassCalibration | None
    domain: ApplicabilityDomain | None

    calibrated: ClassVar[str]
    """What its calibration gives, for messages."""

    @property
    @abstractmethod
    def learned(self) -> Learned:
        """The estimator."""

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in order, length d."""
        return (*self.featurizer.names, *self.card.feature_cols)

    @property
    def _knows_crystals(self) -> bool:
        """Whether it knows which crystal each training material is."""
        return self.domain is not None and self.domain.crystals_ is not None

    def read(self, X: Inputs, extra: ArrayLike | None = None) -> Materials:
        """Return formulas as materials, read in the same way as the training formulas.

        Parameters
        ----------
        X : Dataset, Materials or sequence of str, length n
            Materials are returned as they are, also those of a table that was read.
        extra : array_like of float, shape (n, k), optional
            The extra feature columns of the model, in the order of its card.
        """
        return as_materials(X, self.featurizer.notation, extra)

    def featurize(self, materials: Materials) -> Features:
        """Return the features of materials, followed by the extra columns.

        Parameters
        ----------
        materials : Materials
            n rows.

        Returns
        -------
        Features
            Values of shape (n, d), and a reason for each bad row.

        Raises
        ------
        DataError
            If the number of extra columns is not that of the model.
        """
        names, extra = self.card.feature_cols, materials.extra
        if extra.shape[1] != len(names):
            raise DataError(
                f"the model needs {len(names)} extra feature columns ({', '.join(names) or 'none'})"
                f", got {extra.shape[1]}"
            )
        found = self.featurizer.featurize(materials)
        reasons = np.where(materials.reasons == "", found.reasons, materials.reasons)
        usable = in_range(extra)
        for row in np.flatnonzero((reasons == "") & ~usable.all(axis=1)):
            place = int(np.argmin(usable[row]))
            fault = "out of range" if np.isfinite(extra[row, place]) else "missing or not a number"
            reasons[row] = f"column {names[place]!r} is {fault}"
        values = np.hstack([found.values, extra]) if names else found.values
        return Features(values, self.feature_names, reasons)

    def features_of(self, X: Inputs, extra: ArrayLike | None = None) -> FloatArray:
        """Return the features of readable materials, shape (n, d).

        Raises
        ------
        FormulaError
            If a row is bad; the message names the first one.
        """
        materials = self.read(X, extra)
        features = self.featurize(materials)
        bad = np.flatnonzero(features.reasons != "")
        if bad.size:
            row = int(bad[0])
            # the rows of materials may be a part of those of a table: their ids are known
            where = f"id {materials.ids[row]}" if materials is X else f"row {row + 1}"
            raise FormulaError(
                f"{where}, {materials.formulas[row]}: {features.reasons[row]}"
                + (f" ({bad.size} bad rows in total)" if bad.size > 1 else "")
            )
        return features.values

    def _take_good(
        self,
        found: Predictions | ClassPredictions,
        good: NDArray[np.intp],
        materials: Materials,
        features: Features,
    ) -> tuple[FloatArray, Materials]:
        """Return the features and materials of the good rows, and fill in what is odd of them."""
        rows, known = features.values, materials
        if len(good) < len(rows):  # else they would only be copied
            rows, known = rows[good], known.take(good)
        found.n_clipped[good] = self.learned.n_clipped(rows)
        found.n_imputed[good] = self.featurizer.count_imputed(known.compositions)
        return rows, known

    def _fill_domain(
        self,
        found: Predictions | ClassPredictions,
        domain: ApplicabilityDomain,
        good: NDArray[np.intp],
        rows: FloatArray,
        known: Materials,
    ) -> None:
        """Fill in what the domain says of the good rows."""
        scores = domain.assess(rows)
        unseen = domain.unseen_elements(known.compositions)
        found.ood_score[good] = scores.ood_score
        found.in_domain[good] = scores.in_domain & (unseen == "")
        found.unseen_elements[good] = unseen
        found.nearest_formula[good] = [
            readable_key(name) for name in domain.formulas_[scores.nearest]
        ]
        found.nearest_distance[good] = scores.nearest_distance
        targets = self.shown_targets(domain)
        found.nearest_target[good] = targets[scores.nearest]
        crystals = domain.crystals_
        if crystals is not None:
            assert found.nearest_id is not None
            assert found.nearest_space_group is not None
            found.nearest_id[good] = crystals.ids[scores.nearest]
            found.nearest_space_group[good] = crystals.space_groups[scores.nearest]
        if found.explanation is not None:
            found.explanation[good] = domain.explain(rows, targets=targets)

    def shown_targets(self, domain: ApplicabilityDomain) -> NDArray[Any]:
        """Return the targets of the training materials as they are shown, shape (n,)."""
        return domain.targets_

    def was_trained_on(self, X: FloatArray) -> NDArray[np.bool_]:
        """Return which rows of features, shape (n, d), are training materials.

        A model without a domain does not know, and returns False for all.
        """
        if self.domain is None:
            return np.zeros(len(X), dtype=np.bool_)
        return self.domain.holds(X)

    def weigh_shift(
        self, X: FloatArray, *, method: RatioMethod = "classifier", seed: int | None = 0
    ) -> ShiftWeights:
        """Estimate from unlabelled rows how a target domain differs from the calibration rows.

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Features of the target domain, at least 50 rows.
        method : {"classifier", "ulsif"}
            See `xtalshift.uncertainty.weighted.shift_weights`.
        seed : int, optional
            Draws folds and samples.

        Raises
        ------
        NotConformalizedError
            If the model has no calibration.
        DataError
            If there are too few rows.
        """
        from xtalshift.uncertainty.weighted import shift_weights

        calibration, names = self.calibration, self.feature_names
        if calibration is None:
            raise NotConformalizedError(
                f"the model has no {self.calibrated}: calibrate it on rows that it was not trained "
                "on"
            )
        if calibration.X is not None:
            known = without_coordinates(calibration.X.astype(np.float64), names)
            calibration = replace(calibration, X=known.astype(np.float32))
        seen = without_coordinates(X, names)
        return shift_weights(calibration, seen, method=method, random_state=seed)

    def explain(
        self,
        X: Inputs,
        extra: ArrayLike | None = None,
        *,
        of_class: str | None = None,
        level: float = LEVEL,
        substitutions: int = 3,
        progress: Progress = NO_PROGRESS,
    ) -> list[Explanation]:
        """Explain why materials are predicted as they are, and what other elements would change.

        The `explain` of `predict` gives reasons of the domain; this is about the predicted value.

        Parameters
        ----------
        X, extra
            As in `predict`; a few rows, each of which takes about a second.
        of_class : str, optional
            Class whose log odds are explained; by default the predicted one of each material. For
            models of classes only.
        level : float
            Level of the intervals, in (0, 1).
        substitutions : int
            So many substitutions of one element that raise the prediction, and so many that lower
            it.
        progress : Progress
            Advances by the materials that are mixed and predicted: thousands for each row.

        Returns
        -------
        list of Explanation, length n
            A row that cannot be predicted has a reason.

        Raises
        ------
        DataError
            If the model was saved without a domain: then it does not know its training materials.
        ConfigError
            If there is no such class.

        Examples
        --------
        >>> import xtalshift as xs
        >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
        >>> gaps = [8.5, 8.4, 7.1, 7.3, 13.6, 11.5, 10.8, 9.4, 7.9, 8.2]
        >>> model = xs.fit(xs.Dataset.of(formulas, gaps, unit="eV"), "ridge")
        >>> found = model.explain(["RbBr"])[0]
        >>> abs(found.base + sum(one.contribution for one in found.elements) - found.value) < 1e-9
        True
        """
        from xtalshift.model.explaining.explain import explain

        model: Any = self
        return explain(
            model,
            X,
            extra,
            of_class=of_class,
            level=level,
            substitutions=substitutions,
            progress=progress,
        )

    def save(self, folder: Path | str) -> Path:
        """Write the model to a folder, see `xtalshift.model.persist.save_model`."""
        from xtalshift.model.persist import save_model

        model: Any = self
        return save_model(model, Path(folder))
