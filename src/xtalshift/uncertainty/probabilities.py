"""Calibrated class probabilities: as often right as they say, learned on rows not trained on.

===========================================  ================================
symbol                                       variable
===========================================  ================================
probability p_k of the classifier            ``probabilities``
logarithm of ``p_k + 1e-3``                  ``logs``
inverse temperature 1 / T                    ``slope``
bias b_k of a class                          ``bias``
calibrated ``exp(log p_k / T + b_k) / sum``  ``ProbabilityCalibration.apply``
===========================================  ================================

The small constant is a prior for probabilities of exactly 0, which forests give: without it a
single such mistake decides the temperature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.metrics.checks import as_vector
from xtalshift.metrics.class_checks import as_labelled, as_probabilities
from xtalshift.metrics.classification import log_losses
from xtalshift.rowwise import softmax
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays
from xtalshift.words import plural

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ProbabilityKind = Literal["none", "temperature", "temperature-bias", "isotonic"]

SMOOTHING = 1e-3
"""Added to every probability before its logarithm is taken."""
PENALTY = 1.0
"""Precision of the normal prior of slope (about 1) and bias (about 0), as if it were rows."""
MIN_ROWS = 10
"""Fewest rows of a calibration."""
N_FOLDS = 5
N_ERRORS = 2.0
"""``auto`` leaves ``temperature`` for a form that is better by more than so many standard errors;
the smallest cross-fitted loss alone was mostly chance, see docs/science/classes.md."""
STEEPEST = 100.0

_NO_STEPS = np.zeros(0)

_SAVED: dict[ProbabilityKind, Schema] = {
    "none": {},
    "temperature": {"probabilities.slope": SavedArray(np.float64, (1,), low=0.0)},
    "temperature-bias": {
        "probabilities.slope": SavedArray(np.float64, (1,), low=0.0),
        "probabilities.bias": SavedArray(np.float64, ("k",)),
    },
    "isotonic": {
        "probabilities.places": SavedArray(np.float64, ("m",), low=0.0, high=1.0),
        "probabilities.heights": SavedArray(np.float64, ("m",), low=0.0, high=1.0),
        "probabilities.ends": SavedArray(np.int64, ("k",), low=1),
    },
}


@dataclass(frozen=True, eq=False)
class ProbabilityCalibration:
    """How the probabilities of a classifier become calibrated ones."""

    kind: ProbabilityKind = "none"
    slope: float = 1.0
    """Inverse temperature."""
    bias: FloatArray = field(default_factory=lambda: _NO_STEPS)
    """Shape (k,); empty for other kinds than ``temperature-bias``."""
    places: FloatArray = field(default_factory=lambda: _NO_STEPS)
    heights: FloatArray = field(default_factory=lambda: _NO_STEPS)
    ends: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """`places`, `heights`, `ends`: shapes (m,), (m,) and (k,). Points of one rising curve per
    class, one after the other, and where each ends; empty for other kinds than ``isotonic``."""

    def apply(self, probabilities: ArrayLike) -> FloatArray:
        """Return calibrated probabilities.

        Parameters
        ----------
        probabilities : array_like of float, shape (n, k)
            Of the classifier.

        Returns
        -------
        ndarray of float64, shape (n, k)

        Raises
        ------
        DataError
            If a row is no distribution, or has another number of classes than the calibration.
        """
        p = as_probabilities(probabilities)
        known = len(self.bias) or len(self.ends)
        if known and p.shape[1] != known:
            raise DataError(f"{p.shape=}: expected {known} classes, as in the calibration")
        if self.kind == "none":
            return p
        if self.kind == "isotonic":
            return self._along_curves(p)
        return softmax(self.slope * _logs(p) + (self.bias if len(self.bias) else 0.0))

    def _along_curves(self, p: FloatArray) -> FloatArray:
        found = np.empty_like(p)
        starts = np.append(0, self.ends[:-1])
        for number, (start, end) in enumerate(zip(starts, self.ends, strict=True)):
            curve = self.places[start:end], self.heights[start:end]
            found[:, number] = np.interp(p[:, number], *curve)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_state` takes; names begin with ``probabilities.``."""
        every = {
            "probabilities.slope": np.array([self.slope]),
            "probabilities.bias": self.bias,
            "probabilities.places": self.places,
            "probabilities.heights": self.heights,
            "probabilities.ends": self.ends,
        }
        return {name: every[name] for name in _SAVED[self.kind]}

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        fitting = (schema for schema in _SAVED.values() if schema and schema.keys() <= found.keys())
        return max(fitting, key=len, default={})

    @classmethod
    def from_state(
        cls, state: dict[str, NDArray[Any]], *, kind: ProbabilityKind, n_classes: int
    ) -> Self:
        """Return a calibration from the arrays of `get_state`, after a check, and its kind.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        if kind not in _SAVED:
            raise ModelFormatError(f"a calibration of probabilities of the kind {kind!r}")
        check_arrays(state, _SAVED[kind], k=n_classes)
        found = {name.removeprefix("probabilities."): array for name, array in state.items()}
        slope = float(found.pop("slope", np.ones(1))[0])
        calibration = cls(kind, slope, **found)
        if kind == "isotonic":
            ends, places = calibration.ends, calibration.places
            inner = np.delete(np.arange(len(places)), np.append(0, ends[:-1]))
            if ends[-1] != len(places) or (np.diff(ends) < 1).any():
                raise ModelFormatError("the curves of the calibration do not end where they should")
            for values in (places, calibration.heights):
                if (values[inner] < values[inner - 1]).any():
                    raise ModelFormatError("a curve of the calibration does not rise")
            if (calibration.heights[np.append(0, ends[:-1])] <= 0).any():
                raise ModelFormatError("a curve of the calibration starts at 0")
        return calibration


def fit_probabilities(
    probabilities: ArrayLike,
    labels: ArrayLike,
    kind: ProbabilityKind | Literal["auto"] = "auto",
    weights: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
) -> ProbabilityCalibration:
    """Learn calibrated probabilities from rows that the classifier was not trained on.

    The rows may be held out, of another fold each, or labels of the target domain: then class
    shares and certainty become those of the target domain.

    Parameters
    ----------
    probabilities : array_like of float, shape (n, k)
        Of the classifier.
    labels : array_like of int, shape (n,)
        Class numbers.
    kind : {"auto", "none", "temperature", "temperature-bias", "isotonic"}
        ``temperature``: one number makes all probabilities more or less certain (Guo et al., ICML
        2017). ``temperature-bias``: also one bias per class (Alexandari et al., ICML 2020); for two
        classes this is Platt's method on log odds. ``isotonic``: a rising curve per class (Zadrozny
        and Elkan, KDD 2002), of which each step is drawn toward the share of the class as by one
        more row, and scaled to a sum of 1. ``auto``: ``temperature``, unless another form, or none,
        has a cross-fitted log loss that is smaller by two standard errors.
    weights : array_like of float, shape (n,), optional
        Density ratio of each row, for covariate shift, up to a common factor. They count as their
        effective number of rows.
    groups : array_like, shape (n,), optional
        Reduced formulas: none is in two folds of ``auto``.

    Raises
    ------
    DataError
        If there are fewer than 10 rows, shapes differ, or a value is no label, distribution or
        weight.
    ConfigError
        If the kind is unknown.
    """
    if kind not in {"auto", *get_args(ProbabilityKind)}:
        raise ConfigError(
            f"probabilities = {kind!r}; expected auto, {', '.join(get_args(ProbabilityKind))}"
        )
    y, p = as_labelled(labels, probabilities)
    if len(y) < MIN_ROWS:
        rows = plural(len(y), "row")
        raise DataError(f"{rows} to calibrate probabilities; at least {MIN_ROWS} are needed")
    w = np.ones(len(y)) if weights is None else _scaled(weights, len(y))
    if kind != "auto":
        return _fit(kind, p, y, w)
    return _fit(_choose(p, y, w, None if groups is None else np.asarray(groups)), p, y, w)


def _scaled(weights: ArrayLike, n: int) -> FloatArray:
    """Return weights whose sum is their effective number of rows."""
    w = as_vector(weights, "weights")
    if w.shape != (n,) or (w < 0).any() or not w.any():
        raise DataError(f"{w.shape=}: expected {n} weights from 0 on, not all 0")
    from xtalshift.importance.density_ratio import effective_sample_size  # needs scikit-learn

    return np.asarray(w / w.sum() * effective_sample_size(w))


def _choose(
    p: FloatArray, y: IntArray, w: FloatArray, groups: NDArray[Any] | None
) -> ProbabilityKind:
    names = np.arange(len(y)) if groups is None else groups
    n_folds = min(N_FOLDS, len(np.unique(names)))
    if n_folds < 2:  # noqa: PLR2004 - nothing can be held out
        return "temperature"
    losses = {kind: np.empty(len(y)) for kind in get_args(ProbabilityKind)}
    from xtalshift.splits import KFoldSplit  # a model that only predicts does not need it

    for train, out in KFoldSplit(n_folds, random_state=0).split(p, y, names):
        for kind, found in losses.items():
            calibration = _fit(kind, p[train], y[train], w[train])
            found[out] = log_losses(y[out], calibration.apply(p[out]))
    best: ProbabilityKind = "temperature"
    smallest = 0.0
    for kind, found in losses.items():
        gain = losses["temperature"] - found
        mean = float(np.average(gain, weights=w))
        error = float(np.sqrt(np.sum(w**2 * (gain - mean) ** 2)) / w.sum())
        if mean > max(smallest, N_ERRORS * error):
            best, smallest = kind, mean
    return best


def _fit(
    kind: ProbabilityKind, p: FloatArray, y: IntArray, w: FloatArray
) -> ProbabilityCalibration:
    if kind == "isotonic":
        return _fit_curves(p, y, w)
    if kind == "none":
        return ProbabilityCalibration()
    found = _fit_line(_logs(p), y, w, biased=kind == "temperature-bias")
    return ProbabilityCalibration(kind, float(found[0]), found[1:])


def _fit_line(logs: FloatArray, y: IntArray, w: FloatArray, *, biased: bool) -> FloatArray:
    """Return slope and bias of least penalised log loss, which is convex in them."""
    from scipy.optimize import minimize  # a model that only predicts does not need it

    n_classes = logs.shape[1]
    own = np.eye(n_classes)[y]
    start = np.append(1.0, np.zeros(n_classes if biased else 0))
    middle = start.copy()

    def loss(at: FloatArray) -> tuple[float, FloatArray]:
        z = at[0] * logs + (at[1:] if biased else 0.0)
        p = softmax(z)
        fit = -np.sum(w * np.log(np.maximum(np.sum(own * p, axis=1), np.finfo(float).tiny)))
        wrong = w[:, None] * (p - own)
        slopes = np.append(np.sum(wrong * logs), wrong.sum(axis=0) if biased else [])
        away = at - middle
        return float(fit + PENALTY / 2 * np.sum(away**2)), slopes + PENALTY * away

    bounds = [(0.0, STEEPEST), *[(None, None)] * (len(start) - 1)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def _fit_curves(p: FloatArray, y: IntArray, w: FloatArray) -> ProbabilityCalibration:
    from sklearn.isotonic import isotonic_regression

    n_classes = p.shape[1]
    shares = np.bincount(y, w, minlength=n_classes) + 1.0  # none is 0
    shares /= shares.sum()
    places, heights, ends = [], [], []
    for number in range(n_classes):
        x, first = np.unique(p[:, number], return_inverse=True)
        mass = np.bincount(first, w)
        held = np.bincount(first, w * (y == number))
        used = mass > 0
        x, mass, held = x[used], mass[used], held[used]
        steps = isotonic_regression(held / mass, sample_weight=mass)
        _, step = np.unique(steps, return_inverse=True)
        weight = np.bincount(step, mass)
        drawn = (np.bincount(step, held) + shares[number]) / (weight + 1.0)
        curve = np.maximum.accumulate(drawn)[step]  # drawn ones of different mass may fall
        edge = np.append(True, step[1:] != step[:-1]) | np.append(step[1:] != step[:-1], True)
        places.append(x[edge])
        heights.append(curve[edge])
        ends.append(int(edge.sum()))
    return ProbabilityCalibration(
        "isotonic",
        places=np.concatenate(places),
        heights=np.clip(np.concatenate(heights), 0.0, 1.0),
        ends=np.cumsum(ends),
    )


def _logs(p: FloatArray) -> FloatArray:
    return np.asarray(np.log(p + SMOOTHING))
