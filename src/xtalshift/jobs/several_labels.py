"""Adapt or calibrate models of several targets, each by the labels that a file has of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError, UsageError, XtalshiftError
from xtalshift.jobs.adapt import Adapted, Calibrated, CalibratedClasses, has_column
from xtalshift.model.several import AnyModel, FittedModels
from xtalshift.progress import NO_PROGRESS, Progress

T = TypeVar("T", Adapted[Any], Calibrated | CalibratedClasses)


@dataclass(frozen=True)
class LabelledSeveral(Generic[T]):
    """Models of several targets after the labels of a file, and what became of each."""

    models: FittedModels
    """Without joint intervals if the calibration of any target that is a number is another one."""
    parts: dict[str, T]
    """The targets that the file has a column of."""


def use_labels(
    models: FittedModels,
    labelled: DataConfig,
    work: Callable[[AnyModel, DataConfig], T],
    progress: Progress = NO_PROGRESS,
) -> LabelledSeveral[T]:
    """Adapt or calibrate the model of each target that a file has a column of.

    Rows may lack some targets. The others stay as they are.

    Parameters
    ----------
    models : FittedModels
        They do not change.
    labelled : DataConfig
        The file; its targets are those of the models.
    work : callable
        Takes the model of a target and the settings of the file with this target.
    progress : Progress
        Told which target is next.

    Raises
    ------
    UsageError
        If the settings name a target or a unit.
    DataError
        If the file has a column of no target, or the rows of one cannot be used.
    """
    if labelled.target is not None or labelled.unit:
        raise UsageError(
            "--target and --unit are for a model of one target; these are of "
            f"{', '.join(models.targets)}, which the columns of the file must have as names"
        )
    parts: dict[str, T] = {}
    changed = dict(models.models)
    for name, model in models.models.items():
        if not has_column(labelled, model.card.target_name):
            progress.say(f"Target {name}: {labelled.dataset} has no such column; it stays as it is")
            continue
        progress.say(f"Target {name}")
        own = labelled.model_copy(update={"target": model.card.target_name})
        try:
            parts[name] = work(model, own)
        except XtalshiftError as error:
            raise type(error)(f"target {name!r}: {error}") from error
        changed[name] = parts[name].model
    if not parts:
        raise DataError(
            f"{labelled.dataset} has a column of none of the targets {', '.join(models.targets)}"
        )
    same = all(changed[name].calibration is one.calibration for name, one in models.numbers.items())
    return LabelledSeveral(FittedModels(changed, models.joint_rows if same else None), parts)
