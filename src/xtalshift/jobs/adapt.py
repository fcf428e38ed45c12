"""Adapt a saved model, or only its intervals, to the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.data import Dataset, read_raw
from xtalshift.data.files import first_reason
from xtalshift.data.formula_texts import name_structures, options_for, prefer_column
from xtalshift.data.readers import REPLICATES
from xtalshift.data.settings import DataConfig
from xtalshift.data.sources import open_source
from xtalshift.data.units import known_unit
from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics.classification import log_loss
from xtalshift.model import FittedClassifier, FittedModel
from xtalshift.model import adapt as adapt_model
from xtalshift.model import calibrate as calibrate_model
from xtalshift.model.adaptation import AUTO, refuse_classes
from xtalshift.model.calibration import class_numbers
from xtalshift.model.inputs import read_inputs
from xtalshift.model.label_judges import CrossFit, known_labels
from xtalshift.model.network_adaptation import require_network
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.words import plural

M = TypeVar("M", bound=FittedModel | FittedClassifier)

MIN_LABELS = 5
_FEW_ALIKE = 0.3
"""Labels are a choice if less than this share of the training values is in their range."""
_OTHER_UNIT = 20.0  # values this many times the largest training value suggest another unit


@dataclass(frozen=True)
class Adapted(Generic[M]):
    """An adapted model and its error on labels that it was not fitted to."""

    model: M
    """The adapted model."""
    n_target: int
    n_source: int
    """`n_target`, `n_source`: numbers of target rows, and of source rows that are replayed."""
    found: CrossFit | None
    """What the labels said that were held out in turn; None if there was no judgement."""


def adapt(
    model: M,
    target: DataConfig,
    config: AdaptConfig | None = None,
    *,
    source: DataConfig | None = None,
    calibration_folds: int = 5,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> Adapted[M]:
    """Adapt `model` to the rows of a file.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        A fitted model, which does not change; for other methods than ``auto`` a network of numbers.
    target : DataConfig
        Rows of the target domain; features and targets are made as for the model.
    config : AdaptConfig, optional
        Method and settings of an adaptation of a network; None for ``auto``.
    source : DataConfig, optional
        Source rows to replay; ``auto`` knows those of most models.
    calibration_folds : int
        Number of further adaptations, each without a part of the labels, that judge the adaptation
        and calibrate the intervals of the new region; 0 for neither. ``auto`` needs none.
    seed : int
        Seed of validation rows, batches and dropout.
    workers : int
        Largest number of processes for the further adaptations.
    progress : Progress
        Reports the progress of the adaptation.

    Raises
    ------
    ConfigError
        If the model is not a network or the method needs rows that are missing.
    DataError
        If the rows cannot be used, or their unit is not the model's.
    """
    if config is not None:  # before a table is read
        refuse_classes(model, config.method)
        assert isinstance(model, FittedModel)
        require_network(model)
    if config is not None and config.method.startswith("unlabelled"):
        assert isinstance(model, FittedModel)
        labels = _unlabelled(model, target, progress)
    else:
        labels = _labels(model, target, progress)
        if len(labels) < MIN_LABELS:
            raise DataError(
                f"{target.dataset} has {plural(len(labels), 'usable label')}; at least "
                f"{MIN_LABELS} are needed"
            )
    replay = None
    if source is not None:
        try:
            replay = _labels(model, source, progress)
        except DataError as error:
            raise DataError(f"the source (--source), read as the labels are: {error}") from error
    adapted = adapt_model(
        model,
        labels,
        source=replay,
        method=AUTO if config is None else config.method,
        settings=None if config is None else config.model_dump(exclude={"method"}),
        calibration_folds=calibration_folds,
        seed=seed,
        workers=workers,
        progress=progress,
    )
    said = adapted.card.provenance
    found = said["cross_fit"]
    if found is not None and not found["kept"] and isinstance(model, FittedModel):
        _warn_of_a_choice(model, labels, progress)
    return Adapted(
        adapted, len(labels), said["n_source"], None if found is None else CrossFit(**found)
    )


def _warn_of_a_choice(model: FittedModel, labels: Dataset, progress: Progress) -> None:
    """Warn if the labels have other predictions than most materials, as those of a search have."""
    if model.domain is None or labels.targets is None:
        return
    found = model.predict_features(model.features_of(labels.materials))
    known = model.domain.targets_
    low, high = float(found.min()), float(found.max())
    share = float(np.mean((low <= known) & (known <= high)))
    if share < _FEW_ALIKE:
        progress.say(
            f"warning: the model predicts {low:.3g} to {high:.3g} for these labels, and only "
            f"{share:.0%} of its training values lie there. For materials with other predictions "
            "the adaptation was not tested and may be worse than the model before: measure some of "
            "those too"
        )


def source_like(
    labels: DataConfig, source: str, target: str | None = None, *, crystals: bool
) -> DataConfig:
    """Return the settings of a file (or data set) of source rows, read as the labels are.

    What concerns the labels alone (sheet, ids, unit) is left to be found, as are columns of
    formulas, of weights or of uncertainties that the file does not have.

    Parameters
    ----------
    labels : DataConfig
        Rows of the target domain.
    source : str
        File, or name of a data set.
    target : str, optional
        Its target column; by default that of the model.
    crystals : bool
        Whether the model needs structures.
    """
    own = {"dataset": source, "target": target, "id_col": None, "unit": ""}
    found = labels.model_copy(update=own)
    for name in ("weight_col", "uncertainty_col"):
        column = getattr(labels, name)
        if column is not None and column != REPLICATES and not has_column(found, column):
            found = found.model_copy(update={name: None})
    if Path(source).is_file():
        return options_for(Path(source), found, crystals=crystals)
    return found.model_copy(update={"formula_col": None})  # the columns of data sets are known


@dataclass(frozen=True)
class Calibrated:
    """A model calibrated on labels of a new region, and its evaluation on them."""

    model: FittedModel
    """The same model with another calibration."""
    n: int
    """Number of labels for calibration."""
    mae: float
    constant: float
    """`mae`, `constant`: mean absolute error on these labels, of the model and of the mean of all
    labels, in the unit of the target."""
    before: float | None
    """Coverage of the labels by the previous 90 % intervals; None if the model had none."""
    widths: tuple[float | None, float]
    """Median width of the 90 % intervals before and after, in the unit of the target."""


@dataclass(frozen=True)
class CalibratedClasses:
    """A model of classes calibrated on labels of a new region, and its evaluation on them."""

    model: FittedClassifier
    """The same model with another calibration."""
    n: int
    """Number of labels for calibration."""
    log_loss: float
    constant: float
    """`log_loss`, `constant`: mean log loss on these labels, of the model as it was and of the
    shares of their own classes."""
    accuracy: float
    """Share of the labels that the model named, as it was."""
    before: float | None
    """Coverage of the labels by the previous 90 % sets; None if the model had none."""
    sizes: tuple[float | None, float]
    """Mean number of classes in the 90 % sets before and after."""


def calibrate(
    model: FittedModel | FittedClassifier, target: DataConfig, progress: Progress = NO_PROGRESS
) -> Calibrated | CalibratedClasses:
    """Calibrate the intervals of a model on labels of a new region; its predictions do not change.

    Of a model of classes, probabilities and prediction sets. The intervals then have the stated
    coverage for the population that the labels are a random sample of. Labels of training materials
    do not count.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        A fitted model, which does not change.
    target : DataConfig
        Labels; features and targets are made as for the model.
    progress : Progress
        Receives what is left out.

    Raises
    ------
    DataError
        If fewer than 10 labels are usable, or their unit is not the model's.
    """
    labels = _labels(model, target, progress)
    known = known_labels(model, labels, model.features_of(labels.materials), progress)
    labels = labels.take(np.flatnonzero(~known))
    if isinstance(model, FittedClassifier):
        return _calibrate_classes(model, labels)
    calibrated = calibrate_model(model, labels)
    y, X = labels.y, labels.materials
    before, after = model.predict(X), calibrated.predict(X)
    held, width = None, None
    if model.calibration is not None:
        held = float(np.mean((before.lower <= y) & (y <= before.upper)))
        width = float(np.median(before.upper - before.lower))
    return Calibrated(
        calibrated,
        len(labels),
        float(np.mean(np.abs(before.prediction - y))),
        float(np.mean(np.abs(y - y.mean()))),
        held,
        (width, float(np.median(after.upper - after.lower))),
    )


def _calibrate_classes(model: FittedClassifier, labels: Dataset) -> CalibratedClasses:
    calibrated = calibrate_model(model, labels)
    y, rows = class_numbers(labels, model.classes), np.arange(len(labels))
    before, after = model.predict(labels.materials), calibrated.predict(labels.materials)
    shares = np.bincount(y, minlength=len(model.classes)) / len(y)
    held, size = None, None
    if model.calibration is not None:
        held = float(np.mean(before.in_set[rows, y]))
        size = float(before.in_set.sum(axis=1).mean())
    return CalibratedClasses(
        calibrated,
        len(labels),
        log_loss(y, before.probabilities),
        log_loss(y, np.tile(shares, (len(y), 1))),
        float(np.mean(np.argmax(before.probabilities, axis=1) == y)),
        held,
        (size, float(after.in_set.sum(axis=1).mean())),
    )


def _labels(model: FittedModel | FittedClassifier, data: DataConfig, progress: Progress) -> Dataset:
    """Return clean labelled rows, made as the training rows of the model were."""
    card, featurizer, path = model.card, model.featurizer, Path(data.dataset)
    notation = data.notation_like(featurizer.notation)
    made: dict[str, str | bool | Sequence[str] | None] = {
        "transform": "none" if isinstance(model, FittedClassifier) else model.scale.name,
        "hydrates": notation.hydrates,
        "amounts": notation.amounts,
        "feature_cols": card.feature_cols,
    }
    if isinstance(model, FittedClassifier):
        made["task"] = model.task
        made["class_order"] = model.classes if model.ordered else ()
    if data.target is None and has_column(data, card.target_name):
        made["target"] = card.target_name
    elif data.target is None and isinstance(model, FittedClassifier):
        raise DataError(
            f"{data.dataset} has no column {card.target_name!r}, whose classes the model predicts; "
            "name the column of the classes (--target)"
        )
    if path.is_file():
        made["formula_col"] = prefer_column(path, data, card.formula_col).formula_col
    read = data.model_copy(update=made)
    if featurizer.needs_structures and path.exists():
        read = name_structures(path, read)
    of_classes = isinstance(model, FittedClassifier)
    labels = read_inputs(read, progress, featurizer=featurizer, classes=of_classes).data
    units = [known_unit(unit) or unit for unit in (card.unit, labels.unit)]
    if all(units) and units[0] != units[1]:
        raise DataError(
            f"the labels of {data.dataset} are in {labels.unit}, the model predicts {card.unit}; "
            "convert them first"
        )
    if model.domain is not None and not isinstance(model, FittedClassifier):
        largest = float(np.abs(model.domain.targets_).max())
        found = float(np.abs(labels.y).max(initial=0.0))
        if found > _OTHER_UNIT * largest > 0:
            progress.say(
                f"warning: values of {data.dataset} reach {found:g}, training values of the model "
                f"{largest:g}; do they have the same unit? (state it with --unit)"
            )
    return labels


def has_column(data: DataConfig, name: str) -> bool:
    """Return whether the table is a file with a column of this name."""
    path = Path(data.dataset)
    return path.is_file() and name in open_source(path, data).layout.columns


def _unlabelled(model: FittedModel, data: DataConfig, progress: Progress) -> Dataset:
    """Return the readable materials of a file without labels, each once."""
    if model.card.feature_cols:
        raise ConfigError(
            f"the model needs {', '.join(model.card.feature_cols)} besides the formula; adapting "
            "without labels works only for models without extra columns"
        )
    notation = data.notation_like(model.featurizer.notation)
    reading = prefer_column(Path(data.dataset), data, model.card.formula_col)
    if model.featurizer.needs_structures:
        reading = name_structures(Path(data.dataset), reading)
    raw = read_raw(Path(data.dataset), reading)
    materials = raw.formulas(reading, notation.amounts).materials(notation)
    reasons = model.featurize(materials).reasons
    good = np.flatnonzero(reasons == "")
    progress.say(f"{data.dataset}: {len(good):,} of {len(reasons):,} formulas are usable")
    if not len(good):
        raise DataError(f"{data.dataset} holds no readable formula; {first_reason(reasons)}")
    _, first = np.unique(materials.groups[good].astype(str), return_index=True)
    return Dataset(materials.take(good[np.sort(first)]), source=Path(data.dataset).name)
