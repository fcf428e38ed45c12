"""Texts of structures: what is read, noted, refused, each with the values or the words."""

import json
import sys

import numpy as np
import pytest

from structure_texts import FCC, as_dict, as_json, cif, extxyz, poscar
from xtalshift.errors import ConfigError
from xtalshift.structure import read_structures
from xtalshift.structure.listed_atoms import RefusedError
from xtalshift.structure.reading import read_all
from xtalshift.structure.symmetry_operations import fill_cell

HALF = np.array([0.5, 0.5, 0.5])
ONE = ("x,y,z",)
ALONE = "only the operation x,y,z is listed for group"
# fmt: off
# reading -> (text, reduced formula, number of atoms, note)
READ = {
    "cif": (cif(), "NaCl", 8, ""),
    "crlf": (cif().replace("\n", "\r\n"), "NaCl", 8, ""),
    "old line ends": (cif().replace("\n", "\r"), "NaCl", 8, ""),
    "capital tags": (cif().replace("_cell_length_a", "_Cell_Length_A"), "NaCl", 8, ""),
    "uncertainties": (cif(("Na", "0.0", 0, "0.0000(12)")), "Na", 4, ""),
    "utf-8 with mark": (cif().encode("utf-8-sig"), "NaCl", 8, ""),
    "utf-16": (cif().encode("utf-16"), "NaCl", 8, ""),
    "utf-32": (cif().encode("utf-32"), "NaCl", 8, ""),
    "latin-1": (("# é\n" + cif()).encode("latin-1"), "NaCl", 8, "not UTF-8: read as Latin-1"),
    "hm": (
        cif(operations=(), header="_symmetry_space_group_name_H-M 'F m -3 m'"),
        *("NaCl", 8, "no symmetry operations: those of F m -3 m taken"),
    ),
    "hall": (
        cif(operations=(), header="_space_group_name_Hall '-F 4 2 3'"),
        *("NaCl", 8, "no symmetry operations: those of the Hall symbol -F 4 2 3 taken"),
    ),
    "number": (
        cif(operations=(), header="_space_group_IT_number 225"),
        *("NaCl", 8, "no symmetry operations: those of F m -3 m taken"),
    ),
    "two origins": (
        cif(
            ("C", 0.125, 0.125, 0.125),
            a=3.567, operations=(), header="_symmetry_space_group_name_H-M 'F d -3 m'",
        ),
        *("C", 8, "no symmetry operations: those of F d -3 m:2 taken"),
    ),
    "the other origin": (
        cif(
            ("C", 0, 0, 0),
            a=3.567, operations=(),
            header="_space_group_IT_number 227\n_chemical_formula_sum C\n_cell_formula_units_Z 8",
        ),
        *("C", 8, "no symmetry operations: those of F d -3 m:1 taken"),
    ),
    "one operation of a long symbol": (
        cif(operations=ONE, header="_symmetry_space_group_name_H-M 'P 1 21/c 1'"),
        *("NaCl", 2, f"{ALONE} P 1 21/c 1: atoms read as the whole cell"),
    ),
    "rhombohedral": (
        cif(
            ("Bi", 0.234, 0.234, 0.234),
            a=4.75, angles=(57.2, 57.2, 57.2), operations=(),
            header="_symmetry_space_group_name_H-M 'R -3 m'",
        ),
        *("Bi", 2, "no symmetry operations: those of R -3 m:R taken"),
    ),
    "no symmetry": (
        cif(operations=()),
        *("NaCl", 2, "no symmetry operations and no space group: atoms read as the whole cell"),
    ),
    "one operation": (
        cif(operations=ONE, header="_symmetry_space_group_name_H-M 'F m -3 m'"),
        "NaCl", 2,
        "only the operation x,y,z is listed for group F m -3 m: atoms read as the whole cell",
    ),
    "special position": (
        cif(
            ("Mg", 0.3333, 0.6667, 0.25),
            a=3.2, c=5.2, angles=(90, 90, 120), operations=(),
            header="_space_group_name_H-M_alt 'P 63/m m c'",
        ),
        *("Mg", 2, "no symmetry operations: those of P 63/m m c taken"),
    ),
    "no angle": (
        "\n".join(line for line in cif().split("\n") if "_cell_angle" not in line),
        *("NaCl", 8, "no angles: 90 degrees, as the CIF dictionary says"),
    ),
    "alloy": (
        cif(("Fe", 0, 0, 0, 0.25), ("Ni", 0, 0, 0, 0.75)),
        *("FeNi3", 8, "partly occupied: 8 of 8 atoms"),
    ),
    "occupancy a little above 1": (
        cif(("Na", 0, 0, 0, 1.005), ("Cl", *HALF)),
        *("NaCl", 8, "occupancies up to 1.005 scaled to 1"),
    ),
    "occupancy unknown": (cif(("Na", 0, 0, 0, "?")), "Na", 4, "unknown occupancies read as 1: 1"),
    "occupancy by default": (cif(("Na", 0, 0, 0, ".")), "Na", 4, ""),
    "occupancy 0": (
        cif(("Na", 0, 0, 0), ("Cl", *HALF, 0)),
        *("Na", 4, "atoms with occupancy 0 left out: 4"),
    ),
    "mixed valence": (
        cif(("Fe2+", 0, 0, 0, 0.5), ("Fe3+", 0, 0, 0, 0.5)),
        "Fe", 4,
        "oxidation states left out; atoms of one element on one site merged: 4",
    ),
    "alternatives": (
        cif(("Na", 0, 0, 0, 0.5), ("Na", 0.04, 0, 0, 0.5), operations=ONE),
        "Na", 2,
        "alternative positions closer than 0.4 angstrom; partly occupied: 2 of 2 atoms",
    ),
    "deuterium": (cif(("D", 0, 0, 0), ("Cl", *HALF)), "HCl", 8, "deuterium read as hydrogen"),
    "isotope": (cif(("13C", 0, 0, 0)), "C", 4, "isotopes left out"),
    "ions": (cif(("Na+", 0, 0, 0), ("Cl1-", *HALF)), "NaCl", 8, "oxidation states left out"),
    "capitals": (cif(("NA", 0, 0, 0), ("CL", *HALF)), "NaCl", 8, ""),
    "labels alone": (cif().replace(" Na ", " ? ").replace(" Cl ", " . "), "NaCl", 8, ""),
    "water label": (cif(("O", 0, 0, 0)).replace("O0 O", "OW1 ?"), "O", 4, ""),
    "publication block": ("data_global\n_journal_year 1999\n" + cif(), "NaCl", 8, ""),
    "two blocks": (cif() + cif(("Na", 0, 0, 0), name="y"), "NaCl", 8, "the first of 2 structures"),
    "formula": (
        cif(header="_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4"), "NaCl", 8, "",
    ),
    "formula of the cell": (
        cif(header="_chemical_formula_sum 'Cl4 Na4'\n_cell_formula_units_Z 4"), "NaCl", 8, "",
    ),
    "formula without spaces": (cif(header="_chemical_formula_sum NaCl"), "NaCl", 8, ""),
    "formula of a polymer": (cif(header="_chemical_formula_sum '(C2 H4)n'"), "NaCl", 8, ""),
    "formula with a misprint": (cif(header="_chemical_formula_sum 'Zz Cl'"), "NaCl", 8, ""),
    "formula with deuterium": (
        cif(("D", 0, 0, 0), ("Cl", *HALF), header="_chemical_formula_sum 'Cl0.5 D.5'"),
        *("HCl", 8, "deuterium read as hydrogen"),
    ),
    "no formula": (cif(header="_chemical_formula_sum ?"), "NaCl", 8, ""),
    "dopant": (
        cif(header="_chemical_formula_sum 'Cl1 Na0.98 K0.02'"),
        *("NaCl", 8, "the header says Na0.98ClK0.02, the atoms are Na4Cl4: atoms taken"),
    ),
    "units": (
        cif(header="_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 8"),
        *("NaCl", 8, "the header says 16 atoms in the cell, the list has 8"),
    ),
    "a tag twice": (
        cif(header="_journal_year 1\n_journal_year 2"),
        "NaCl", 8,
        "no valid CIF (line 9 in data_x: duplicate tag _journal_year), read by pymatgen",
    ),
    "unquoted words": (
        cif(header="_audit_author_name A B C"),
        *("NaCl", 8, "no valid CIF (line 8: parse error), read by pymatgen"),
    ),
    "vacuum": (
        cif(a=5.64, c=30, operations=ONE, header="_space_group_IT_number 1"),
        *("NaCl", 2, "vacuum along c: 15 angstrom, a surface or a molecule?"),
    ),
    "poscar": (poscar(), "CsCl", 2, ""),
    "poscar without a comment": (poscar(comment=""), "CsCl", 2, ""),
    "poscar in angstrom": (poscar("0 0 0", "2.06 2.06 2.06", mode="Cartesian"), "CsCl", 2, ""),
    "poscar with a volume": (
        poscar("0 0 0", "0.5 0.5 0.5", mode="cartesian", a=1, scale="-69.934528"), "CsCl", 2, "",
    ),
    "poscar with potentials": (poscar(symbols="Cs_sv Cl/0a1b"), "CsCl", 2, ""),
    "poscar with moves": (
        poscar("0 0 0 T T F", "0.5 0.5 0.5 F F F", mode="Selective dynamics\nDirect"),
        *("CsCl", 2, ""),
    ),
    "poscar with symbols behind": (
        poscar("0 0 0 Cs", "0.5 0.5 0.5 Cl", symbols="", numbers="1 1"), "CsCl", 2, "",
    ),
    "contcar with velocities": (poscar() + "\n0 0 0\n0 0 0\n", "CsCl", 2, ""),
    "poscar with deuterium": (poscar(symbols="D Cl"), "HCl", 2, "deuterium read as hydrogen"),
    "extxyz": (extxyz(), "CsCl", 2, ""),
    "extxyz with forces": (
        extxyz(
            "0 0 0 Cs 1 1 1", "2.06 2.06 2.06 Cl 1 1 1",
            properties="pos:R:3:species:S:1:forces:R:3", extra="energy=-1.5",
        ),
        *("CsCl", 2, ""),
    ),
    "extxyz with numbers": (extxyz("55 0 0 0", "17 2.06 2.06 2.06"), "CsCl", 2, ""),
    "extxyz with deuterium": (extxyz("D 0 0 0"), "H", 1, "deuterium read as hydrogen"),
    "frames": (extxyz() + extxyz("Na 0 0 0"), "CsCl", 2, "the first of 2 structures"),
    "slab": (
        extxyz(extra='pbc="T T F"'),
        *("CsCl", 2, "not periodic along c in the file: read as a crystal"),
    ),
    "molecule in a box": (
        extxyz("O 0 0 0", "H 0.96 0 0", "H 0 .96 0", lattice="20 0 0 0 20 0 0 0 20"),
        *("H2O", 3, "vacuum along c: 20 angstrom, a surface or a molecule?"),
    ),
    "json": (as_json(), "CsCl", 2, ""),
    "json in bytes": (as_json().encode(), "CsCl", 2, ""),
    "dict": (as_dict(), "CsCl", 2, ""),
    "entry": ({"structure": as_dict(), "energy": -1.0}, "CsCl", 2, ""),
    "list": ([as_dict(), as_dict()], "CsCl", 2, "the first of 2 structures"),
    "disordered json": (
        as_json(({"Fe": 0.25, "Ni": 0.75}, 0, 0, 0)),
        *("FeNi3", 2, "partly occupied: 2 of 2 atoms"),
    ),
}
# fmt: on
MANY = extxyz(
    *(f"Na {3 * (i % 200)} {3 * (i // 200)} 0" for i in range(20_001)),
    lattice="600 0 0 0 600 0 0 0 3",
)
PDB = "CRYST1   10.0   10.0   10.0  90.00  90.00  90.00 P 1\nATOM      1  N   ALA A   1\n"
# fmt: off
# refusal -> (text, reason)
REFUSED = {
    "nothing": (None, "no structure: it is empty or no text"),
    "a number": (5.0, "no structure: it is empty or no text"),
    "empty": ("", "no structure: it is empty or no text"),
    "blank": (" \n ", "no structure: it is empty or no text"),
    "no bytes": (b"", "no structure: it is empty or no text"),
    "garbage": ("garbage", "unknown format (it begins 'garbage'); CIF, POSCAR, extended XYZ and"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0", "it is no text but binary data; name a text file"),
    "utf-16 without mark": (cif().encode("utf-16-le"), "it is no text but binary data"),
    "broken utf-16": (b"\xff\xfe\x00\xd8", "it begins as UTF-16 and goes on as something else; sa"),
    "html": ("<!DOCTYPE html><p>404", "it is an HTML or XML page (it begins '<!DOCTYPE html><p>40"),
    "pdb": (PDB, "it is a PDB file"),
    "other json": ('{"a": 1, "b": 2}', "JSON without a crystal structure (a, b); it needs"),
    "empty json": ("[]", "JSON without a crystal structure ([]); it needs"),
    "json of numbers": ("[1, 2, 3]", "JSON without a crystal structure ([1, 2, 3]); it needs"),
    "cut json": (as_json()[:-9], "no readable JSON ("),
    "molecule json": ('{"@class": "Molecule", "sites": []}', "a molecule of pymatgen without a cr"),
    "json without matrix": (
        {"lattice": {}, "sites": []}, "no readable structure of pymatgen (KeyError: 'a'); it needs",
    ),
    "json without atoms": ({**as_dict(), "sites": []}, "it has no atoms; check that the file is c"),
    "json with a dummy": (as_json(({"X": 1}, 0, 0, 0)), "species 'X' is a dummy atom or a vacancy"),
    "cut in a number": (cif()[:-4], "no readable CIF (line "),
    "cut in the cell": (cif()[:120], "no readable CIF (line 7: parse error); check"),
    "cut before the atoms": (cif().split("loop_\n_atom")[0], "the CIF lists no atoms with fractio"),
    "block without a crystal": ("data_x\n_journal_year 1999\n", "the CIF has no data block with _"),
    "cut between lines": (
        cif(header="_chemical_formula_sum 'Cl Na'").rsplit("\n", 2)[0],
        "the header says NaCl, the atoms are Na4: Cl is missing from the list of atoms; add them, ",
    ),
    "no lithium": (
        cif(header="_chemical_formula_sum LiNaCl"),
        "the header says LiNaCl, the atoms are Na4Cl4: Li is missing from the list of atoms; add",
    ),
    "no hydrogen": (
        cif(header="_chemical_formula_sum 'H4 Cl Na O2'"),
        "the header says H4O2NaCl, the atoms are Na4Cl4: H is missing from the list of atoms; add ",
    ),
    "no operations": (
        cif(
            ("Ca", 0, 0, 0), ("F", 0.25, 0.25, 0.25),
            operations=(), header="_chemical_formula_sum 'Ca F2'",
        ),
        "the header says F2Ca, the atoms are FCa: atoms or symmetry operations are missing; add th",
    ),
    "unknown group": (
        cif(operations=(), header="_symmetry_space_group_name_H-M 'Q 7'"),
        "unknown space group 'Q 7' and no symmetry operations; list them",
    ),
    "unknown hall": (
        cif(operations=(), header="_space_group_name_Hall 'Q 7'"), "unknown Hall symbol 'Q 7'; lis",
    ),
    "no operation": (cif(operations=(*FCC, "foo")), "'foo' is no symmetry operation; write such a"),
    "odd translation": (cif(operations=(*FCC, "x+0.123,y,z")), "'x+0.123,y,z' is no symmetry oper"),
    "modulated": (cif(header="_cell_modulation_dimension 1"), "it is a modulated structure; give "),
    "cell twice": (
        cif(header="_cell_length_a 9"),
        "the CIF gives two values (line 8 in data_x: duplicate tag _cell_length_a); remove one",
    ),
    "no length": (cif(a="?"), "the lengths of the cell must be numbers above 0; add or correct"),
    "length 0": (cif(a=0), "the lengths of the cell must be numbers above 0"),
    "two angles": (cif(angles=(90, 90, "?")), "no cell has the angles 90, 90, nan; correct _cell_"),
    "angles": (cif(angles=(10, 10, 100)), "no cell has the angles 10, 10, 100; correct _cell_angl"),
    "flat cell": (cif(angles=(90, 90, 0)), "the cell has the volume 0 cubic angstrom; correct the"),
    "thin cell": (cif(angles=(90, 90, 0.1)), "the cell is only 0.0098 angstrom thick; check the l"),
    "occupancy 1.2": (cif(("Na", 0, 0, 0, 1.2)), "atom 1 (Na) has occupancy 1.2; it must be from"),
    "occupancy -0.2": (cif(("Na", 0, 0, 0, -0.2)), "atom 1 (Na) has occupancy -0.2; it must be"),
    "occupancy text": (cif(("Na", 0, 0, 0, "full")), "atom 1 (Na) has occupancy nan; it must be"),
    "occupancies 0": (cif(("Na", 0, 0, 0, 0)), "all its atoms have occupancy 0; correct the occ"),
    "crowded site": (
        cif(("Fe", 0, 0, 0, 0.6), ("Ni", 0, 0, 0, 0.5), operations=ONE),
        "atom 1 (Fe) and atom 2 (Ni) are on one site, which holds 1.1 atoms; correct the occupan",
    ),
    "all atoms and operations": (
        cif(("Na", 0, 0, 0), ("Na", 0, 0.5, 0.5)),
        "atom 1 (Na) and atom 6 (Na) are on one site, which holds 2 atoms; correct the occu",
    ),
    "atom twice": (
        cif(("Na", 0, 0, 0), ("Na", 0, 0, 0.001), operations=ONE),
        "atom 1 (Na) and atom 2 (Na) are on one site, which holds 2 atoms; correct the occ",
    ),
    "close atoms": (
        cif(("Na", 0, 0, 0.98), ("Na", 0, 0, 0.02), operations=ONE),
        "atom 1 (Na) is 0.23 angstrom from atom 2 (Na); correct the positions, the lattice or the ",
    ),
    "close to its image": (
        poscar("0 0 0", symbols="Cs", numbers="1", a=0.3),
        "atom 1 (Cs) is 0.3 angstrom from its own image; correct the positions, the lattice or",
    ),
    "all on one place": (
        extxyz(*["Na 0 0 0"] * 900), "very many atoms are on one place; 900 are listed",
    ),
    "dummy": (cif(("X", 0, 0, 0)), "species 'X' is a dummy atom or a vacancy; write the symbol of"),
    "unknown species": (cif(("Zz", 0, 0, 0)), "species 'Zz' is no element; write the symbol of an"),
    "no symbols": (
        cif().replace("_atom_site_label", "_x").replace("_atom_site_type_symbol", "_y"),
        "the atoms have neither symbols nor labels; add _atom_site_type_symbol",
    ),
    "two readings of a label": (
        cif().replace("Na0 Na", "CA1 ?"),
        "the label 'CA1' may be C or Ca; give _atom_site_type_symbol",
    ),
    "nan": (cif(("Na", "nan", 0, 0)), "atom 1 (Na) has no position: coordinates must be numbers; "),
    "unknown position": (cif(("Na", "?", 0, 0)), "atom 1 (Na) has no position"),
    "infinite": (cif(("Na", 0, "1e999", 0)), "atom 1 (Na) has no position"),
    "decimal comma": (cif(("Na", "0,5", 0, 0)), "atom 1 (Na) has no position"),
    "poscar without symbols": (poscar(symbols=""), "the POSCAR names no elements (VASP 4); add a "),
    "cut poscar": (poscar("0 0 0"), "no readable POSCAR (IndexError: "),
    "long poscar": (
        poscar("0 0 0", "0.5 0.5 0.5", "0.2 0.2 0.2"),
        "the POSCAR lists more positions than the 2 atoms that its numbers give; correct the ",
    ),
    "poscar with three scales": (poscar(scale="1 1 2"), "the POSCAR has 3 scales; multiply the la"),
    "poscar with a dummy": (poscar(symbols="Cs X"), "species 'X0+' is a dummy atom or a vacancy"),
    "poscar with nan": (poscar("0 0 nan", "0 0 0"), "atom 1 (Cs) has no position"),
    "flat poscar": (poscar(a=0.0), "the cell has the volume 0 cubic angstrom; correct the cell"),
    "xyz without lattice": (extxyz(lattice=""), 'the frame has no Lattice="..." and so is no crys'),
    "short lattice": (extxyz(lattice="1 2 3"), "the comment line is no extended XYZ: "),
    "flat lattice": (extxyz(lattice="1 0 0 1 0 0 0 0 1"), "the cell has no volume; correct Lattic"),
    "cut extxyz": (extxyz(number=5), "line 1 announces 5 atoms, and 2 lines follow; the file is c"),
    "broken comment": (extxyz().replace("Lattice", ""), "the comment line is no extended XYZ: "),
    "cut line": (extxyz("Na 0 0"), "the line of atom 1 is 'Na 0 0'; it must hold the columns spec"),
    "no atoms": (extxyz(number=0).rsplit("\n", 3)[0], "it has no atoms; check that the file is co"),
    "other columns": (
        extxyz("Na 0 0 0", properties="name:S:1:xyz:R:3"),
        "Properties=name:S:1:xyz:R:3 has no columns species and pos; write species:S:1:pos:R:3",
    ),
    "too many atoms": (
        MANY, "it has more than 20,000 atoms in the cell; use a smaller (primitive) cell",
    ),
}
# fmt: on


@pytest.mark.parametrize("case", READ)
def test_read_with_a_note(case):
    text, formula, atoms, note = READ[case]
    read = read_structures([text])
    assert read.reasons.tolist() == [""]
    assert read.notes.tolist() == [note]
    assert read.structures.compositions().reduced_formulas().tolist() == [formula]
    assert read.structures.sizes.tolist() == [atoms]


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_remedy(case):
    text, reason = REFUSED[case]
    read = read_structures([text])
    assert read.reasons[0][: len(reason)] == reason
    assert len(read.reasons[0]) <= 300
    assert "\n" not in read.reasons[0]
    assert read.notes.tolist() == [""]
    assert read.structures.sizes.tolist() == [0]


def test_the_numbers_of_each_format():
    texts = [
        cif(("Cs", 0, 0, 0), ("Cl", *HALF), a=4.12, operations=ONE),
        poscar("0 0 0", "2.06 2.06 -2.06", mode="Cartesian"),
        poscar(a=1, scale="-69.934528"),
        extxyz(),
        as_json(),
    ]
    read = read_structures(texts)
    np.testing.assert_allclose(read.structures.lattices, [4.12 * np.eye(3)] * 5, atol=1e-9)
    assert read.structures.z.tolist() == [55, 17] * 5
    np.testing.assert_allclose(read.structures.positions, [[0, 0, 0], HALF] * 5, atol=1e-9)


def test_the_cell_and_the_special_positions_of_magnesium():
    read = read_structures([READ["special position"][0]]).structures
    np.testing.assert_allclose(
        read.lattices[0], [[3.2, 0, 0], [-1.6, 1.6 * 3**0.5, 0], [0, 0, 5.2]], atol=1e-12
    )
    np.testing.assert_allclose(
        read.positions, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], atol=1e-12
    )


