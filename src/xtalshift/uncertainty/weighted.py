"""Intervals under covariate shift: calibration rows weighted by the density ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from xtalshift.errors import ConfigError, DataError
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.importance.density_ratio import (
    FloatArray,
    Ratio,
    effective_sample_size,
    fit_classifier,
    fit_ulsif,
)
from xtalshift.rowwise import in_blocks
from xtalshift.seeding import Seed, as_generator
from xtalshift.words import plural

RatioMethod = Literal["classifier", "ulsif"]

MIN_TARGET = 50
"""Fewest rows of the target domain for a density ratio."""

MIN_EFFECTIVE = 100.0
"""Effective number of calibration rows below which `predict` warns about weighted intervals."""

MAX_ROWS = 5000
ULSIF_COMPONENTS = 10
CLASSIFIER_COMPONENTS = 30
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the penalty. The largest are nearly no penalty, because a strong one would
hide that the domains are far apart."""


@dataclass(frozen=True)
class ShiftWeights:
    """The density ratio of a target domain to the calibration rows."""

    known: FloatArray
    """Shape (n,). Weights of the calibration rows."""
    effective_sample_size: float
    """Effective number of calibration rows, from 0 to n. For ``ulsif`` at most that of the
    classifier: a ratio that is smooth in few dimensions may miss that the domains hardly overlap,
    and would give too large a number."""
    _scaler: FeatureScaler
    _pca: PCA
    _ratio: Ratio

    def __call__(self, X: NDArray[np.float64]) -> FloatArray:
        """Return the weights of new rows, with the same factor as `known`, shape (m,)."""
        return in_blocks(
            lambda rows: self._ratio(self._pca.transform(self._scaler.transform(rows))), X
        )


class WithFeatures(Protocol):
    """The calibration rows of numbers or of classes."""

    @property
    def X(self) -> NDArray[np.float32] | None:  # noqa: N802 - the name of features
        """Features, shape (n, d)."""


def shift_weights(
    calibration: WithFeatures,
    X_target: NDArray[np.float64],
    *,
    method: RatioMethod = "classifier",
    random_state: Seed = None,
) -> ShiftWeights:
    """Estimate the density ratio of the target domain to the calibration rows.

    Parameters
    ----------
    calibration : Calibration or ClassCalibration
        With features.
    X_target : ndarray of float64, shape (m, d)
        Features of the target domain; at least 50 rows, of which at most 5,000 are used.
    method : {"classifier", "ulsif"}
        Logistic regression on 30 principal components of both sides together (a probabilistic
        classifier: Tibshirani et al., NeurIPS 2019, section 2.3), or least-squares importance
        fitting on 10 (Kanamori et al., JMLR 10, 1391, 2009).
    random_state : int, Generator or None
        Draws folds and samples.

    Raises
    ------
    DataError
        If the calibration has no features or the target domain too few rows.
    ConfigError
        If the method is unknown.
    """
    if method not in get_args(RatioMethod):
        raise ConfigError(f"ratio = {method!r}; expected {', '.join(get_args(RatioMethod))}")
    if calibration.X is None:
        raise DataError("the calibration rows have no features; conformalize the model again")
    if len(X_target) < MIN_TARGET:
        raise DataError(
            f"{plural(len(X_target), 'row')} of the target domain; weighted intervals need at "
            f"least {MIN_TARGET}"
        )
    rng = as_generator(random_state)
    source = calibration.X.astype(np.float64)
    target = X_target
    if len(target) > MAX_ROWS:
        target = target[np.sort(rng.choice(len(target), MAX_ROWS, replace=False))]
    # scaled by both domains: a feature that differs only between them tells them apart
    pooled = np.concatenate([source, target])
    scaler = FeatureScaler().fit(pooled)
    scaled = scaler.transform(pooled)

    def learn(method: RatioMethod) -> tuple[PCA, Ratio, FloatArray, float]:
        most = ULSIF_COMPONENTS if method == "ulsif" else CLASSIFIER_COMPONENTS
        pca = PCA(min(most, *scaled.shape), svd_solver="full").fit(scaled)
        reduced = pca.transform(scaled)
        sides = reduced[: len(source)], reduced[len(source) :]
        if method == "ulsif":
            ratio = fit_ulsif(*sides, rng=rng)
        else:
            ratio = fit_classifier(*sides, penalties=PENALTIES, rng=rng)
        known = ratio(sides[0])
        return pca, ratio, known, effective_sample_size(known) if known.any() else 0.0

    pca, ratio, known, size = learn(method)
    if method == "ulsif":
        size = min(size, learn("classifier")[-1])
    return ShiftWeights(known, size, scaler, pca, ratio)
