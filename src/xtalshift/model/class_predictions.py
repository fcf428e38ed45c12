"""Predictions of classes: probabilities and domain of each row, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.model.predicted_rows import (
    FloatArray,
    PredictedRows,
    TextArray,
    blank_rows,
    blank_texts,
    optional_columns,
)
from xtalshift.notebook import SHOWN_ROWS, html_table
from xtalshift.registry import near_miss
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.data.materials import Materials

_AFTER = (
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
SET_COLUMN = "prediction_set"
SEPARATOR = "|"
"""Between the names of a prediction set."""


def probability_column(name: str) -> str:
    """Return the name of the column of the probability of a class."""
    return f"probability_{name}"


def predicted_class_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that predictions of these classes add to a table."""
    return ("prediction", *map(probability_column, classes), SET_COLUMN, *_AFTER)


@dataclass(frozen=True, eq=False, repr=False)
class ClassPredictions(PredictedRows):
    """One entry per material; bad rows have no class, NaN probabilities and a reason.

    Attributes
    ----------
    formula : ndarray of str, shape (n,)
        Formulas as given.
    classes : tuple of str, length k
        Names of the classes.
    prediction : ndarray of str, shape (n,)
        The most probable class; an empty text for bad rows.
    probabilities : ndarray of float64, shape (n, k)
        Of each class, in the order of `classes`; each row sums to 1.
    in_set : ndarray of bool, shape (n, k)
        Which classes are in the prediction set; none without a calibration.
    ood_score, in_domain, unseen_elements, nearest_formula, nearest_distance, n_clipped, n_imputed,
    reason, id, nearest_id, nearest_space_group, explanation
        As in `xtalshift.model.predictions.Predictions`.
    nearest_target : ndarray of str, shape (n,)
        Class of the nearest training material.
    """

    classes: tuple[str, ...]
    prediction: TextArray
    probabilities: FloatArray
    in_set: NDArray[np.bool_]
    nearest_target: TextArray

    def __repr__(self) -> str:
        """Return how many rows there are, and how many are bad or outside the domain."""
        bad = int((self.reason != "").sum())
        return (
            f"<ClassPredictions: {plural(len(self.formula), 'row')} of {len(self.classes)} "
            f"classes, {int(self.in_domain.sum()):,} in the domain, {bad:,} without a prediction; "
            ".frame is the table>"
        )

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        columns = self.columns()
        shown = [name for name in columns if name not in _AFTER or name in {"in_domain", "reason"}]
        cells = [self.formula[:SHOWN_ROWS].tolist()]
        cells += [columns[name][:SHOWN_ROWS].tolist() for name in shown]
        return html_table(repr(self)[1:-1], ("formula", *shown), zip(*cells, strict=True))

    @classmethod
    def empty(
        cls,
        materials: Materials,
        classes: tuple[str, ...],
        reasons: TextArray,
        *,
        explain: bool,
        crystals: bool = False,
    ) -> ClassPredictions:
        """Return predictions with nothing filled in yet."""
        n = len(materials)
        return cls(
            classes=classes,
            prediction=blank_texts(n),
            probabilities=np.full((n, len(classes)), np.nan),
            in_set=np.zeros((n, len(classes)), dtype=bool),
            nearest_target=blank_texts(n),
            **blank_rows(materials, reasons, explain=explain, crystals=crystals),
        )

    def probability(self, name: str) -> FloatArray:
        """Return the probability of a class, shape (n,); NaN for bad rows.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        return self.probabilities[:, place_of(name, self.classes)]

    @property
    def prediction_set(self) -> TextArray:
        """Names of the classes in the prediction set, joined by ``|``, shape (n,).

        An empty text is an empty set, as for bad rows and models without a calibration.
        """
        names = np.array(self.classes, dtype=object)
        found = np.empty(len(self.in_set), dtype=object)
        found[:] = [SEPARATOR.join(names[row]) for row in self.in_set]
        return found

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the output table, see `predicted_class_columns`."""
        of_classes = {
            probability_column(name): self.probabilities[:, place]
            for place, name in enumerate(self.classes)
        }
        columns = {
            "prediction": self.prediction,
            **of_classes,
            SET_COLUMN: self.prediction_set,
        }
        columns |= {name: getattr(self, name) for name in _AFTER}
        return columns | optional_columns(self)


def place_of(name: str, classes: Sequence[str]) -> int:
    """Return the number of a class.

    Raises
    ------
    ConfigError
        If there is no such class; the message lists them.
    """
    if name not in classes:
        raise ConfigError(
            f"the model has no class {name!r}{near_miss(name, classes)}; its classes are "
            f"{', '.join(classes)}"
        )
    return list(classes).index(name)
