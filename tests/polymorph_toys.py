"""Small crystals whose property depends on the structure, and their files."""

from pathlib import Path

import numpy as np

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.structure import Structures

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
KINDS = {
    "rocksalt": (FCC, [0.5, 0.5, 0.5]),
    "zincblende": (1.12 * FCC, [0.25, 0.25, 0.25]),
    "cesium-chloride": (0.6 * np.eye(3), [0.5, 0.5, 0.5]),
}
CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te")
RADII = {"F": 1.3, "Cl": 1.8, "Br": 1.95, "I": 2.2, "O": 1.4, "S": 1.85, "Se": 2.0, "Te": 2.2}


def crystal(cation: str, anion: str, kind: str) -> Structures:
    """Return a crystal of two atoms."""
    lattice, place = KINDS[kind]
    edge = 2 * (1.0 + 0.15 * CATIONS.index(cation) + RADII[anion])
    numbers = [ATOMIC_NUMBERS[cation], ATOMIC_NUMBERS[anion]]
    return Structures.of(edge * lattice, numbers, [[0, 0, 0], place])


def crystals() -> tuple[list[str], Structures, np.ndarray]:
    """Return names, structures and values of 192 crystals: three polymorphs of each formula."""
    names = [f"{a}{b}-{kind}" for a in CATIONS for b in ANIONS for kind in KINDS]
    batch = Structures.join([crystal(*split(name)) for name in names])
    return names, batch, 100.0 / (batch.volumes / batch.sizes)


def split(name: str) -> tuple[str, str, str]:
    """Return cation, anion and kind."""
    formula, _, kind = name.partition("-")
    anion = next(one for one in sorted(ANIONS, key=len, reverse=True) if formula.endswith(one))
    return formula.removesuffix(anion), anion, kind


def write_cif(structure: Structures) -> str:
    """Return a structure as a CIF without symmetry."""
    lengths = np.linalg.norm(structure.lattices[0], axis=1)
    a, b, c = structure.lattices[0] / lengths[:, None]
    angles = np.degrees(np.arccos([b @ c, a @ c, a @ b]))
    cell = [
        *(f"_cell_length_{name} {value:.8f}" for name, value in zip("abc", lengths, strict=True)),
        *(
            f"_cell_angle_{name} {value:.8f}"
            for name, value in zip(("alpha", "beta", "gamma"), angles, strict=True)
        ),
    ]
    atoms = [
        f"{SYMBOLS[z]} {SYMBOLS[z]}{i} {x:.8f} {y:.8f} {w:.8f} {share:g}"
        for i, (z, (x, y, w), share) in enumerate(
            zip(structure.z, structure.positions, structure.occupancies, strict=True)
        )
    ]
    columns = ("type_symbol", "label", "fract_x", "fract_y", "fract_z", "occupancy")
    lines = ["data_crystal", "_symmetry_space_group_name_H-M 'P 1'", *cell, "loop_"]
    return "\n".join([*lines, *(f"_atom_site_{name}" for name in columns), *atoms, ""])


def write_folder(folder: Path, names: list[str], batch: Structures) -> Path:
    """Write each structure as NAME.cif."""
    folder.mkdir()
    for row, name in enumerate(names):
        (folder / f"{name}.cif").write_text(write_cif(batch.take([row])), encoding="utf-8")
    return folder
