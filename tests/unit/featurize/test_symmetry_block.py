"""Features of space groups."""

import numpy as np

from structure_toys import CRYSTALS
from xtalshift.featurize.symmetry_block import SYMMETRY_FEATURES, symmetry_features
from xtalshift.structure import Structures


def test_values_of_known_crystals():
    batch = Structures.join(
        [CRYSTALS["perovskite"], Structures.none(1), CRYSTALS["selenium"], CRYSTALS["graphite"]]
    )
    found = symmetry_features(batch)
    assert found.names == SYMMETRY_FEATURES
    assert found.reasons.tolist() == ["", "no symmetry: the row has no atoms", "", ""]
    assert found.values[[0, 2, 3]].tolist() == [
        [221, 48, 1, 0, 5, 3, 0.6, 0, 0, 0, 0, 0, 0, 1],
        [152, 6, 0, 0, 3, 1, 1 / 3, 0, 0, 0, 0, 1, 0, 0],
        [194, 24, 1, 0, 4, 2, 0.5, 0, 0, 0, 0, 0, 1, 0],
    ]
    assert np.isnan(found.values[1]).all()


def test_systems_end_where_the_tables_say():
    box = np.array([[4, 0, 0], [0, 5, 0], [0, 0, 6.0]])
    names = [name.removeprefix("symmetry ") for name in SYMMETRY_FEATURES]
    for lattice, system in (
        ([[4, 0.3, 0.9], [0.5, 5, 1.1], [1.4, 0.2, 6]], "triclinic"),
        ([[4, 0, 0], [0, 5, 0], [1.5, 0, 6]], "monoclinic"),
        (box, "orthorhombic"),
        (np.diag([4, 4, 6]), "tetragonal"),
        ([[4, 0.6, 0.6], [0.6, 4, 0.6], [0.6, 0.6, 4]], "trigonal"),
        ([[4, 0, 0], [-2, 12**0.5, 0], [0, 0, 7]], "hexagonal"),
        (4 * np.eye(3), "cubic"),
    ):
        row = symmetry_features(Structures.of(lattice, [29], [[0, 0, 0]])).values[0]
        assert [name for name, value in zip(names[7:], row[7:], strict=True) if value] == [system]


def test_overlapping_atoms_have_a_reason():
    overlap = Structures.of(5 * np.eye(3), [8, 8], [[0, 0, 0], [0.001, 0, 0]])
    found = symmetry_features(overlap)
    assert found.reasons.tolist() == [
        "no symmetry found (symprec 0.1): atoms may be too close to each other"
    ]
    assert np.isnan(found.values).all()
