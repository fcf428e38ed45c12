"""The prototype of a crystal: its formula without elements, space group and Wyckoff letters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.composition_labels import anonymous_formula
from xtalshift.errors import ConfigError
from xtalshift.structure.space_groups import CRYSTAL_SYSTEMS, SiteOrbits, SpaceGroups

_SYSTEMS = "amothhc"
"""Letters of Pearson symbols, in the order of `CRYSTAL_SYSTEMS`."""


def prototype_labels(groups: SpaceGroups) -> NDArray[np.object_]:
    """Name the prototype of each structure, such as ``AB_cF8_225_a_b`` for rock salt.

    The label is that of AFLOW (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) without elements:
    the anonymous formula, the Pearson symbol, the number of the space group, and the Wyckoff
    letters of each kind of site in the order of the formula (``2a`` for two orbits). Free
    coordinates are no part of it, so that one label may hold different structure types.

    Another origin or setting of a group exchanges letters. Of all descriptions under its
    normaliser, and all orders of kinds with equal amounts, the first one in alphabetical order is
    taken. In triclinic and monoclinic groups the letters also depend on the shape of the cell that
    spglib chooses: one crystal has one label in any description, but two compounds of one prototype
    may have two. Groups that are mirror images of each other are two prototypes.

    Parameters
    ----------
    groups : SpaceGroups
        Of n structures. What shares a site (an alloy) is one kind.

    Returns
    -------
    ndarray of str, shape (n,)
        ``""`` where no space group is found.

    Raises
    ------
    ConfigError
        If pymatgen, whose table of exchanges of letters this uses, is not installed.
    """
    labels = np.full(len(groups.numbers), "", dtype=object)
    for row in np.flatnonzero(groups.reasons == "").tolist():
        labels[row] = _label(int(groups.numbers[row]), groups.orbits[row])
    return labels


@cache
def _label(number: int, orbits: SiteOrbits) -> str:
    amounts: Counter[int] = Counter()
    letters: defaultdict[int, list[str]] = defaultdict(list)
    for kind, letter, size in zip(orbits.kinds, orbits.letters, orbits.sizes, strict=True):
        amounts[kind] += size
        letters[kind].append(letter)
    # kinds of equal amounts are sorted by their letters
    words = min(
        sorted(
            (amounts[kind], _count(names.get(one, one) for one in letters[kind]))
            for kind in letters
        )
        for names in _exchanges()[number]
    )
    unit, sites = gcd(*amounts.values()), sum(amounts.values())
    system = np.searchsorted(list(CRYSTAL_SYSTEMS.values()), number)
    lattice = _SYSTEMS[system] + orbits.centring.replace("A", "C")
    if orbits.centring == "R":
        sites //= 3
    formula = anonymous_formula(amount // unit for amount in amounts.values())
    return f"{formula}_{lattice}{sites}_{number}_{'_'.join(word for _, word in words)}"


def _count(letters: Iterable[str]) -> str:
    """Return letters in alphabetical order, each with its number before it: ``a2e``."""
    counts = sorted(Counter(letters).items())
    return "".join(f"{count}{letter}" if count > 1 else letter for letter, count in counts)


@cache
def _exchanges() -> dict[int, list[dict[str, str]]]:
    """Return by space group how the normaliser exchanges letters; the first exchange is none."""
    try:
        tables: Any = import_module("pymatgen.analysis.prototypes")  # without types
    except ImportError as error:
        raise ConfigError(
            'prototypes need pymatgen: pip install "xtalshift[structures]"'
        ) from error
    return {
        int(number): [{chr(old): new for old, new in one.items()} for one in exchanges]
        for number, exchanges in tables.WYCKOFF_POSITION_RELAB_DICT.items()
    }
