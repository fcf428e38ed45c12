"""Symmetry labels: textbook structures, broken texts, and the published piezoelectric table."""

import json
import os
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS
from xtalshift.structure import Structures, read_structures, space_groups
from xtalshift.structure.symmetry import (
    SYMMETRY_LABELS,
    find_structure_column,
    symmetry_labels,
)

CIF = """data_{name}
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {gamma}
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{atoms}
"""


def structure_labels(texts, progress=NO_PROGRESS):
    read = read_structures(texts, progress=progress)
    labels, reasons = symmetry_labels(read.structures, progress=progress)
    return labels, np.where(read.reasons == "", reasons, read.reasons)


def cif(name, atoms, a, b=None, c=None, gamma=90):
    lines = [f"{s} {s}{i} {x} {y} {z} 1" for i, (s, x, y, z) in enumerate(atoms)]
    return CIF.format(name=name, a=a, b=b or a, c=c or a, gamma=gamma, atoms="\n".join(lines))


FCC = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
ROCK_SALT = cif(
    "NaCl", [("Na", *p) for p in FCC] + [("Cl", (p[0] + 0.5) % 1, *p[1:]) for p in FCC], 5.64
)
WURTZITE = cif(
    "ZnO",
    [
        ("Zn", 0.33333333, 0.66666667, 0),
        ("Zn", 0.66666667, 0.33333333, 0.5),
        ("O", 0.33333333, 0.66666667, 0.382),
        ("O", 0.66666667, 0.33333333, 0.882),
    ],
    3.25,
    c=5.207,
    gamma=120,
)
RUTILE = cif(
    "TiO2",
    [
        ("Ti", 0, 0, 0),
        ("Ti", 0.5, 0.5, 0.5),
        ("O", 0.305, 0.305, 0),
        ("O", 0.695, 0.695, 0),
        ("O", 0.195, 0.805, 0.5),
        ("O", 0.805, 0.195, 0.5),
    ],
    4.594,
    c=2.959,
)
# one atom and the name of the space group, which completes the cell
DIAMOND = """data_C
_symmetry_space_group_name_H-M 'F d -3 m'
_symmetry_Int_Tables_number 227
_cell_length_a 3.567
_cell_length_b 3.567
_cell_length_c 3.567
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
C1 C 0.125 0.125 0.125
"""
POSCAR = """CsCl
1.0
4.12 0 0
0 4.12 0
0 0 {c}
Cs Cl
1 1
direct
0 0 0
0.5 0.5 {z}
"""
CESIUM_CHLORIDE = POSCAR.format(c=4.12, z=0.5)
EMPTY = "no structure: it is empty or no text"


def test_known_structures():
    texts = [ROCK_SALT, WURTZITE, RUTILE, DIAMOND, CESIUM_CHLORIDE]
    labels, reasons = structure_labels(texts)
    assert list(labels) == list(SYMMETRY_LABELS)
    assert reasons.tolist() == [""] * 5
    assert labels["crystal_system"].tolist() == [
        "cubic",
        "hexagonal",
        "tetragonal",
        "cubic",
        "cubic",
    ]
    assert labels["space_group"].tolist() == ["225", "186", "136", "227", "221"]
    assert labels["point_group"].tolist() == ["m-3m", "6mm", "4/mmm", "m-3m", "m-3m"]


def test_the_tolerance(monkeypatch):
    distorted = POSCAR.format(c=4.12, z=0.512)  # 0.05 Angstrom off the centre
    assert structure_labels([distorted])[0]["space_group"].tolist() == ["221"]
    monkeypatch.setattr(space_groups, "SYMPREC", 0.01)
    assert structure_labels([distorted])[0]["space_group"].tolist() == ["99"]


@pytest.mark.parametrize("module", ["gemmi", "spglib"])
def test_without_its_libraries_the_error_names_the_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r'pip install "xtalshift\[structures\]"'):
        structure_labels([ROCK_SALT])


def test_json_of_pymatgen():
    from pymatgen.core.structure import Structure

    text = Structure.from_str(CESIUM_CHLORIDE, fmt="poscar").to(fmt="json")
    assert json.loads(text)
    assert structure_labels([text])[0]["space_group"].tolist() == ["221"]


def test_a_broken_text_gives_a_reason_and_the_others_their_labels():
    texts = ["garbage", ROCK_SALT, None, float("nan"), "  ", "data_x\n_cell_length_a 3\n", "{}"]
    labels, reasons = structure_labels(texts)
    assert labels["space_group"].tolist() == ["", "225", "", "", "", "", ""]
    assert labels["crystal_system"].tolist() == ["", "cubic", "", "", "", "", ""]
    assert labels["point_group"].tolist() == ["", "m-3m", "", "", "", "", ""]
    assert reasons[0].startswith("unknown format (it begins 'garbage'); ")
    assert reasons[1:5].tolist() == ["", EMPTY, EMPTY, EMPTY]
    assert reasons[5].startswith("the lengths of the cell must be numbers above 0; ")
    assert reasons[6].startswith("JSON without a crystal structure ")


