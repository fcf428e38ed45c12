"""The atomic fractions of the 118 elements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import SYMBOLS
from xtalshift.featurize.blocks import Block


def _fill(
    compositions: Compositions,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],  # noqa: ARG001 - every composition has fractions
    *,
    impute_nan: bool,  # noqa: ARG001 - no property is looked up
) -> None:
    values[:] = compositions.element_fractions()


FRACTIONS = Block(tuple(f"fraction {symbol}" for symbol in SYMBOLS[1:]), _fill)
"""The block ``fractions``."""
