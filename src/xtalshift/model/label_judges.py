"""Which labels of a new region may judge an adaptation, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.errors import DataError
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.metrics.classification import log_losses
from xtalshift.model.fitted import FittedModel
from xtalshift.model.material_model import MaterialModel
from xtalshift.progress import Progress

FloatArray = NDArray[np.float64]
LEAST_UNSEEN = 20
"""Fewest labels that the encoder has not seen, if these alone are to judge."""


@dataclass(frozen=True)
class CrossFit:
    """Errors (in the unit of the target) or log losses of labels that were held out in turn."""

    n: int
    """Number of labels that were held out."""
    before: float
    after: float
    constant: float
    """`before`, `after`, `constant`: mean error of the model, of adaptations to the other labels,
    and of the mean, or the shares of the classes, of the other labels."""
    standard_error: float | None
    """Standard error of the difference of `before` and `after`; None for a single label."""
    kept: bool
    """Whether the model keeps its predictions, because nothing was better by more than chance."""
    factors: tuple[float, float, float] | None = None
    """`before`, `after` and `constant` as factors, exp(mean |ln(prediction / label)|), if the model
    has the scale ``log``."""


def known_labels(
    model: MaterialModel, labels: Dataset, X: FloatArray, progress: Progress
) -> NDArray[np.bool_]:
    """Return which labels belong to training materials of the model, and report their number.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        Any model.
    labels : Dataset
        n labels.
    X : ndarray of float64, shape (n, d)
        Their features.
    progress : Progress
        Receives the warning.
    """
    known = model.was_trained_on(X)
    if known.any():
        progress.say(
            f"warning: {known.sum():,} of the {len(labels):,} labelled materials are training "
            "materials of the model: its error there is too small to test it, and they are not "
            "used for the intervals"
        )
    return known


def find_judges(
    model: MaterialModel, labels: Dataset, X: FloatArray, progress: Progress
) -> NDArray[np.bool_]:
    """Return which labels can tell how good a model is, shape (n,).

    Those that neither it nor the encoder of its features was trained on; if the latter leaves too
    few, those that it was not trained on.

    Parameters
    ----------
    model, labels, X, progress
        As in `known_labels`.

    Raises
    ------
    DataError
        If it was trained on all of them.
    """
    fresh = ~known_labels(model, labels, X, progress)
    if not fresh.any():
        raise DataError(
            f"all {len(labels):,} labelled materials are training materials of the model, which "
            "learns nothing new from them; give values of materials of the new region"
        )
    encoder = encoder_of(model.featurizer)
    if encoder is None:
        return fresh
    seen = fresh & encoder.knows(labels.groups)
    enough = (fresh & ~seen).sum() >= LEAST_UNSEEN
    if enough and seen.any():
        progress.say(
            f"{seen.sum():,} of the {len(labels):,} labelled materials were seen by the encoder of "
            "the features, which may know their values: they train the adaptation, but do not "
            "judge it"
        )
    return fresh & ~seen if enough else fresh


def judge(
    model: FittedModel,
    labels: Dataset,
    X: FloatArray,
    told: NDArray[np.int64],
    center: FloatArray,
    *,
    kept: bool,
) -> CrossFit:
    """Return the errors of the labels that were held out in turn.

    Parameters
    ----------
    model : FittedModel
        Before the adaptation.
    labels, X
        n labels and their features, shape (n, d).
    told : ndarray of int64, shape (m,)
        Numbers of those that were held out.
    center : ndarray of float64, shape (m,)
        Their predictions, on the scale of the model, by what was not adapted to them.
    kept : bool
        Whether the model keeps its predictions.
    """
    y = labels.y[told]
    start = model.regressor.predict(X[told])
    others = (labels.y.sum() - y) / max(len(labels) - 1, 1)
    before, after = (np.abs(model.scale.inverse(z) - y) for z in (start, center))
    gain = before - after
    factors = None
    if model.scale.name == "log":
        z = np.log(y)
        one, two, three = (
            float(np.exp(np.abs(found - z).mean())) for found in (start, center, np.log(others))
        )
        factors = (one, two, three)
    return CrossFit(
        len(told),
        float(before.mean()),
        float(after.mean()),
        float(np.abs(others - y).mean()),
        float(gain.std(ddof=1) / np.sqrt(len(told))) if len(told) > 1 else None,
        kept,
        factors,
    )


def judge_classes(
    before: FloatArray,
    after: FloatArray,
    codes: NDArray[np.int64],
    told: NDArray[np.int64],
    *,
    kept: bool,
) -> CrossFit:
    """Return the log losses of the labels that were held out in turn.

    Parameters
    ----------
    before, after : ndarray of float64, shape (m, k)
        Probabilities of the labels that were held out, by the model and by what was not adapted to
        them.
    codes : ndarray of int64, shape (n,)
        Class numbers of all labels.
    told : ndarray of int64, shape (m,)
        Numbers of those that were held out.
    kept : bool
        Whether the model keeps its predictions.
    """
    y, k = codes[told], before.shape[1]
    # of the other labels, and of one more that is split evenly: a class may have a single label
    others = np.bincount(codes, minlength=k) - np.eye(k)[y] + 1 / k
    constant = log_losses(y, others / others.sum(axis=1, keepdims=True))
    start, end = log_losses(y, before), log_losses(y, after)
    gain = start - end
    return CrossFit(
        len(told),
        float(start.mean()),
        float(end.mean()),
        float(constant.mean()),
        float(gain.std(ddof=1) / np.sqrt(len(told))) if len(told) > 1 else None,
        kept,
    )
