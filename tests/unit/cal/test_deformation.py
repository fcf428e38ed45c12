"""Strain and displacements: what moves, and within which budgets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_toys import few_crystals, random_moves
from structure_toys import CRYSTALS, random_structure
from xtalshift.cal.deformation import (
    AXES,
    COMPONENTS,
    MoveSpace,
    deform,
    measure_moves,
    reach,
    still,
    unpack,
)
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

LIKE = torch.zeros(1)


def test_the_norm_of_the_six_numbers_is_that_of_the_matrix():
    structures = few_crystals()
    moves = random_moves(structures)
    strains, shifts = unpack(moves, structures.sizes)
    np.testing.assert_allclose(
        moves[:, :6].norm(dim=1), np.linalg.norm(strains.numpy(), axis=(1, 2)), rtol=1e-12
    )
    assert torch.equal(strains, strains.transpose(1, 2))
    assert shifts.shape == (len(structures.z), 3)
    assert [COMPONENTS[AXES.index(pair)] for pair in ((0, 0), (1, 2), (0, 1))] == ["xx", "yz", "xy"]


def test_a_stretched_and_shifted_crystal():
    salt = CRYSTALS["caesium chloride"]
    moves = still(salt.sizes, LIKE)
    moves[0, 0] = 0.02
    moves[0, 5] = 0.01 * 2**0.5
    moves[0, 6:9] = torch.tensor([0.1, 0.0, 0.0])
    moves[0, 9:12] = torch.tensor([-0.1, 0.0, 0.0])
    found = deform(salt, moves)
    np.testing.assert_allclose(
        found.lattices[0], 4.123 * np.array([[1.02, 0.01, 0], [0.01, 1, 0], [0, 0, 1]]), rtol=1e-12
    )
    apart = (found.positions[1] - found.positions[0] + 1.0) % 1.0 @ found.lattices[0]
    np.testing.assert_allclose(apart, 4.123 / 2 * np.array([1.03, 1.01, 1.0]) - [0.2, 0, 0])


def test_moves_can_be_read_from_both_crystals():
    structures = few_crystals()
    moves = random_moves(structures)
    strains, shifts = unpack(moves, structures.sizes)
    found_strains, found_shifts = measure_moves(structures, deform(structures, moves))
    np.testing.assert_allclose(found_strains, strains, atol=1e-13)
    np.testing.assert_allclose(found_shifts, shifts, atol=1e-13)


def test_what_does_not_move_is_the_same_bit_for_bit():
    structures = few_crystals()
    moves = random_moves(structures)
    moves[[0, 3]] = 0.0
    found = deform(structures, moves)
    for row in (0, 3):
        before, after = structures.take([row]), found.take([row])
        assert before.keys == after.keys
        np.testing.assert_array_equal(before.lattices, after.lattices)
        np.testing.assert_array_equal(before.positions, after.positions)
    strains, shifts = measure_moves(structures, found)
    assert not strains[[0, 3]].any()
    assert not shifts[np.isin(structures.rows, [0, 3])].any()


def test_a_step_follows_each_gradient_to_its_share_of_the_budget():
    structures = few_crystals()
    gradient, start = random_moves(structures, seed=1), still(structures.sizes, LIKE)
    space = MoveSpace(structures.sizes, 0.02, 0.05)
    length = torch.full((len(structures), 1), 0.5, dtype=torch.float64)
    moved = space.step(start, gradient, length)
    slope = gradient[:, :6]
    np.testing.assert_allclose(
        moved[:, :6], 0.01 * slope / slope.norm(dim=1, keepdim=True), rtol=1e-12
    )
    _, shifts = unpack(moved, structures.sizes)
    _, tilts = unpack(gradient, structures.sizes)
    for row in range(len(structures)):
        atoms = structures.rows == row
        one, tilt = shifts.numpy()[atoms], tilts.numpy()[atoms]
        largest = np.linalg.norm(tilt, axis=1).max()
        np.testing.assert_allclose(one, 0.025 * tilt / largest, rtol=1e-9)


def test_a_translation_of_the_whole_crystal_is_no_move():
    structures = few_crystals()
    gradient = random_moves(structures, seed=2)
    pushed = gradient.clone()
    for row, size in enumerate(structures.sizes.tolist()):
        pushed[row, 6 : 6 + 3 * size] += torch.tensor([3.0, -1.0, 2.0]).repeat(size)
    space = MoveSpace(structures.sizes, 0.02, 0.05)
    length, start = torch.ones(len(structures), 1), still(structures.sizes, LIKE)
    np.testing.assert_allclose(
        space.step(start, pushed, length), space.step(start, gradient, length), atol=1e-14
    )


@pytest.mark.parametrize(("block", "other"), [("strain", "shifts"), ("shifts", "strain")])
def test_what_rounding_leaves_of_a_gradient_moves_nothing(block, other):
    structures = few_crystals()
    gradient = random_moves(structures, strain=1.0, shift=1.0)
    parts = {"strain": slice(0, 6), "shifts": slice(6, None)}
    gradient[:, parts[block]] *= 1e-13
    space = MoveSpace(structures.sizes, 0.02, 0.02)
    moved = space.step(still(structures.sizes, LIKE), gradient, torch.ones(len(structures), 1))
    assert not moved[:, parts[block]].any()
    assert (moved[:, parts[other]] != 0).any(dim=1).all()
    nothing = space.step(moved * 0, gradient * 0, torch.ones(len(structures), 1))
    assert not nothing.any()


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**31),
    st.floats(0, 0.2),
    st.floats(0, 1.0),
    st.floats(0, 1.0),
    st.integers(1, 4),
)
def test_no_step_leaves_the_budgets(seed, strain, displacement, length, count):
    structures = few_crystals()
    space = MoveSpace(structures.sizes, strain, displacement)
    moves = still(structures.sizes, LIKE)
    lengths = torch.full((len(structures), 1), length, dtype=torch.float64)
    for number in range(count):
        moves = space.step(moves, random_moves(structures, seed + number), lengths)
    strains, shifts = measure_moves(structures, deform(structures, moves))
    assert np.linalg.norm(strains, axis=(1, 2)).max() <= strain * (1 + 1e-9) + 1e-12
    assert np.linalg.norm(shifts, axis=1).max() <= displacement * (1 + 1e-9) + 1e-12
    for row in range(len(structures)):
        np.testing.assert_allclose(shifts[structures.rows == row].mean(axis=0), 0, atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(0, 0.15), st.floats(0, 0.5))
def test_no_atoms_from_beyond_the_reach_come_within_the_cutoff(seed, strain, displacement):
    one = random_structure(np.random.default_rng(seed), 3)
    space = MoveSpace(one.sizes, strain, displacement)
    length = torch.ones(1, 1)
    moves = space.step(still(one.sizes, LIKE), random_moves(one, seed), length)
    listed = find_neighbours(one, reach(4.0, strain, displacement) + 1e-9)
    counted = find_neighbours(deform(one, moves), 4.0)
    assert len(counted) <= len(listed)
    strains, shifts = (part.numpy() for part in unpack(moves, one.sizes))
    vectors = listed.vectors @ (np.eye(3) + strains[0])
    vectors += shifts[listed.others] - shifts[listed.atoms]
    distances = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(
        np.sort(distances[distances <= 4.0]), np.sort(counted.distances), atol=1e-9
    )


def test_an_empty_batch_has_no_moves():
    assert still(Structures.none(0).sizes, LIKE).shape == (0, 6)
