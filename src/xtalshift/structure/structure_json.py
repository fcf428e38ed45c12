"""Structures of pymatgen in JSON.

The dictionaries are read here and not by pymatgen, whose decoder makes any class that a file names.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from xtalshift.structure.listed_atoms import Found, ListedAtoms, RefusedError, attempt
from xtalshift.structure.unit_cells import lattice_of

_FORM = 'it needs "lattice" and "sites" as Structure.as_dict() of pymatgen writes them'


def read_json(text: str) -> Found:
    """Return the structures of a JSON text; see `read_tree`."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"no readable JSON ({error}); check that the file is complete") from None
    return read_tree(tree)


def read_tree(tree: Any) -> Found:
    """Return the structures of a dict of pymatgen, of an entry with one, or of a list of these."""
    if isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        return [one for item in tree for one in read_tree(item)]
    if isinstance(tree, dict) and isinstance(tree.get("structure"), dict):
        tree = tree["structure"]
    return [attempt(_read_structure, tree)]


def _read_structure(tree: Any) -> ListedAtoms:
    if not isinstance(tree, dict) or not tree.keys() >= {"lattice", "sites"}:
        there = ", ".join(map(str, list(tree)[:5])) if isinstance(tree, dict) else repr(tree)
        kind = "a molecule of pymatgen" if isinstance(tree, dict) and "sites" in tree else "JSON"
        raise RefusedError(f"{kind} without a crystal structure ({there[:60]}); {_FORM}")
    try:
        lattice = _read_lattice(tree["lattice"])
        species, places, occupancies = [], [], []
        for site in tree["sites"]:
            place = _read_place(site, lattice)
            for one in site["species"]:
                species.append(_name(one))
                places.append(place)
                occupancies.append(float(one.get("occu", 1.0)))
    except (TypeError, ValueError, KeyError, AttributeError, np.linalg.LinAlgError) as error:
        raise RefusedError(
            f"no readable structure of pymatgen ({type(error).__name__}: {error}); {_FORM}"
        ) from None
    return ListedAtoms(
        lattice, species, np.array(places).reshape(-1, 3), np.array(occupancies, dtype=np.float64)
    )


def _read_lattice(tree: Any) -> Any:
    if "matrix" in tree:
        return np.array(tree["matrix"], dtype=np.float64).reshape(3, 3)
    return lattice_of(*(float(tree[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma")))


def _read_place(site: Any, lattice: Any) -> Any:
    if "abc" in site:
        return np.array(site["abc"], dtype=np.float64).reshape(3)
    return np.array(site["xyz"], dtype=np.float64).reshape(3) @ np.linalg.inv(lattice)


def _name(species: Any) -> str:
    state = species.get("oxidation_state")
    sign = f"{abs(float(state)):g}{'-' if state < 0 else '+'}" if state else ""
    return f"{species['element']}{sign}"
