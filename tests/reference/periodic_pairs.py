"""Pairs of neighbours and the extent of a bonded network, as plain as their definitions."""

import itertools
import math

import numpy as np


def pairs_within(lattice, positions, cutoff):
    """Return (first, second, shift, distance) of all ordered pairs, sorted; tries every image."""
    reach = [
        math.ceil(cutoff * float(np.linalg.norm(column))) + 1 for column in np.linalg.inv(lattice).T
    ]
    found = []
    for first, one in enumerate(positions):
        for second, other in enumerate(positions):
            for shift in itertools.product(*(range(-k, k + 1) for k in reach)):
                distance = math.dist(one @ lattice, (other + np.array(shift)) @ lattice)
                if 1e-8 < distance <= cutoff:
                    found.append((first, second, shift, distance))
    return sorted(found)


def dimension(n_atoms, bonds):
    """Return the largest dimension of a component of the network of bonds (first, second, shift).

    Walks from each atom through all bonds; the ways back to the atom in another cell span the
    directions in which its component repeats.
    """
    widest = 0
    for start in range(n_atoms):
        cells, returns, todo = {start: np.zeros(3, int)}, [], [start]
        while todo:
            atom = todo.pop()
            for first, second, shift in bonds:
                if first == atom:
                    cell = cells[atom] + shift
                    if second in cells:
                        returns.append(cell - cells[second])
                    else:
                        cells[second] = cell
                        todo.append(second)
        if returns:
            widest = max(widest, int(np.linalg.matrix_rank(np.array(returns))))
    return widest
