"""From the name of a species in a structure file to its element."""

from __future__ import annotations

import re
from functools import lru_cache

from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.structure.listed_atoms import RefusedError

_ISOTOPES = {"D": "deuterium", "T": "tritium"}
_DUMMIES = {"X", "Xx", "Vac", "Va", "Dummy", "Q", "M", "A", "Bq", "Gh", "Du", "Lp", "Pn", "Wat"}
_SPECIES = re.compile(
    r"(?P<mass>\d{0,3})(?P<symbol>[A-Za-z]+)(?P<state>(\d+(\.\d*)?)?[+-](\d+(\.\d*)?)?)?"
)
_LABEL = re.compile(r"(?P<symbol>[A-Za-z]+).*")
_REMEDY = "write the symbol of an element, such as 'Fe', for it"


@lru_cache(maxsize=4096)
def read_species(name: str) -> tuple[int, str]:
    """Return the atomic number of a species and a note on what was left out.

    Oxidation states and isotopes are left out; deuterium and tritium are hydrogen.

    Raises
    ------
    RefusedError
        If it is no element: a vacancy, a dummy atom, a molecule or a misprint.

    Examples
    --------
    >>> read_species("Fe3+")
    (26, 'oxidation states left out')
    """
    match = _SPECIES.fullmatch(name.strip())
    symbol = match["symbol"].capitalize() if match else ""
    if symbol in _ISOTOPES:
        return 1, f"{_ISOTOPES[symbol]} read as hydrogen"
    if match is None or symbol not in ATOMIC_NUMBERS:
        kind = "a dummy atom or a vacancy" if symbol in _DUMMIES else "no element"
        raise RefusedError(f"species {name[:20]!r} is {kind}; {_REMEDY}, or remove its sites")
    note = "isotopes left out" if match["mass"] else ""
    if match["state"]:
        note = ", ".join(filter(None, [note, "oxidation states left out"]))
    return ATOMIC_NUMBERS[symbol], note


@lru_cache(maxsize=4096)
def species_of_label(label: str) -> str:
    """Return the species that the label of a site stands for: ``Fe`` for ``Fe1A``.

    Raises
    ------
    RefusedError
        If it stands for none, or could stand for two (``CA1``: carbon or calcium).
    """
    match = _LABEL.fullmatch(label.strip())
    letters = match["symbol"] if match else ""
    one, two = letters[:1].upper(), letters[:2].capitalize()
    known = ATOMIC_NUMBERS.keys() | _ISOTOPES.keys()
    if len(letters) > 1 and letters[1].isupper():  # Fe is iron, CA carbon A or calcium
        if one in known and two in known:
            raise RefusedError(
                f"the label {label[:20]!r} may be {one} or {two}; give _atom_site_type_symbol"
            )
        return one if one in known else two
    return two if two in known else one if one in known and len(letters) == 1 else letters or label
