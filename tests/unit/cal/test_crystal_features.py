"""Features of crystals with gradients: exact values, finite differences, symmetries, refusals."""

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch

from crystal_toys import crystal_problem, features_of, few_crystals, random_moves
from reference.structure_attack import chgnet_values, moved_crystal
from structure_toys import CRYSTALS, random_structure
from xtalshift.cal.crystal_features import CrystalFeatures
from xtalshift.cal.deformation import deform, still, unpack
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.bond_graph import CUTOFF, build_graph, join_graphs
from xtalshift.featurize.chgnet_network import load_network
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

BUDGETS = {"strain": 0.05, "displacement": 0.2, "closest": 0.7}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))


def fixed(structures=None, blocks="magpie+chgnet", **budgets):
    _, rows, featurizer, scaler = crystal_problem(structures, blocks)
    features = CrystalFeatures(featurizer, scaler, **{**BUDGETS, **budgets})
    return features.fix(rows.crystals, rows.x, rows.crystals.structures), rows, featurizer, scaler


def inside(structures, seed=0):
    """Return random moves inside the budgets."""
    moves = random_moves(structures, seed)
    moves[:, :6] *= 0.04 / moves[:, :6].norm(dim=1, keepdim=True)
    moves[:, 6:] *= 0.1 / moves[:, 6:].abs().amax(dim=1, keepdim=True)
    return moves


@pytest.mark.parametrize("blocks", ["magpie+chgnet", "chgnet+structure+fractions+symmetry"])
def test_the_features_are_those_of_the_moved_crystal(blocks):
    phi, rows, featurizer, scaler = fixed(blocks=blocks)
    structures = rows.crystals.structures
    for seed in range(3):
        moves = inside(structures, seed)
        expected = features_of(featurizer, scaler, deform(structures, moves))
        np.testing.assert_allclose(phi(moves), expected, atol=1e-6)
        assert np.abs(expected - rows.x.numpy()).max() > 0.1
    nothing = still(structures.sizes, rows.x)
    np.testing.assert_allclose(phi(nothing), rows.x, atol=1e-6)


def test_further_columns_stay():
    _, rows, featurizer, scaler = crystal_problem()
    values = np.hstack([scaler.mean_[None] + 0 * rows.x.numpy(), np.arange(6.0)[:, None]])
    wide = type(scaler)().fit(np.vstack([values, values * 1.5 + 1.0]))
    x = torch.from_numpy(wide.transform(values))
    features = CrystalFeatures(featurizer, wide, **BUDGETS)
    phi = features.fix(rows.crystals, x, rows.crystals.structures)
    assert torch.equal(phi(inside(rows.crystals.structures))[:, -1], x[:, -1])


def test_some_rows_are_those_of_all():
    phi, rows, _, _ = fixed()
    moves = inside(rows.crystals.structures)
    chosen = torch.tensor([4, 0, 4])
    assert torch.equal(phi(moves)[chosen], phi(moves[chosen], chosen))


def pooled_sum(structure, direction, moves):
    """Return the features along a direction after moves, in float64, by a graph with reach."""
    network = load_network(random=False)
    pairs = find_neighbours(structure, CUTOFF + 0.5)
    graph = build_graph(pairs, 3.5)
    strains, shifts = unpack(moves, structure.sizes)
    vectors = torch.from_numpy(pairs.vectors)
    vectors = vectors + vectors @ strains[0] + shifts[pairs.others] - shifts[pairs.atoms]
    return network.pooled(structure, graph, vectors)[0] @ direction


