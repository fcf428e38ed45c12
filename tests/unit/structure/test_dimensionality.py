"""Molecules, chains, layers and networks."""

import numpy as np
import pytest

from reference.periodic_pairs import dimension
from structure_toys import CRYSTALS, random_structure
from xtalshift.structure import Structures
from xtalshift.structure.bonds import covalent_radii, find_bonds
from xtalshift.structure.dimensionality import dimensionality_scores


def scores(structure):
    return dimensionality_scores(structure, find_bonds(structure))[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hydrogen in a box", 0),
        ("xenon in a box", 0),
        ("selenium", 1),
        ("graphite", 2),
        ("diamond", 3),
        ("rock salt", 3),
        ("perovskite", 3),
        ("copper", 3),
    ],
)
def test_known_dimensions(name, expected):
    found = scores(CRYSTALS[name])
    assert found.argmax() == expected
    assert found.sum() == pytest.approx(1, abs=1e-12)


def loss(length):
    x = (max(0.0, length - 1) / 0.15) ** 2
    return x / (1 + x)


def test_scores_are_differences_of_the_loss():
    # simple cubic with edges a < b < c: chains at a, layers at b, a network at c
    box = np.array([3.0, 3.6, 4.5])
    lengths = box / (2 * covalent_radii()[29])
    losses = [loss(length) / loss(2.0) for length in lengths]
    found = scores(Structures.of(np.diag(box), [29], [[0, 0, 0]]))
    np.testing.assert_allclose(found, np.diff([0, *losses, 1]), atol=1e-12)


def test_crossed_chains_are_no_layer():
    # two chains along x and y, 3.4 angstrom apart, in a wide cell
    carbon = Structures.of(
        np.diag([1.5, 1.5, 20]) @ np.eye(3), [6, 6], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    both = Structures.of(
        np.diag([6.0, 6.0, 20]),
        [6] * 8,
        [[k / 4, 0, 0] for k in range(4)] + [[0, k / 4, 0.5] for k in range(4)],
    )
    assert scores(carbon).argmax() == 2
    assert scores(both)[1] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_the_reference_agrees(seed):
    structure = random_structure(np.random.default_rng(seed), atoms=5)
    bonds = find_bonds(structure)
    pairs = bonds.neighbours
    lengths = pairs.distances / bonds.radii
    reached = [0.0]
    steps = np.unique(lengths[lengths < 2.0])
    for rank in (1, 2, 3):
        reached.append(
            next(
                (
                    length
                    for length in steps
                    if dimension(
                        5,
                        [
                            (a, b, s)
                            for a, b, s, x in zip(
                                pairs.atoms, pairs.others, pairs.shifts, lengths, strict=True
                            )
                            if x <= length + 1e-9
                        ],
                    )
                    >= rank
                ),
                2.0,
            )
        )
    losses = [loss(length) / loss(2.0) for length in reached]
    np.testing.assert_allclose(scores(structure), np.diff([*losses, 1]), atol=1e-6)
