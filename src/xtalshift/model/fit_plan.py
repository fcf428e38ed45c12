"""What a fit gets, and what it is to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.dataset import Dataset
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.estimators.scikit import Estimator
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import MethodSettings
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig

Rows = NDArray[np.int64]
_NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class FitRows:
    """The role of the rows of a data set in a fit, as row numbers.

    Attributes
    ----------
    train, validation : ndarray of int64
        Rows to fit, and rows for model selection.
    calibration : ndarray of int64
        Rows used for neither; their errors calibrate the intervals.
    target : ndarray of int64
        Rows of the target domain, for methods that see its features or labels.
    """

    train: Rows
    validation: Rows
    calibration: Rows = field(default_factory=lambda: _NO_ROWS)
    target: Rows = field(default_factory=lambda: _NO_ROWS)


@dataclass(frozen=True, eq=False)
class FitInputs:
    """A clean data set of n rows, its features, shape (n, d), and what computes them."""

    data: Dataset
    X: NDArray[np.float64]
    featurizer: CompositionFeaturizer


@dataclass(frozen=True, eq=False, kw_only=True)
class FitPlan:
    """The arguments of `xtalshift.fit`, but for what makes its rows and features."""

    method: str | Estimator
    transform: str
    settings: MethodSettings
    params: Mapping[str, Any] | None
    intervals: IntervalConfig
    rows: FitRows | None
    domain: ApplicabilityDomain | bool
    seed: int
    workers: int = 1
    minutes: float | None = None
    progress: Progress = NO_PROGRESS
    checkpoint: Path | None = None
