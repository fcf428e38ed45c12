"""Trees that are evaluated for many rows at once give LightGBM's bits."""

from dataclasses import replace

import numpy as np
import pytest

from estimator_toys import data
from xtalshift.estimators import ForestRegressor, LightGBMRegressor, tree_sum
from xtalshift.estimators.bit_trees import MOST_LEAVES, Comparisons
from xtalshift.estimators.lightgbm_text import (
    Tree,
    join_trees,
    load_booster,
    read_trees,
    write_trees,
)
from xtalshift.estimators.tree_sum import FEW_ROWS, TreeSum, TreeSums

D = 5


def grow(rng, n_leaves, *, chain=False):
    """Return a random tree, or one whose nodes all have a leaf on one side."""
    left, right, feature, threshold = ([-1] for _ in range(4))
    leaves = [0]
    while len(leaves) < n_leaves:
        node = leaves.pop(-1 if chain else rng.integers(len(leaves)))
        first = len(left)
        left[node], right[node] = first, first + 1
        feature[node], threshold[node] = rng.integers(D), rng.choice([-1.5, -0.5, 0, 0.5, 1.5])
        for column, value in ((left, -1), (right, -1), (feature, 0), (threshold, 0)):
            column += [value, value]
        leaves += [first, first + 1] if rng.random() < 0.5 else [first + 1, first]
    value = rng.normal(size=len(left))
    integers = [np.array(column) for column in (left, right, feature)]
    return Tree(*integers, np.array(threshold, dtype=np.float64), value)


def write(rng, sizes, **how):
    """Return trees as text, with every way of LightGBM to treat missing values."""
    table = join_trees([grow(rng, size, **how) for size in sizes], D)
    kinds = rng.choice([0, 2, 4, 6, 8, 10], size=len(table.decision))
    return write_trees(replace(table, decision=kinds))


def rows_with_everything(rng, n):
    X = rng.normal(size=(n, D)).round(1)
    odd = np.array([np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, 2e-35, 1e300, -1e300, 5e-324])
    mask = rng.random(X.shape) < 0.4
    X[mask] = rng.choice(odd, mask.sum())
    return X


def evaluate(texts, X, columns=None):
    columns = columns or [np.arange(D)] * len(texts)
    return TreeSums([TreeSum(text) for text in texts], columns).predict(X)


@pytest.mark.parametrize("sizes", [[1], [2], [3, 1, 64, 2], [63] * 7, [65, 64, 256], [1, 1, 17]])
@pytest.mark.parametrize("n", [1, 7, 8, 63, 64, 65, 200])
def test_sums_have_the_bits_of_lightgbm(sizes, n):
    rng = np.random.default_rng([n, *sizes])
    text = write(rng, sizes)
    X = rows_with_everything(rng, n)
    expected = load_booster(text).predict(X)
    np.testing.assert_array_equal(evaluate([text], X), [expected])


def test_trees_that_are_chains_have_the_bits_of_lightgbm():
    rng = np.random.default_rng(3)
    text = write(rng, [200, 33, 256], chain=True)
    X = rows_with_everything(rng, 300)
    expected = load_booster(text).predict(X)
    np.testing.assert_array_equal(evaluate([text], X), [expected])


@pytest.mark.parametrize("sizes", [[1], [2], [3, 1, 64, 2], [65, 64, 256], [20] * 250, [1, 1, 17]])
def test_few_rows_have_the_bits_of_lightgbm(sizes):
    rng = np.random.default_rng(sizes)
    text = write(rng, sizes)
    for n in (1, 5, FEW_ROWS):
        X = rows_with_everything(rng, n)
        trees = TreeSum(text)
        found = trees.predict(X, 1)
        assert "booster" not in vars(trees)
        np.testing.assert_array_equal(found, trees.walk(X, 1))


def test_long_tables_are_summed_in_pieces(monkeypatch):
    monkeypatch.setattr(tree_sum, "_PIECE", 64)
    rng = np.random.default_rng(4)
    text = write(rng, [30, 20, 10])
    X = rows_with_everything(rng, 333)
    expected = load_booster(text).predict(X)
    np.testing.assert_array_equal(evaluate([text], X), [expected])


def test_sums_of_other_columns_share_their_thresholds():
    rng = np.random.default_rng(5)
    texts = [write(rng, sizes) for sizes in ([63, 5], [1], [20] * 150, [64])]
    columns = [rng.permutation(80)[:D] for _ in texts]
    X = np.hstack([rows_with_everything(rng, 100) for _ in range(16)])
    found = evaluate(texts, X, columns)
    for one, text, own in zip(found, texts, columns, strict=True):
        np.testing.assert_array_equal(one, TreeSum(text).walk(X[:, own], 1))
    same = Comparisons([read_trees(texts[0])] * 2, [np.arange(D)] * 2)
    np.testing.assert_array_equal(*same.places)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_many_rows_have_the_bits_of_each_alone(at_once, monkeypatch):
    monkeypatch.setattr(tree_sum, "MANY_ROWS", 50)
    X, y = data(80)
    text = LightGBMRegressor(n_estimators=30, random_state=0).fit(X, y).trees_.text
    trees = TreeSum(text, at_once=at_once)
    assert trees.booster.num_trees() > 7
    found = trees.predict(X, 1)
    assert "_alone" in vars(trees)
    np.testing.assert_allclose(found, trees.booster.predict(X), rtol=1e-12)
    alone = [trees.predict(X[row : row + 1], 1)[0] for row in range(len(X))]
    np.testing.assert_array_equal(found, alone)


def test_with_many_threads_lightgbm_divides_the_rows(monkeypatch):
    monkeypatch.setattr(tree_sum, "MANY_ROWS", 50)
    X, y = data(80)
    text = LightGBMRegressor(n_estimators=3, random_state=0).fit(X, y).trees_.text
    trees = TreeSum(text)
    trees.predict(X, tree_sum.MANY_THREADS)
    monkeypatch.setenv("OMP_NUM_THREADS", str(tree_sum.MANY_THREADS))
    trees.predict(X, 0)
    assert "_alone" not in vars(trees)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    trees.predict(X, 0)
    assert "_alone" in vars(trees)


def test_large_trees_are_left_to_lightgbm(monkeypatch):
    monkeypatch.setattr(tree_sum, "MANY_ROWS", 50)
    X, y = data(2 * MOST_LEAVES)
    model = ForestRegressor(n_estimators=2, random_state=0).fit(X, y)
    assert read_trees(model.trees_.text).n_leaves.max() > MOST_LEAVES
    np.testing.assert_array_equal(model.predict(X)[:20], model.predict(X[:20]))
