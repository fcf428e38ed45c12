"""Real rows after an attack, as a readable table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.cal.export import adversarial_frame
from xtalshift.errors import ConfigError
from xtalshift.estimators import CALRegressor
from xtalshift.featurize import CompositionSource
from xtalshift.model import FittedModel
from xtalshift.model.inputs import Inputs

MOST_MOVED = 3


def adversarial_table(model: FittedModel, inputs: Inputs, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Attack some rows of a table with a model fitted by CAL.

    Parameters
    ----------
    model : FittedModel
        Model whose regressor is a `CALRegressor`.
    inputs : Inputs
        The table and its features.
    rows : ndarray of int64, shape (n,)
        Rows to attack.

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
    regressor = model.regressor
    if not isinstance(regressor, CALRegressor):
        raise ConfigError(
            f"adversarial rows come from CAL; {type(regressor).__name__} has no attack. Use "
            "--method cal"
        )
    data, X = inputs.data.take(rows), inputs.X[rows]
    start = data.materials.compositions
    origin = CompositionSource(start, model.featurizer) if regressor.needs_origin else None
    attacked = regressor.attack_rows(X, model.scale.forward(data.y), origin)
    numbers = {
        "target": data.y,
        "prediction": model.scale.inverse(attacked.prediction),
        "adversarial_prediction": model.scale.inverse(attacked.adversarial_prediction),
        "displacement_rms": np.sqrt(np.mean(attacked.displacement**2, axis=1)),
    }
    formulas = data.formulas.tolist()
    if attacked.compositions is not None:
        columns = adversarial_frame(start, attacked.compositions, formulas=formulas, **numbers)
        return pd.DataFrame(columns)
    names = np.array(model.feature_names, dtype=object)
    moved = _name_most_moved(attacked.displacement, names[regressor.scaler_.kept_])
    return pd.DataFrame({"formula": formulas, **numbers, "most_moved": moved})


def _name_most_moved(displacement: NDArray[np.float64], names: NDArray[np.object_]) -> list[str]:
    order = np.argsort(-np.abs(displacement), axis=1)[:, :MOST_MOVED]
    return [
        "; ".join(f"{names[j]} {row[j]:+.3g}" for j in best if row[j] != 0)
        for row, best in zip(displacement, order, strict=True)
    ]
