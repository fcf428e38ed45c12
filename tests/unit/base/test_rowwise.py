"""Blocks of one shape, and pieces that bound memory."""

import numpy as np
import pytest

from xtalshift.rowwise import BLOCK_ROWS, in_blocks, in_pieces

SIZES = (0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5)


@pytest.mark.parametrize("n", SIZES)
def test_every_call_gets_the_same_shape(n):
    X = np.arange(3.0 * n).reshape(n, 3).T.copy().T  # columns contiguous
    shapes = []

    def evaluate(rows):
        shapes.append((rows.shape, rows.flags.c_contiguous))
        return np.stack([rows.sum(axis=1), rows[:, 0]])

    found = in_blocks(evaluate, X)
    assert np.array_equal(found, [X.sum(axis=1), X[:, 0]])
    assert set(shapes) == {((BLOCK_ROWS, 3), True)}


@pytest.mark.parametrize("n", [0, 1, 7, 8, 17])
def test_pieces_have_at_most_so_many_rows(n):
    X = np.arange(2.0 * n).reshape(n, 2)
    sizes = []

    def evaluate(rows):
        sizes.append(len(rows))
        return rows.sum(axis=1)

    assert np.array_equal(in_pieces(evaluate, X, 8), X.sum(axis=1))
    assert max(sizes) <= 8
    assert sum(sizes) == n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 30, 64])
def test_a_product_has_the_bits_of_a_row_alone(dtype, width):
    rng = np.random.default_rng(width)
    X = rng.normal(size=(150, 145)).astype(dtype)
    weights = rng.normal(size=(145, width)).astype(dtype)
    found = in_blocks(lambda rows: (rows @ weights).T, X)
    alone = [in_blocks(lambda rows: (rows @ weights).T, X[i : i + 1]) for i in range(150)]
    assert np.array_equal(found, np.concatenate(alone, axis=1))