def test_a_triclinic_cell():
    from pymatgen.core.lattice import Lattice

    cell = (3.1, 4.2, 5.3, 71, 82, 103)
    text = cif(("Na", 0, 0, 0), a=3.1, b=4.2, c=5.3, angles=cell[3:], operations=ONE)
    expected = Lattice.from_parameters(*cell).matrix
    np.testing.assert_allclose(read_structures([text]).structures.lattices[0], expected, atol=1e-12)


def test_every_structure_of_a_text():
    broken = cif(("X", 0, 0, 0), name="dummy")
    same = cif(("Na", 0, 0, 0))  # the name of the first block again: no valid CIF
    read = read_all(cif() + broken + same)
    assert read.structures.compositions().reduced_formulas().tolist() == ["NaCl", "", "Na"]
    assert [bool(reason) for reason in read.reasons] == [False, True, False]
    read = read_all(extxyz() + "\n" + extxyz("X 0 0 0") + extxyz("Na 0 0 0"))
    assert read.structures.compositions().reduced_formulas().tolist() == ["CsCl", "", "Na"]
    read = read_all(json.dumps([as_dict(), {"a": 1}, {"structure": as_dict()}]))
    assert read.structures.sizes.tolist() == [2, 0, 2]


def test_a_frame_with_a_wrong_number_ends_the_file():
    read = read_all(extxyz() + extxyz(number=1) + extxyz())
    assert read.structures.sizes.tolist() == [2, 1, 0]
    wrong, remedy = read.reasons[2].split("; ")
    assert wrong == "line 8 is 'Cl 2.06 2.06 2.06', no number of atoms"
    assert remedy == "correct the number of the frame above it"


