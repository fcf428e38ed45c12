"""Oxidation states that enumerated ions may have, how frequent they are, and who gives to whom."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import (
    ATOMIC_NUMBERS,
    ELEMENT_CLASSES,
    MAGPIE_PROPERTIES,
    SYMBOLS,
    load_elements,
)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LEAST_SHARE = 0.01
"""A state that is not common counts if so many of an element's ions have it (share of entries)."""

METAL_SLACK = 0.3
"""A metal may be so much more electronegative than its anion. Pauling's values of metals are those
of one state (2.33 is that of Pb(IV), 1.87 that of Pb(II)); with less slack PbTe and WTe2 are
refused."""

_FIRST_ANION = 14  # groups from here on have 18 - group electrons to take


@dataclass(frozen=True)
class OxidationTable:
    """States by atomic number.

    Cations are the common states of pymatgen (`xtalshift.chem.elements`) and those of at least
    `LEAST_SHARE` of the element's ions. Anions have closed shells (group minus 18; hydrogen -1).
    Counts of the ICSD: authors of SMACT (Davies et al., J. Open Source Softw. 4, 1361, 2019).
    """

    cations: tuple[tuple[int, ...], ...]
    """Length 119. Positive states, ascending."""
    anions: tuple[tuple[int, ...], ...]
    """Length 119. The state of a closed shell; empty where it is no common or frequent state."""
    bonded: tuple[tuple[int, ...], ...]
    """Length 119. Negative states with too few electrons for closed shells of single atoms: the
    atoms are bonded to each other (peroxides, disulphides). For elements with `anions` only."""
    counts: tuple[dict[int, int], ...]
    """Length 119. State (zero too) -> entries of the ICSD; those of fewer than 3 are missing."""
    gives: BoolArray
    """Shape (119, 119). Whether cations of the one element fit beside anions of the other: it is
    not the more electronegative one (Pauling), up to `METAL_SLACK` if it has no anions itself."""


@cache
def load_oxidation() -> OxidationTable:
    """Read the table (once)."""
    text = files("xtalshift.chem").joinpath("oxidation_counts.csv").read_text(encoding="utf-8")
    counts: list[dict[int, int]] = [{} for _ in SYMBOLS]
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        pairs = (pair.split(":") for pair in row["counts"].split())
        counts[ATOMIC_NUMBERS[row["symbol"]]] = {int(state): int(n) for state, n in pairs}

    cations, anions, bonded = [], [], []
    for z, common in enumerate(load_elements().oxidation_states):
        ions = sum(n for state, n in counts[z].items() if state)
        usual = {state for state, n in counts[z].items() if state and n >= LEAST_SHARE * ions}
        usual |= set(common)
        closed = _closed_shell(z)
        cations.append(tuple(sorted(state for state in usual if state > 0)))
        anions.append((closed,) if closed in usual else ())
        fewer = sorted(state for state in counts[z] if closed < state < 0)
        bonded.append(tuple(fewer) if closed in usual else ())

    x = load_elements().electronegativity
    takes = np.array([bool(states) for states in anions])
    slack = np.where(takes, 0.0, METAL_SLACK)
    gives = (x[:, None] <= x[None, :] + slack[:, None] + 1e-9) & takes[None, :]  # NaN: false
    return OxidationTable(tuple(cations), tuple(anions), tuple(bonded), tuple(counts), gives)


@cache
def element_groups() -> NDArray[np.int64]:
    """Return the group of the periodic table by atomic number, shape (119,).

    Rare earths are of group 3; hydrogen (0) and the actinides (19) are groups of their own.
    Elements whose group is unknown have one each.
    """
    column = load_elements().magpie[:, MAGPIE_PROPERTIES.index("Column")]
    groups = np.where(np.isnan(column), 100 + np.arange(len(column)), column).astype(np.int64)
    groups[[ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES["actinide"]]] = 19
    groups[ATOMIC_NUMBERS["H"]] = 0
    return groups


def _closed_shell(z: int) -> int:
    """Return the charge of the atom with the shell of the next noble gas; 0 for metals' groups."""
    if SYMBOLS[z] == "H":
        return -1
    group = int(element_groups()[z])
    return group - 18 if _FIRST_ANION <= group < 18 else 0  # noqa: PLR2004
