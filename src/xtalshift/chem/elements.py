"""The elements: symbols, atomic numbers and the property table of the composition features."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_PERIODS = """
H He
Li Be B C N O F Ne
Na Mg Al Si P S Cl Ar
K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe
Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

SYMBOLS: tuple[str, ...] = ("", *_PERIODS.split())
"""Chemical symbols; the index is the atomic number (index 0 is empty)."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if symbol}
"""Symbol -> atomic number."""

_LANTHANIDES = SYMBOLS[57:72]
_ACTINIDES = SYMBOLS[89:104]
_ALKALI = ("Li", "Na", "K", "Rb", "Cs", "Fr")
_ALKALINE = ("Be", "Mg", "Ca", "Sr", "Ba", "Ra")
_TRANSITION = (*SYMBOLS[21:31], *SYMBOLS[39:49], *SYMBOLS[71:81], *SYMBOLS[103:113])
_POST_TRANSITION = ("Al", "Ga", "In", "Sn", "Tl", "Pb", "Bi", "Nh", "Fl", "Mc", "Lv")
_HALOGENS = ("F", "Cl", "Br", "I", "At", "Ts")
_NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og")

ELEMENT_CLASSES: dict[str, tuple[str, ...]] = {
    "rare_earth": ("Sc", "Y", *_LANTHANIDES),
    "lanthanide": _LANTHANIDES,
    "actinide": _ACTINIDES,
    "alkali_metal": _ALKALI,
    "alkaline_earth": _ALKALINE,
    "transition_metal": _TRANSITION,
    "post_transition_metal": _POST_TRANSITION,
    "metalloid": ("B", "Si", "Ge", "As", "Sb", "Te", "Po"),
    "halogen": _HALOGENS,
    "chalcogen": ("O", "S", "Se", "Te", "Po", "Lv"),
    "pnictogen": ("N", "P", "As", "Sb", "Bi", "Mc"),
    "noble_gas": _NOBLE_GASES,
    "metal": tuple(
        dict.fromkeys(
            (*_ALKALI, *_ALKALINE, *_TRANSITION, *_POST_TRANSITION, *_LANTHANIDES, *_ACTINIDES)
        )
    ),
    "nonmetal": ("H", "C", "N", "O", "P", "S", "Se", *_HALOGENS, *_NOBLE_GASES),
}
"""Elements of each class; `xtalshift.chem.composition_rules.match_rule` defines them in words."""

MAGPIE_PROPERTIES: tuple[str, ...] = (
    "Number",
    "MendeleevNumber",
    "AtomicWeight",
    "MeltingT",
    "Column",
    "Row",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "NValence",
    "NsUnfilled",
    "NpUnfilled",
    "NdUnfilled",
    "NfUnfilled",
    "NUnfilled",
    "GSvolume_pa",
    "GSbandgap",
    "GSmagmom",
    "SpaceGroupNumber",
)
"""The 22 elemental properties of the Magpie feature set, in its order."""


@dataclass(frozen=True)
class ElementTable:
    """Elemental properties by atomic number (row 0 is unused and holds NaN).

    The values are those of the Magpie tables (Ward et al., npj Comput. Mater. 2, 16028, 2016)
    and the Pauling electronegativities and common oxidation states of pymatgen (Ong et al.,
    Comput. Mater. Sci. 68, 314, 2013).
    """

    magpie: NDArray[np.float64]
    """Shape (119, 22). `MAGPIE_PROPERTIES`; weights in u, temperatures in K, radii in pm, volumes
    in A^3/atom, gaps in eV, moments in Bohr magnetons. NaN where unknown."""
    electronegativity: NDArray[np.float64]
    """Shape (119,). Pauling scale; NaN where unknown."""
    oxidation_states: tuple[tuple[int, ...], ...]
    """Length 119. Common oxidation states; empty if unknown."""


@cache
def load_elements(*, impute_nan: bool = False) -> ElementTable:
    """Read the element table (once; later calls return the same read-only arrays).

    With `impute_nan` each unknown value is the mean of the property over the elements that have it.
    """
    text = files("xtalshift.chem").joinpath("elements.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    names = (*MAGPIE_PROPERTIES, "X")
    values = np.full((len(SYMBOLS), len(names)), np.nan)
    states: list[tuple[int, ...]] = [()] * len(SYMBOLS)
    for row in rows:
        z = ATOMIC_NUMBERS[row["symbol"]]
        values[z] = [float(row[name] or "nan") for name in names]
        states[z] = tuple(int(state) for state in row["oxidation_states"].split())
    if impute_nan:
        elements = values[1:]  # a view
        # the mean of a contiguous column, so that the sum is taken in one fixed order
        means = [np.nanmean(np.ascontiguousarray(column)) for column in elements.T]
        np.copyto(elements, means, where=np.isnan(elements))
    values.flags.writeable = False
    return ElementTable(values[:, :-1], values[:, -1], tuple(states))
