"""CIF files that other programs read as the same crystal."""

import io

import numpy as np
import pytest

pytest.importorskip("gemmi")
pytest.importorskip("pymatgen")
pytest.importorskip("ase")

from hypothesis import given, settings
from hypothesis import strategies as st

from structure_toys import CRYSTALS, random_structure
from xtalshift.structure.cif_writing import file_names, plain_name, write_cif
from xtalshift.structure.reading import read_structures


def by_gemmi(text):
    import gemmi

    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert small.spacegroup_hm == "P 1"
    sites = [(site.element.atomic_number, site.fract.tolist(), site.occ) for site in small.sites]
    return small.cell.parameters, *map(np.array, zip(*sites, strict=True))


def by_pymatgen(text):
    from pymatgen.io.cif import CifParser

    parser = CifParser.from_str(text, site_tolerance=1e-8, frac_tolerance=0.0)
    (found,) = parser.parse_structures(primitive=False)
    z = np.array([site.specie.Z for site in found])
    return found.lattice.parameters, z, found.frac_coords, np.ones(len(z))


def by_ase(text):
    from ase.io import read

    found = read(io.StringIO(text), format="cif")
    return found.cell.cellpar(), found.numbers, found.get_scaled_positions(), np.ones(len(found))


def parameters(structure):
    lengths = np.linalg.norm(structure.lattices[0], axis=1)
    a, b, c = structure.lattices[0] / lengths[:, None]
    return [*lengths, *np.degrees(np.arccos([b @ c, a @ c, a @ b]))]


@pytest.mark.parametrize("read", [by_gemmi, by_pymatgen, by_ase])
@pytest.mark.parametrize("name", ["rock salt", "perovskite", "selenium", "graphite", "random"])
def test_other_programs_read_the_same_crystal(read, name):
    one = CRYSTALS.get(name) or random_structure(np.random.default_rng(1), 5)
    cell, z, positions, occupancies = read(write_cif(one, name))
    np.testing.assert_allclose(cell, parameters(one), atol=1e-7)
    assert sorted(z) == sorted(one.z)
    assert (occupancies == 1).all()
    apart = np.abs((positions[:, None] - one.positions[None] + 0.5) % 1.0 - 0.5).max(axis=2)
    assert (apart.min(axis=1) < 1e-9).all()
    assert (z == one.z[apart.argmin(axis=1)]).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_our_reader_reads_it_without_a_remark_on_the_atoms(seed, atoms):
    one = random_structure(np.random.default_rng(seed), atoms)
    read = read_structures([write_cif(one)])
    assert read.reasons.tolist() == [""]
    assert read.notes.tolist() == [""]
    np.testing.assert_array_equal(read.structures.z, one.z)
    np.testing.assert_allclose(read.structures.positions, one.positions, atol=1e-10)
    np.testing.assert_allclose(read.structures.volumes, one.volumes, rtol=1e-8)


def test_shared_sites_keep_their_occupancies():
    cell, z, _, occupancies = by_gemmi(write_cif(CRYSTALS["alloy"]))
    assert z.tolist() == [28, 29, 24]
    assert occupancies.tolist() == [0.5, 0.3, 0.2]
    assert cell == pytest.approx(parameters(CRYSTALS["alloy"]))


def test_names_of_blocks_and_files():
    assert plain_name("mp-1 (α)/x") == "mp-1_x"
    assert plain_name("..") == plain_name("") == "crystal"
    assert write_cif(CRYSTALS["copper"], "a b").startswith("data_a_b\n")
    ids = ["a", "a", "A", "b/c", "b c", "a-1"]
    names = file_names(ids)
    assert names == ["a.cif", "a-2.cif", "A-3.cif", "b_c.cif", "b_c-2.cif", "a-1.cif"]
    assert len({name.lower() for name in names}) == len(ids)
