"""Adapt a saved model, or its intervals alone, to the rows of a file."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import xtalshift
from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import MaterialsTable, find_formula_column, read_frame
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.model import FormulaLabels, FormulaRegressor
from xtalshift.model.dataset import load_rows, targets_of
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["Adapted", "Calibrated", "adapt", "calibrate"]

MIN_LABELS = 5
LABELS_PER_FOLD = 4
"""Fewer labels do not make intervals: a fold would hold out too few, or train on too few."""

_OTHER_UNIT = 20.0  # times the largest training value: rather another unit than another region


class Adapted(NamedTuple):
    """An adapted model and how well it fits rows that it was not fitted to.

    Attributes
    ----------
    model : FormulaRegressor
        Adapted.
    n_target, n_source, n_validation : int
        Target rows, source rows that were replayed, validation rows among them.
    before, after, constant : float
        Mean absolute error on the validation rows: of the model before and after, and of the mean
        of the rows adapted to. They chose the parameters, so `after` is slightly optimistic. For a
        transformed target in units of the transformed scale.
    """

    model: FormulaRegressor
    n_target: int
    n_source: int
    n_validation: int
    before: float
    after: float
    constant: float


def adapt(
    model: FormulaRegressor,
    target: DataConfig,
    config: AdaptConfig,
    *,
    source: DataConfig | None = None,
    calibration_folds: int = 5,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Adapted:
    """Adapt `model` to the rows of a file.

    Parameters
    ----------
    model : FormulaRegressor
        A fitted network; it stays as it is.
    target : DataConfig
        Rows of the target domain; how features and targets are made is the model's.
    config : AdaptConfig
        Method and settings.
    source : DataConfig, optional
        Source rows to replay.
    calibration_folds : int
        Further adaptations, each without a part of the labels, that give the intervals of the new
        region; 0 for none. With fewer than four labels per fold there are none.
    seed : int
        Of validation rows, batches and dropout.
    progress : Progress
        Told how far the adaptation is.

    Raises
    ------
    ConfigError
        If the model is no network or the method needs rows that are missing.
    DataError
        If the rows cannot be used, or their unit is not the model's.
    """
    labelled = not config.method.startswith("unlabelled")
    if labelled:
        rows, table = _labels(model, target, progress)
        if len(table) < MIN_LABELS:
            raise DataError(
                f"{target.dataset} has {len(table)} usable labels; at least {MIN_LABELS} are needed"
            )
        what: dict[str, Any] = table.describe()
    else:
        formulas = _formulas(model, target, progress)
        rows, what = FormulaLabels(formulas, []), {"source": target.dataset, "rows": len(formulas)}
    if labelled:
        calibration_folds = _possible_folds(model, rows, calibration_folds, progress)
    replay = None if source is None else _labels(model, source, progress)[0]
    adapted = model.adapt(
        rows.X,
        rows.y if labelled else None,
        rows.extra if labelled else None,
        source=replay,
        method=config.method,
        settings=config.model_dump(exclude={"method"}),
        calibration_folds=calibration_folds if labelled else 0,
        random_state=seed,
        progress=progress,
    )
    earlier = model.card_.provenance
    provenance = {
        "method": config.method,
        "adapted_to": what,
        "adapted_from": earlier,
        "version": xtalshift.__version__,
    }
    adapted.card_ = replace(model.card_, provenance=provenance)
    regressor = adapted.regressor_
    if not isinstance(regressor, TargetedCALRegressor):
        raise TypeError(type(regressor).__name__)
    return Adapted(
        adapted,
        len(rows.X),
        0 if replay is None else len(replay.X),
        regressor.n_validation_,
        regressor.start_val_mae_,
        regressor.val_mae_,
        regressor.dummy_val_mae_,
    )


class Calibrated(NamedTuple):
    """A model with intervals of its labels, and how it had done on them.

    Attributes
    ----------
    model : FormulaRegressor
        The same model with another calibration.
    n : int
        Labels that calibrate.
    mae, constant : float
        Mean absolute error on them, of the model and of the mean of all labels, in the unit of the
        target.
    before : float or None
        Share of them that the 90 % intervals of the model held; None if it had none.
    widths : (float or None, float)
        Median width of its 90 % intervals before and after, in the unit of the target.
    """

    model: FormulaRegressor
    n: int
    mae: float
    constant: float
    before: float | None
    widths: tuple[float | None, float]


def calibrate(
    model: FormulaRegressor, target: DataConfig, progress: Progress = NO_PROGRESS
) -> Calibrated:
    """Calibrate the intervals of any model on the labels of a new region; its predictions stay.

    Intervals of the new region then hold what they promise for rows that the labels are a random
    sample of. Labels of training materials do not count.

    Parameters
    ----------
    model : FormulaRegressor
        A fitted model; it stays as it is.
    target : DataConfig
        Labels; how features and targets are made is the model's.
    progress : Progress
        Told what is left out.

    Raises
    ------
    DataError
        If fewer than 10 labels are usable, or their unit is not the model's.
    """
    rows, table = _labels(model, target, progress)
    new = np.flatnonzero(~_known(model, rows, progress)).tolist()
    formulas, y = [rows.X[row] for row in new], np.asarray(rows.y)[new]
    extra = None if rows.extra is None else np.asarray(rows.extra)[new]
    calibrated = copy.copy(model).conformalize(formulas, y, extra, origin="target")
    what = {**table.describe(), "rows": len(new)}
    provenance = {**model.card_.provenance, "calibrated_on": what}
    calibrated.card_ = replace(model.card_, provenance=provenance)
    held, width = None, None
    if model.calibration_ is not None:
        low, high = model.predict_interval(formulas, extra)
        held, width = float(np.mean((low <= y) & (y <= high))), float(np.median(high - low))
    low, high = calibrated.predict_interval(formulas, extra)
    return Calibrated(
        calibrated,
        len(new),
        float(np.mean(np.abs(model.predict(formulas, extra) - y))),
        float(np.mean(np.abs(y - y.mean()))),
        held,
        (width, float(np.median(high - low))),
    )


def _possible_folds(
    model: FormulaRegressor, rows: FormulaLabels, folds: int, progress: Progress
) -> int:
    """Return `folds`, or 0 where the labels make no intervals; say what is to be known of them."""
    known = int(_known(model, rows, progress).sum())
    n, n_formulas = len(rows.X) - known, len(set(rows.X))
    needed = LABELS_PER_FOLD * folds
    if n >= needed and n_formulas >= folds:
        return folds
    progress.say(
        f"No intervals: {n} labels{' of other materials' if known else ''}, {n_formulas} formulas; "
        f"{folds} folds need {needed} labels, and as many formulas as folds"
    )
    return 0


def _known(model: FormulaRegressor, rows: FormulaLabels, progress: Progress) -> NDArray[np.bool_]:
    """Return which labels are of training materials of the model, and say how many."""
    known = model.was_trained_on(model.features_of(rows.X, rows.extra))
    if known.any():
        progress.say(
            f"warning: {known.sum():,} of the {len(rows.X):,} labelled materials are training "
            "materials of the model: they are no test of it (its error there is too small) and do "
            "not count for the intervals"
        )
    return known


def _labels(
    model: FormulaRegressor, data: DataConfig, progress: Progress
) -> tuple[FormulaLabels, MaterialsTable]:
    """Return clean labelled rows, made as the model's were."""
    columns = model.card_.feature_cols
    settings = {
        "features": model.features,
        "transform": model.transform,
        "impute_nan": model.impute_nan,
        "hydrates": model.hydrates,
        "feature_cols": columns,
    }
    if data.target is None and _has_column(data.dataset, model.card_.target_name):
        settings["target"] = model.card_.target_name
    table, _, _ = load_rows(data.model_copy(update=settings), progress)
    unit = model.card_.unit
    if unit and table.unit and unit != table.unit:
        raise DataError(
            f"the labels of {data.dataset} are in {table.unit}, the model predicts {unit}; convert "
            "them first"
        )
    extra: NDArray[np.float64] | None = table.feature_columns(columns) if columns else None
    if model.domain_ is not None:
        largest = float(np.abs(model.domain_.targets_).max())
        found = float(np.abs(targets_of(table)).max(initial=0.0))
        if found > _OTHER_UNIT * largest > 0:
            progress.say(
                f"warning: values of {data.dataset} reach {found:g}, those that the model was "
                f"trained on {largest:g}; are they in the same unit? (--unit says which)"
            )
    return FormulaLabels(list(table.formulas), targets_of(table), extra), table


def _has_column(dataset: str, name: str) -> bool:
    """Return whether `dataset` is a file with a column of this name."""
    path = Path(dataset)
    return path.is_file() and name in map(str, read_frame(path).columns)


def _formulas(model: FormulaRegressor, data: DataConfig, progress: Progress) -> list[str]:
    """Return the readable formulas of a file without labels."""
    if model.card_.feature_cols:
        raise ConfigError(
            f"the model needs {', '.join(model.card_.feature_cols)} beside the formula; adapting "
            "without labels works for models of formulas alone"
        )
    frame = read_frame(Path(data.dataset))
    column = find_formula_column([str(name) for name in frame.columns], data.formula_col)
    texts = frame[column].tolist()
    _, reasons = model.featurizer().featurize(texts)
    good = [text for text, reason in zip(texts, reasons, strict=True) if reason == ""]
    progress.say(f"{data.dataset}: {len(good):,} of {len(texts):,} formulas are usable")
    if not good:
        raise DataError(f"{data.dataset} holds no readable formula: {reasons[0]}")
    compositions = parse_formulas(good, hydrates=model.hydrates)[0]
    _, first = np.unique(compositions.reduced_formulas().astype(str), return_index=True)
    return [good[row] for row in np.sort(first)]
