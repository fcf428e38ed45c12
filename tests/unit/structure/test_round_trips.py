"""What pymatgen and ASE write is read back; real CIFs are read as pymatgen reads them."""

import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure import Structures, read_structures

PLACES = np.stack(np.meshgrid(*[np.arange(3) / 3] * 3), axis=-1).reshape(-1, 3)
SHARES = st.sampled_from([(1.0,), (0.25,), (0.5, 0.5), (0.125, 0.25, 0.625), (0.3, 0.2)])


@st.composite
def crystals(draw, *, ordered):
    """Draw a structure whose atoms keep some distance."""
    lengths = draw(st.tuples(*[st.floats(4, 25)] * 3))
    angles = draw(st.tuples(*[st.floats(65, 115)] * 3))
    from pymatgen.core.lattice import Lattice

    lattice = Lattice.from_parameters(*lengths, *angles).matrix
    places = draw(st.lists(st.sampled_from(range(27)), min_size=1, max_size=12, unique=True))
    jitter = draw(st.lists(st.floats(0, 0.1), min_size=3, max_size=3))
    z, positions, occupancies = [], [], []
    for place in places:
        shares = (1.0,) if ordered else draw(SHARES)
        kinds = st.lists(st.integers(1, 94), min_size=3, max_size=3, unique=True)
        for share, kind in zip(shares, draw(kinds), strict=False):
            z.append(kind)
            positions.append(PLACES[place] + jitter)
            occupancies.append(share)
    return Structures.of(lattice, z, positions, occupancies)


def to_pymatgen(one):
    from pymatgen.core.structure import Structure

    places, inverse = np.unique(one.positions, axis=0, return_inverse=True)
    species = [{} for _ in places]
    for at, z, share in zip(inverse, one.z.tolist(), one.occupancies.tolist(), strict=True):
        species[at][SYMBOLS[z]] = share
    return Structure(one.lattices[0], species, places)


def from_pymatgen(structure):
    atoms = [
        (species.Z, site.frac_coords, share)
        for site in structure
        for species, share in site.species.items()
    ]
    return Structures.of(structure.lattice.matrix, *zip(*atoms, strict=True))


def assert_same(found, expected, *, atol, oriented=True):
    """Compare two structures whose atoms may be in another order."""
    assert sorted(found.z.tolist()) == sorted(expected.z.tolist())
    offsets = found.positions[:, None] - expected.positions
    offsets -= np.round(offsets)
    shares = found.occupancies[:, None] - expected.occupancies
    same = (
        (np.abs(offsets).max(axis=2) <= atol)
        & (np.abs(shares) <= 1e-6)
        & (found.z[:, None] == expected.z)
    )
    assert (same.sum(axis=0) == 1).all()
    assert (same.sum(axis=1) == 1).all()
    vectors, wanted = found.lattices[0], expected.lattices[0]
    if not oriented:  # lengths and angles
        vectors, wanted = vectors @ vectors.T, wanted @ wanted.T
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)


def written(write, *arguments, **options):
    """Return what pymatgen writes; it warns of noble gases and of its use of spglib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write(*arguments, **options)


def read_one(text):
    read = read_structures([text])
    assert read.reasons.tolist() == [""]
    return read.structures


@settings(max_examples=40, deadline=None)
@given(crystals(ordered=False))
def test_cif(structure):
    text = written(to_pymatgen(structure).to, fmt="cif")
    assert_same(read_one(text), structure, atol=1e-7, oriented=False)


@settings(max_examples=40, deadline=None)
@given(crystals(ordered=False))
def test_json(structure):
    tree = written(to_pymatgen(structure).as_dict)
    assert_same(read_one(json.dumps(tree)), structure, atol=1e-12)
    assert_same(read_one(tree), structure, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(crystals(ordered=True), st.booleans())
def test_poscar(structure, direct):
    from pymatgen.io.vasp.inputs import Poscar

    poscar = written(Poscar, to_pymatgen(structure), sort_structure=True)
    text = poscar.get_str(direct=direct, significant_figures=12)
    assert_same(read_one(text), structure, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(crystals(ordered=True))
def test_extxyz(structure):
    from ase import Atoms
    from ase.io import write

    atoms = Atoms(
        numbers=structure.z,
        scaled_positions=structure.positions,
        cell=structure.lattices[0],
        pbc=True,
    )
    text = io.StringIO()
    write(text, atoms, format="extxyz")
    assert_same(read_one(text.getvalue()), structure, atol=1e-8)


@settings(max_examples=200, deadline=None)
@given(crystals(ordered=False), st.integers(0, 2000), st.sampled_from("x0 .?'\n_-9\0é"), st.data())
def test_no_damage_ends_the_job(structure, at, letter, data):
    one = to_pymatgen(structure)
    trees = json.dumps(written(one.as_dict))
    text = data.draw(st.sampled_from([written(one.to, fmt="cif"), trees]))
    for broken in (text[:at], text[:at] + letter + text[at + 1 :], text[:at] + text[at + 7 :]):
        for content in (broken, broken.encode("utf-8")):
            read = read_structures([content])
            assert (read.structures.sizes[0] > 0) == (read.reasons[0] == "")


def read_with_pymatgen(text):
    """Return the structure without 0.33337 rounded to 1/3, which pymatgen does by default."""
    from pymatgen.io.cif import CifParser

    return CifParser.from_str(text, frac_tolerance=0).parse_structures(primitive=False)[0]


@pytest.mark.shared_data
def test_real_cifs_are_read_as_pymatgen_reads_them(shared_data):
    table = pd.read_parquet(shared_data / "structures/dielectric.parquet")
    texts = table["cif"].tolist()[::24]
    read = read_structures(texts)
    assert set(read.reasons) == {""}
    for row, text in enumerate(texts):
        expected = from_pymatgen(read_with_pymatgen(text))
        assert_same(read.structures.take([row]), expected, atol=1e-9)


@pytest.mark.shared_data
def test_symmetry_operations_fill_the_cell_as_in_pymatgen(shared_data):
    from pymatgen.io.cif import CifWriter

    table = pd.read_parquet(shared_data / "structures/elasticity.parquet")
    crystals = [read_with_pymatgen(text) for text in table["cif"][::110]]
    texts = [str(written(CifWriter, one, symprec=0.01)) for one in crystals]
    read = read_structures(texts)
    assert set(read.reasons) == {""}
    for row, text in enumerate(texts):
        expected = from_pymatgen(read_with_pymatgen(text))
        assert_same(read.structures.take([row]), expected, atol=1e-6)
    listed = sum(text.split("_atom_site_occupancy")[1].count("\n") - 1 for text in texts)
    assert len(read.structures.z) > 3 * listed