def test_rows_keep_their_order_and_equal_texts_are_read_once(monkeypatch):
    from xtalshift.structure import reading

    asked = []
    original = reading.read_all
    monkeypatch.setattr(reading, "read_all", lambda text: asked.append(text) or original(text))
    read = read_structures([cif(), "garbage", cif(), as_dict(), "garbage", as_dict()])
    assert len(asked) == 4  # dicts cannot be looked up
    assert read.structures.sizes.tolist() == [8, 0, 8, 2, 0, 2]
    assert len(read) == 6


def test_no_rows():
    read = read_structures([])
    assert (len(read), read.notes.tolist(), read.reasons.tolist()) == (0, [], [])


def test_a_cell_of_ten_thousand_atoms():
    places = [f"Na {3 * (i % 100)} {3 * (i // 100)} 0" for i in range(10_000)]
    read = read_structures([extxyz(*places, lattice="300 0 0 0 300 0 0 0 3")])
    assert read.structures.sizes.tolist() == [10_000]
    assert read.notes.tolist() == [""]


def test_too_many_copies_are_not_made():
    shifts = np.arange(200)[:, None] / 200 * [1, 0, 0]
    places = np.arange(101)[:, None] / 101 * [0, 1, 0]
    with pytest.raises(RefusedError, match=r"it has more than 20,000 atoms in the cell; use a"):
        fill_cell(1e3 * np.eye(3), places, np.broadcast_to(np.eye(3), (200, 3, 3)), shifts)


