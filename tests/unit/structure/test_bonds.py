"""Weights of bonds."""

import numpy as np
import pytest

from structure_toys import CRYSTALS, FCC
from xtalshift.structure import Structures
from xtalshift.structure.bonds import covalent_radii, find_bonds


def coordination(structure):
    bonds = find_bonds(structure)
    return np.bincount(bonds.neighbours.atoms, bonds.weights, minlength=len(structure.z))


def test_coordination_numbers_are_those_of_hoppe():
    # 8 neighbours at 1 and 6 at sqrt(4/3) of the distance; the shells beyond weigh nothing
    shells = np.repeat([1.0, (4 / 3) ** 0.5], [8, 6])
    weights = np.exp(1 - shells**6)
    mean = weights @ shells / weights.sum()
    expected = np.exp(1 - (shells / mean) ** 6).sum()
    np.testing.assert_allclose(coordination(CRYSTALS["iron"]), expected, rtol=1e-3)
    np.testing.assert_allclose(coordination(CRYSTALS["copper"]), 12, rtol=2e-3)
    np.testing.assert_allclose(coordination(CRYSTALS["rock salt"]), 6, rtol=1e-2)
    np.testing.assert_allclose(coordination(CRYSTALS["diamond"]), 4, rtol=1e-4)
    np.testing.assert_allclose(coordination(CRYSTALS["graphite"]), 3, rtol=1e-4)
    sr, ti, *oxygen = coordination(CRYSTALS["perovskite"])
    assert 12 < sr < 14
    assert ti == pytest.approx(6, abs=0.01)
    np.testing.assert_allclose(oxygen, 2, atol=0.05)


def test_a_mixed_site_is_like_one_atom():
    mixed = Structures.of(3.6 * FCC, [28, 29], [[0, 0, 0]] * 2, [0.25, 0.75])
    np.testing.assert_allclose(coordination(mixed), coordination(CRYSTALS["copper"])[0], rtol=1e-4)
    bonds = find_bonds(mixed)
    nickel = (bonds.neighbours.atoms == 0) & (bonds.neighbours.distances < 3)
    copper = nickel & (bonds.neighbours.others == 1)
    assert bonds.weights[copper].sum() == pytest.approx(0.75 * bonds.weights[nickel].sum())


def test_of_a_split_site_one_atom_is_there():
    split = Structures.of(
        4.0 * np.eye(3), [11, 8, 8], [[0, 0, 0], [0.45, 0.5, 0.5], [0.55, 0.5, 0.5]], [1, 0.5, 0.5]
    )
    distances = find_bonds(split).neighbours.distances
    assert distances.min() > 3
    together = Structures.of(split.lattices[0], split.z, split.positions, [1, 0.6, 0.6])
    assert find_bonds(together).neighbours.distances.min() == pytest.approx(0.4)


def test_bonds_fade_towards_the_cutoff():
    def pair(distance):
        return find_bonds(
            Structures.of(30 * np.eye(3), [55, 55], [[0, 0, 0], [distance / 30, 0, 0]])
        )

    assert pair(5.9).presence.tolist() == [1, 1]
    np.testing.assert_allclose(pair(6.5).presence, 0.5)
    assert pair(6.999).presence.max() < 1e-5
    assert len(pair(7.001).weights) == 0
    assert pair(7.001).nearest.tolist() == [7, 7]


def test_radii_are_in_angstrom():
    assert covalent_radii()[[1, 6, 55]].tolist() == [0.31, 0.76, 2.44]
    assert np.isfinite(covalent_radii()[1:]).all()
