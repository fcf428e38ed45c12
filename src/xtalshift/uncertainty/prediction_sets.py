"""Prediction sets: the classes that rows which the model was not trained on leave possible.

===============================================  ===============
symbol                                           variable
===============================================  ===============
probability of class k                           ``p[:, k]``
conformity score of the class of row i           ``scores``
density ratio w(x) of target to source           ``weights``
ratio of the share of class k, target to source  ``class_ratios``
===============================================  ===============

The code is our own, and the tests compare it with MAPIE where that makes the same sets: a
calibration is saved without pickle and judged without the classifier, and MAPIE has no sets per
class, under covariate shift or under label shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.metrics.checks import as_vector, check_level
from xtalshift.metrics.class_checks import as_labelled, as_probabilities
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays
from xtalshift.uncertainty.conformal import ScoreLaw

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SetKind = Literal["lac", "aps", "class-conditional"]

_ROUNDING = 1e-12
"""Scores that differ by less are equal: the same sum is rounded differently in another order."""

_SAVED: Schema = {
    "sets.scores": SavedArray(np.float64, ("n",), low=0.0, high=1.0),
    "sets.labels": SavedArray(np.int64, ("n",), low=0),
}


def class_scores(
    probabilities: ArrayLike, kind: SetKind = "lac", *, own_share: ArrayLike = 0.5
) -> FloatArray:
    """Return the conformity score that each row would have if it were of each class.

    Parameters
    ----------
    probabilities : array_like of float, shape (n, k)
        Of each class.
    kind : {"lac", "aps", "class-conditional"}
        ``lac`` (and ``class-conditional``, which differs in its quantiles): one minus the
        probability of the class. ``aps``: the probability of all classes that are more probable,
        and a share of its own.
    own_share : array_like of float, shape () or (n,)
        This share, in [0, 1]. Random ones (Romano et al., equation 5) give the same material
        another set each time; with 1 the least probable of few classes always has the score 1, and
        such ties make sets too large. The middle of the step, 1/2, has neither fault, and any
        fixed choice has the same guarantee.

    Returns
    -------
    ndarray of float64, shape (n, k)
        From 0 to 1. Equally probable classes come in the order of their numbers.

    Raises
    ------
    DataError
        If a row is no distribution.
    ConfigError
        If the kind is unknown.

    References
    ----------
    Sadinle, Lei and Wasserman, J. Am. Stat. Assoc. 114, 223 (2019): least ambiguous classifiers
    (LAC). Romano, Sesia and Candes, NeurIPS 2020: adaptive prediction sets (APS).
    """
    _check_kind(kind)
    p = as_probabilities(probabilities)
    if kind != "aps":
        return np.asarray(np.clip(1.0 - p, 0.0, 1.0))
    order = np.argsort(-p, axis=1, kind="stable")
    falling = np.take_along_axis(p, order, axis=1)
    share = np.broadcast_to(np.asarray(own_share, dtype=np.float64), (len(p),))[:, None]
    middle = np.cumsum(falling, axis=1) - (1.0 - share) * falling
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, np.clip(middle, 0.0, 1.0), axis=1)
    return scores


@dataclass(frozen=True, eq=False)
class SetCalibration:
    """Conformity scores of rows that the classifier was not trained on, with their classes.

    The probabilities must be those of the classifier, not ones that were calibrated on the same
    rows: sets of exchangeable rows then hold the true class with at least the stated probability,
    whatever the classifier is and however few the rows are. A set may be empty, if every class of
    a row is less likely than almost all true classes of the calibration rows, and it may hold all
    classes, always so if the calibration rows are too few for the level.
    """

    scores: FloatArray
    """Shape (n,). Score of the class of each row, see `class_scores`."""
    labels: IntArray
    """Shape (n,). Number of this class."""
    n_classes: int
    kind: SetKind = "lac"
    """``lac``: the smallest sets. ``aps``: sets whose size follows the difficulty of a row.
    ``class-conditional``: sets that hold each class, also a rare one, with the stated
    probability; a class with too few rows for the level is in every set."""

    @classmethod
    def of(cls, probabilities: ArrayLike, labels: ArrayLike, kind: SetKind = "lac") -> Self:
        """Return the calibration of rows that the classifier was not trained on.

        Parameters
        ----------
        probabilities : array_like of float, shape (n, k)
            Of the classifier.
        labels : array_like of int, shape (n,)
            Class numbers.
        kind : {"lac", "aps", "class-conditional"}
            See `class_scores`.

        Raises
        ------
        DataError
            If there is no row, a label is no class or a row of probabilities no distribution.
        ConfigError
            If the kind is unknown.
        """
        y, p = as_labelled(labels, probabilities)
        return cls(class_scores(p, kind)[np.arange(len(y)), y], y, p.shape[1], kind)

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def shares(self) -> FloatArray:
        """Shares of the classes among the calibration rows, shape (k,)."""
        return np.bincount(self.labels, minlength=self.n_classes) / len(self.labels)

    def sets(
        self,
        probabilities: ArrayLike,
        level: float,
        *,
        weights: tuple[ArrayLike, ArrayLike] | None = None,
        class_ratios: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Return which classes are in the prediction set of each row.

        Parameters
        ----------
        probabilities : array_like of float, shape (m, k)
            Of the same classifier.
        level : float
            In (0, 1): the probability with which a set holds the true class; of the kind
            ``class-conditional`` within each class.
        weights : pair of array_like of float, shapes (n,) and (m,), optional
            Density ratio of the calibration and of the new rows: covariate shift (Tibshirani et
            al., NeurIPS 2019).
        class_ratios : array_like of float, shape (k,), optional
            Share of each class in the target domain over that in the calibration rows: label shift
            (Podkopaev and Ramdas, UAI 2021), see `xtalshift.splits.audit.label_shift`. A row that
            is tried as class k counts with the ratio of k.

        Returns
        -------
        ndarray of bool, shape (m, k)

        Raises
        ------
        DataError
            If a row is no distribution, shapes differ, or a weight or ratio is negative or not
            finite.
        ConfigError
            If `level` is not inside (0, 1), or both weights and ratios are given.
        """
        check_level(level)
        p = as_probabilities(probabilities)
        if p.shape[1] != self.n_classes:
            raise DataError(f"{p.shape=}: expected {self.n_classes} classes, as in the calibration")
        if weights is not None and class_ratios is not None:
            raise ConfigError("sets are for a covariate or for a label shift, not both; choose one")
        scores = class_scores(p, self.kind)
        known: FloatArray | None = None
        own: FloatArray = np.ones_like(p)
        if weights is not None:
            known = as_vector(weights[0], "weights")
            if known.shape != self.scores.shape:
                raise DataError(f"{known.shape=} and {self.scores.shape=}: expected equal lengths")
            new = as_vector(weights[1], "weights of new rows")
            if new.shape != (len(p),):
                raise DataError(f"{new.shape=}: expected one weight for each of {len(p)} rows")
            own = np.broadcast_to(new[:, None], p.shape)
        if class_ratios is not None:
            ratios = as_vector(class_ratios, "class_ratios")
            if ratios.shape != (self.n_classes,):
                raise DataError(f"{ratios.shape=}: expected one ratio per class")
            known, own = ratios[self.labels], np.broadcast_to(ratios, p.shape)
        return np.asarray(scores <= self._bounds(level, known, own) + _ROUNDING)

    def _bounds(self, level: float, known: FloatArray | None, own: FloatArray) -> FloatArray:
        """Return the largest score of each class that is in the set, shape (m, k)."""
        if self.kind != "class-conditional":
            return ScoreLaw.of(self.scores, known).bound(level, own)
        bounds = np.full(own.shape, np.inf)  # a class without calibration rows is in every set
        for number in np.unique(self.labels):
            rows = self.labels == number
            law = ScoreLaw.of(self.scores[rows], None if known is None else known[rows])
            bounds[:, number] = law.bound(level, own[:, number])
        return bounds

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes, by names that begin with ``sets.``."""
        return {"sets.scores": self.scores, "sets.labels": self.labels}

    @staticmethod
    def saved(_: Layout) -> Schema:
        """Return what the arrays of `get_state` must be."""
        return _SAVED

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]], *, kind: SetKind, n_classes: int) -> Self:
        """Return a calibration from the arrays of `get_state`, after a check, and other fields.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        ConfigError
            If the kind is unknown.
        """
        _check_kind(kind)
        found = check_arrays(state, _SAVED)
        if not found["n"]:
            raise ModelFormatError("the calibration has no scores")
        if (most := int(state["sets.labels"].max())) >= n_classes:
            raise ModelFormatError(f"a calibration row has the class {most} of {n_classes}")
        return cls(state["sets.scores"], state["sets.labels"], n_classes, kind)


def _check_kind(kind: str) -> None:
    if kind not in get_args(SetKind):
        raise ConfigError(f"sets = {kind!r}; expected {', '.join(get_args(SetKind))}")
