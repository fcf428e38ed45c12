"""Space groups of textbook crystals, in any description."""

import os
import sys

import numpy as np
import pytest

from structure_toys import CRYSTALS, DESCRIPTIONS
from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.space_groups import find_space_groups

# space group, operations, centric, polar directions, sites, inequivalent sites
KNOWN = {
    "copper": (225, 48, True, 0, 1, 1),
    "iron": (229, 48, True, 0, 1, 1),
    "rock salt": (225, 48, True, 0, 2, 2),
    "diamond": (227, 48, True, 0, 2, 1),
    "caesium chloride": (221, 48, True, 0, 2, 2),
    "perovskite": (221, 48, True, 0, 5, 3),
    "graphite": (194, 24, True, 0, 4, 2),
    "selenium": (152, 6, False, 0, 3, 1),
    "xenon in a box": (221, 48, True, 0, 1, 1),
}


NUMBERS = ("numbers", "operations", "centric", "polar_directions", "sites", "inequivalent")


def listed(structure):
    groups = find_space_groups(structure)
    return [
        tuple(getattr(groups, name)[row].item() for name in NUMBERS)
        for row in range(len(structure))
    ]


@pytest.mark.parametrize("name", KNOWN)
def test_known_groups(name):
    rng = np.random.default_rng(0)
    same = [CRYSTALS[name], *(describe(CRYSTALS[name], rng) for describe in DESCRIPTIONS)]
    assert listed(Structures.join(same)) == [KNOWN[name]] * len(same)


def test_polar_groups():
    polar = Structures.of(
        np.diag([3.9, 3.9, 4.2]), [56, 22, 8], [[0, 0, 0], [0.5, 0.5, 0.55], [0.5, 0.5, 0.05]]
    )
    assert listed(polar) == [(99, 8, False, 1, 3, 3)]
    rng = np.random.default_rng(0)
    lattice = np.array([[4, 0.3, 0.9], [0.5, 5, 1.1], [1.4, 0.2, 6]])
    chaos = Structures.of(lattice, [1, 3, 8, 9], rng.random((4, 3)))
    assert listed(chaos) == [(1, 1, False, 3, 4, 4)]


def test_a_mixed_site_is_one_site():
    mixed = Structures.of(
        2.866 * np.eye(3), [26, 28, 28, 26], [[0, 0, 0]] * 2 + [[0.5] * 3] * 2, [0.3, 0.7, 0.7, 0.3]
    )
    assert listed(mixed) == [(229, 48, True, 0, 1, 1)]
    unlike = Structures.of(mixed.lattices[0], mixed.z, mixed.positions, [0.3, 0.7, 0.3, 0.7])
    assert listed(unlike) == [(221, 48, True, 0, 2, 2)]


def test_without_atoms_or_with_overlapping_ones_there_is_none(capfd):
    overlap = Structures.of(5 * np.eye(3), [8, 8], [[0, 0, 0], [0.001, 0, 0]])
    assert listed(Structures.join([Structures.none(1), overlap])) == [(0, 0, False, 0, 0, 0)] * 2
    assert capfd.readouterr().err == ""
    assert "SPGLIB_WARNING" not in os.environ


def test_without_spglib_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "spglib", None)
    with pytest.raises(ConfigError, match=r"pip install \"xtalshift\[structures\]\""):
        find_space_groups(CRYSTALS["copper"])
