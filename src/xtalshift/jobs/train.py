"""Train one method on all rows, as a model that can be saved and used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

import xtalshift
from xtalshift.data import MaterialsTable
from xtalshift.data.settings import DataConfig
from xtalshift.errors import SplitError
from xtalshift.estimators import Regressor
from xtalshift.jobs.adversarial import adversarial_table
from xtalshift.jobs.run.spec import RunConfig
from xtalshift.methods import build_method
from xtalshift.methods.inputs import target_transform
from xtalshift.model import FormulaRegressor, ModelCard
from xtalshift.model.dataset import groups_of, load_rows, origin_rows, targets_of
from xtalshift.model.trust import add_intervals, domain_of, hold_out_calibration
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import RandomSplit

__all__ = ["Trained", "train", "wrap_model"]

MIN_ROWS = 10


class Trained(NamedTuple):
    """A model and how well it fits rows that it was not fitted to.

    Attributes
    ----------
    model : FormulaRegressor
        Fitted.
    n_train, n_validation : int
        Rows.
    val_mae, val_mae_dummy : float
        Mean absolute error on the validation rows, of the model and of the training mean. The rows
        chose the parameters, so the first is slightly optimistic; both hold for materials like the
        training data only.
    adversarial : pandas.DataFrame or None
        The training rows after the attack, where asked for.
    """

    model: FormulaRegressor
    n_train: int
    n_validation: int
    val_mae: float
    val_mae_dummy: float
    adversarial: pd.DataFrame | None = None


def train(
    config: RunConfig,
    method: str,
    *,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
    attack: bool = False,
) -> Trained:
    """Train `method` on all usable rows but those that choose parameters and calibrate intervals.

    Parameters
    ----------
    config : RunConfig
        ``data``, ``split.validation_share``, ``intervals``, ``seed`` and those of the method count.
    method : str
        Name in `xtalshift.estimators.METHODS`.
    progress : Progress
        Told how far training is.
    checkpoint : Path, optional
        File in which a long training keeps where it is; removed at its end.
    attack : bool
        Whether the fitted model attacks its training rows, see `adversarial_table`.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If there are too few rows.
    """
    table, _, X = load_rows(config.data, progress)
    y, groups = targets_of(table), groups_of(table)
    if len(table) < MIN_ROWS:
        raise SplitError(f"{len(table)} usable rows; at least {MIN_ROWS} are needed for training")
    calibration = hold_out_calibration(config.intervals, X, groups, config.seed)
    share = RandomSplit(config.split.validation_share, derive_seed(config.seed, "validation"))
    held_out = np.zeros(len(y), dtype=bool)
    held_out[~calibration] = share.held_out(X[~calibration], None, groups[~calibration])
    fitted = ~(held_out | calibration)
    regressor = build_method(method, config, seed=derive_seed(config.seed, method))
    transform = target_transform(regressor, config.data.transform)
    z = transform.forward(y)
    regressor.fit(
        X[fitted],
        z[fitted],
        X_val=X[held_out],
        y_val=z[held_out],
        progress=progress,
        checkpoint=checkpoint,
        origin=origin_rows(regressor, table, config.data, fitted),
    )
    predictions = transform.inverse(regressor.predict(X[held_out]))
    adversarial = None
    if attack:
        rows = np.flatnonzero(fitted)
        adversarial = adversarial_table(regressor, config.data, table.take(rows), X[rows])
    model = wrap_model(regressor, method, config.data, table, table.describe())
    aside = np.flatnonzero(~fitted)
    model.domain_ = domain_of(
        table, X, np.flatnonzero(fitted), aside, config.data, seed=config.seed
    )
    how = config.intervals.how(len(table))
    if how != "none":
        add_intervals(
            model,
            table,
            X,
            np.flatnonzero(calibration if how == "held-out" else fitted | held_out),
            config.data,
            folds=config.intervals.folds if how == "cross" else 0,
            seed=config.seed,
            progress=progress,
        )
    return Trained(
        model=model,
        n_train=int(np.sum(fitted)),
        n_validation=int(np.sum(held_out)),
        val_mae=float(np.mean(np.abs(predictions - y[held_out]))),
        val_mae_dummy=float(np.mean(np.abs(y[fitted].mean() - y[held_out]))),
        adversarial=adversarial,
    )


def wrap_model(
    regressor: Regressor,
    method: str,
    options: DataConfig,
    table: MaterialsTable,
    data: dict[str, Any],
) -> FormulaRegressor:
    """Return a fitted regressor as a model that takes formulas and can be saved.

    Parameters
    ----------
    regressor : Regressor
        Fitted.
    method : str
        Its name.
    options : DataConfig
        How its features and targets were made.
    table : MaterialsTable
        What it was trained on.
    data : dict
        As `MaterialsTable.describe` returns it (a hash over all rows, so it is worked out once).
    """
    model = FormulaRegressor(
        method=clone(regressor),
        features=options.features,
        transform=options.transform,
        impute_nan=options.impute_nan,
        hydrates=options.hydrates,
    )
    card = ModelCard(
        target_name=table.target_name,
        unit=table.unit,
        conditions=table.conditions,
        source=table.source,
        feature_cols=options.feature_cols,
        provenance={
            "method": method,
            "data": data,
            "version": xtalshift.__version__,
        },
    )
    return model.adopt(regressor, card)
