"""Bonds and angles of crystals, against counts by hand and slow loops."""

import numpy as np
import pytest

from structure_toys import CRYSTALS, random_structure
from xtalshift.featurize.bond_graph import CUTOFF, build_graph, count_edges
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

MANY = Structures.join([random_structure(np.random.default_rng(k), 1 + k % 5) for k in range(12)])


def graph_of(structures):
    return build_graph(find_neighbours(structures, CUTOFF))


def test_both_directions_of_a_bond_are_one_bond():
    graph = graph_of(MANY)
    pairs = graph.pairs
    assert len(graph.directed) == len(pairs) / 2
    np.testing.assert_array_equal(graph.bonds[graph.directed], np.arange(len(graph.directed)))
    for bond in range(0, len(graph.directed), 7):
        there, back = np.flatnonzero(graph.bonds == bond)
        assert pairs.atoms[there] == pairs.others[back]
        assert pairs.others[there] == pairs.atoms[back]
        np.testing.assert_array_equal(pairs.shifts[there], -pairs.shifts[back])
        np.testing.assert_allclose(pairs.vectors[there], -pairs.vectors[back], atol=1e-9)


def test_angles_are_all_pairs_of_short_bonds_of_an_atom():
    graph = graph_of(MANY)
    short = np.flatnonzero(graph.pairs.distances < 3.0)
    expected = {
        (a, b)
        for atom in range(len(MANY.z))
        for a in short[graph.pairs.atoms[short] == atom].tolist()
        for b in short[graph.pairs.atoms[short] == atom].tolist()
        if a != b
    }
    found = list(zip(*graph.sides.tolist(), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected


@pytest.mark.parametrize(
    ("name", "bonds", "angles"),
    [
        ("copper", 78, 12 * 11),  # 12 + 6 + 24 + 12 + 24 within 6 angstrom
        # shells of 4, 12, 12 (within 3 angstrom), 6, 12, 24, 16, 12, 24, 24, 12
        ("diamond", 2 * 158, 2 * 28 * 27),
        ("xenon in a box", 0, 0),
        ("hydrogen in a box", 2, 0),
    ],
)
def test_known_numbers(name, bonds, angles):
    graph = graph_of(CRYSTALS[name])
    assert len(graph.pairs) == bonds
    assert graph.sides.shape == (2, angles)
    edges = count_edges(CRYSTALS[name], graph.pairs)
    assert edges.tolist() == [bonds + angles]


def test_edges_are_counted_by_structure():
    pairs = find_neighbours(MANY, CUTOFF)
    alone = [
        count_edges(one, find_neighbours(one, CUTOFF))[0]
        for one in (MANY.take([k]) for k in range(len(MANY)))
    ]
    assert count_edges(MANY, pairs).tolist() == alone


def test_a_bond_that_lost_one_direction_is_left_out():
    pairs = find_neighbours(CRYSTALS["rock salt"], CUTOFF)
    longest = int(np.argmax(pairs.distances))
    graph = build_graph(pairs.take(np.arange(len(pairs)) != longest))
    assert len(graph.pairs) == len(pairs) - 2
    assert len(graph.directed) == len(pairs) / 2 - 1
