"""Crystal structures as OPTIMADE describes them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import parse_formula
from xtalshift.errors import FormulaError
from xtalshift.structure import Structures
from xtalshift.structure.reading import ReadStructures, read_structures

Attributes: TypeAlias = "dict[str, Any]"
"""The properties of an entry, as the server gives them: nothing about them is certain."""

PROPERTIES = (
    "chemical_formula_reduced",
    "elements",
    "nsites",
    "last_modified",
    "lattice_vectors",
    "dimension_types",
    "cartesian_site_positions",
    "species",
    "species_at_sites",
    "assemblies",
    "structure_features",
)
"""What `read_entries` and the table need."""

_SAME = 0.005  # as share of the atoms
_NO_ATOM = "vacancy"
_HIDDEN = {
    "implicit_atoms": "some of its atoms have no positions (implicit_atoms)",
    "site_attachments": "some of its atoms are attached to others, without positions "
    "(site_attachments)",
    "unknown_coordinates": "some of its atoms have no positions (unknown_coordinates)",
}
_ELSEWHERE = "; take the structure from the provider"


class _RefusedError(Exception):
    """An entry is no complete crystal structure; the message says why."""


def read_entries(entries: list[Attributes]) -> ReadStructures:
    """Read the structure of each entry.

    A species of several elements becomes atoms with occupancies at one position, and vacancies are
    left out. The sites of an assembly (alternatives of a disordered crystal) have the probability
    of their group as a factor of their occupancies.

    Parameters
    ----------
    entries : list of dict, length n
        Properties by name, of which `PROPERTIES` are used.

    Returns
    -------
    ReadStructures
        n rows. What is no complete crystal has a reason; nothing is raised for it.
    """
    return ReadStructures.join([_read(one) for one in entries])


def _read(entry: Attributes) -> ReadStructures:
    try:
        tree = _to_pymatgen(entry)
    except _RefusedError as error:
        return _refuse(str(error))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
        return _refuse(f"not as OPTIMADE has it ({type(error).__name__}: {error})")
    found = read_structures([tree])
    if found.reasons[0]:
        return found
    try:
        notes = [found.notes[0], _compare(found.structures, entry.get("chemical_formula_reduced"))]
    except _RefusedError as error:
        return _refuse(str(error))
    types = entry.get("dimension_types")
    if isinstance(types, list) and 0 in types:
        notes.append("not periodic in a direction")
    note = np.array(["; ".join(filter(None, notes))], dtype=object)
    return ReadStructures(found.structures, note, found.reasons)


def _compare(structures: Structures, formula: Any) -> str:
    """Return a note if a stated formula differs from the atoms of one structure.

    Of a disordered crystal the formula is rounded to whole numbers, so that only its elements
    tell whether atoms are missing.
    """
    try:
        parsed = parse_formula(formula)
    except FormulaError:
        return ""
    found = structures.compositions()
    stated, there = np.zeros(len(SYMBOLS)), np.zeros(len(SYMBOLS))
    stated[list(parsed.z)] = parsed.amounts
    there[found.z] = found.amounts
    missing = np.flatnonzero((stated > 0) & (there == 0))
    if missing.size:
        raise _RefusedError(f"the formula is {formula}, but no atom is {SYMBOLS[missing[0]]}")
    excess = np.abs(stated / stated.sum() - there / there.sum()).max()
    if excess <= _SAME:
        return ""
    atoms = found.reduced_formulas()[0]
    if structures.ordered[0]:
        raise _RefusedError(f"the formula is {formula}, but the atoms are {atoms}")
    return f"the formula is {formula}, the atoms are {atoms}: atoms taken"


def _refuse(reason: str) -> ReadStructures:
    return ReadStructures(
        Structures.none(1),
        np.array([""], dtype=object),
        np.array([f"{reason}{_ELSEWHERE}"], dtype=object),
    )


def _to_pymatgen(entry: Attributes) -> dict[str, Any]:
    """Return the structure as our readers take it."""
    for feature in entry.get("structure_features") or []:
        if feature in _HIDDEN:
            raise _RefusedError(_HIDDEN[feature])
    lattice = entry.get("lattice_vectors")
    if not lattice or any(x is None for vector in lattice for x in (vector or [None])):
        raise _RefusedError("no lattice")
    positions = entry.get("cartesian_site_positions")
    if not positions:
        raise _RefusedError("no positions of atoms")
    at_sites, species = entry.get("species_at_sites"), entry.get("species")
    if not at_sites or not species:
        raise _RefusedError("no species of the sites")
    if len(at_sites) != len(positions):
        raise _RefusedError(f"{len(positions):,} positions but {len(at_sites):,} species of sites")
    number = entry.get("nsites")
    if number is not None and number != len(positions):
        raise _RefusedError(f"{len(positions):,} positions but {number} sites (nsites)")
    kinds = {one["name"]: _elements_of(one) for one in species}
    factors = _factors(entry.get("assemblies") or [], len(positions))
    sites = []
    for name, place, factor in zip(at_sites, positions, factors, strict=True):
        if name not in kinds:
            raise _RefusedError(f"a site has the species {name!r}, which is not described")
        atoms = [
            {"element": symbol, "occu": occupancy * factor} for symbol, occupancy in kinds[name]
        ]
        sites.append({"species": atoms, "xyz": place})
    return {"lattice": {"matrix": lattice}, "sites": sites}


def _elements_of(species: Attributes) -> list[tuple[str, float]]:
    """Return symbols and occupancies of one species, without vacancies."""
    symbols, shares = species["chemical_symbols"], species["concentration"]
    if species.get("attached"):
        raise _RefusedError(_HIDDEN["site_attachments"])
    return [
        (str(symbol), float(share))
        for symbol, share in zip(symbols, shares, strict=True)
        if symbol != _NO_ATOM
    ]


def _factors(assemblies: list[Attributes], m: int) -> list[float]:
    """Return the probability of the group of each site; 1 for sites of no assembly."""
    factors = [1.0] * m
    for assembly in assemblies:
        groups = zip(assembly["sites_in_groups"], assembly["group_probabilities"], strict=True)
        for sites, probability in groups:
            if any(site < 0 for site in sites):
                raise _RefusedError("an assembly has a site that does not exist")
            for site in sites:
                factors[site] *= float(probability)
    return factors
