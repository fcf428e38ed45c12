"""The nearest neighbours against an exact search."""

import numpy as np
import pytest

from xtalshift.domain.neighbour_index import NeighbourIndex


def _blobs(n, seed, d=6):
    """Return points that fill five clouds of different width, as chemistries do."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 5, (5, d))
    which = rng.integers(0, 5, n)
    return centres[which] + rng.normal(0, 1, (n, d)) * (0.2 + which[:, None] / 4)


@pytest.mark.parametrize("n", [10, 1000, 5000])
def test_neighbours_are_those_of_an_exact_search(n):
    points, queries = (_blobs(m, seed).astype(np.float32) for m, seed in ((n, 1), (700, 2)))
    distances, rows = NeighbourIndex.build(points).query(queries, 3)
    exact = np.linalg.norm(queries[:, None] - points[None], axis=2)
    best = np.sort(exact, axis=1)[:, :3]
    assert np.mean(np.abs(distances[:, 0] - best[:, 0]) < 1e-4) >= (0.99 if n > 2048 else 1)
    assert distances == pytest.approx(np.take_along_axis(exact, rows, axis=1), rel=1e-4)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_neighbours_are_complete_where_the_visited_cells_hold_too_few():
    points = _blobs(3000, 1).astype(np.float32)
    index = NeighbourIndex.build(points)
    _, rows = index.query(points[:5], 2500)
    assert all(len(set(row.tolist())) == 2500 for row in rows)


@pytest.mark.parametrize("n", [1000, 3000])
def test_a_centre_is_within_the_range_of_the_points(n):
    # the mean of equal numbers is larger by rounding, and a saved index beyond its clip is refused
    points = np.column_stack([np.full(n, 0.7), np.linspace(-1, 1, n)]).astype(np.float32)
    assert (NeighbourIndex.build(points).centres[:, 0] == points[0, 0]).all()


def test_equal_points_are_at_distance_zero_and_the_first_comes_first():
    points = np.repeat(100 * _blobs(40, 1), 2, axis=0).astype(np.float32)
    distances, rows = NeighbourIndex.build(points).query(points, 2)
    assert (distances == 0).all()
    assert rows[7].tolist() == [6, 7]


def test_an_index_with_further_points_finds_old_and_new_ones():
    old, new = _blobs(3000, 1).astype(np.float32), _blobs(50, 2).astype(np.float32)
    _, rows = NeighbourIndex.build(old).extended(new).query(np.concatenate([old, new]), 1)
    assert rows[:, 0].tolist() == list(range(3050))
