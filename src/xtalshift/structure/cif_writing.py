"""Crystal structures as CIF files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure.structures import Structures

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]+")


def write_cif(structure: Structures, name: str = "crystal") -> str:
    """Return a structure as the text of a CIF file, all atoms of the cell without symmetry.

    Lengths and angles have 8 decimals, positions 10. The orientation of the cell is lost: a CIF
    tells only lengths and angles.

    Parameters
    ----------
    structure : Structures
        A batch of one.
    name : str
        Name of the data block; what is no letter, digit or ``._+-`` becomes ``_``.
    """
    lengths = np.linalg.norm(structure.lattices[0], axis=1)
    a, b, c = structure.lattices[0] / lengths[:, None]
    angles = np.degrees(np.arccos(np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)))
    elements = structure.compositions()
    counts = zip(elements.z.tolist(), elements.amounts.tolist(), strict=True)
    formula = " ".join(f"{SYMBOLS[z]}{amount:g}" for z, amount in counts)
    seen: Counter[str] = Counter()
    atoms = []
    for z, place, share in zip(
        structure.z.tolist(),
        structure.positions.tolist(),
        structure.occupancies.tolist(),
        strict=True,
    ):
        symbol = SYMBOLS[z]
        seen[symbol] += 1
        where = " ".join(f"{x:.10f}" for x in place)
        atoms.append(f"{symbol}{seen[symbol]} {symbol} {where} {share:g}")
    lines = [
        f"data_{plain_name(name)}",
        "_symmetry_space_group_name_H-M 'P 1'",
        "_symmetry_Int_Tables_number 1",
        *(f"_cell_length_{axis} {value:.8f}" for axis, value in zip("abc", lengths, strict=True)),
        *(
            f"_cell_angle_{angle} {value:.8f}"
            for angle, value in zip(("alpha", "beta", "gamma"), angles, strict=True)
        ),
        f"_cell_volume {structure.volumes[0]:.8f}",
        f"_chemical_formula_sum '{formula}'",
        "loop_",
        "_symmetry_equiv_pos_as_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
        *atoms,
    ]
    return "\n".join(lines) + "\n"


def plain_name(name: str) -> str:
    """Return a name that any file system and any reader of CIF takes."""
    return _NOT_IN_NAMES.sub("_", name).lstrip(".") or "crystal"


def file_names(ids: Sequence[str]) -> list[str]:
    """Return a name ending in ``.cif`` for each of n ids; those that would repeat get a number."""
    plain = [plain_name(name) for name in ids]
    asked, used = {one.lower() for one in plain}, set()
    names = []
    for one in plain:
        name, number = one, 1
        while name.lower() in used or (number > 1 and name.lower() in asked):
            number += 1
            name = f"{one}-{number}"
        used.add(name.lower())
        names.append(f"{name}.cif")
    return names
