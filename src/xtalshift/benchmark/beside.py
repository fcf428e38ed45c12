"""Fit a method to the rows of a table with what others say: a cheaper fidelity, other targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import Problem
from xtalshift.data import Dataset
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks
from xtalshift.methods import MethodSettings
from xtalshift.model import FitRows, FittedModel
from xtalshift.model.fidelities import fit_fidelities
from xtalshift.model.fitting import held_out_calibration
from xtalshift.model.inputs import Inputs
from xtalshift.model.joint_fitting import fit_jointly
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig


def fit_beside(
    problem: Problem,
    method: str,
    features: Blocks,
    rows: FitRows,
    settings: MethodSettings,
    *,
    hidden: NDArray[np.int64] | None = None,
    params: Mapping[str, Any] | None = None,
    intervals: IntervalConfig,
    domain: ApplicabilityDomain | bool = True,
    seed: int,
    minutes: float | None = None,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> FittedModel:
    """Return a method fitted to rows of a problem and to rows beside it, as `fit` without these.

    Nothing of a material that is held out is learned from: rows of the cheaper fidelity are of
    other materials than the table, and values of other targets of materials that train here, or
    that the table does not have.

    Parameters
    ----------
    problem : Problem
        With rows of a cheaper fidelity or of other targets.
    method, features, rows, settings
        As in `xtalshift.fit`. Calibration rows calibrate the intervals.
    hidden : ndarray of int64, optional
        Rows of the table whose target is not known, though other targets of them are.
    params, intervals, domain, seed, minutes, workers, progress, checkpoint
        As in `xtalshift.fit`.
    """
    data, featurizer = problem.data, problem.featurizer(features)
    known = np.concatenate([rows.train, rows.validation])
    own = data.take(known)
    if problem.lower is not None:
        model = fit_fidelities(
            own, problem.lower, method, features=featurizer,
            transform=problem.settings.transform, settings=settings, params=params,
            intervals=intervals, domain=domain, seed=seed, minutes=minutes, workers=workers,
            progress=progress, checkpoint=checkpoint,
        ).model  # fmt: skip
    else:
        if params:
            raise ConfigError(f"{method} learns several targets together and takes no {params!r}")
        outside = np.setdiff1d(np.arange(len(data)), known if hidden is None else [*known, *hidden])
        model = _fit_jointly(
            problem, method, featurizer, own, data.groups[rows.validation],
            data.groups[outside].astype(str), settings, intervals, seed, progress, checkpoint,
        )  # fmt: skip
        if domain is not True:
            model = replace(model, domain=domain or None)
    if not len(rows.calibration):
        return model
    calibration = held_out_calibration(model, data, problem.X[features], rows.calibration)
    return replace(model, calibration=calibration)


def _fit_jointly(
    problem: Problem,
    method: str,
    featurizer: CompositionFeaturizer,
    own: Dataset,
    validation: NDArray[np.object_],
    held_out: NDArray[Any],
    settings: MethodSettings,
    intervals: IntervalConfig,
    seed: int,
    progress: Progress,
    checkpoint: Path | None,
) -> FittedModel:
    """Return the model of a problem's target of one network for all.

    Nothing is learned of the materials `held_out`.
    """
    mine, held_out = problem.target, np.setdiff1d(held_out, own.groups.astype(str))
    tables = {
        name: own if name == mine else problem.others[name].take(
            ~np.isin(problem.others[name].groups.astype(str), held_out)
        )
        for name in problem.targets
        if name == mine or name in problem.others
    }  # fmt: skip
    inputs = {
        name: Inputs(
            table,
            np.hstack([featurizer.transform(table.materials), table.materials.extra]),
            featurizer,
        )
        for name, table in tables.items()
    }
    fits = fit_jointly(
        inputs,
        method,
        transforms=dict.fromkeys(inputs, problem.settings.transform) | {**problem.transforms},
        settings=settings,
        intervals=intervals,
        validation=validation,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
    )
    model = fits[mine].model
    assert isinstance(model, FittedModel)
    return model
