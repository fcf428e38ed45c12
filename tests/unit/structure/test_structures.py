"""Structures as columns."""

from dataclasses import replace

import numpy as np
import pytest

from xtalshift.structure import Structures

SALT = Structures.of(
    5.64 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    [11, 17], [[0, 0, 0], [0.5, -0.5, 1.5]],
)  # fmt: skip
ALLOY = Structures.of(
    3.0 * np.eye(3), [26, 28, 8], [[0, 0, 0], [0, 0, 0], [0.5] * 3], [0.3, 0.7, 1]
)


def test_positions_lie_in_the_cell():
    np.testing.assert_array_equal(SALT.positions, [[0, 0, 0], [0.5, 0.5, 0.5]])
    tiny = Structures.of(np.eye(3), [1], [[-1e-17, 1.0, 2.25]])
    np.testing.assert_array_equal(tiny.positions, [[0, 0, 0.25]])


def test_a_batch_is_its_rows():
    batch = Structures.join([SALT, Structures.none(1), ALLOY, SALT])
    assert len(batch) == 4
    assert repr(batch) == "<Structures: 4 with 7 atoms>"
    assert batch.sizes.tolist() == [2, 0, 3, 2]
    np.testing.assert_allclose(batch.volumes, [44.851536, np.nan, 27, 44.851536])
    assert batch.rows.tolist() == [0, 0, 2, 2, 2, 3, 3]
    assert batch.ordered.tolist() == [True, True, False, True]
    part = batch.take([2, 0])
    assert part.z.tolist() == [26, 28, 8, 11, 17]
    np.testing.assert_array_equal(part.lattices, [ALLOY.lattices[0], SALT.lattices[0]])
    np.testing.assert_array_equal(part.positions[3:], SALT.positions)
    assert part.occupancies.tolist() == [0.3, 0.7, 1, 1, 1]
    assert batch.take(batch.sizes == 0).sizes.tolist() == [0]
    assert len(Structures.join([])) == 0


def test_compositions_count_shared_sites():
    batch = Structures.join([ALLOY, Structures.none(1), SALT])
    found = batch.compositions()
    assert found.reduced_formulas().tolist() == ["Fe3Ni7O10", "", "NaCl"]
    assert found.z.tolist() == [26, 28, 8, 11, 17]
    assert found.amounts.tolist() == [0.3, 0.7, 1, 1, 1]


@pytest.mark.parametrize("change", ["lattices", "positions", "occupancies", "z"])
def test_keys_tell_structures_apart(change):
    batch = Structures.join([ALLOY, Structures.none(1), ALLOY])
    first, empty, second = batch.keys
    assert empty == ""
    assert first == second
    assert len(first) == 32
    array = getattr(ALLOY, change).copy()
    array.flat[0] = array.flat[0] + (1 if change == "z" else 1e-8)
    same = replace(ALLOY, **{change: array}).keys[0] == first
    assert same == (change != "z")  # rounding is no difference
    array.flat[0] += 0 if change == "z" else 1e-3
    assert replace(ALLOY, **{change: array}).keys[0] != first