def test_atoms_on_top_of_each_other_have_no_symmetry():
    twice = POSCAR.format(c=4.12, z=0.5).replace("Cs Cl", "Cs Cs").replace("0.5 0.5 0.5", "0 0 0")
    labels, reasons = structure_labels([twice])
    assert labels["space_group"].tolist() == [""]
    assert reasons[0].startswith("atom 1 (Cs) and atom 2 (Cs) are on one site")
    crowded = Structures.of(4.12 * np.eye(3), [55, 55], [[0, 0, 0], [0, 0, 0.002]])
    labels, reasons = symmetry_labels(Structures.join([Structures.none(1), crowded]))
    assert labels["space_group"].tolist() == ["", ""]
    assert reasons[0] == "no symmetry: the row has no atoms"
    assert reasons[1].startswith("no symmetry found (symprec 0.1): ")


def test_what_is_on_a_site_counts():
    places = [(0, 0, 0), (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)]
    lattice = 4.0 * np.eye(3)
    batch = Structures.join(
        [
            Structures.of(lattice, [26, 28, 28, 26], places, [0.25, 0.75, 0.75, 0.25]),
            Structures.of(lattice, [26, 28, 28, 26], places, [0.25, 0.75, 0.25, 0.75]),
            Structures.of(lattice, [26, 26], places[1:3], [0.5, 1.0]),
        ]
    )
    labels, reasons = symmetry_labels(batch)
    assert reasons.tolist() == ["", "", ""]
    assert labels["space_group"].tolist() == ["229", "221", "221"]  # Im-3m, Pm-3m


def test_equal_structures_are_analysed_once(monkeypatch):
    asked = []
    original = space_groups._analyse
    monkeypatch.setattr(space_groups, "_analyse", lambda one: asked.append(1) or original(one))
    same = f"# written again\n{ROCK_SALT}"
    labels, _ = structure_labels([ROCK_SALT, "garbage", same, "garbage", WURTZITE])
    assert len(asked) == 2
    assert labels["space_group"].tolist() == ["225", "", "225", "", "186"]


def test_progress_counts_every_row():
    told = []

    class Recorder:
        @contextmanager
        def task(self, name, total):
            told.append((name, total))
            yield self

        def advance(self, steps=1, **info):
            told.append(steps)

        def say(self, text):
            raise AssertionError(text)

    structure_labels([ROCK_SALT, "garbage", ROCK_SALT], progress=Recorder())
    assert told == [("structures", 3), 1, 1, 1, ("symmetry", 3), 1, 1, 1]


def test_nothing_leaks(monkeypatch, capfd):
    monkeypatch.delenv("SPGLIB_WARNING", raising=False)
    rounded = WURTZITE.replace("0.33333333", "0.3333").replace("0.66666667", "0.6667")
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels, _ = structure_labels([rounded, "garbage"])
    assert labels["space_group"].tolist() == ["186", ""]
    assert caught == []
    assert warnings.filters == filters
    assert "SPGLIB_WARNING" not in os.environ
    monkeypatch.setenv("SPGLIB_WARNING", "ON")
    structure_labels([rounded])
    assert os.environ["SPGLIB_WARNING"] == "ON"
    assert capfd.readouterr() == ("", "")


def test_no_rows():
    labels, reasons = structure_labels([])
    assert {name: values.tolist() for name, values in labels.items()} == {
        name: [] for name in SYMMETRY_LABELS
    }
    assert reasons.tolist() == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["id", "formula", "cif"], "cif"),
        (["Structure", "CIF"], "CIF"),
        (["POSCAR", "x"], "POSCAR"),
        (["structures", "cif_file", 3], None),
        ([], None),
    ],
)
def test_find_structure_column(columns, expected):
    assert find_structure_column(columns) == expected


@pytest.mark.shared_data
def test_published_symmetries(shared_data):
    crystals = pd.read_parquet(shared_data / "structures/piezoelectric.parquet").head(50)
    published = pd.read_parquet(shared_data / "composition/piezoelectric.parquet")
    published = published.set_index("material_id").loc[crystals["id"]]
    labels, reasons = structure_labels(crystals["cif"])
    assert set(reasons) == {""}
    assert labels["space_group"].tolist() == published["space_group"].astype(str).tolist()
    assert labels["point_group"].tolist() == published["point_group"].tolist()


@pytest.mark.shared_data
def test_spglib_prints_nothing(shared_data, monkeypatch, capfd):
    monkeypatch.delenv("SPGLIB_WARNING", raising=False)
    # a crystal between two symmetries, of which the C code of spglib complains on stderr
    crystal = pd.read_parquet(shared_data / "structures/dielectric.parquet")["cif"][351]
    assert structure_labels([crystal])[0]["space_group"].tolist() == ["2"]
    assert capfd.readouterr() == ("", "")
