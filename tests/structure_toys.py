"""Textbook crystals, and other descriptions of the same crystal."""

import numpy as np

from xtalshift.structure import Structures

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
HALF = [0.5, 0.5, 0.5]

CRYSTALS = {
    "copper": Structures.of(3.615 * FCC, [29], [[0, 0, 0]]),
    "iron": Structures.of(2.866 * np.eye(3), [26, 26], [[0, 0, 0], HALF]),
    "rock salt": Structures.of(5.64 * FCC, [11, 17], [[0, 0, 0], HALF]),
    "diamond": Structures.of(3.567 * FCC, [6, 6], [[0, 0, 0], [0.25] * 3]),
    "caesium chloride": Structures.of(4.123 * np.eye(3), [55, 17], [[0, 0, 0], HALF]),
    "perovskite": Structures.of(
        3.905 * np.eye(3),
        [38, 22, 8, 8, 8],
        [[0, 0, 0], HALF, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    ),
    "graphite": Structures.of(
        [[2.464, 0, 0], [-1.232, 2.464 * 0.75**0.5, 0], [0, 0, 6.711]],
        [6, 6, 6, 6],
        [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    ),
    "selenium": Structures.of(
        [[4.366, 0, 0], [-2.183, 4.366 * 0.75**0.5, 0], [0, 0, 4.954]],
        [34, 34, 34],
        [[0.225, 0, 1 / 3], [0, 0.225, 2 / 3], [-0.225, -0.225, 0]],
    ),
    "hydrogen in a box": Structures.of(10 * np.eye(3), [1, 1], [[0, 0, 0], [0.074, 0, 0]]),
    "xenon in a box": Structures.of(12 * np.eye(3), [54], [[0, 0, 0]]),
    "alloy": Structures.of(
        3.6 * FCC, [28, 29, 24], [[0, 0, 0], [0, 0, 0], [0.001, 0, 0]], [0.5, 0.3, 0.2]
    ),
}


def random_structure(rng, atoms=6):
    """Return a structure of low symmetry whose atoms are at least 1.2 angstrom apart."""
    volume = 14.0 * atoms
    while True:
        lattice = np.eye(3) + rng.uniform(-0.45, 0.45, (3, 3))
        if (size := abs(np.linalg.det(lattice))) < 0.3:
            continue
        lattice *= (volume / size) ** (1 / 3)
        positions = rng.random((atoms, 3))
        images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
        apart = (positions[:, None, None] - positions[None, :, None] - images) @ lattice
        distances = np.sort(np.linalg.norm(apart, axis=-1).ravel())
        if distances[atoms] > 1.2:
            z = rng.choice([1, 3, 8, 9, 14, 17, 22, 26, 34, 56], atoms)
            return Structures.of(lattice, z, positions)


def turned(structure, rng):
    """Return the structure rotated."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return _with(structure, structure.lattices[0] @ rotation, structure.positions)


def moved(structure, rng):
    """Return the structure with another origin."""
    return _with(structure, structure.lattices[0], structure.positions + rng.random(3))


def shuffled(structure, rng):
    """Return the structure with its atoms in another order."""
    order = rng.permutation(len(structure.z))
    return Structures.of(
        structure.lattices[0],
        structure.z[order],
        structure.positions[order],
        structure.occupancies[order],
    )


def sheared(structure, rng):
    """Return the structure in another cell of the same volume."""
    change = np.eye(3, dtype=int)
    for _ in range(3):
        first, second = rng.permutation(3)[:2]
        change[first] += rng.integers(-2, 3) * change[second]
    positions = structure.positions @ np.linalg.inv(change)
    return _with(structure, change @ structure.lattices[0], positions)


def repeated(structure, rng):
    """Return the structure in a larger cell."""
    times = rng.permutation([1, 2, 3])
    cells = np.stack(np.meshgrid(*map(np.arange, times)), axis=-1).reshape(-1, 1, 3)
    positions = (structure.positions + cells).reshape(-1, 3) / times
    return Structures.of(
        structure.lattices[0] * times[:, None],
        np.tile(structure.z, len(cells)),
        positions,
        np.tile(structure.occupancies, len(cells)),
    )


DESCRIPTIONS = [turned, moved, shuffled, sheared, repeated]


def _with(structure, lattice, positions):
    return Structures.of(lattice, structure.z, positions, structure.occupancies)