def test_no_failure_of_a_reader_ends_the_job(monkeypatch):
    from xtalshift.structure import reading

    def fail(text):
        raise RecursionError("a\nb")

    monkeypatch.setattr(reading, "_READERS", ((lambda text: "bad" in text, fail),))
    read = read_structures(["bad", as_json()])
    assert read.reasons.tolist() == [
        "it cannot be read (RecursionError: a b); save it as CIF with another program",
        "",
    ]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("gemmi", cif()),
        ("pymatgen.io.vasp.inputs", poscar()),
        ("pymatgen.io.cif", READ["unquoted words"][0]),
        ("ase.io.extxyz", extxyz()),
    ],
)
def test_without_a_library_the_error_names_the_extra(monkeypatch, module, text):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r'pip install "xtalshift\[structures\]"'):
        read_structures([text])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "\n" * 1_000_000 + "x",
        " " * 1_000_000 + "x",
        poscar(scale="1" * 100_000),
        poscar(symbols="1" * 100_000),
        cif(("Na" + "1" * 100_000, 0, 0, 0)),
        cif(operations=("x+" + "1" * 100_000 + ",y,z",)),
        cif(header="_chemical_formula_sum '" + "C11" * 50_000 + "!'", operations=("x",)),
        extxyz(number="1" * 100_000),
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_long_runs_take_no_time(text):
    assert read_structures([text]).reasons[0] != ""


def test_a_file_names_no_class_to_be_made():
    site = {**as_dict()["sites"][0], "properties": {"@module": "os", "@class": "system"}}
    read = read_structures([{**as_dict(), "sites": [site]}])
    assert read.structures.z.tolist() == [55]
