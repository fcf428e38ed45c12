"""Units as people write them behind a number, each spelling as one text."""

from __future__ import annotations

import re
from functools import lru_cache

_PREFIXED = {
    "eV": "f p n u m k M G", "J": "a f p n u m k M G", "cal": "k", "K": "n u m k",
    "Pa": "u m h k M G T", "bar": "m k M", "m": "f p n u m c d k", "g": "u m k", "S": "n u m k M",
    "V": "n u m k M", "W": "n u m k M G", "Hz": "k M G T", "T": "n u m", "Oe": "k", "G": "k",
    "A": "n u m k", "s": "f p n u m", "mol": "n u m k", "ohm": "n u m k M G", "C": "p n u m",
    "F": "p n u m", "L": "u m", "l": "u m", "N": "n u m k", "Ry": "m", "Ha": "m", "emu": "m",
    "uB": "", "Å": "", "atom": "", "atoms": "", "at": "", "fu": "", "f.u.": "", "cell": "",
    "hartree": "", "rydberg": "", "a.u.": "", "u": "", "Da": "", "amu": "", "D": "", "B": "",
    "min": "", "h": "", "deg": "", "rad": "m", "°": "", "°C": "", "°F": "", "degC": "", "%": "",
    "‰": "", "ppm": "", "ppb": "", "HV": "", "HB": "", "HRC": "", "HK": "", "atm": "", "torr": "",
    "bohr": "", "uB/fu": "", "wt%": "", "at%": "", "mol%": "", "vol%": "", "dB": "",
}  # fmt: skip
_NAMES = frozenset(
    prefix + name for name, prefixes in _PREFIXED.items() for prefix in ("", *prefixes.split())
)
_SAME = {
    "ev": "eV", "mev": "meV", "kelvin": "K", "angstrom": "Å", "angstroms": "Å", "ang": "Å",
    "degc": "°C", "percent": "%", "gpa": "GPa", "mpa": "MPa", "ω": "ohm", "rydberg": "Ry",
    "hartree": "Ha", "electronvolt": "eV", "f.u.": "fu", "atoms": "atom", "volt": "V",
}  # fmt: skip
_SPELLINGS = str.maketrans(
    {
        **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True)),
        **dict.fromkeys("µμ", "u"), "\u212b": "Å", "\u2126": "ohm", "Ω": "ohm", "\u212a": "K",
        **dict.fromkeys("·⋅*\u00a0 ", "."), "^": "", "º": "°",
    }
)  # fmt: skip
_FACTOR = re.compile(
    r"(?P<name>(?:f\.u\.|a\.u\.)|[^\d./()+%‰-]+|[a-z]*[%‰]$)(?P<power>-[1-4]|[2-4])?"
)
_LONGEST = 20


_HEADER = re.compile(r"[\[(]([^\[\]()]+)[\])]\s*$|,\s*([^,]+)$")  # gap (eV), gap [eV], gap, eV


def unit_of_header(name: str) -> str:
    """Return the unit at the end of the name of a column, as written, or an empty text.

    Examples
    --------
    >>> unit_of_header("Seebeck coefficient (uV/K)"), unit_of_header("gap, eV"), unit_of_header("n")
    ('uV/K', 'eV', '')
    """
    found = _HEADER.search(name)
    unit = (found[1] or found[2]).strip() if found else ""
    return unit if known_unit(unit) else ""


def name_with_unit(name: str, unit: str) -> str:
    """Write a name with its unit, once: names of columns often end with it.

    Examples
    --------
    >>> name_with_unit("kappa", "W/(m K)"), name_with_unit("kappa (W/(m K))", "W/(m K)")
    ('kappa (W/(m K))', 'kappa (W/(m K))')
    """
    return name if not unit or unit in name or unit_of_header(name) else f"{name} ({unit})"


@lru_cache(maxsize=4096)
def known_unit(text: str) -> str | None:
    """Return the text of a unit in one spelling, or None if it is no unit.

    Known are units of energy, pressure, length, temperature, charge, magnetism and the like with
    their prefixes, and products, quotients and powers of them. Other letters behind a number
    (``2H``, ``4 samples``, ``3d``) are no unit.

    Examples
    --------
    >>> known_unit("µV/K"), known_unit("μV K⁻¹"), known_unit("Angstrom"), known_unit("H")
    ('uV/K', 'uV.K-1', 'Å', None)
    """
    unit = text.strip().translate(_SPELLINGS)
    if not unit or len(unit) > _LONGEST:
        return None
    factors = []
    place = 0
    while True:
        match = _FACTOR.match(unit, place)
        if match is None:
            return None
        name = match["name"]
        if name not in _NAMES:
            name = _SAME.get(name.lower(), "")
        if not name:
            return None
        factors.append(_SAME.get(name.lower(), name) + (match["power"] or ""))
        place = match.end()
        if place == len(unit):
            return "".join(factors)
        if unit[place] not in "./":
            return None
        factors.append(unit[place])
        place += 1
