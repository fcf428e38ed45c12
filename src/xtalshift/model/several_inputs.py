"""From the settings of a table with several targets to clean data sets with features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xtalshift.data.dataset import Dataset
from xtalshift.data.settings import DataConfig
from xtalshift.data.several import read_settings
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.model.inputs import (
    Inputs,
    check_scale,
    featurizer_of,
    join_inputs,
    only_clean,
)
from xtalshift.progress import NO_PROGRESS, Progress


def read_several(
    settings: Mapping[str, DataConfig], progress: Progress = NO_PROGRESS
) -> dict[str, Inputs]:
    """Read and clean a table for each of several targets; compute features once for all.

    Parameters
    ----------
    settings : mapping of str to DataConfig
        See `xtalshift.data.several.settings_of_targets`.
    progress : Progress
        Receives downloads and, for each target, the findings of cleaning.

    Raises
    ------
    DataError
        If the data cannot be used; the message names the target.
    """
    first = next(iter(settings.values()))
    progress.say(f"Reading {first.dataset}")
    tables, holes = read_settings(settings, progress)
    for hole in holes:
        progress.say(f"  {hole.describe()}")
    for name, one in settings.items():
        refuse_classes(name, tables[name])
        check_scale(tables[name], one.transform)
    cleaned = {name: only_clean(tables[name], one) for name, one in settings.items()}
    featurizer = featurizer_of(first)
    features = features_once(cleaned, featurizer)
    found = {}
    for name, data in cleaned.items():
        progress.say(f"Target {name}")
        found[name] = join_inputs(data, features[name], featurizer, settings[name], progress)
    return found


def refuse_classes(name: str, table: Dataset) -> None:
    """Raise `ConfigError` if a target is a class: models of several are of numbers."""
    if table.classes is not None:
        raise ConfigError(
            f"target {name!r} is a class ({', '.join(table.classes[:5])}), and several targets "
            "must be numbers: train it by a command of its own, or give --task regression"
        )


def features_once(
    tables: Mapping[str, Dataset], featurizer: CompositionFeatures
) -> dict[str, Features]:
    """Return the features of the rows of several data sets of one table.

    The materials of a row of the table are the same in each of them, and featurized once.
    """
    places: dict[int, int] = {}  # row of the table -> row of what is featurized
    parts = []
    for table in tables.values():
        new = np.array([number not in places for number in table.row_numbers], dtype=np.bool_)
        places |= {
            number: len(places) + k for k, number in enumerate(table.row_numbers[new].tolist())
        }
        parts.append(featurizer.featurize(table.materials.take(new)))
    values = np.concatenate([part.values for part in parts])
    reasons = np.concatenate([part.reasons for part in parts])
    joined = Features(values, parts[0].names, reasons)
    return {
        name: joined.take([places[number] for number in table.row_numbers.tolist()])
        for name, table in tables.items()
    }
