"""Train one method on a table with several targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xtalshift.data.settings import DataConfig
from xtalshift.errors import XtalshiftError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jobs.train import Trained, settle_data, train_inputs
from xtalshift.model.several import FittedModels
from xtalshift.model.several_fitting import TargetFit, join_models
from xtalshift.model.several_inputs import read_several
from xtalshift.progress import NO_PROGRESS, Progress


@dataclass(frozen=True)
class TrainedSeveral:
    """Models of several targets, and what `train` says of each."""

    models: FittedModels
    parts: Mapping[str, Trained]


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
    parts: dict[str, Trained] = {}
    for name, own in inputs.items():
        progress.say(f"Target {name}: {len(own.data):,} materials")
        try:
            parts[name] = train_inputs(
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
    fits = {name: TargetFit(one.model, one.inputs.data, one.rows) for name, one in parts.items()}
    return TrainedSeveral(join_models(fits, config.intervals, progress), parts)


def kept_of(checkpoint: Path) -> list[Path]:
    """Return the files in which trainings of several targets have kept their state."""
    return sorted(checkpoint.parent.glob(f"{checkpoint.name}-*"))


def _own(checkpoint: Path | None, number: int) -> Path | None:
    """Return the file in which the training of a target keeps its state."""
    if checkpoint is None:
        return None
    return checkpoint.with_name(f"{checkpoint.name}-{number + 1}")
