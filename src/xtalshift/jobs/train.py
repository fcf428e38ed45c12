"""Train one method on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xtalshift.benchmark.plugins import own_files, registered_name, use_plugins
from xtalshift.data.fidelities import part_fidelities
from xtalshift.errors import ModelFormatError, SplitError
from xtalshift.featurize.blocks import needs_structures
from xtalshift.jobs.adversarial import AdversarialTable, adversarial_table
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.methods import MethodSettings, build_method, features_of
from xtalshift.model import FitRows, FittedModel, draw_rows, fit
from xtalshift.model.fidelities import FidelityFit, fit_fidelities
from xtalshift.model.fitting import held_out_errors
from xtalshift.model.inputs import Inputs, clean_rows, read_inputs, read_rows, settle_structures
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits.fold_files import read_folds

MIN_ROWS = 10


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
    adversarial: AdversarialTable | None = None
    """The training rows after the attack, if requested."""


@dataclass(frozen=True)
class TrainedOnFidelities:
    """A model of the higher fidelity, and what its labels said of the lower one."""

    fitted: FidelityFit
    """The trained model and its errors."""
    names: tuple[str, str]
    """What the column says of the rows that are predicted, and of the others."""


def method_to_save(name: str, settings: MethodSettings) -> str:
    """Return the key of a method in `METHODS`; refuse one that cannot be saved, before any work.

    Parameters
    ----------
    name : str
        Name of a method, or ``FILE.py:NAME``, which is run and registered.
    settings : MethodSettings
        Settings of all methods.

    Raises
    ------
    ModelFormatError
        If its models cannot be saved; the message says what to do instead.
    ConfigError
        If it is no regressor, or the file fails.
    NotFoundError
        If there is no such method.
    """
    use_plugins(own_files([name]), Path(), [name])
    method = registered_name(name)
    unsaved = build_method(method, settings, seed=None).unsaved
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
) -> Trained:
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
    usual = features_of(method, config.data.features)
    data = settle_structures(config.data, [usual] if needs_structures(usual) else [])
    features = features_of(method, data.features)
    inputs = read_inputs(data.model_copy(update={"features": features}), progress)
    y = inputs.data.y
    if len(y) < MIN_ROWS:
        raise SplitError(f"{len(y)} usable rows; at least {MIN_ROWS} are needed for training")
    cross_fits = build_method(method, config, seed=None).cross_fits
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
        errors, held_out = held_out_errors(model, y, inputs.X, rows, inputs.data.bounded)
        return Trained(
            model=model,
            n_train=len(rows.train),
            n_validation=len(held_out),
            val_mae=float(np.mean(errors)),
            val_mae_dummy=float(np.mean(np.abs(y[rows.train].mean() - y[held_out]))),
            adversarial=adversarial_table(model, inputs, rows.train) if attack else None,
        )


def train_on_fidelities(
    config: RunConfig,
    method: str,
    column: str,
    named: Sequence[str] = (),
    *,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> TrainedOnFidelities:
    """Train on values of two fidelities in one table, to predict those of the higher one.

    Parameters
    ----------
    config : RunConfig
        As in `train`.
    method : str
        Name of the method that is fitted to the lower fidelity, see `fit_fidelities`.
    column, named
        See `xtalshift.data.fidelities.part_fidelities`.
    minutes, progress, checkpoint
        As in `train`.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If there are too few rows to predict.
    """
    usual = features_of(method, config.data.features)
    data = settle_structures(config.data, [usual] if needs_structures(usual) else [])
    data = data.model_copy(update={"features": features_of(method, data.features)})
    table = read_rows(data, progress)
    parts = part_fidelities(table, column, named)
    for remark in parts.remarks:
        progress.say(remark)
    found = []
    for name, rows in zip(parts.names, (parts.high, parts.low), strict=True):
        progress.say(f"{column} = {name!r}:")
        found.append(clean_rows(rows, data, progress))
    high, low = found
    if len(high.data) < MIN_ROWS:
        raise SplitError(
            f"{len(high.data)} usable rows of {column} = {parts.names[0]!r}; at least {MIN_ROWS} "
            "are needed for training"
        )
    cores = config.threads or count_cores()
    with limited_threads(cores):
        fitted = fit_fidelities(
            high.data,
            low.data,
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
    return TrainedOnFidelities(fitted, parts.names)


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
