"""What a model knows of each element: its training materials, and its error on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.model import FittedModel
from xtalshift.model.several import FittedModels
from xtalshift.web.models import AnyModel

LEAST = 5
"""Materials of which an error is typical."""
_SHADES = 5
_LANTHANUM, _LUTETIUM, _ACTINIUM, _LAWRENCIUM = 57, 71, 89, 103


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
    tested, errors = np.zeros(len(SYMBOLS)), np.zeros(len(SYMBOLS))
    n_tested = 0
    calibration = one.calibration
    if (
        isinstance(one, FittedModel)
        and calibration is not None
        and calibration.kind == "absolute"
        and one.scale.name == "none"
        and calibration.formulas is not None
    ):
        there = _contains(calibration.formulas.tolist())
        n_tested = len(there)
        tested = there.sum(axis=0)
        errors = (there * calibration.scores[:, None]).sum(axis=0)
    most = max(int(counts.max()), 1)
    elements = {}
    for z, symbol in enumerate(SYMBOLS):
        if not symbol or (place := _place(z)) is None:
            continue
        number = int(counts[z])
        shade = 0
        if number:
            shade = 1 + int((_SHADES - 1) * math.log(number) / max(math.log(most), 1e-9))
        error = float(errors[z] / tested[z]) if tested[z] >= LEAST else None
        elements[symbol] = ElementCoverage(symbol, z, number, shade, error, int(tested[z]), *place)
    return Coverage(elements, len(known), n_tested)


def _contains(formulas: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return whether each formula contains each element, by its atomic number."""
    compositions: Compositions = parse_formulas(formulas)[0]
    found = np.zeros((len(formulas), len(SYMBOLS)), dtype=np.bool_)
    rows = np.repeat(np.arange(len(formulas)), np.diff(compositions.starts))
    found[rows, compositions.z] = True
    return found


def _place(z: int) -> tuple[int, int] | None:
    """Return row and column of an element in the table of 18 columns, f elements below it."""
    if _LANTHANUM <= z <= _LUTETIUM:
        return 9, z - _LANTHANUM + 4
    if _ACTINIUM <= z <= _LAWRENCIUM:
        return 10, z - _ACTINIUM + 4
    period, begin = 1, 1
    for period, size in enumerate((2, 8, 8, 18, 18, 32, 32), start=1):
        if z < begin + size:
            break
        begin += size
    else:
        return None
    size = (2, 8, 8, 18, 18, 32, 32)[period - 1]
    from_end = begin + size - 1 - z
    if from_end < (6 if period > 1 else 1):
        return period, 18 - from_end
    at = z - begin + 1
    if at <= 2 or period < 4:  # noqa: PLR2004 - the s block
        return period, at
    return period, 18 - from_end
