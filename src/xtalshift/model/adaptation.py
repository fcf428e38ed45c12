"""Adapt a fitted model to a target domain, and calibrate it on the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift._version import __version__
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import known_crystals
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import Calibration

if TYPE_CHECKING:
    from xtalshift.estimators.predictors import Predictor

AUTO = "auto"
"""Name of the adaptation that works for every model."""


def adapt(
    model: FittedModel,
    labels: Dataset,
    *,
    source: Dataset | None = None,
    method: str = AUTO,
    settings: Mapping[str, Any] | None = None,
    calibration_folds: int = 5,
    seed: int | None = 0,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> FittedModel:
    """Return the model adapted to a target domain; the given model does not change.

    Parameters
    ----------
    model : FittedModel
        Any model for ``auto``, a fitted network for the other methods.
    labels : Dataset
        Materials of the target domain; only the ``unlabelled-cal`` methods need no targets. A data
        set that has not been cleaned is cleaned first, as in `fit`.
    source : Dataset, optional
        Labelled source rows to replay. For ``auto`` by default those that the domain of the model
        remembers; a network may forget what is not replayed.
    method : str, default "auto"
        ``auto``: corrections of the model, combined by a cross-fit of the labels, see
        `xtalshift.estimators.AdaptedStackRegressor`. It keeps the predictions of the model unless
        the combination has a smaller error on labels that did not choose it, and its intervals are
        those of the same folds. For the others see `xtalshift.estimators.TargetedCALRegressor`.
    settings : mapping, optional
        Settings of the method, as in `TargetedCALRegressor`; ``auto`` has none.
    calibration_folds : int, default 5
        Number of further adaptations of a network, each without one part of the labels. The errors
        on these parts, which selected no parameters, decide whether the model is adapted, as by
        ``auto``, and calibrate the intervals of the target domain (four labels per fold, or more).
        0 for neither: the network is adapted unjudged. ``auto`` needs none.
    seed : int, optional
        Seed of validation rows, folds, batches and dropout.
    workers : int, default 1
        Largest number of processes for the further adaptations; as in `fit`.
    progress : Progress
        Reports the progress of the adaptation.

    Raises
    ------
    ConfigError
        If the model predicts classes, or the method needs a network and the model is none, or rows
        that are missing.
    DataError
        If all labels belong to training materials, or to one formula.
    FormulaError
        If a formula cannot be read.
    """
    refuse_classes(model)
    labels = _cleaned(labels, "labels", progress)
    if source is not None:
        source = _cleaned(source, "source rows", progress)
    X = model.features_of(labels.materials)
    if method == AUTO:
        if settings:
            raise ConfigError(f"method 'auto' has no settings; got {', '.join(settings)}")
        from xtalshift.model.stacked_adaptation import adapt_by_stack

        found = adapt_by_stack(model, labels, X, source, seed=seed, progress=progress)
        return _renewed(model, labels, X, method, *found)
    from xtalshift.model.network_adaptation import adapt_by_network

    found = adapt_by_network(
        model,
        labels,
        X,
        source,
        method,
        settings,
        folds=calibration_folds,
        seed=seed,
        workers=workers,
        progress=progress,
    )
    return _renewed(model, labels, X, method, *found)


def refuse_classes(model: object) -> None:
    """Raise `ConfigError` for a model of classes, which has no adaptation."""
    if isinstance(model, FittedClassifier):
        raise ConfigError(
            "only models of numbers can be adapted, and this one predicts the classes "
            f"{', '.join(model.classes)}; calibrate it on labels of the new region (xtalshift "
            "calibrate), or train it again with these labels among the others"
        )


def _renewed(
    model: FittedModel,
    labels: Dataset,
    X: NDArray[np.float64],
    method: str,
    regressor: Predictor,
    calibration: Calibration | None,
    said: Mapping[str, Any],
) -> FittedModel:
    """Return a model with another regressor, whose domain has the labels too.

    A model that keeps its predictions has learned nothing from them, so that its domain stays.
    """
    domain = model.domain
    kept = regressor is model.regressor
    if domain is not None and labels.targets is not None and not kept:
        domain = domain.extend(
            X,
            labels.targets,
            labels.groups.tolist(),
            compositions=labels.materials.compositions,
            # a model of an earlier version does not know which crystals its materials are
            crystals=None if domain.crystals_ is None else known_crystals(labels.materials),
        )
    provenance = {
        "method": method,
        **said,
        "adapted_to": asdict(labels.description),
        "adapted_from": model.card.provenance,
        "version": __version__,
    }
    return replace(
        model,
        regressor=regressor,
        domain=domain,
        calibration=calibration,
        card=replace(model.card, provenance=provenance),
    )


def _cleaned(data: Dataset, what: str, progress: Progress) -> Dataset:
    """Return the data set, cleaned if it has targets and has not been cleaned, without bounds."""
    if data.intake is None and data.targets is not None:
        data = clean_table(data)
    n = int(data.bounded.sum())
    if not n:
        return data
    progress.say(f"{n:,} of the {len(data):,} {what} have bounds, and are left out")
    return data.take(~data.bounded)
