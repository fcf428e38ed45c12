"""The attack on crystals as a plain loop: finite differences, each with a new search for bonds."""

import numpy as np
import torch

from xtalshift.featurize.bond_graph import CUTOFF, build_graph
from xtalshift.featurize.chgnet_network import load_network
from xtalshift.nn.rows import row_losses
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

STEP = 1e-4


def moved_crystal(structure, strain, shifts):
    """Return a crystal with a strain (3, 3) and displacements (m, 3)."""
    lattice = structure.lattices[0] @ (np.eye(3) + strain)
    positions = structure.positions + shifts @ np.linalg.inv(lattice)
    return Structures.of(lattice, structure.z, positions)


def chgnet_values(structure):
    """Return the 64 features in float64."""
    graph = build_graph(find_neighbours(structure, CUTOFF))
    network = load_network(random=False)
    with torch.no_grad():
        return network.pooled(structure, graph, torch.from_numpy(graph.pairs.vectors))[0].numpy()


def attack_one(
    model, x, y, structure, scaler, columns, *, steps, strain, displacement, gamma, w, epsilon
):
    """Return the strain (3, 3), the displacements (m, 3) and the features (d,) after an attack.

    `columns` are those of CHGNet among all features, none of which is constant.
    """
    atoms = len(structure.z)

    def split(moves):
        six, rest = moves[:6], moves[6:].reshape(atoms, 3)
        half = six[3:] / np.sqrt(2)
        matrix = np.array([
            [six[0], half[2], half[1]], [half[2], six[1], half[0]], [half[1], half[0], six[2]]
        ])  # fmt: skip
        return matrix, rest

    def features(moves):
        values = chgnet_values(moved_crystal(structure, *split(moves)))
        result = x.copy()
        result[columns] = (values - scaler.mean_[columns]) / scaler.scale_[columns]
        return result

    def objective(moves):
        found = features(moves)
        with torch.no_grad():
            loss = row_losses(model(torch.from_numpy(found[None])), torch.tensor([y]).double())
        return float(loss) - gamma * float(w @ (found - x) ** 2)

    def slope(moves):
        found = np.zeros_like(moves)
        for k in range(len(moves)):
            change = np.zeros_like(moves)
            change[k] = STEP
            one, two = (
                (objective(moves + c * change) - objective(moves - c * change)) / (2 * c * STEP)
                for c in (1.0, 2.0)
            )
            found[k] = (4 * one - two) / 3  # fourth order
        return found

    def allowed(moves):
        return np.sqrt(np.mean((features(moves) - x) ** 2)) <= epsilon * (1 + 1e-6)

    def step(moves, gradient, length):
        six, rest = gradient[:6], gradient[6:].reshape(atoms, 3)
        rest = rest - rest.mean(axis=0)
        steep, steepest = np.linalg.norm(six), np.linalg.norm(rest, axis=1).max()
        new = moves.copy()
        if strain * steep > 1e-6 * displacement * steepest:
            new[:6] += length * strain * six / steep
        if displacement * steepest > 1e-6 * strain * steep:
            new[6:] += (length * displacement * rest / steepest).ravel()
        new[:6] *= min(1.0, strain / max(np.linalg.norm(new[:6]), 1e-300))
        size = np.linalg.norm(new[6:].reshape(atoms, 3), axis=1).max()
        new[6:] *= min(1.0, displacement / max(size, 1e-300))
        return new

    best = np.zeros(6 + 3 * atoms)
    value, length = objective(best), 1.0
    for _ in range(steps):
        trial = step(best, slope(best), length)
        if not allowed(trial):
            near, far = 0.0, 1.0
            for _ in range(6):
                middle = 0.5 * (near + far)
                near, far = (middle, far) if allowed(middle * trial) else (near, middle)
            trial = near * trial
        new = objective(trial)
        if new > value:
            best, value = trial, new
        else:
            length *= 0.5
    return (*split(best), features(best))
