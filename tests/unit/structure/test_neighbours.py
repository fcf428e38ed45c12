"""Pairs of neighbours over periodic images."""

import sys

import numpy as np
import pytest

from reference.periodic_pairs import pairs_within
from structure_toys import CRYSTALS, random_structure
from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours


def listed(neighbours):
    return sorted(
        zip(
            neighbours.atoms.tolist(),
            neighbours.others.tolist(),
            map(tuple, neighbours.shifts.tolist()),
            neighbours.distances.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_those_of_all_images(seed):
    structure = random_structure(np.random.default_rng(seed), atoms=3 + seed % 3)
    found = listed(find_neighbours(structure, 5.0))
    expected = pairs_within(structure.lattices[0], structure.positions, 5.0)
    assert [pair[:3] for pair in found] == [pair[:3] for pair in expected]
    np.testing.assert_allclose([p[3] for p in found], [p[3] for p in expected], rtol=1e-12)


def test_a_batch_is_its_structures():
    parts = [*CRYSTALS.values(), Structures.none(1)]
    batch = find_neighbours(Structures.join(parts), 6.0)
    found, begin = [], 0
    for part in parts:
        found += [
            (a + begin, b + begin, *rest) for a, b, *rest in listed(find_neighbours(part, 6.0))
        ]
        begin += len(part.z)
    assert [pair[:3] for pair in found] == [pair[:3] for pair in listed(batch)]
    assert np.all(np.diff(batch.atoms) >= 0)
    np.testing.assert_allclose(np.linalg.norm(batch.vectors, axis=1), batch.distances)
    assert len(find_neighbours(Structures.none(2), 6.0)) == 0


def test_a_needle_of_a_cell_has_the_pairs_of_the_short_cell():
    short = CRYSTALS["perovskite"]
    change = np.array([[1, 0, 0], [300, 1, 0], [-500, 200, 1]])
    needle = Structures.of(
        change @ short.lattices[0], short.z, short.positions @ np.linalg.inv(change)
    )
    few, many = find_neighbours(short, 6.0), find_neighbours(needle, 6.0)
    assert len(few) == len(many)
    np.testing.assert_allclose(np.sort(few.distances), np.sort(many.distances), rtol=1e-9)
    ends = needle.positions[many.others] + many.shifts - needle.positions[many.atoms]
    np.testing.assert_allclose(ends @ needle.lattices[0], many.vectors, atol=1e-7)


def test_atoms_at_one_position_are_no_pair():
    alloy = Structures.of(3.0 * np.eye(3), [26, 28], [[0, 0, 0], [0, 0, 0]], [0.5, 0.5])
    pairs = find_neighbours(alloy, 3.5)
    assert len(pairs) == 2 * 2 * 6
    assert set(np.round(pairs.distances, 9)) == {3.0}


def test_pairs_can_be_selected():
    pairs = find_neighbours(CRYSTALS["rock salt"], 3.0)
    assert len(pairs) == 12
    other = pairs.take(pairs.distances > 2.9)
    assert len(other) == 0
    assert [part.tolist() for part in pairs.groups()] == [[0, 1], [0, 6]]


def test_without_pymatgen_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatgen.optimization.neighbors", None)
    with pytest.raises(ConfigError, match=r"pip install \"xtalshift\[structures\]\""):
        find_neighbours(CRYSTALS["copper"], 3.0)
