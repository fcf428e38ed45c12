"""Real rows after an attack, as a readable table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.cal.export import adversarial_frame, crystal_frame
from xtalshift.errors import ConfigError
from xtalshift.estimators import CALRegressor
from xtalshift.featurize import CompositionSource
from xtalshift.files import explained, replace_file
from xtalshift.model import FittedModel
from xtalshift.model.inputs import Inputs
from xtalshift.structure import Structures
from xtalshift.structure.cif_writing import file_names, write_cif

MOST_MOVED = 3


@dataclass(frozen=True, eq=False)
class AdversarialTable:
    """Rows of a table after an attack."""

    frame: pd.DataFrame
    """One row each, as `adversarial_table` says."""
    structures: Structures | None = None
    """The crystals after an attack on crystals; ``file`` in `frame` names a file for each."""

    def write_structures(self, folder: Path) -> None:
        """Write each crystal as a CIF file to a folder, which is made.

        Raises
        ------
        DataError
            If the folder cannot be written.
        """
        if self.structures is None:
            return
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for row, name in enumerate(self.frame["file"]):
            text = write_cif(self.structures.take([row]), str(name).removesuffix(".cif"))
            replace_file(folder / str(name), text)


def adversarial_table(
    model: FittedModel, inputs: Inputs, rows: NDArray[np.int64]
) -> AdversarialTable:
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
    AdversarialTable
        Columns ``formula``, ``target``, ``prediction``, ``adversarial_prediction`` (unit of the
        target) and ``displacement_rms`` (standard deviations of the features); after an attack on
        compositions also ``adversarial_formula``, ``max_fraction_change`` and ``substituted``,
        after one on features ``most_moved``, the three that moved most with their displacement, and
        after one on crystals ``id``, ``file``, ``loss_gain`` and the columns of `crystal_frame`.

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
    origin = None
    if regressor.needs_origin:
        origin = CompositionSource(start, model.featurizer, data.materials.structures)
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
        return AdversarialTable(pd.DataFrame(columns))
    if attacked.structures is not None and data.materials.structures is not None:
        ids = data.ids.tolist()
        numbers["loss_gain"] = attacked.loss_gain
        columns = crystal_frame(data.materials.structures, attacked.structures, **numbers)
        head = {"id": ids, "formula": formulas, "file": file_names(ids)}
        return AdversarialTable(pd.DataFrame({**head, **columns}), attacked.structures)
    names = np.array(model.feature_names, dtype=object)
    moved = _name_most_moved(attacked.displacement, names[regressor.scaler_.kept_])
    return AdversarialTable(pd.DataFrame({"formula": formulas, **numbers, "most_moved": moved}))


def _name_most_moved(displacement: NDArray[np.float64], names: NDArray[np.object_]) -> list[str]:
    order = np.argsort(-np.abs(displacement), axis=1)[:, :MOST_MOVED]
    return [
        "; ".join(f"{names[j]} {row[j]:+.3g}" for j in best if row[j] != 0)
        for row, best in zip(displacement, order, strict=True)
    ]
