"""What a model knows of each element: its training materials, and its error on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.model import FittedModel
from xtalshift.model.several import FittedModels
from xtalshift.report.run.mistakes import periodic_places
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.web.models import AnyModel

LEAST = 5
"""Materials of which an error is typical."""
_SHADES = 5


@dataclass(frozen=True)
class ElementCoverage:
    """One element in the table."""

    symbol: str
    number: int
    """Atomic number."""
    materials: int
    """Training materials that contain it."""
    shade: int
    """0 if there are none, then 1 to 5, by the logarithm of the number."""
    error: float | None
    tested: int
    """`error`, `tested`: mean absolute error on materials that the model was not fitted to and
    that contain it, and their number; None if there are fewer than 5."""
    row: int
    column: int
    """Place in the table, from 1."""


@dataclass(frozen=True)
class Coverage:
    """All elements, and the numbers of materials."""

    elements: Mapping[str, ElementCoverage]
    materials: int
    tested: int

    def rows(self) -> list[list[ElementCoverage | None]]:
        """Return the elements of each row of the periodic table; None for an empty place."""
        last = max(one.row for one in self.elements.values())
        grid: list[list[ElementCoverage | None]] = [[None] * 18 for _ in range(last)]
        for one in self.elements.values():
            grid[one.row - 1][one.column - 1] = one
        return grid


def coverage_of(model: AnyModel) -> Coverage | None:
    """Return what a model knows of each element; None for one without a domain.

    Of models of several targets, of the first.
    """
    one = model.first if isinstance(model, FittedModels) else model
    if one.domain is None:
        return None
    known = _contains(one.domain.formulas_.tolist())
    counts = known.sum(axis=0)
    tested, errors, n_tested = np.zeros(len(counts)), np.zeros(len(counts)), 0
    calibration = one.calibration
    if (
        isinstance(one, FittedModel)
        and isinstance(calibration, Calibration)
        and calibration.kind == "absolute"
        and one.scale.name == "none"
        and calibration.formulas is not None
    ):
        there = _contains(calibration.formulas.tolist())
        n_tested, tested = len(there), there.sum(axis=0)
        errors = (there * calibration.scores[:, None]).sum(axis=0)
    most = max(int(counts.max()), 1)
    elements = {}
    for symbol, (column, row) in periodic_places().items():
        at = ATOMIC_NUMBERS[symbol] - 1
        number, shade = int(counts[at]), 0
        if number:
            shade = 1 + int((_SHADES - 1) * math.log(number) / max(math.log(most), 1e-9))
        error = float(errors[at] / tested[at]) if tested[at] >= LEAST else None
        elements[symbol] = ElementCoverage(
            symbol, at + 1, number, shade, error, int(tested[at]), row, column
        )
    return Coverage(elements, len(known), n_tested)


def _contains(formulas: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each formula contains each element; column Z - 1."""
    compositions, _, _ = parse_formulas(formulas)
    return compositions.contained_elements()
