"""The chemical family of a composition, named after its anion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import ATOMIC_NUMBERS

FAMILIES: dict[str, tuple[str, ...]] = {
    "fluoride": ("F",),
    "oxide": ("O",),
    "halide": ("Cl", "Br", "I"),
    "nitride": ("N",),
    "chalcogenide": ("S", "Se", "Te"),
    "pnictide": ("P", "As", "Sb", "Bi"),
    "hydride": ("H",),
    "carbide": ("C", "Si", "Ge", "B"),
    "intermetallic": (),
}
"""Elements of each family; the first family with an element of the composition applies."""


def family_codes(compositions: Compositions) -> NDArray[np.int64]:
    """Return the place in `FAMILIES` of each composition's family, shape (n,)."""
    codes = np.full(len(compositions), len(FAMILIES) - 1, dtype=np.int64)
    rows = np.repeat(np.arange(len(compositions)), compositions.sizes)
    for code, symbols in reversed(list(enumerate(FAMILIES.values()))):
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in symbols]
        codes[rows[np.isin(compositions.z, numbers)]] = code
    return codes
