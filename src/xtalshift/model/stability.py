"""A proxy of stability: predicted formation energies against the hull of known compounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.formulas import Notation
from xtalshift.chem.known_hull import KnownHull
from xtalshift.data.materials import Materials
from xtalshift.errors import ConfigError, DataError
from xtalshift.model.fitted import FittedModel
from xtalshift.model.persist import load_model
from xtalshift.uncertainty.settings import LEVEL

ABOVE_HULL = "energy_above_known_hull"
STABILITY_KINDS: Mapping[str, type] = {
    "formation_energy": float,
    "formation_energy_lower": float,
    "formation_energy_upper": float,
    ABOVE_HULL: float,
    f"{ABOVE_HULL}_lower": float,
    f"{ABOVE_HULL}_upper": float,
    "known_hull_phases": object,
    "n_known_in_system": int,
    "formation_energy_in_domain": bool,
}
"""Columns of `StabilityProxy.columns` with the types of their values."""


@dataclass(frozen=True, eq=False)
class StabilityProxy:
    """Predicts formation energies of compositions, and compares them with known compounds.

    It is a proxy: the energies are predicted from the composition alone, for the structure that
    such a composition usually has in the training data, and the hull has only the compounds that
    are known here. A compound that is missing there can make a candidate unstable.
    """

    model: FittedModel
    """Predicts formation energies per atom."""
    hull: KnownHull
    """Hull of the known energies."""
    level: float = LEVEL
    """Coverage of the intervals."""

    @classmethod
    def load(
        cls, folder: Path, table: Path | None = None, *, level: float = LEVEL, device: str = "auto"
    ) -> Self:
        """Read a model of formation energies, and the energies that are known.

        Parameters
        ----------
        folder : Path
            A saved model of formation energies per atom.
        table : Path, optional
            Known compounds with formation energies in the target column of the model, of each
            composition the lowest counts; by default the training materials that the model keeps
            with its domain (of each composition the mean, if training averaged them).
        level : float
            Coverage of the intervals.
        device : str
            Device of a network.

        Raises
        ------
        ConfigError
            If the model cannot be one of formation energies per atom, or keeps no training
            materials and there is no table.
        DataError
            If the table cannot be read.
        """
        model = load_model(folder, device=device)
        card = model.card
        if card.feature_cols:
            raise ConfigError(
                f"--stability {folder}: the model needs the columns {', '.join(card.feature_cols)} "
                "besides the formula; give a model of the composition alone"
            )
        if card.unit and "atom" not in card.unit:
            raise ConfigError(
                f"--stability {folder}: the model predicts {card.target_name} in {card.unit}; "
                "give one of formation energies per atom, trained with a unit such as "
                "--unit eV/atom"
            )
        if table is not None:
            return cls(model, _read_hull(table, card.target_name), level)
        if model.domain is None:
            raise ConfigError(
                f"--stability {folder}: the model keeps no training materials; name a table of "
                "known formation energies with --stability-table, or train it again"
            )
        known, _, _ = parse_formulas(model.domain.formulas_.tolist(), Notation("expand"))
        return cls(model, KnownHull(known, model.domain.targets_), level)

    def columns(self, materials: Materials) -> dict[str, NDArray[Any]]:
        """Return the columns `STABILITY_KINDS` of n materials; NaN where nothing is predicted.

        Energies are in the unit of the model. The bounds above the hull are those of the predicted
        energy: the known energies count as exact.
        """
        plain = replace(materials, extra=np.empty((len(materials), 0)), extra_names=())
        found = self.model.predict(plain, level=self.level)
        hull = self.hull.at(materials.compositions)
        energies = (found.prediction, found.lower, found.upper)
        above = [np.where(np.isfinite(hull.energy), one - hull.energy, np.nan) for one in energies]
        phases = np.array(hull.phases, dtype=object)
        values = (*energies, *above, phases, hull.n_known, found.in_domain)
        return dict(zip(STABILITY_KINDS, values, strict=True))


def _read_hull(table: Path, target: str) -> KnownHull:
    from xtalshift.data import clean_table, read_table  # pandas, which only a table needs

    try:
        found = read_table(table, target=target)
    except DataError as error:
        raise DataError(
            f"--stability-table: {error}. It needs formulas, and formation energies in a column "
            f"with the name of what the model predicts, {target!r}"
        ) from error
    known = clean_table(found, duplicates="lowest")
    return KnownHull(known.materials.compositions, known.y)
