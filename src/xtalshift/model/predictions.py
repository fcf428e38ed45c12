"""What is known of the property of many formulas: value, interval, domain, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.model.intervals import interval, score_rows, spread
from xtalshift.uncertainty.weighted import ShiftWeights

if TYPE_CHECKING:
    from xtalshift.model.formula_regressor import FormulaRegressor

__all__ = ["PREDICTED_COLUMNS", "FormulaPredictions", "predict_formulas"]

FloatArray = NDArray[np.float64]

PREDICTED_COLUMNS = (
    "prediction",
    "lower",
    "upper",
    "std",
    "ood_score",
    "in_domain",
    "unseen_elements",
    "nearest_formula",
    "nearest_distance",
    "nearest_target",
    "n_clipped",
    "status",
    "reason",
)


@dataclass(frozen=True)
class FormulaPredictions:
    """One entry per row asked for; bad rows have NaN predictions and say why.

    Attributes
    ----------
    prediction : ndarray of float64, shape (n,)
        In the unit of the target.
    lower, upper : ndarray of float64, shape (n,)
        Prediction interval in the unit of the target; infinite where nothing is bounded, NaN if the
        model was not conformalized.
    std : ndarray of float64, shape (n,)
        Half the width of the 68.27 % interval, in the unit of the target.
    ood_score : ndarray of float64, shape (n,)
        Share of held-out source rows that are nearer to the training rows; NaN for a model without
        domain.
    in_domain : ndarray of bool, shape (n,)
        False also for bad rows.
    unseen_elements : ndarray of str, shape (n,)
        Symbols that no training material has, joined by spaces.
    nearest_formula : ndarray of str, shape (n,)
        The nearest training material.
    nearest_distance : ndarray of float64, shape (n,)
        Its distance, see `xtalshift.uncertainty.ApplicabilityDomain`.
    nearest_target : ndarray of float64, shape (n,)
        Its value, in the unit of the target.
    n_clipped : ndarray of int64, shape (n,)
        Features that lay so far outside the training range that they were clipped.
    reason : ndarray of str, shape (n,)
        Empty for good rows.
    explanation : ndarray of str, shape (n,), or None
        Why a material is near or far, where asked for.
    """

    prediction: FloatArray
    lower: FloatArray
    upper: FloatArray
    std: FloatArray
    ood_score: FloatArray
    in_domain: NDArray[np.bool_]
    unseen_elements: NDArray[np.object_]
    nearest_formula: NDArray[np.object_]
    nearest_distance: FloatArray
    nearest_target: FloatArray
    n_clipped: NDArray[np.int64]
    reason: NDArray[np.object_]
    explanation: NDArray[np.object_] | None = None

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of an output table, in order: `PREDICTED_COLUMNS`, then reasons."""
        status = np.where(self.reason == "", "ok", "error").astype(object)
        columns = {
            name: status if name == "status" else getattr(self, name) for name in PREDICTED_COLUMNS
        }
        if self.explanation is not None:
            columns["explanation"] = self.explanation
        return columns


def predict_formulas(
    model: FormulaRegressor,
    X: Sequence[Any],
    extra: NDArray[np.float64] | None,
    *,
    level: float,
    by_family: bool,
    shift: ShiftWeights | None,
    explain: bool,
) -> FormulaPredictions:
    """Return everything a model says of formulas; see `FormulaRegressor.predict_rows`."""
    check_is_fitted(model, "regressor_")
    compositions, reasons, _ = parse_formulas(list(X), hydrates=model.hydrates)
    values, problems = model.featurizer().featurize(compositions)
    features = model.join(values, extra)
    reasons = np.where(reasons == "", problems, reasons)
    if extra is not None:
        for row in np.flatnonzero((reasons == "") & ~np.isfinite(extra).all(axis=1)):
            name = model.card_.feature_cols[int(np.argmin(np.isfinite(extra[row])))]
            reasons[row] = f"column {name!r} is missing or not a number"
    good = np.flatnonzero(reasons == "")
    n, rows = len(reasons), features[good]
    number = {
        name: np.full(n, np.nan)
        for name in (
            "prediction",
            "lower",
            "upper",
            "std",
            "ood_score",
            "nearest_distance",
            "nearest_target",
        )
    }
    text = {
        name: np.full(n, "", dtype=object)
        for name in ("unseen_elements", "nearest_formula", "explanation")
    }
    inside, clipped = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    if good.size:
        clipped[good] = model.regressor_.n_clipped(rows)
        known = compositions.take(good)
        inverse = model.scale.inverse
        calibration = model.calibration_
        forecast = score_rows(
            model.regressor_, rows, "absolute" if calibration is None else calibration.kind
        )
        number["prediction"][good] = inverse(forecast.center)
        if calibration is not None:
            how: dict[str, Any] = {
                "families": family_codes(known) if by_family else None,
                "weights": None if shift is None else (shift.known, shift(rows)),
            }
            bounds = interval(forecast, calibration, level, **how)
            number["lower"][good], number["upper"][good] = map(inverse, bounds)
            number["std"][good] = spread(forecast, calibration, model.scale, **how)
        if model.domain_ is not None:
            domain = model.domain_
            found = domain.assess(rows)
            unseen = domain.unseen_elements(known)
            number["ood_score"][good] = found.ood_score
            inside[good] = found.in_domain & (unseen == "")
            text["unseen_elements"][good] = unseen
            text["nearest_formula"][good] = domain.formulas_[found.nearest]
            number["nearest_distance"][good] = found.nearest_distance
            number["nearest_target"][good] = domain.targets_[found.nearest]
            if explain:
                text["explanation"][good] = domain.explain(rows)
    lost = good[~np.isfinite(number["prediction"][good])]
    reasons[lost] = "the prediction overflows: the material is far outside the training data"
    inside[lost] = False
    for name in ("prediction", "lower", "upper", "std"):
        number[name][lost] = np.nan
    explanation = text.pop("explanation")
    return FormulaPredictions(
        **number,
        **text,
        in_domain=inside,
        n_clipped=clipped,
        reason=reasons,
        explanation=explanation if explain else None,
    )
