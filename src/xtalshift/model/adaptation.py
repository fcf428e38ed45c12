"""Adapt a fitted model to a target domain, and calibrate it on the same labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from xtalshift.estimators.predictors import Learned
    from xtalshift.uncertainty.class_calibration import ClassCalibration
    from xtalshift.uncertainty.conformal import Calibration

M = TypeVar("M", bound=FittedModel | FittedClassifier)

AUTO = "auto"
"""Name of the adaptation that works for every model."""


def adapt(
    model: M,
    labels: Dataset,
    *,
    source: Dataset | None = None,
    method: str = AUTO,
    settings: Mapping[str, Any] | None = None,
    calibration_folds: int = 5,
    seed: int | None = 0,
    workers: int = 1,
    progress: Progress = NO_PROGRESS,
) -> M:
    """Return the model adapted to a target domain; the given model does not change.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        Any model for ``auto``, a fitted network of numbers for the other methods.
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
        those of the same folds. For classes the log loss decides, and prediction sets are those of
        the folds; see `xtalshift.estimators.AdaptedStackClassifier`. For the others see
        `xtalshift.estimators.TargetedCALRegressor`.
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
        If the method needs a network of numbers and the model is none, or rows that are missing.
    DataError
        If all labels belong to training materials, or to one formula, or one is no class of the
        model.
    FormulaError
        If a formula cannot be read.
    """
    if method != AUTO:
        refuse_classes(model, method)
    labels = _cleaned(labels, "labels", progress)
    if source is not None:
        source = _cleaned(source, "source rows", progress)
    X, start = model.features_of(labels.materials), model  # `start` keeps its type
    if method == AUTO:
        if settings:
            raise ConfigError(f"method 'auto' has no settings; got {', '.join(settings)}")
        if isinstance(model, FittedClassifier):
            from xtalshift.model.class_adaptation import adapt_classes, with_classes_of

            labels = with_classes_of(labels, model)
            of_classes = adapt_classes(model, labels, X, source, seed=seed, progress=progress)
            return _renewed(start, labels, X, method, *of_classes)
        from xtalshift.model.stacked_adaptation import adapt_by_stack

        assert isinstance(model, FittedModel)
        found = adapt_by_stack(model, labels, X, source, seed=seed, progress=progress)
        return _renewed(start, labels, X, method, *found)
    from xtalshift.model.network_adaptation import adapt_by_network

    assert isinstance(model, FittedModel)
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
    return _renewed(start, labels, X, method, *found)


def refuse_classes(model: object, method: str) -> None:
    """Raise `ConfigError` for a model of classes, which no network adaptation can change."""
    if isinstance(model, FittedClassifier):
        raise ConfigError(
            f"method {method!r} is for models of numbers, and this one predicts the classes "
            f"{', '.join(model.classes)}; use method 'auto', which adapts any model"
        )


def _renewed(
    model: M,
    labels: Dataset,
    X: NDArray[np.float64],
    method: str,
    learned: Learned,
    calibration: Calibration | ClassCalibration | None,
    said: Mapping[str, Any],
) -> M:
    """Return a model with another estimator, whose domain has the labels too.

    A model that keeps its predictions has learned nothing from them, so that its domain stays.
    """
    domain = model.domain
    kept = learned is model.learned
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
    changes: dict[str, Any] = {
        "classifier" if isinstance(model, FittedClassifier) else "regressor": learned,
        "domain": domain,
        "calibration": calibration,
        "card": replace(model.card, provenance=provenance),
    }
    return replace(model, **changes)


def _cleaned(data: Dataset, what: str, progress: Progress) -> Dataset:
    """Return the data set, cleaned if it has targets and has not been cleaned, without bounds."""
    if data.intake is None and data.targets is not None:
        data = clean_table(data)
    n = int(data.bounded.sum())
    if not n:
        return data
    progress.say(f"{n:,} of the {len(data):,} {what} have bounds, and are left out")
    return data.take(~data.bounded)
