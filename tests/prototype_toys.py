"""Crystals of well-known prototypes, from their space group and free coordinates."""

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.structure import Structure

from xtalshift.structure import Structures

TETRAHEDRAL = 3 / 8  # height of the anion in ideal wurtzite


def from_group(number, lattice, species, places):
    """Return the whole cell of a space group in its standard setting."""
    found = Structure.from_spacegroup(number, lattice, species, places)
    return Structures.of(found.lattice.matrix, [site.specie.Z for site in found], found.frac_coords)


def hexagonal(a, c):
    return Lattice.hexagonal(a, c)


PROTOTYPES = {
    "AB_cF8_225_a_b": from_group(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]),
    "AB_cP2_221_a_b": from_group(221, Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]),
    "AB_cF8_216_a_c": from_group(216, Lattice.cubic(5.41), ["Zn", "S"], [[0] * 3, [0.25] * 3]),
    "AB_hP4_186_b_b": from_group(
        186, hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, TETRAHEDRAL]]
    ),
    "AB_hP4_194_a_c": from_group(
        194, hexagonal(3.6, 5.0), ["Ni", "As"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    ),
    "AB2_cF12_225_a_c": from_group(225, Lattice.cubic(5.46), ["Ca", "F"], [[0] * 3, [0.25] * 3]),
    "AB2_tP6_136_a_f": from_group(
        136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    ),
    "AB2_tI12_141_a_e": from_group(
        141, Lattice.tetragonal(3.784, 9.515), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]
    ),
    "ABC3_cP5_221_a_b_c": from_group(
        221, Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]]
    ),
    "ABC_cF12_216_a_b_c": from_group(
        216, Lattice.cubic(5.9), ["Ti", "Sn", "Ni"], [[0] * 3, [0.5] * 3, [0.25] * 3]
    ),
    "AB2C4_cF56_227_a_d_e": from_group(
        227, Lattice.cubic(8.08), ["Mg", "Al", "O"], [[0.125] * 3, [0.5] * 3, [0.2624] * 3]
    ),
    "A2B3_hR10_167_c_e": from_group(
        167, hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]
    ),
    "A_hR2_166_c": from_group(166, hexagonal(3.76, 10.55), ["As"], [[0, 0, 0.227]]),
    "AB2_mP12_14_e_2e": from_group(
        14,
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [[0.275, 0.04, 0.208], [0.07, 0.333, 0.345], [0.45, 0.757, 0.479]],
    ),
}
"""The label of each prototype -> one crystal of it."""


def exchanged(structure, rng):
    """Return the structure with other elements on its kinds of sites."""
    known = np.unique(structure.z)
    new = rng.permutation([3, 11, 12, 20, 26, 30, 48, 56, 8, 9, 16, 17])[: len(known)]
    z = new[np.searchsorted(known, structure.z)]
    return Structures.of(structure.lattices[0], z, structure.positions, structure.occupancies)


def shaken(structure, rng, size=0.02):
    """Return the structure with its atoms moved at random, `size` in angstrom."""
    moves = rng.normal(scale=size, size=structure.positions.shape)
    places = structure.positions + moves @ np.linalg.inv(structure.lattices[0])
    return Structures.of(structure.lattices[0], structure.z, places, structure.occupancies)


def scaled(structure, factor):
    """Return the structure with all lengths times a factor."""
    return Structures.of(
        factor * structure.lattices[0], structure.z, structure.positions, structure.occupancies
    )
