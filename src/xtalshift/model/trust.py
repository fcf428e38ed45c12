"""What makes a fitted model say how far to trust it: intervals and domain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.data import MaterialsTable
from xtalshift.data.settings import DataConfig
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.model import FormulaRegressor
from xtalshift.model.dataset import groups_of, origin_rows, targets_of
from xtalshift.model.intervals import MIN_CALIBRATION, calibrate, cross_calibrate
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import RandomSplit
from xtalshift.uncertainty.settings import IntervalConfig

__all__ = ["add_intervals", "domain_of", "hold_out_calibration"]

Rows = NDArray[np.int64]


def hold_out_calibration(
    config: IntervalConfig, X: NDArray[np.float64], groups: NDArray[np.object_], seed: int
) -> NDArray[np.bool_]:
    """Return which rows are kept from training for the intervals, shape (n,).

    None where intervals come from folds, or are not wanted.
    """
    if config.how(len(X)) != "held-out":
        return np.zeros(len(X), dtype=bool)
    split = RandomSplit(config.share, derive_seed(seed, "calibration"))
    return np.asarray(split.held_out(X, None, groups))


def add_intervals(
    model: FormulaRegressor,
    table: MaterialsTable,
    X: NDArray[np.float64],
    rows: Rows,
    data: DataConfig,
    *,
    folds: int = 0,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Calibrate a model on some rows of a table.

    Parameters
    ----------
    model : FormulaRegressor
        Fitted; gets its `calibration_`. With fewer than 10 rows it gets none.
    table : MaterialsTable
        n clean rows.
    X : ndarray of float64, shape (n, d)
        Their features.
    rows : ndarray of int64
        Rows that the model was not trained on; or, with `folds`, all that it was.
    data : DataConfig
        How features were made.
    folds : int
        Number of further trainings, each without a part of the rows; 0 for none.
    seed : int
        Draws the folds.
    progress : Progress
        Told how far it is.
    """
    if len(rows) < MIN_CALIBRATION:
        progress.say(
            f"No intervals: {len(rows)} rows to calibrate on, {MIN_CALIBRATION} are needed"
        )
        return
    groups = groups_of(table)[rows]
    if folds and len(np.unique(groups)) < 2:  # noqa: PLR2004 - nothing could be held out
        progress.say("No intervals: all rows are of one formula")
        return
    z = model.scale.forward(targets_of(table)[rows])
    families = family_codes(parse_formulas(groups.tolist())[0])
    if not folds:
        model.calibration_ = calibrate(model.regressor_, X[rows], z, families=families)
        return
    model.calibration_ = cross_calibrate(
        clone(model.regressor_),
        X[rows],
        z,
        groups=groups,
        n_folds=folds,
        random_state=derive_seed(seed, "folds"),
        compositions=origin_rows(model.regressor_, table, data, rows),
        families=families,
        progress=progress,
    )


def domain_of(
    table: MaterialsTable,
    X: NDArray[np.float64],
    train: Rows,
    held_out: Rows,
    data: DataConfig,
    *,
    seed: int = 0,
) -> ApplicabilityDomain:
    """Return what the training rows of a table cover.

    Parameters
    ----------
    table, X, data
        As in `add_intervals`.
    train : ndarray of int64
        Rows that models are trained on.
    held_out : ndarray of int64
        Other rows of the source: scores are shares of them.
    seed : int
        Of clusters and held-out groups.
    """
    featurizer = CompositionFeaturizer(data.features, data.impute_nan, data.hydrates)
    return ApplicabilityDomain.fit(
        X[train],
        targets_of(table)[train],
        groups_of(table)[train].tolist(),
        X[held_out] if len(held_out) else None,
        feature_names=[*featurizer.get_feature_names_out(), *data.feature_cols],
        random_state=derive_seed(seed, "domain"),
    )
