"""Environments of the training rows: four kinds, numbered from 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.cal.environments import assign_environments
from xtalshift.chem import parse_formulas
from xtalshift.errors import ConfigError

FORMULAS = ["NaCl", "MgO", "KBr", "Fe", "CaO", "GaN"]


def assign(kind, x=None, *, n_environments=8, seed=0, **rows):
    x = np.zeros((6, 2)) if x is None else x
    return assign_environments(kind, x, n_clusters=n_environments, seed=seed, **rows)


def compositions(formulas=FORMULAS):
    return parse_formulas(formulas)[0]


def same_partition(labels, others):
    """Return whether two labellings put the same rows together."""
    pairs = set(zip(labels, others, strict=True))
    return len(pairs) == len(set(labels)) == len(set(others))


def blobs(n_each=20, seed=0):
    """Return rows around the corners of a square of side 20, shuffled, and their corner."""
    rng = np.random.default_rng(seed)
    corner = rng.permutation(np.repeat(np.arange(4), n_each))
    corners = np.array([[0, 0], [0, 20], [20, 0], [20, 20]])
    return (corners[corner] + rng.normal(size=(len(corner), 2))).astype(np.float32), corner


def test_clusters_are_of_rows_however_few_features_there_are():
    x = np.array([[0.0], [10.0], [0.0], [20.0], [10.0]], dtype=np.float32)
    assert same_partition(assign("clusters", x, n_environments=3), x[:, 0])
    assert same_partition(assign("clusters", x, n_environments=8), x[:, 0])


def test_random_environments_are_left_to_each_batch():
    assert assign("random") is None
    assert assign("random", compositions=compositions(), given=np.arange(6)) is None


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_the_features(seed):
    x, corner = blobs(seed=seed)
    before = x.copy()
    found = assign("clusters", x, n_environments=4, seed=seed)
    assert found.dtype == np.int64
    assert set(found.tolist()) == {0, 1, 2, 3}
    assert same_partition(found.tolist(), corner.tolist())
    assert np.array_equal(x, before)


def test_clusters_depend_on_their_number_and_the_seed_only():
    x = np.random.default_rng(0).normal(size=(90, 3))
    first = assign("clusters", x, seed=1)
    assert np.array_equal(first, assign("clusters", x, seed=1))
    assert np.array_equal(
        first, assign("clusters", x, seed=1, compositions=compositions(), given=np.arange(90))
    )
    assert not same_partition(first.tolist(), assign("clusters", x, seed=2).tolist())
    assert set(assign("clusters", x, n_environments=1).tolist()) == {0}


def test_fewer_different_rows_than_clusters_are_a_cluster_each():
    points = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    which = [2, 0, 0, 1, 2, 2, 0, 1]
    found = assign("clusters", points[which], n_environments=8)
    assert set(found.tolist()) == {0, 1, 2}
    assert same_partition(found.tolist(), which)
    assert assign("clusters", np.ones((5, 2))).tolist() == [0] * 5
    assert assign("clusters", np.ones((1, 2))).tolist() == [0]


@given(which=st.lists(st.integers(0, 11), min_size=1, max_size=40), count=st.integers(1, 10))
@settings(max_examples=30, deadline=None)
def test_clusters_leave_no_gap_and_keep_equal_rows_together(which, count):
    points = np.random.default_rng(0).normal(size=(12, 3))
    found = assign("clusters", points[which], n_environments=count).tolist()
    assert set(found) == set(range(max(found) + 1))
    assert len(set(found)) <= min(count, len(set(which)))
    assert len(set(zip(which, found, strict=True))) == len(set(which))


def test_families_are_numbered_in_their_order_without_gaps():
    # oxide, halide, nitride, intermetallic
    found = assign("families", compositions=compositions(), given=np.arange(6))
    assert found.tolist() == [1, 0, 1, 3, 0, 2]
    assert found.dtype == np.int64
    assert assign("families", compositions=compositions(["Fe", "NiAl"])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["b", "a", "c", "a", "b", "b"], [1, 0, 2, 0, 1, 1]),
        ([10, -3, 10, 7, 7, -3], [2, 0, 2, 1, 1, 0]),
        ([0.5, 0.5, 0.25, 2.0, 0.25, 0.5], [1, 1, 0, 2, 0, 1]),
        ([True, False, True, True, False, False], [1, 0, 1, 1, 0, 0]),
        (np.array(["x", "y", "x", "x", "y", "x"], dtype=object), [0, 1, 0, 0, 1, 0]),
    ],
)
def test_given_labels_are_numbered_in_their_order(labels, expected):
    found = assign("given", given=labels, compositions=compositions())
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_what_a_kind_needs_is_said():
    with pytest.raises(ConfigError, match=r"'families' needs formulas: .*origin.*'clusters'"):
        assign("families", given=np.arange(6))
    with pytest.raises(ConfigError, match=r"'given' needs fit\(\.\.\., environments=labels\)"):
        assign("given", compositions=compositions())
