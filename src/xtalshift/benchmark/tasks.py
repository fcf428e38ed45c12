"""The tasks of a benchmark, each with an id that depends only on its content."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator

from xtalshift.benchmark.plugins import PLUGIN_PREFIX
from xtalshift.benchmark.problem import Problem, Shared
from xtalshift.benchmark.spec import BenchmarkSpec, MethodEntry
from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import Blocks
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.model.fitting import keeps_budget
from xtalshift.nn.device import resolve_device

ID_VERSION = 6
"""Raise it when the same settings give other numbers than before, so that old records are not
reused."""
NO_NUMBER = frozenset({"random_state", "threads", "device"})
"""Arguments that stand elsewhere in an id, or change no number."""


@dataclass(frozen=True)
class Task:
    """One training of one method and its evaluation."""

    id: str
    """Hash of everything that its numbers depend on, except versions and hardware."""
    fold: str
    """Key of `Shared.folds`."""
    name: str
    method: str
    features: Blocks
    """`name`, `method`, `features`: name in tables, key of `METHODS`, features."""
    params: Plain
    """Arguments of the regressor that differ from the settings."""
    budget: int
    """Number of target labels; 0 for methods that use none."""


class TaskContext(Settings):
    """What all tasks of a benchmark share besides the rows."""

    settings: MethodSettings
    """Settings of all methods."""
    trials: int = 0
    """See `TuningConfig`."""
    minutes: float | None = None
    """Wall minutes of each fit of a stack."""
    keep: Path | None = None
    """Folder in which each task saves its predictions, its model and its training history, and from
    which an interrupted training continues."""

    @classmethod
    def of(cls, spec: BenchmarkSpec, keep: Path | None = None) -> Self:
        """Return the common part of a specification, with the device of this process."""
        values = {name: getattr(spec, name) for name in MethodSettings.model_fields}
        # `auto` could be another device, and so another network, on another machine
        values["device"] = str(resolve_device(spec.device))
        settings = MethodSettings(**values)
        return cls(settings=settings, trials=spec.tuning.trials, minutes=spec.minutes, keep=keep)


def plan_tasks(spec: BenchmarkSpec, shared: Shared) -> list[Task]:
    """Return all tasks, seed by seed, so that early results compare all methods.

    Within a seed the longest tasks come first, so that no worker waits for one at the end.

    Parameters
    ----------
    spec : BenchmarkSpec
        Specification with the dummy, see `BenchmarkSpec.check_methods`.
    shared : Shared
        Rows and folds.
    """
    _refuse_doubles(spec)
    context = TaskContext.of(spec)
    hashes = {key: fold.sha256() for key, fold in shared.folds.items()}
    # these are the same on every fold
    content = {
        (entry.name, name): (_arguments(entry, problem, context), _source(entry.method))
        for entry in spec.methods
        for name, problem in shared.problems.items()
    }
    tasks = [
        _make(
            entry,
            name,
            features,
            key,
            budget,
            hashes[key],
            content[entry.name, fold.data],
            shared,
            context,
        )
        for key, fold in shared.folds.items()
        for entry in spec.methods
        for name, features in _features(entry, spec)
        for budget in (fold.budgets if METHODS[entry.method].target_access == "labels" else (0,))
    ]
    return sorted(
        tasks, key=lambda task: (shared.folds[task.fold].seed, -METHODS[task.method].cost)
    )


def _features(entry: MethodEntry, spec: BenchmarkSpec) -> Iterator[tuple[str, Blocks]]:
    """Yield the features of a method, each with the name in tables."""
    own = entry.own_features
    if own or len(spec.features) == 1:
        yield entry.name, own or spec.features[0]
        return
    for features in spec.features:
        yield f"{entry.name}@{features}", features


def _make(
    entry: MethodEntry,
    name: str,
    features: Blocks,
    key: str,
    budget: int,
    rows: str,
    own: tuple[Plain, str],
    shared: Shared,
    context: TaskContext,
) -> Task:
    fold = shared.folds[key]
    problem = shared.problems[fold.data]
    made = problem.settings
    content = {
        "version": ID_VERSION,
        "data": [
            problem.data.description.sha256, made.transform, made.impute_nan,
            made.notation.hydrates, made.feature_cols, *([made.amounts] if made.amounts else []),
        ],
        "fold": [fold.data, fold.split, fold.fold, fold.seed, fold.tail, rows],
        "method": [entry.method, features, *own, *_encoder(problem.blocks(features))],
        "budget": budget,
        "trials": context.trials,
    }  # fmt: skip
    if problem.beside(entry.method):
        beside = [one for one in (problem.lower, *problem.others.values()) if one is not None]
        content["beside"] = [*(one.description.sha256 for one in beside), *problem.targets]
    if shared.choice is not None and shared.choice.fold == key:
        content["choice"] = shared.choice.content()
    text = json.dumps(content, sort_keys=True)
    task_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Task(task_id, key, name, entry.method, features, entry.params, budget)


def _encoder(features: Blocks) -> list[str]:
    """Return the SHA-256 of the encoder behind some features, if they need one."""
    encoder = encoder_of(features)
    return [] if encoder is None else [encoder.card.arrays_sha256]


def _refuse_doubles(spec: BenchmarkSpec) -> None:
    names = [name for entry in spec.methods for name, _ in _features(entry, spec)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"two methods have the name {min(twice)!r}; give them different names")


def _arguments(entry: MethodEntry, problem: Problem, context: TaskContext) -> Plain:
    """Return the arguments of the regressor of a method, except those that change no number."""
    try:
        regressor = problem.build(entry.method, context.settings, seed=0, params=entry.params)
        if context.minutes is not None and keeps_budget(regressor):
            regressor.set_params(minutes=context.minutes)
    except ConfigError:
        raise  # a wrong argument is reported before anything runs
    except Exception as error:  # noqa: BLE001 - the task will fail, and say so in its record
        return {"failed": repr(error)}
    return {
        name: type(value).__name__ if isinstance(value, BaseEstimator) else _settled(value)
        for name, value in regressor.get_params(deep=True).items()
        if name.rpartition("__")[2] not in NO_NUMBER
    }


def _settled(value: Any) -> Any:
    """Return an argument as plain JSON values that are the same in every process.

    The text of a set depends on the process, that of a regressor leaves out much of a long one, and
    that of an object may have its place in memory.
    """
    if isinstance(value, BaseEstimator):
        return [type(value).__name__, _settled(value.get_params(deep=False))]
    if is_dataclass(value) and not isinstance(value, type):
        own = {one.name: getattr(value, one.name) for one in fields(value)}
        return [type(value).__name__, _settled(own)]
    if isinstance(value, Mapping):
        return {str(k): _settled(one) for k, one in value.items() if k not in NO_NUMBER}
    if isinstance(value, (set, frozenset)):
        return sorted(str(one) for one in value)
    if isinstance(value, (list, tuple)):
        return [_settled(one) for one in value]
    plain = value is None or isinstance(value, (str, int, float))
    return value if plain else re.sub(r" at 0x[0-9a-fA-F]+", "", str(value))


def _source(name: str) -> str:
    """Return text that identifies the code of a user's method, which may change between runs."""
    method = METHODS[name]
    package = method.module.partition(".")[0]
    if package == "xtalshift":
        return ""
    if package.startswith(PLUGIN_PREFIX):
        return package  # its name has the hash of the file
    try:
        text = inspect.getsource(sys.modules[method.module])
    except (OSError, TypeError, KeyError):  # typed at a prompt, so there is no file
        return method.module
    return hashlib.sha256(text.encode()).hexdigest()
