"""Predictions: value, interval and domain of each row, or the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import NotConformalizedError
from xtalshift.model.predicted_rows import (
    FloatArray,
    PredictedRows,
    TextArray,
    blank_rows,
    optional_columns,
)
from xtalshift.notebook import SHOWN_ROWS, html_table
from xtalshift.uncertainty.predictive import PredictiveDistribution
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.data.materials import Materials

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
    "n_imputed",
    "status",
    "reason",
)
CRYSTAL_COLUMNS = ("nearest_id", "nearest_space_group")
"""Further columns of a model of crystals."""

MEASURED_COLUMNS = ("measured_lower", "measured_upper")
"""Columns of a model of targets with known uncertainties."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(PredictedRows):
    """One entry per material; bad rows have NaN predictions and a reason.

    Attributes
    ----------
    formula : ndarray of str, shape (n,)
        Formulas as given.
    prediction : ndarray of float64, shape (n,)
        In the unit of the target.
    lower, upper : ndarray of float64, shape (n,)
        Prediction interval in the unit of the target; infinite if the calibration rows are too few
        for a bound, NaN for a model without calibration.
    std : ndarray of float64, shape (n,)
        Half the width of the 68.27 % interval, in the unit of the target.
    measured_lower, measured_upper : ndarray of float64, shape (n,), or None
        Interval of a new measurement, in the unit of the target, for a model of targets with known
        uncertainties; `lower`, `upper` and `std` are then those of the true value. None for other
        models, whose one interval is that of values like the ones they were calibrated on.
    ood_score : ndarray of float64, shape (n,)
        1 - conformal p-value: the share of held-out source rows that are less novel; NaN for a
        model without a domain.
    in_domain : ndarray of bool, shape (n,)
        Whether the material is in the domain; False for bad rows too.
    unseen_elements : ndarray of str, shape (n,)
        Symbols of elements that no training material has, joined by spaces.
    nearest_formula : ndarray of str, shape (n,)
        The nearest training material.
    nearest_distance : ndarray of float64, shape (n,)
        Its distance, see `xtalshift.domain.applicability.ApplicabilityDomain`.
    nearest_target : ndarray of float64, shape (n,)
        Its value, in the unit of the target.
    n_clipped : ndarray of int64, shape (n,)
        Number of features so far outside the training range that they were clipped.
    n_imputed : ndarray of int64, shape (n,)
        Number of properties that an element lacks and that are replaced by their mean over the
        elements.
    reason : ndarray of str, shape (n,)
        Empty for good rows.
    id : ndarray of str, shape (n,), or None
        Of materials with structures; None for formulas.
    nearest_id, nearest_space_group : ndarray of str and of int64, shape (n,), or None
        Which crystal the nearest training material is: its id and the number of its space group (0
        if none is found); None for a model of formulas.
    explanation : ndarray of str, shape (n,), or None
        Why a material is in or out of the domain, if requested.
    distribution : PredictiveDistribution of n rows, or None
        From which `lower`, `upper` and `std` are; bad rows are NaN. None for a model without
        calibration, and if no row is good.
    """

    prediction: FloatArray
    lower: FloatArray
    upper: FloatArray
    std: FloatArray
    nearest_target: FloatArray
    measured_lower: FloatArray | None = None
    measured_upper: FloatArray | None = None
    distribution: PredictiveDistribution | None = None

    def __repr__(self) -> str:
        """Return how many rows there are, and how many are bad or outside the domain."""
        bad = int((self.reason != "").sum())
        inside = int(self.in_domain.sum())
        return (
            f"<Predictions: {plural(len(self.formula), 'row')}, {inside:,} in the domain, {bad:,} "
            "without a prediction; .frame is the table>"
        )

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        head = ("formula", "prediction", "lower", "upper", "in_domain", "reason")
        cells = (getattr(self, name)[:SHOWN_ROWS].tolist() for name in head)
        return html_table(repr(self)[1:-1], head, zip(*cells, strict=True))

    @classmethod
    def empty(
        cls,
        materials: Materials,
        reasons: TextArray,
        *,
        explain: bool,
        crystals: bool = False,
        measured: bool = False,
    ) -> Predictions:
        """Return predictions with nothing filled in yet."""
        n = len(materials)

        def numbers() -> FloatArray:
            return np.full(n, np.nan)

        return cls(
            prediction=numbers(),
            lower=numbers(),
            upper=numbers(),
            std=numbers(),
            nearest_target=numbers(),
            measured_lower=numbers() if measured else None,
            measured_upper=numbers() if measured else None,
            **blank_rows(materials, reasons, explain=explain, crystals=crystals),
        )

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return prediction intervals of any level, in the unit of the target.

        Parameters
        ----------
        level : float
            In (0, 1).

        Returns
        -------
        lower, upper : ndarray of float64, shape (n,)
            Infinite if the calibration rows are too few for a bound, NaN for bad rows.

        Raises
        ------
        NotConformalizedError
            If the model has no calibration.
        """
        return self._calibrated().interval(level)

    def probability(self, above: float = -np.inf, below: float = np.inf) -> FloatArray:
        """Return the probability of a target between two values, shape (n,).

        Parameters
        ----------
        above, below : float
            In the unit of the target; both count as inside.

        Raises
        ------
        NotConformalizedError
            If the model has no calibration.
        """
        return self._calibrated().probability(above, below)

    def _calibrated(self) -> PredictiveDistribution:
        if self.distribution is None:
            raise NotConformalizedError(
                "there is no predictive distribution: the model was fitted without calibration, or "
                "no row could be predicted; see `reason`, or calibrate the model"
            )
        return self.distribution

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the output table.

        They are `PREDICTED_COLUMNS`, then `CRYSTAL_COLUMNS`, `MEASURED_COLUMNS` and ``explanation``
        where there are such.
        """
        columns = {name: getattr(self, name) for name in PREDICTED_COLUMNS}
        return columns | optional_columns(
            self, {name: getattr(self, name) for name in MEASURED_COLUMNS}
        )
