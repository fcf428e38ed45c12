"""Targets that follow from the training of a potential, by their name or as volumes."""

import numpy as np
import pytest

from structure_toys import random_structure
from xtalshift.featurize.known_targets import find_known_target, name_quantity
from xtalshift.structure import Structures

CRYSTALS = Structures.join(
    [random_structure(np.random.default_rng(k), 1 + k % 5) for k in range(30)]
)


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("formation_energy_per_atom", "a formation energy"),
        ("e_form", "a formation energy"),
        ("heat of formation (eV/atom)", "a formation energy"),
        ("e_above_hull", "an energy above the hull"),
        ("energyAboveHull", "an energy above the hull"),
        ("ehull", "an energy above the hull"),
        ("Total energy", "a total energy"),
        ("energy_per_atom", "a total energy"),
        ("energy", "a total energy"),
        ("volume per atom", "a volume"),
        ("density", "a volume"),
        ("log10(K_VRH)", "an elastic modulus"),
        ("log10(G_VRH)", "an elastic modulus"),
        ("bulk modulus [GPa]", "an elastic modulus"),
        ("C44", "an elastic modulus"),
        ("Young's modulus", "an elastic modulus"),
        ("magnetic_moment", "a magnetic moment"),
        ("total_magnetization", "a magnetic moment"),
        ("band gap", ""),
        ("gap energy", ""),
        ("n", ""),
        ("refractive index", ""),
        ("target", ""),
        ("surface energy", ""),
        ("activation energy", ""),
        ("carrier density", ""),
        ("volume fraction", ""),
        ("bulkiness", ""),
        ("Seebeck coefficient", ""),
        ("", ""),
    ],
)
def test_names_of_columns(name, quantity):
    assert name_quantity(name) == quantity


def test_a_finding_for_each_block_that_has_seen_the_quantity():
    found = find_known_target("magpie+structure+chgnet:c2+sevennet", "e_form")
    assert [text.split(" of the features ")[1].split()[0] for text in found] == [
        "chgnet",
        "sevennet",
    ]
    assert found[0] == (
        "not an out-of-distribution test: the target is a formation energy (by the name 'e_form'), "
        "which follows from what the network of the features chgnet was trained on. Compare with "
        "chgnet-random, or leave chgnet out"
    )
    # magnetic moments were labels of CHGNet only
    assert len(find_known_target("chgnet+sevennet", "magmom")) == 1
    for features in ("magpie+structure", "chgnet-random+sevennet-random"):
        assert find_known_target(features, "e_form") == ()
    assert find_known_target("chgnet", "band gap") == ()


def test_a_volume_is_found_whatever_its_name_is():
    per_atom = CRYSTALS.volumes / CRYSTALS.sizes
    # packing by number of atoms is constant in the toys: stretch them
    lattices = CRYSTALS.lattices * np.linspace(1, 2, 30)[:, None, None]
    crystals = Structures(
        lattices, CRYSTALS.starts, CRYSTALS.z, CRYSTALS.positions, CRYSTALS.occupancies
    )
    per_atom = crystals.volumes / crystals.sizes
    for y, words in (
        (np.log(per_atom), "volume per atom"),
        (-per_atom, "volume per atom"),
        (crystals.volumes, "volume of the cell"),
    ):
        (found,) = find_known_target("chgnet", "x1", y, crystals)
        assert f"a volume (by its rank correlation with the {words})" in found
    noise = np.random.default_rng(0).normal(size=30)
    assert find_known_target("chgnet", "x1", noise, crystals) == ()
    assert find_known_target("chgnet", "x1", np.ones(30), crystals) == ()
    few = np.where(np.arange(30) < 19, per_atom, np.nan)
    assert find_known_target("chgnet", "x1", few, crystals) == ()
