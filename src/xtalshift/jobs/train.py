"""Train one method on a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.plugins import own_files, registered_name, use_plugins
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, ModelFormatError, SplitError
from xtalshift.featurize.blocks import needs_structures
from xtalshift.jobs.adversarial import AdversarialTable, adversarial_table
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.methods import METHODS, MethodSettings, build_classifier, build_method, features_of
from xtalshift.methods.registry import refuse_tobit
from xtalshift.metrics.classification import ClassificationScores, classification_scores
from xtalshift.model import FitRows, FittedClassifier, FittedModel, draw_rows, fit
from xtalshift.model.class_fitting import held_out_classes
from xtalshift.model.fidelities import FidelityFit, fit_fidelities
from xtalshift.model.fitting import held_out_errors, set_budget
from xtalshift.model.inputs import Inputs, read_fidelities, read_inputs, settle_structures
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits.fold_files import read_folds
from xtalshift.words import plural

MIN_ROWS = 10


@dataclass(frozen=True)
class TrainedClasses:
    """A model of classes and its scores on rows that it was not fitted to, as `Trained`."""

    model: FittedClassifier
    """The trained model."""
    n_train: int
    n_validation: int
    """`n_train`, `n_validation`: numbers of rows. A stack also trains on the validation rows."""
    scores: ClassificationScores
    """Scores on the validation rows, beside those of the shares of the training classes."""
    inputs: Inputs
    rows: FitRows
    """`inputs`, `rows`: what the model was fitted to."""


@dataclass(frozen=True)
class Trained:
    """A model and its error on rows that it was not fitted to."""

    model: FittedModel
    """The trained model."""
    n_train: int
    n_validation: int
    """`n_train`, `n_validation`: numbers of rows. A stack also trains on the validation rows."""
    val_mae: float
    val_mae_dummy: float
    """`val_mae`, `val_mae_dummy`: mean absolute error on the validation rows, of the model and of
    the training mean. These rows selected the parameters, or the weights of a stack, so the first
    is slightly optimistic; both are valid only for materials like the training data."""
    inputs: Inputs
    rows: FitRows
    """`inputs`, `rows`: what the model was fitted to."""
    adversarial: AdversarialTable | None = None
    """The training rows after the attack, if requested."""


@dataclass(frozen=True)
class TrainedOnFidelities:
    """A model of the higher fidelity, and what its labels said of the lower one."""

    fitted: FidelityFit
    """The trained model and its errors."""
    names: tuple[str, str]
    """What the column says of the rows that are predicted, and of the others."""


def method_to_save(name: str, settings: MethodSettings, *, minutes: float | None = None) -> str:
    """Return the key of a method in `METHODS`; refuse one that cannot be saved, before any work.

    Parameters
    ----------
    name : str
        Name of a method, or ``FILE.py:NAME``, which is run and registered.
    settings : MethodSettings
        Settings of all methods.
    minutes : float, optional
        Wall minutes that a fit may take.

    Raises
    ------
    ModelFormatError
        If its models cannot be saved; the message says what to do instead.
    ConfigError
        If it is no regressor, the file fails, or it keeps no budget of minutes.
    NotFoundError
        If there is no such method.
    """
    use_plugins(own_files([name]), Path(), [name])
    method = registered_name(name)
    facts, learner = METHODS[method], build_method(method, settings, seed=None)
    set_budget(learner, method, minutes)
    unsaved = learner.unsaved
    if facts.classify is not None and unsaved:
        unsaved = facts.classify(settings, None).unsaved
    if unsaved:
        raise ModelFormatError(f"{name}: {unsaved}")
    return method


def train(
    config: RunConfig,
    method: str,
    *,
    split: Path | None = None,
    fold: int = 0,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
    attack: bool = False,
) -> Trained | TrainedClasses:
    """Train a method on the rows of a table.

    A single training has all threads of `config`; the trainings of a cross-calibration have one
    each, in as many processes where these save time.

    Parameters
    ----------
    config : RunConfig
        Data, intervals and settings of the method.
    method : str
        Name of a method whose models can be saved.
    split : Path, optional
        File that ``xtalshift split`` wrote. The model is fitted to its training rows and selected
        on its validation rows; other rows are not used. By default all rows are used, a tenth of
        them for selection.
    fold : int
        Number of the fold in that file.
    minutes : float, optional
        Wall minutes that a stack may take, see `xtalshift.fit`.
    progress : Progress
        Reports the progress of the training.
    checkpoint : Path, optional
        File in which a long training keeps its state; removed at its end.
    attack : bool
        Whether to attack the training rows with the fitted model, see `adversarial_table`.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If there are too few rows.
    """
    data = settle_data(config.data, method)
    return train_inputs(
        config,
        method,
        read_inputs(data, progress, classes=True),
        split=split,
        fold=fold,
        minutes=minutes,
        progress=progress,
        checkpoint=checkpoint,
        attack=attack,
    )


def settle_data(data: DataConfig, method: str) -> DataConfig:
    """Return the settings of a table with the features that a method gets.

    Raises
    ------
    ConfigError
        If its loss takes no bounds, and is to.
    """
    if data.bounds == "tobit":
        refuse_tobit(method)
    usual = features_of(method, data.features)
    data = settle_structures(data, [usual] if needs_structures(usual) else [])
    return data.model_copy(update={"features": features_of(method, data.features)})


def train_inputs(
    config: RunConfig,
    method: str,
    inputs: Inputs,
    *,
    split: Path | None = None,
    fold: int = 0,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
    attack: bool = False,
) -> Trained | TrainedClasses:
    """Train a method on a table that was read; arguments and errors as in `train`."""
    y = inputs.data.y
    check_rows(len(y))
    build = build_method if inputs.data.classes is None else build_classifier
    cross_fits = build(method, config, seed=None).cross_fits
    rows = _rows_of(config, inputs, split, fold, cross_fits=cross_fits)
    cores = config.threads or count_cores()
    how = config.intervals.how(len(y), cross_fits=cross_fits)
    cross = how == "cross" and not len(rows.calibration)
    # many short fits: of a stack with few rows too
    threads = 1 if cross and len(y) < config.intervals.small else cores
    with limited_threads(threads):
        model = fit(
            inputs.data,
            method,
            features=inputs.featurizer,
            transform=config.data.transform,
            settings=config.model_copy(update={"threads": threads}),
            intervals=config.intervals,
            rows=rows,
            X=inputs.X,
            seed=config.seed,
            workers=cores,
            minutes=minutes,
            progress=progress,
            checkpoint=checkpoint,
        )
        if isinstance(model, FittedClassifier):
            if attack:
                raise ConfigError("--save-adversarial is for numbers; leave it out for classes")
            return _judged_classes(model, inputs, rows)
        trained = judged(model, inputs, rows)
        if not attack:
            return trained
        values = rows.train[~inputs.data.bounded[rows.train]]
        return replace(trained, adversarial=adversarial_table(model, inputs, values))


def check_rows(number: int, of: str = "") -> None:
    """Raise `SplitError` if a table has too few usable rows for training."""
    if number < MIN_ROWS:
        rows = plural(number, "usable row")
        raise SplitError(f"{rows}{of}; at least {MIN_ROWS} are needed for training")


def judged(model: FittedModel, inputs: Inputs, rows: FitRows) -> Trained:
    """Return a model with its error on rows that it was not fitted to."""
    y = inputs.data.y
    errors, held_out = held_out_errors(model, y, inputs.X, rows, inputs.data.bounded)
    return Trained(
        model=model,
        n_train=len(rows.train),
        n_validation=len(held_out),
        val_mae=_mean(errors),
        val_mae_dummy=_mean(np.abs(y[rows.train].mean() - y[held_out])),
        inputs=inputs,
        rows=rows,
    )


def _mean(errors: NDArray[np.float64]) -> float:
    """Return the mean error, NaN if no row was held out that has the target."""
    return float(np.mean(errors)) if len(errors) else float("nan")


def train_on_fidelities(
    config: RunConfig,
    method: str,
    *,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> TrainedOnFidelities:
    """Train on values of two fidelities in one table, to predict those of the higher one.

    Parameters
    ----------
    config : RunConfig
        As in `train`, with its `fidelity`.
    method : str
        Name of the method, see `fit_fidelities`.
    minutes, progress, checkpoint
        As in `train`.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If there are too few rows to predict.
    """
    data = settle_data(config.data, method)
    read = read_fidelities(data, config.fidelity, progress)
    high = read.high
    check_rows(len(high.data), f" of {config.fidelity.column} = {read.names[0]!r}")
    cores = config.threads or count_cores()
    with limited_threads(cores):
        fitted = fit_fidelities(
            high.data,
            read.low,
            method,
            features=high.featurizer,
            transform=data.transform,
            settings=config.model_copy(update={"threads": cores}),
            intervals=config.intervals,
            seed=config.seed,
            workers=cores,
            minutes=minutes,
            progress=progress,
            checkpoint=checkpoint,
        )
    return TrainedOnFidelities(fitted, read.names)


def _judged_classes(model: FittedClassifier, inputs: Inputs, rows: FitRows) -> TrainedClasses:
    """Return a model of classes with its scores on rows that did not fit its parameters."""
    shares, held_out = held_out_classes(model, inputs.X, rows)
    codes = inputs.data.y.astype(np.int64)
    counts = np.bincount(codes[rows.train], minlength=len(model.classes))
    scores = classification_scores(codes[held_out], shares, train_shares=counts / counts.sum())
    return TrainedClasses(model, len(rows.train), len(held_out), scores, inputs, rows)


def _rows_of(
    config: RunConfig, inputs: Inputs, split: Path | None, fold: int, *, cross_fits: bool
) -> FitRows:
    """Return the role of each row, from a split file or drawn."""
    draw = partial(
        draw_rows,
        inputs.data.groups,
        cross_fits=cross_fits,
        validation_share=config.split.validation_share,
        seed=config.seed,
        labels=None if inputs.data.classes is None else inputs.data.y,
    )
    if split is None:
        return draw(intervals=config.intervals)
    schemes = read_folds(split, inputs.data.ids, partial=True)
    folds = [one for found in schemes.values() for one in found]
    if not 0 <= fold < len(folds):
        raise SplitError(
            f"{split} has no fold {fold}; its folds are 0 to {len(folds) - 1}"
            if len(folds) > 1
            else f"{split} has no fold {fold}; its only fold is 0"
        )
    parts = folds[fold]
    drawn = draw(intervals=config.intervals, within=parts.train)
    if not len(parts.val):
        return drawn
    return FitRows(np.setdiff1d(parts.train, drawn.calibration), parts.val, drawn.calibration)
