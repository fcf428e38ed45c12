"""The sides from which crystals are seen."""

import numpy as np
import pytest

from xtalshift.structure.views import choose_view

CELLS = {
    "cubic": 4 * np.eye(3),
    "hexagonal": np.array([[3, 0, 0], [-1.5, 3 * 0.75**0.5, 0], [0, 0, 5]]),
    "triclinic": np.array([[5, 0, 0], [1, 6, 0], [-2, 1, 7]]),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("n", [1, 8, 150])
def test_a_view_is_a_rotation_with_an_axis_upright(name, n):
    points = np.random.default_rng(n).random((n, 3)) @ CELLS[name]
    view = choose_view(CELLS[name], points, np.full(n, 0.5))
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1.0)
    right, up, _ = (CELLS[name] @ view.T).T
    assert any(abs(x) < 1e-9 and y > 0 for x, y in zip(right, up, strict=True))


def test_atoms_do_not_hide_behind_each_other():
    """Two columns along an axis: the view is not along them."""
    lattice = 6 * np.eye(3)
    points = np.array([[0, 0, 0], [3, 0, 0], [6, 0, 0]])
    view = choose_view(lattice, points, np.full(3, 0.6))
    turned = points @ view.T
    apart = np.linalg.norm(turned[1:, :2] - turned[:-1, :2], axis=1)
    assert apart.min() > 1.2


def test_many_atoms_are_seen_along_the_shortest_axis():
    lattice = np.diag([12.0, 4.0, 15.0])
    points = np.random.default_rng(0).random((200, 3)) @ lattice
    view = choose_view(lattice, points, np.full(200, 0.5))
    assert view[2] @ [0, 1, 0] > 0.99