def gradient_of(structure, direction):
    moves = still(structure.sizes, torch.zeros(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(pooled_sum(structure, direction, moves), moves)
    return gradient[0].numpy()


DIRECTION = torch.randn(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("atoms", [1, 2, 5])
def test_the_gradient_is_that_of_finite_differences(atoms):
    """Each difference has a search for bonds of its own, with the cutoff of the block."""
    structure = random_structure(np.random.default_rng(atoms), atoms)
    gradient = gradient_of(structure, DIRECTION)

    def value(moves):
        strains, shifts = (part.numpy() for part in unpack(moves, structure.sizes))
        return chgnet_values(moved_crystal(structure, strains[0], shifts)) @ DIRECTION.numpy()

    found, h = np.zeros_like(gradient), 2e-4
    for k in range(len(gradient)):
        change = still(structure.sizes, torch.zeros(1))
        change[0, k] = h
        one, two, three = (
            (value(c * change) - value(-c * change)) / (2 * c * h) for c in (1.0, 2.0, 3.0)
        )
        found[k] = (15 * one - 6 * two + three) / 10  # sixth order
    scale = np.abs(gradient).max()
    assert scale > 0.1
    np.testing.assert_allclose(found, gradient, rtol=1e-6, atol=1e-6 * scale)


def test_no_force_is_left_on_the_whole_crystal():
    structure = random_structure(np.random.default_rng(8), 5)
    forces = gradient_of(structure, DIRECTION)[6:].reshape(-1, 3)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-12 * np.abs(forces).max())


def test_the_gradient_turns_with_the_crystal():
    rng = np.random.default_rng(9)
    structure = random_structure(rng, 4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = Structures.of(structure.lattices[0] @ turn, structure.z, structure.positions)
    one, other = gradient_of(structure, DIRECTION), gradient_of(turned, DIRECTION)
    forces, turned_forces = one[6:].reshape(-1, 3), other[6:].reshape(-1, 3)
    np.testing.assert_allclose(turned_forces, forces @ turn, atol=1e-10 * np.abs(forces).max())
    stress, turned_stress = (
        unpack(torch.from_numpy(part[None]), structure.sizes)[0][0].numpy() for part in (one, other)
    )
    np.testing.assert_allclose(
        turned_stress, turn.T @ stress @ turn, atol=1e-10 * np.abs(stress).max()
    )


@pytest.mark.parametrize("name", ["rock salt", "diamond", "perovskite"])
def test_cubic_symmetry_allows_a_change_of_volume_only(name):
    gradient = gradient_of(CRYSTALS[name], DIRECTION)
    np.testing.assert_allclose(gradient[1:3], gradient[0], rtol=1e-9)
    np.testing.assert_allclose(gradient[3:], 0.0, atol=1e-10 * abs(gradient[0]))


def test_joined_graphs_are_the_graph_of_the_batch():
    structures = few_crystals()
    parts = [build_graph(find_neighbours(structures.take([k]), CUTOFF)) for k in range(6)]
    joined = join_graphs(parts, structures.sizes.tolist())
    whole = build_graph(find_neighbours(structures, CUTOFF))
    for name in ("atoms", "others", "shifts", "distances", "vectors"):
        np.testing.assert_array_equal(getattr(joined.pairs, name), getattr(whole.pairs, name))
    for name in ("bonds", "directed", "sides"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_a_crystal_whose_atoms_come_too_close_has_no_features():
    phi, rows, _, _ = fixed(closest=0.9)
    structures = rows.crystals.structures
    moves = still(structures.sizes, rows.x)
    moves[0, 6:12] = torch.tensor([0.2, 0.0, 0.0, -0.2, 0.0, 0.0])  # 2.82 A: 14 % nearer
    moves[1, 6:9] = torch.tensor([0.1, 0.0, 0.0])
    found = phi(moves)
    assert found[0].isnan().all()
    assert found[1:].isfinite().all()
    assert fixed(closest=0.85)[0](moves).isfinite().all()


def test_substituted_crystals_have_the_features_of_the_featurizer():
    _, rows, featurizer, scaler = crystal_problem(blocks="magpie+chgnet+structure")
    features = CrystalFeatures(featurizer, scaler, **BUDGETS)
    structures = rows.crystals.structures
    z = structures.z.copy()
    z[z == 11] = 19  # KCl
    z[z == 34] = 95  # beyond what CHGNet knows
    other = type(structures)(
        structures.lattices, structures.starts, z, structures.positions, structures.occupancies
    )
    x, known = features.substituted(rows.crystals, rows.x, other)
    assert known.tolist() == [34 not in structures.take([k]).z for k in range(6)]
    good = np.flatnonzero(known)
    expected = features_of(featurizer, scaler, other.take(good))
    np.testing.assert_allclose(x[known], expected, atol=1e-6)
    assert np.abs(expected[0] - rows.x[0].numpy()).max() > 0.1


def test_features_without_a_gradient_are_named():
    for blocks in ("magpie", "magpie+structure", "chgnet-random"):
        featurizer = CompositionFeaturizer(blocks)
        with pytest.raises(
            ConfigError, match=r"attack = 'structure' goes through the block chgnet"
        ):
            CrystalFeatures(featurizer, None, **BUDGETS)
