"""Scores of class probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.errors import DataError
from xtalshift.metrics.class_checks import FloatArray, IntArray, as_labelled, as_labels
from xtalshift.metrics.reliability import reliability

SMALLEST = float(np.finfo(np.float64).eps)
"""Probability that a smaller one counts as in the log loss, which would be infinite for 0."""


class ClassificationScores(NamedTuple):
    """Scores of one classifier on one set of rows.

    The dummy predicts the shares of the classes in training. A score that is not defined for these
    rows, because they have only one class or the dummy makes no error, is NaN.

    Attributes
    ----------
    n : int
        Number of rows.
    balanced_accuracy : float
        Mean over the classes of these rows of the share that is predicted right.
    accuracy : float
        Share of the rows whose predicted class is right. A dummy may have a high one.
    roc_auc : float
        Area under the ROC curve of each class of these rows against the others, mean over classes.
    average_precision : float
        Likewise the area under the precision-recall curve, as a sum of steps.
    brier : float
        Half of the mean over rows of ``sum_k (p_k - [y = k])**2``, from 0 to 1; for two classes
        ``(p - y)**2``.
    log_loss : float
        Mean of ``-log p_y``, in nats, with p_y of at least 2.2e-16.
    ece : float
        Expected calibration error of the predicted class in 15 bins of equal mass.
    log_loss_over_dummy, brier_over_dummy : float
        The score over that of the dummy: 1 is no better.
    balanced_accuracy_dummy : float
        That of the dummy, which always predicts the class that is most frequent in training.
    """

    n: int
    balanced_accuracy: float
    accuracy: float
    roc_auc: float
    average_precision: float
    brier: float
    log_loss: float
    ece: float
    log_loss_over_dummy: float
    brier_over_dummy: float
    balanced_accuracy_dummy: float


def classification_scores(
    labels: ArrayLike, probabilities: ArrayLike, *, train_shares: ArrayLike
) -> ClassificationScores:
    """Return the scores of class probabilities, absolute and relative to the dummy.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    probabilities : array_like of float, shape (n, k)
        Of each class; the first of equally probable ones is the predicted class.
    train_shares : array_like of float, shape (k,)
        Share of each class in training, which sum to 1.

    Raises
    ------
    DataError
        If a label is no class, a row of probabilities or the shares are no distribution, or shapes
        differ.

    References
    ----------
    Brier, Mon. Weather Rev. 78, 1 (1950); Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359
    (2007); Guo et al., ICML 2017, for the calibration error.

    Examples
    --------
    >>> scores = classification_scores([0, 1], [[0.5, 0.5], [0.0, 1.0]], train_shares=[0.5, 0.5])
    >>> scores.brier, round(scores.log_loss, 4), round(scores.log_loss_over_dummy, 4)
    (0.125, 0.3466, 0.5)
    """
    y, p = as_labelled(labels, probabilities)
    shares = np.asarray(train_shares, dtype=np.float64)
    if shares.shape != (p.shape[1],):
        raise DataError(f"{shares.shape=} and {p.shape=}: expected one share per class")
    _, dummy = as_labelled(y, np.broadcast_to(shares, p.shape))
    brier, loss = brier_score(y, p), log_loss(y, p)
    dummy_brier, dummy_loss = brier_score(y, dummy), log_loss(y, dummy)
    predicted = np.argmax(p, axis=1)
    auc, precision = _one_against_rest(y, p)
    return ClassificationScores(
        n=len(y),
        balanced_accuracy=_balanced_accuracy(y, predicted),
        accuracy=float(np.mean(predicted == y)),
        roc_auc=auc,
        average_precision=precision,
        brier=brier,
        log_loss=loss,
        ece=reliability(y, p).ece,
        log_loss_over_dummy=_over(loss, dummy_loss),
        brier_over_dummy=_over(brier, dummy_brier),
        balanced_accuracy_dummy=_balanced_accuracy(y, np.argmax(dummy, axis=1)),
    )


def log_losses(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """Return the log loss of each row, shape (n,), see `ClassificationScores.log_loss`."""
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(own, SMALLEST, 1.0 - SMALLEST)))


def log_loss(labels: IntArray, probabilities: FloatArray) -> float:
    """Return the mean log loss, see `ClassificationScores`."""
    return float(np.mean(log_losses(labels, probabilities)))


def brier_score(labels: IntArray, probabilities: FloatArray) -> float:
    """Return the Brier score, see `ClassificationScores`."""
    error = probabilities.copy()
    error[np.arange(len(labels)), labels] -= 1.0
    return float(np.mean(np.sum(error**2, axis=1))) / 2


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int) -> IntArray:
    """Return how many rows of each class (first axis) are predicted as which (second axis).

    Parameters
    ----------
    labels, predicted : array_like of int, shape (n,)
        Class numbers.
    n_classes : int
        Number of classes k.

    Returns
    -------
    ndarray of int64, shape (k, k)

    Raises
    ------
    DataError
        If a number is no class or the lengths differ.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    y, z = as_labels(labels, n_classes), as_labels(predicted, n_classes, "predicted")
    if y.shape != z.shape:
        raise DataError(f"{y.shape=} and {z.shape=}: expected equal lengths")
    counts = np.bincount(y * n_classes + z, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def class_number_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean absolute error of the number of the predicted class, for ordered classes.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers, in the order of the classes.
    probabilities : array_like of float, shape (n, k)
        Of each class; the first of equally probable ones is the predicted class.

    Raises
    ------
    DataError
        If a label is no class or a row of probabilities no distribution.

    Examples
    --------
    >>> class_number_error([0, 2], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    1.0
    """
    y, p = as_labelled(labels, probabilities)
    return float(np.mean(np.abs(np.argmax(p, axis=1) - y)))


def _over(score: float, dummy: float) -> float:
    return score / dummy if dummy > 2 * SMALLEST else float("nan")


def _balanced_accuracy(y: IntArray, predicted: IntArray) -> float:
    if (y == y[0]).all():
        return float("nan")
    counts = np.bincount(y)
    right = np.bincount(y[predicted == y], minlength=len(counts))
    return float(np.mean(right[counts > 0] / counts[counts > 0]))


def _one_against_rest(y: IntArray, p: FloatArray) -> tuple[float, float]:
    """Return the area under the ROC curve and the average precision, mean over the classes."""
    from scipy.stats import rankdata  # a model that only predicts does not need it

    held = np.unique(y)
    if len(held) < 2:  # noqa: PLR2004 - nothing to tell apart
        return float("nan"), float("nan")
    areas, precisions = [], []
    for number in held:
        own, scores = y == number, p[:, number]
        n, m = int(own.sum()), int((~own).sum())
        areas.append((rankdata(scores)[own].sum() - n * (n + 1) / 2) / (n * m))
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        last = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))  # of equal scores
        found = np.cumsum(own[order])[last]
        gained = np.diff(found, prepend=0) / n
        precisions.append(float(np.sum(gained * found / (last + 1))))
    return float(np.mean(areas)), float(np.mean(precisions))
