"""What holds for every splitter and every table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.errors import SplitError
from xtalshift.splits import CovariateSplit, FamilySplit, PriorSplit, RandomSplit, RelationSplit

POOL = np.array(
    ["LiF", "NaF", "KF", "LiCl", "NaCl", "KCl", "MgO", "CaO", "Fe2O3", "Li2O", "UF4", "BN"],
    dtype=object,
)
SHARED = (RandomSplit, CovariateSplit, PriorSplit)


@st.composite
def tables(draw):
    """Return features (equal for equal formulas), targets and formulas of 8 to 60 rows."""
    n_rows = draw(st.integers(8, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = POOL[np.concatenate([np.arange(6), generator.integers(0, 12, n_rows - 6)])]
    centres = {name: generator.normal(size=3) for name in POOL}
    X = np.array([centres[name] for name in groups])
    y = generator.integers(0, 10, n_rows).astype(float)  # with ties
    order = generator.permutation(n_rows)
    return X[order], y[order], groups[order]


@st.composite
def splitters(draw):
    share = draw(st.floats(0.01, 0.6))
    return draw(
        st.sampled_from(
            [
                RandomSplit(share, draw(st.integers(0, 99))),
                CovariateSplit(share, n_neighbors=2, n_components=3),
                PriorSplit("high", share),
                PriorSplit("low", share),
                PriorSplit("both", share),
                FamilySplit("F"),
                RelationSplit(formulas=["LiF", "KCl", "BN"]),
            ]
        )
    )


def replace_tail(splitter, tail):
    return PriorSplit(tail, splitter.share / 2)


def mask_or_refusal(splitter, X, y, groups):
    try:
        return splitter.held_out(X, y, groups)
    except SplitError as error:
        return str(error)


@settings(max_examples=300)
@given(splitters(), tables())
def test_complete_disjoint_deterministic_and_without_a_group_on_both_sides(splitter, table):
    mask = mask_or_refusal(splitter, *table)
    if isinstance(mask, str):
        assert "both sides need rows" in mask
        return
    X, y, groups = table
    ((train, test),) = splitter.split(X, y, groups)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    np.testing.assert_array_equal(test, np.flatnonzero(mask))
    assert (np.diff(train) > 0).all()
    assert len(train) > 0
    assert len(test) > 0
    assert not set(groups[train]) & set(groups[test])
    np.testing.assert_array_equal(splitter.held_out(X, y, groups), mask)


@settings(max_examples=300)
@given(splitters(), tables(), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(splitter, table, seed):
    X, y, groups = table
    order = np.random.default_rng(seed).permutation(len(y))
    mask = mask_or_refusal(splitter, X, y, groups)
    other = mask_or_refusal(splitter, X[order], y[order], groups[order])
    if isinstance(mask, str):
        assert other == mask
    else:
        np.testing.assert_array_equal(other, mask[order])


@settings(max_examples=200)
@given(splitters(), tables())
def test_the_share_is_not_exceeded_and_the_next_formula_would(splitter, table):
    mask = mask_or_refusal(splitter, *table)
    if isinstance(mask, str) or not isinstance(splitter, SHARED):
        return
    groups = table[2]
    wanted = splitter.share * len(groups)
    n_held_out = len(set(groups[mask]))
    if isinstance(splitter, PriorSplit) and splitter.tail == "both":
        # each end takes at least one formula, even if that is more than its half
        ends = [replace_tail(splitter, tail).held_out(*table) for tail in ("low", "high")]
        np.testing.assert_array_equal(mask, ends[0] | ends[1])
        return
    assert mask.sum() <= wanted + 1e-9 or n_held_out == 1
    largest = max(np.sum(groups == name) for name in set(groups[~mask]))
    assert mask.sum() + largest > wanted - 1e-9


@pytest.mark.parametrize("n_rows", [10, 30, 99, 1000])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7])
def test_a_share_of_single_rows_is_exact(n_rows, share):
    mask = RandomSplit(share, 0).held_out(np.zeros((n_rows, 1)))
    assert mask.sum() == int(round(share * 1000) * n_rows // 1000)
