"""From the settings of a table with several targets to clean data sets with features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xtalshift.data.dataset import Dataset
from xtalshift.data.settings import DataConfig, without_scale
from xtalshift.data.several import read_settings
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeatures, Features
from xtalshift.model.inputs import (
    Config,
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
    settings = settings_of_kinds(settings, tables)
    for name, one in settings.items():
        check_scale(tables[name], one.transform)
    cleaned = {name: only_clean(tables[name], one) for name, one in settings.items()}
    featurizer = featurizer_of(first)
    features = features_once(cleaned, featurizer)
    found = {}
    for name, data in cleaned.items():
        progress.say(f"Target {name}")
        found[name] = join_inputs(data, features[name], featurizer, settings[name], progress)
    return found


def settings_of_kinds(
    settings: Mapping[str, Config], tables: Mapping[str, Dataset]
) -> dict[str, Config]:
    """Return the settings of each target, those of classes without what only numbers have.

    Parameters
    ----------
    settings : mapping of str to DataConfig
        As in `read_several`; transform and bounds are those of all targets that are numbers.
    tables : mapping of str to Dataset
        What was read.

    Raises
    ------
    ConfigError
        If a target that is a class has a unit.
    """
    found = {}
    for name, one in settings.items():
        of_classes = tables[name].classes is not None
        if of_classes and one.unit:
            raise ConfigError(
                f"--unit {one.unit} is for {name!r}, which is a class; name those of the others: "
                f"--unit TARGET=UNIT"
            )
        found[name] = without_scale(one) if of_classes else one
    return found


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
