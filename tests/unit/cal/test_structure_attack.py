"""The attack on crystals: a slow reference, brute force, and what must never break."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_toys import crystal_problem, features_of, few_crystals
from reference.structure_attack import attack_one
from structure_toys import CRYSTALS, random_structure
from xtalshift.cal.deformation import measure_moves
from xtalshift.cal.kept_attack import KeptStructureAttack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.structure_attack import build_structure_attack
from xtalshift.cal.weights import CALState
from xtalshift.chem.element_similarity import similar_elements
from xtalshift.errors import DataError
from xtalshift.nn.rows import Rows, row_losses
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours
from xtalshift.structure.space_groups import find_space_groups


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))


def attack(featurizer, scaler, **changes):
    budgets = {"strain_budget": 2.0, "displacement_budget": 0.05}
    config = CALConfig.from_dict({"preset": "cal-crystal", **budgets, **changes})
    return build_structure_attack(featurizer, scaler, config)


def everywhere(displacement):
    return torch.ones(len(displacement), dtype=torch.bool)


def ball(radius):
    return lambda displacement: displacement.square().mean(dim=1).sqrt() <= radius * (1 + 1e-6)


def ones(rows):
    return torch.ones_like(rows.x[0])


def gains(model, rows, x, gamma=0.0):
    """Return by how much the objective has grown."""
    with torch.no_grad():
        cost = (x - rows.x).square().sum(dim=1)
        return row_losses(model(x), rows.y) - row_losses(model(rows.x), rows.y) - gamma * cost


@pytest.mark.parametrize(
    ("steps", "gamma", "epsilon"), [(1, 0.0, 9.0), (3, 0.0, 9.0), (3, 0.02, 0.05), (2, 0.0, 0.02)]
)
def test_it_is_the_plain_loop_with_finite_differences(steps, gamma, epsilon):
    rng = np.random.default_rng(3)
    structures = Structures.join([CRYSTALS["rock salt"], *(random_structure(rng, 3) for _ in "ab")])
    model, rows, featurizer, scaler = crystal_problem(structures, "chgnet+fractions")
    mover = attack(featurizer, scaler, attack_steps=steps, closest=0.0)
    x, moved = mover(model, rows, ones(rows), gamma, ball(epsilon))
    strains, shifts = measure_moves(structures, moved)
    columns = np.arange(64)
    assert scaler.kept_[:64].all()
    for row in range(3):
        strain, displacement, found = attack_one(
            model, rows.x[row].numpy(), float(rows.y[row]), structures.take([row]), scaler, columns,
            steps=steps, strain=0.02, displacement=0.05, gamma=gamma, w=ones(rows).numpy(),
            epsilon=epsilon,
        )  # fmt: skip
        np.testing.assert_allclose(strains[row], strain, atol=1e-7)
        np.testing.assert_allclose(shifts[structures.rows == row], displacement, atol=1e-7)
        np.testing.assert_allclose(x[row], found, atol=1e-5)


@pytest.mark.parametrize("blocks", ["magpie+chgnet", "chgnet+structure+fractions"])
@pytest.mark.parametrize("substitutions", [0, 1])
def test_what_holds_for_every_row(blocks, substitutions):
    model, rows, featurizer, scaler = crystal_problem(blocks=blocks)
    start = rows.crystals.structures
    before = [part.copy() for part in (start.lattices, start.positions, start.z)]
    mover = attack(featurizer, scaler, substitutions=substitutions, neighbours=2, attack_steps=2)
    radius = 1.0 if substitutions else 0.1
    x, moved = mover(model, rows, ones(rows), 1e-4, ball(radius))
    changed = (x != rows.x).any(dim=1)
    assert changed.sum() >= 4

    # the features are exactly those of the crystals; rows that stay are untouched
    assert not x.requires_grad
    np.testing.assert_allclose(x, features_of(featurizer, scaler, moved), atol=1e-5)
    stayed = np.flatnonzero(~changed.numpy())
    assert (moved.take(stayed).keys == start.take(stayed).keys).all()

    # budgets
    strains, shifts = measure_moves(start, moved)
    assert np.linalg.norm(strains, axis=(1, 2)).max() == pytest.approx(0.02, rel=1e-9)
    assert np.linalg.norm(shifts, axis=1).max() <= 0.05 + 1e-12
    assert ball(radius)(x - rows.x).all()
    for row in range(len(start)):
        atoms = start.rows == row
        np.testing.assert_allclose(shifts[atoms].mean(axis=0), 0.0, atol=1e-12)
        pairs = {(a, b) for a, b in zip(start.z[atoms], moved.z[atoms], strict=True) if a != b}
        assert len(pairs) <= substitutions  # all sites of one element
        assert len(set(moved.z[atoms])) == len(set(start.z[atoms]))

    # it is an ascent, and changes nothing it was given
    assert (gains(model, rows, x, 1e-4)[changed] > 0).all()
    for old, new in zip(before, (start.lattices, start.positions, start.z), strict=True):
        np.testing.assert_array_equal(old, new)


def test_moves_keep_the_symmetry():
    names = ["rock salt", "perovskite", "selenium", "graphite", "caesium chloride"]
    structures = Structures.join([CRYSTALS[name] for name in names])
    model, rows, featurizer, scaler = crystal_problem(structures)
    mover = attack(featurizer, scaler, attack_steps=4)
    _, moved = mover(model, rows, ones(rows), 0.0, everywhere)
    strains, shifts = measure_moves(structures, moved)
    assert (np.linalg.norm(strains, axis=(1, 2)) > 0.001).all()
    before, after = (find_space_groups(one).numbers for one in (structures, moved))
    np.testing.assert_array_equal(before, after)
    cubic = np.array([0, 1, 4])
    for strain in strains[cubic]:
        np.testing.assert_allclose(strain, strain[0, 0] * np.eye(3), atol=1e-9)
    for row, free in enumerate([False, False, True, True, False]):
        assert (np.abs(shifts[structures.rows == row]).max() > 1e-6) <= free


@pytest.mark.parametrize("dear", [{"gamma": 1e6}, {"within": lambda d: torch.zeros(len(d)) > 0}])
def test_without_room_every_row_stays_bit_for_bit(dear):
    model, rows, featurizer, scaler = crystal_problem()
    start = rows.crystals.structures
    within = dear.get("within", everywhere)
    x, moved = attack(featurizer, scaler, substitutions=1, neighbours=1)(
        model, rows, ones(rows), dear.get("gamma", 0.0), within
    )
    assert torch.equal(x, rows.x)
    np.testing.assert_array_equal(moved.keys, start.keys)
    np.testing.assert_array_equal(moved.positions, start.positions)


@pytest.mark.parametrize("off", ["strain_budget", "displacement_budget"])
def test_a_budget_of_nothing_moves_nothing_of_its_kind(off):
    model, rows, featurizer, scaler = crystal_problem()
    start = rows.crystals.structures
    _, moved = attack(featurizer, scaler, **{off: 0.0})(model, rows, ones(rows), 0.0, everywhere)
    strains, shifts = measure_moves(start, moved)
    assert bool(strains.any()) == (off != "strain_budget")
    assert bool(shifts.any()) == (off != "displacement_budget")


def test_a_row_does_not_depend_on_its_neighbours():
    model, rows, featurizer, scaler = crystal_problem()
    mover = attack(featurizer, scaler)
    x, moved = mover(model, rows, ones(rows), 1e-3, ball(0.1))
    order = torch.tensor([5, 2, 0])
    other, crystals = mover(model, rows.take(order), ones(rows), 1e-3, ball(0.1))
    np.testing.assert_allclose(other, x[order], atol=1e-9)
    np.testing.assert_allclose(crystals.lattices, moved.lattices[order], atol=1e-9)


def test_atoms_do_not_come_nearer_than_allowed():
    model, rows, featurizer, scaler = crystal_problem(
        Structures.join([CRYSTALS["diamond"], random_structure(np.random.default_rng(1), 3)])
    )
    start = rows.crystals.structures
    mover = attack(
        featurizer, scaler, strain_budget=10.0, displacement_budget=0.4, closest=0.95,
        attack_steps=3,
    )  # fmt: skip
    _, moved = mover(model, rows, ones(rows), 0.0, everywhere)
    strains, shifts = measure_moves(start, moved)
    assert np.abs(strains).max() > 0.005
    pairs = find_neighbours(start, 6.0)
    rows_of = start.rows[pairs.atoms]
    vectors = pairs.vectors + np.einsum("pi,pij->pj", pairs.vectors, strains[rows_of])
    vectors += shifts[pairs.others] - shifts[pairs.atoms]
    assert (np.linalg.norm(vectors, axis=1) / pairs.distances).min() >= 0.95 - 1e-9


@pytest.mark.parametrize("name", ["rock salt", "perovskite"])
def test_the_substitution_is_the_best_of_all(name):
    model, rows, featurizer, scaler = crystal_problem()
    row = ["rock salt", "perovskite"].index(name)
    one = rows.take(torch.tensor([row]))
    start = one.crystals.structures
    mover = attack(featurizer, scaler, substitutions=1, neighbours=3)
    mover = type(mover)(mover.features, steps=0, substitutions=1, neighbours=3)
    x, moved = mover(model, one, ones(rows), 1e-3, ball(2.0))
    trials = [start]
    for old in np.unique(start.z):
        for new in similar_elements(3)[old]:
            if new and new not in start.z:
                z = np.where(start.z == old, new, start.z).astype(np.uint8)
                trials.append(Structures.of(start.lattices[0], z, start.positions))
    values = torch.from_numpy(
        np.vstack([features_of(featurizer, scaler, trial) for trial in trials])
    )
    expanded = Rows(one.x.expand_as(values), one.y.expand(len(values)))
    goal = gains(model, expanded, values, 1e-3)
    goal[~ball(2.0)(values - one.x)] = -torch.inf
    best = int(goal.argmax())
    np.testing.assert_array_equal(moved.z, trials[best].z)
    np.testing.assert_allclose(x[0], values[best], atol=1e-5)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**31), st.floats(0, 8), st.floats(0, 0.3), st.floats(0.01, 0.3))
def test_no_budget_is_ever_exceeded(seed, strain, displacement, epsilon):
    structures = Structures.join(
        [random_structure(np.random.default_rng(seed), 2), CRYSTALS["rock salt"]]
    )
    model, rows, featurizer, scaler = crystal_problem(structures)
    mover = attack(
        featurizer, scaler, strain_budget=strain, displacement_budget=displacement, closest=0.9
    )
    x, moved = mover(model, rows, ones(rows), 0.0, ball(epsilon))
    assert x.isfinite().all()
    assert ball(epsilon)(x - rows.x).all()
    strains, shifts = measure_moves(structures, moved)
    assert np.linalg.norm(strains, axis=(1, 2)).max() <= strain / 100 + 1e-12
    assert np.linalg.norm(shifts, axis=1).max() <= displacement + 1e-12
    assert (gains(model, rows, x) >= -1e-12).all()


def test_single_precision():
    model, rows, featurizer, scaler = crystal_problem(dtype=torch.float32)
    x, moved = attack(featurizer, scaler)(model, rows, ones(rows), 1e-3, ball(0.1))
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x, features_of(featurizer, scaler, moved), atol=1e-5)


def test_wrong_rows_are_named():
    model, rows, featurizer, scaler = crystal_problem()
    mover = attack(featurizer, scaler)
    with pytest.raises(DataError, match="no crystals"):
        mover(model, Rows(rows.x, rows.y), ones(rows), 0.0, everywhere)
    members = Rows(rows.x.expand(2, -1, -1), rows.y.expand(2, -1), crystals=rows.crystals)
    with pytest.raises(DataError, match="one by one"):
        mover(model, members, ones(rows), 0.0, everywhere)


def kept_problem(**changes):
    model, rows, featurizer, scaler = crystal_problem(few_crystals())
    config = CALConfig.from_dict({"attack": "structure", "gamma_init": 1e-3, **changes})
    mover = build_structure_attack(featurizer, scaler, config)
    state = CALState(ones(rows), ones(rows) == 0, torch.tensor(1e-3, dtype=torch.float64))
    return model, rows, state, config, KeptStructureAttack(mover, rows)


def test_adversarial_crystals_are_kept_until_forgotten():
    model, rows, state, config, kept = kept_problem()
    first = kept(model, rows.take(torch.tensor([0, 3])), state, config)
    assert kept.known.tolist() == [True, False, False, True, False, False]
    np.testing.assert_allclose(first.path, first.rows.x - rows.x[[0, 3]])
    with torch.no_grad():
        start = row_losses(model(rows.x[[0, 3]]), rows.y[[0, 3]]).mean()
    assert float(first.start_loss) == pytest.approx(float(start), rel=1e-12)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    again = kept(model, rows.take(torch.tensor([3, 1, 0])), state, config)
    assert torch.equal(again.rows.x[[2, 0]], first.rows.x)
    kept.forget()
    fresh = kept(model, rows.take(torch.tensor([3])), state, config)
    assert not torch.equal(fresh.rows.x[0], first.rows.x[1])


def test_what_is_kept_comes_back_from_a_checkpoint():
    model, rows, state, config, kept = kept_problem()
    first = kept(model, rows, state, config)
    _, _, _, _, other = kept_problem()
    other.set_state({name: value.clone() for name, value in kept.get_state().items()})
    other.mover = SimpleNamespace(loss=row_losses)  # nothing is attacked again
    assert torch.equal(other(model, rows, state, config).rows.x, first.rows.x)


def test_a_kept_row_outside_of_a_changed_ball_is_attacked_anew():
    model, rows, state, config, kept = kept_problem(ball="weighted-l2", epsilon=0.05)
    kept(model, rows, state, config)
    heavy = state.weights.clone()
    heavy[-64:] = 50.0  # CHGNet's columns move: dear now
    tight = CALState(heavy, state.frozen, state.gamma)
    found = kept(model, rows, tight, config)
    share = heavy / heavy.sum()
    size = (share * (found.rows.x - rows.x).square()).sum(dim=1).sqrt()
    assert (size <= 0.05 * (1 + 1e-6)).all()


def test_the_control_returns_the_rows_themselves():
    model, rows, state, config, kept = kept_problem()
    kept.mover = SimpleNamespace(loss=row_losses)
    found = kept(model, rows, state, config.without_attack())
    assert found.rows.x is rows.x
    assert not found.path.any()
