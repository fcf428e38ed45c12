"""Texts of small crystals, and ways to break them."""

import json

ROCK_SALT = (("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5))
FCC = "x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"


def cif(
    *atoms, a=5.64, b=None, c=None, angles=(90, 90, 90), operations=FCC, header="", name="x", end=""
):
    """Return a CIF; an atom is (symbol, x, y, z) and, if not 1, its occupancy."""
    lengths = (a, b or a, c or a)
    lines = [
        f"data_{name}",
        *(f"_cell_length_{n} {v}" for n, v in zip("abc", lengths, strict=True)),
    ]
    lines += [
        f"_cell_angle_{n} {v}" for n, v in zip(("alpha", "beta", "gamma"), angles, strict=True)
    ]
    lines.append(header)
    if operations:
        lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{one}'" for one in operations)]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{n}" for n in "xyz"] + ["_atom_site_occupancy"]
    for number, (symbol, x, y, z, *share) in enumerate(atoms or ROCK_SALT):
        lines.append(f"{symbol}{number} {symbol} {x} {y} {z} {share[0] if share else 1}")
    return "\n".join([*lines, end])


def poscar(
    *positions, symbols="Cs Cl", numbers="1 1", scale="1.0", mode="Direct", a=4.12, comment="salt"
):
    """Return a POSCAR of a cubic cell; by default caesium chloride."""
    head = [comment, scale, f"{a} 0 0", f"0 {a} 0", f"0 0 {a}"]
    places = positions or ("0 0 0", "0.5 0.5 0.5")
    return "\n".join([*head, *([symbols] if symbols else []), numbers, mode, *places, ""])


def extxyz(*rows, lattice="4.12 0 0 0 4.12 0 0 0 4.12", extra="", number=None, properties=None):
    """Return one frame; by default caesium chloride."""
    atoms = rows or ("Cs 0 0 0", "Cl 2.06 2.06 2.06")
    columns = f"Properties={properties}" if properties else ""
    cell = f'Lattice="{lattice}"' if lattice else ""
    comment = " ".join(filter(None, [cell, columns, extra])) or "a molecule"
    return "\n".join([str(len(atoms) if number is None else number), comment, *atoms, ""])


def as_dict(*sites, a=4.12):
    """Return the dict of pymatgen of a cubic cell; a site is (species with shares, x, y, z)."""
    atoms = sites or (({"Cs": 1}, 0, 0, 0), ({"Cl": 1}, 0.5, 0.5, 0.5))
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": [[a, 0, 0], [0, a, 0], [0, 0, a]]},
        "sites": [
            {
                "species": [{"element": symbol, "occu": share} for symbol, share in kinds.items()],
                "abc": place,
            }
            for kinds, *place in atoms
        ],
    }


def as_json(*sites, a=4.12):
    return json.dumps(as_dict(*sites, a=a))
