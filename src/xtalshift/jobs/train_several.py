"""Train one method on a table with several targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, XtalshiftError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jobs.train import (
    Trained,
    TrainedClasses,
    check_rows,
    judged,
    settle_data,
    train_inputs,
)
from xtalshift.methods import build_classifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.inputs import Inputs
from xtalshift.model.joint_fitting import TargetFit, fit_jointly, fits_jointly
from xtalshift.model.several import FittedModels
from xtalshift.model.several_fitting import join_models
from xtalshift.model.several_inputs import read_several, settings_of_kinds
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.words import plural


@dataclass(frozen=True)
class TrainedSeveral:
    """Models of several targets, and what `train` says of each."""

    models: FittedModels
    parts: Mapping[str, Trained | TrainedClasses]


def train_several(
    config: RunConfig,
    method: str,
    targets: Mapping[str, DataConfig],
    *,
    split: Path | None = None,
    fold: int = 0,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> TrainedSeveral:
    """Train a method on each target of a table; the model of each is that of `train`.

    A method that learns several targets together is trained once.

    Parameters
    ----------
    config : RunConfig
        Intervals and settings of the method; its data are those of `targets`.
    method : str
        Name of a method whose models can be saved.
    targets : mapping of str to DataConfig
        See `xtalshift.data.several.settings_of_targets`.
    split, fold, minutes, progress, checkpoint
        As in `xtalshift.jobs.train.train`, for each target.

    Raises
    ------
    XtalshiftError
        As `xtalshift.jobs.train.train`; the message names the target.
    """
    settled = {name: settle_data(data, method) for name, data in targets.items()}
    inputs = read_several(settled, progress)
    if fits_jointly(method):
        if split is not None:
            raise ConfigError(
                f"--split gives each target rows of its own, and {method} is fitted to all "
                "together; leave it out, or choose another method"
            )
        return _train_jointly(config, method, inputs, settled, minutes, progress, checkpoint)
    settled = settings_of_kinds(settled, {name: own.data for name, own in inputs.items()})
    for name, own in inputs.items():
        check_rows(len(own.data), f" of target {name!r}")
        if own.data.classes is not None:  # refused before any fit, if it is not for classes
            _check_method(name, method, config)
    parts: dict[str, Trained | TrainedClasses] = {}
    for name, own in inputs.items():
        progress.say(f"Target {name}: {plural(len(own.data), 'material')}")
        try:
            trained = train_inputs(
                config.model_copy(update={"data": settled[name]}),
                method,
                own,
                split=split,
                fold=fold,
                minutes=minutes,
                progress=progress,
                checkpoint=_own(checkpoint, len(parts)),
            )
        except XtalshiftError as error:
            raise type(error)(f"target {name!r}: {error}") from error
        parts[name] = trained
    fits = {name: TargetFit(one.model, one.inputs.data, one.rows) for name, one in parts.items()}
    return TrainedSeveral(join_models(fits, config.intervals, progress), parts)


def _check_method(target: str, method: str, config: RunConfig) -> None:
    """Raise `ConfigError` if a method cannot learn a target that is a class."""
    try:
        build_classifier(method, config, seed=None)
    except XtalshiftError as error:
        raise type(error)(f"target {target!r}: {error}") from error


def _train_jointly(
    config: RunConfig,
    method: str,
    inputs: Mapping[str, Inputs],
    settled: Mapping[str, DataConfig],
    minutes: float | None,
    progress: Progress,
    checkpoint: Path | None,
) -> TrainedSeveral:
    """Train one network of all targets."""
    if minutes is not None:
        raise ConfigError(f"{method} keeps no budget of minutes; the method auto does")
    for name, own in inputs.items():
        check_rows(len(own.data), f" of target {name!r}")
    threads = config.threads or count_cores()
    with limited_threads(threads):
        fits = fit_jointly(
            inputs,
            method,
            transforms={name: one.transform for name, one in settled.items()},
            settings=config.model_copy(update={"threads": threads}),
            intervals=config.intervals,
            validation_share=config.split.validation_share,
            seed=config.seed,
            progress=progress,
            checkpoint=_own(checkpoint, 0),
        )
        parts = {
            name: judged(one.model, inputs[name], one.rows)
            for name, one in fits.items()
            if isinstance(one.model, FittedModel)
        }
    return TrainedSeveral(join_models(fits, config.intervals, progress), parts)


def kept_of(checkpoint: Path) -> list[Path]:
    """Return the files in which trainings of several targets have kept their state."""
    return sorted(checkpoint.parent.glob(f"{checkpoint.name}-*"))


def _own(checkpoint: Path | None, number: int) -> Path | None:
    """Return the file in which the training of a target keeps its state."""
    if checkpoint is None:
        return None
    return checkpoint.with_name(f"{checkpoint.name}-{number + 1}")
