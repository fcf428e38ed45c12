"""What an attack makes of real rows, as a table to look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.cal.export import adversarial_frame
from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import MaterialsTable
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError
from xtalshift.estimators import CALRegressor, Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods.inputs import target_transform
from xtalshift.model.dataset import origin_rows, targets_of

__all__ = ["adversarial_table"]

MOST_MOVED = 3


def adversarial_table(
    regressor: Regressor, data: DataConfig, table: MaterialsTable, X: NDArray[np.float64]
) -> pd.DataFrame:
    """Attack the rows of a table with a model fitted by CAL.

    Parameters
    ----------
    regressor : Regressor
        Fitted `CALRegressor`.
    data : DataConfig
        How features and targets are made.
    table : MaterialsTable
        n rows.
    X : ndarray of float64, shape (n, d)
        Their features.

    Returns
    -------
    pandas.DataFrame
        ``formula``, ``target``, ``prediction``, ``adversarial_prediction`` (unit of the target) and
        ``displacement_rms`` (standard deviations of the features); after an attack on compositions
        also ``adversarial_formula``, ``max_fraction_change`` and ``substituted``, after one on
        features ``most_moved``, the three that moved most with their displacement.

    Raises
    ------
    ConfigError
        If the regressor was not fitted by CAL.
    """
    if not isinstance(regressor, CALRegressor):
        raise ConfigError(
            f"adversarial rows come from CAL; {type(regressor).__name__} has no attack. Use "
            "--method cal"
        )
    y = targets_of(table)
    scale = target_transform(regressor, data.transform)
    origin = origin_rows(regressor, table, data, np.arange(len(table)))
    attacked = regressor.attack_rows(X, scale.forward(y), origin)
    numbers = {
        "target": y,
        "prediction": scale.inverse(attacked.prediction),
        "adversarial_prediction": scale.inverse(attacked.adversarial_prediction),
        "displacement_rms": np.sqrt(np.mean(attacked.displacement**2, axis=1)),
    }
    formulas = [str(formula) for formula in table.formulas]
    if attacked.compositions is not None:
        start = parse_formulas(formulas, hydrates=data.hydrates)[0]
        columns = adversarial_frame(start, attacked.compositions, formulas=formulas, **numbers)
        return pd.DataFrame(columns)
    featurizer = CompositionFeaturizer(blocks=data.features, impute_nan=data.impute_nan)
    names = np.array([*featurizer.get_feature_names_out(), *data.feature_cols], dtype=object)
    moved = _name_most_moved(attacked.displacement, names[regressor.scaler_.kept_])
    return pd.DataFrame({"formula": formulas, **numbers, "most_moved": moved})


def _name_most_moved(displacement: NDArray[np.float64], names: NDArray[np.object_]) -> list[str]:
    order = np.argsort(-np.abs(displacement), axis=1)[:, :MOST_MOVED]
    return [
        "; ".join(f"{names[j]} {row[j]:+.3g}" for j in best if row[j] != 0)
        for row, best in zip(displacement, order, strict=True)
    ]
