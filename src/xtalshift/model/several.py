"""Models of several targets: one for each, and intervals that hold for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.data.materials import Materials
from xtalshift.errors import ConfigError, DataError
from xtalshift.model.class_predictions import ClassPredictions
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.material_model import Inputs
from xtalshift.model.predicted_rows import PredictedTable
from xtalshift.model.predictions import Predictions
from xtalshift.notebook import SHOWN_ROWS, html_table
from xtalshift.uncertainty.joint import JointScores
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.featurize import Features
    from xtalshift.model.explaining.record import Explanation

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COMMON = ("status", "reason")
"""Columns that a row has once; all others it has for each target."""
JOINT_COLUMNS = ("joint_lower", "joint_upper")
AnyModel: TypeAlias = FittedModel | FittedClassifier
AnyPredictions: TypeAlias = Predictions | ClassPredictions
_UNBOUNDED = 1 - 1e-9
"""Level at which no number of calibration rows that fits into memory gives a finite bound."""


def suffixed(column: str, target: str) -> str:
    """Return the name of a column of predictions of one of several targets."""
    return f"{column}_{target}"


@dataclass(frozen=True, eq=False, repr=False)
class SeveralPredictions(PredictedTable):
    """Predictions of several targets for n rows.

    Attributes
    ----------
    parts : mapping of str to Predictions or ClassPredictions
        The predictions of each target, in order.
    joint : mapping of str to pair of ndarray of float64, shapes (n,)
        Intervals that hold the values of all targets that are numbers at once at the level that was
        asked for; infinite if there are too few calibration rows. Empty for models without.
    """

    parts: Mapping[str, AnyPredictions]
    joint: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return how many rows there are, and how many cannot be predicted."""
        reasons = self.reason
        bad = int((reasons != "").sum())
        return (
            f"<SeveralPredictions: {plural(len(reasons), 'row')} of {', '.join(self.parts)}; "
            f"{bad:,} without a prediction of each; .frame is the table>"
        )

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        head = ("formula", *(suffixed("prediction", name) for name in self.parts), "reason")
        columns = [self.formula, *(one.prediction for one in self.parts.values()), self.reason]
        cells = (column[:SHOWN_ROWS].tolist() for column in columns)
        return html_table(repr(self)[1:-1], head, zip(*cells, strict=True))

    def __getitem__(self, target: str) -> Any:
        """Return the predictions of one target, `Predictions` or `ClassPredictions`."""
        return self.parts[target]

    @property
    def formula(self) -> NDArray[np.object_]:
        """Formulas as given, shape (n,)."""
        return next(iter(self.parts.values())).formula

    @property
    def id(self) -> NDArray[np.object_] | None:
        """Ids of rows with structures, shape (n,); None for formulas."""
        return next(iter(self.parts.values())).id

    @cached_property
    def reason(self) -> NDArray[np.object_]:
        """Why a row lacks a prediction, shape (n,); which target, unless it lacks all."""
        reasons = np.array([one.reason for one in self.parts.values()], dtype=object)
        found: NDArray[np.object_] = reasons[0].copy()
        for row in np.flatnonzero((reasons != reasons[0]).any(axis=0)):
            cells = zip(self.parts, reasons[:, row], strict=True)
            found[row] = "; ".join(f"{name}: {reason}" for name, reason in cells if reason)
        return found

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the output table: those of each target, then `COMMON`.

        Those of a target are its ``prediction_TARGET``, ``lower_TARGET`` ..., and
        ``joint_lower_TARGET``, ``joint_upper_TARGET`` where there are such.
        """
        found: dict[str, NDArray[Any]] = {}
        for name, part in self.parts.items():
            own = {key: one for key, one in part.columns().items() if key not in COMMON}
            if name in self.joint:
                own |= dict(zip(JOINT_COLUMNS, self.joint[name], strict=True))
            found |= {suffixed(key, name): values for key, values in own.items()}
        return {**found, "status": self.status, "reason": self.reason}


@dataclass(frozen=True, eq=False, repr=False)
class FittedModels:
    """A fitted model for each of several targets. It never changes.

    Attributes
    ----------
    models : mapping of str to FittedModel or FittedClassifier
        By the name of the target, in order; all take the same extra feature columns.
    joint_rows : ndarray of int64, shape (n, t), or None
        The calibration rows on which all t targets that are numbers are known: their places in the
        calibration of each of these models. None if intervals of all of them at once cannot be
        calibrated.

    Raises
    ------
    DataError
        If there is no model, or they take different extra columns.

    Examples
    --------
    >>> import xtalshift as xs
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
    >>> gaps = xs.Dataset.of(formulas, [8.5, 8.4, 7.1, 7.3, 13.6, 11.5, 10.8, 9.4, 7.9, 8.2])
    >>> melting = xs.Dataset.of(formulas[:8], [1074, 1043, 1020, 1007, 1118, 1266, 1131, 878])
    >>> models = xs.fit_several({"gap": gaps, "melting": melting}, "ridge")
    >>> models.predict(["RbBr"]).frame["prediction_gap"].shape
    (1,)
    """

    models: Mapping[str, AnyModel]
    joint_rows: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", dict(self.models))
        if not self.models:
            raise DataError("there is no model; give one for each target")
        wanted = self.first.card.feature_cols
        for name, model in self.models.items():
            if model.card.feature_cols != wanted:
                raise DataError(
                    f"the model of {name!r} takes the extra columns {list(model.card.feature_cols)}"
                    f", that of {self.targets[0]!r} takes {list(wanted)}: train them together"
                )
        if self.joint_rows is not None:
            _check_places(self.joint_rows, self.numbers)

    def __repr__(self) -> str:
        """Return what it is in one line."""
        parts = [repr(model)[1:-1] for model in self.models.values()]
        joint = (
            "no joint intervals"
            if self.joint is None
            else f"joint: {plural(len(self.joint), 'row')}"
        )
        return f"<FittedModels: {'; '.join(parts)}; {joint}>"

    def __getitem__(self, target: str) -> Any:
        """Return the model of one target, a `FittedModel` or a `FittedClassifier`."""
        return self.models[target]

    @cached_property
    def numbers(self) -> dict[str, FittedModel]:
        """The models of the targets that are numbers, in order."""
        return {name: one for name, one in self.models.items() if isinstance(one, FittedModel)}

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in order."""
        return tuple(self.models)

    @property
    def first(self) -> AnyModel:
        """The model of the first target, which reads materials as all of them do."""
        return next(iter(self.models.values()))

    @cached_property
    def joint(self) -> JointScores | None:
        """Scores of the rows on which all targets are known, from which joint intervals are."""
        if self.joint_rows is None:
            return None
        columns = []
        for model, places in zip(self.numbers.values(), self.joint_rows.T, strict=True):
            assert model.calibration is not None
            columns.append(model.calibration.scores[places])
        return JointScores(np.stack(columns, axis=1))

    def joint_levels(self, level: float = LEVEL) -> dict[str, float]:
        """Return the level that the interval of each target has where all hold at `level`.

        It is 1 where there are too few rows for a finite interval; empty without joint intervals.
        """
        if self.joint is None:
            return {}
        found = {}
        bounds = self.joint.bounds(level).tolist()
        for (name, model), bound in zip(self.numbers.items(), bounds, strict=True):
            assert model.calibration is not None
            scores = model.calibration.law.scores
            below = int(np.searchsorted(scores, bound, side="right"))
            found[name] = below / (len(scores) + 1) if np.isfinite(bound) else 1.0
        return found

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """Columns that its predictions add to a table, without explanations."""
        joint = dict.fromkeys(() if self.joint is None else self.numbers, JOINT_COLUMNS)
        own = (
            suffixed(column, name)
            for name, model in self.models.items()
            for column in (*model.predicted_columns, *joint.get(name, ()))
            if column not in COMMON
        )
        return (*own, *COMMON)

    @property
    def column_units(self) -> dict[str, str]:
        """Unit of each column of its predictions that has one."""
        found: dict[str, str] = {}
        for name, model in self.models.items():
            own = model.column_units
            joint = dict.fromkeys(JOINT_COLUMNS, model.card.unit) if own else {}
            found |= {suffixed(key, name): unit for key, unit in {**own, **joint}.items()}
        return found

    def read(self, X: Inputs, extra: ArrayLike | None = None) -> Materials:
        """Return formulas as materials, see `FittedModel.read`."""
        return self.first.read(X, extra)

    def predict(
        self,
        X: Inputs,
        extra: ArrayLike | None = None,
        *,
        level: float = LEVEL,
        by_family: bool = False,
        explain: bool = False,
    ) -> SeveralPredictions:
        """Predict all targets of materials; features are computed once.

        Parameters
        ----------
        X, extra, level, explain
            As in `FittedModel.predict`.
        by_family : bool
            Whether each chemical family is calibrated separately; then there are no joint
            intervals. For numbers only.

        Returns
        -------
        SeveralPredictions

        Raises
        ------
        DataError
            As `FittedModel.predict`.
        ConfigError
            If `by_family` is given and a target is a class.
        """
        if by_family and len(self.numbers) < len(self.models):
            raise ConfigError("intervals by family are for numbers, and a target is a class")
        materials = self.read(X, extra)
        features: dict[object, Features] = {}
        parts: dict[str, AnyPredictions] = {}
        joint = {}
        levels = {} if by_family else self.joint_levels(level)
        for name, model in self.models.items():
            made = model.featurizer
            encoder = made.encoder.card.arrays_sha256 if made.encoder else ""
            key = (made.blocks, made.impute_nan, made.hydrates, made.amounts, encoder)
            if key not in features:
                features[key] = model.featurize(materials)
            how: dict[str, Any] = {"level": level, "explain": explain}
            if isinstance(model, FittedClassifier):
                parts[name] = model.predict_featurized(materials, features[key], **how)
                continue
            part = model.predict_featurized(materials, features[key], by_family=by_family, **how)
            parts[name] = part
            if name in levels:
                joint[name] = _interval(part, levels[name])
        return SeveralPredictions(parts, joint)

    def explain(
        self,
        X: Inputs,
        extra: ArrayLike | None = None,
        *,
        of_class: str | None = None,
        **options: Any,
    ) -> dict[str, list[Explanation]]:
        """Explain the predictions of each target.

        Parameters
        ----------
        X, extra, **options
            As in `FittedModel.explain`.
        of_class : str, optional
            Class to explain, of each target that has it.

        Raises
        ------
        ConfigError
            If no target has it.
        DataError
            As `FittedModel.explain`.
        """
        known = {
            name: one.classes if isinstance(one, FittedClassifier) else ()
            for name, one in self.models.items()
        }
        if of_class is not None and not any(of_class in own for own in known.values()):
            every = ", ".join(label for own in known.values() for label in own) or "none"
            raise ConfigError(f"no target has a class {of_class!r}; classes are: {every}")
        return {
            name: one.explain(
                X, extra, of_class=of_class if of_class in known[name] else None, **options
            )
            for name, one in self.models.items()
        }

    def save(self, folder: Path | str) -> Path:
        """Write the models to a folder, see `xtalshift.model.several_folder.save_models`."""
        from xtalshift.model.several_folder import save_models

        return save_models(self, Path(folder))


def _interval(part: Predictions, level: float) -> tuple[FloatArray, FloatArray]:
    if part.distribution is None:  # no good row
        unknown = np.full(len(part.prediction), np.nan)
        return unknown, unknown
    return part.interval(min(level, _UNBOUNDED))


def _check_places(places: IntArray, models: Mapping[str, FittedModel]) -> None:
    """Raise `DataError` unless these are calibration rows of all models."""
    if places.ndim != 2 or places.shape[1] != len(models) or not len(places):  # noqa: PLR2004
        raise DataError(f"{places.shape=}: expected (rows, {len(models)}), at least one row")
    for (name, model), own in zip(models.items(), places.T, strict=True):
        known = 0 if model.calibration is None else len(model.calibration)
        if own.min() < 0 or own.max() >= known:
            raise DataError(
                f"row {int(own.max())} of the {known} calibration rows of {name!r} does not exist"
            )
