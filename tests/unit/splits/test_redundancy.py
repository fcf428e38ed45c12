"""Redundancy by composition distance, against the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import redundancy as slow
from xtalshift.chem.compositions import parse_formulas
from xtalshift.errors import SplitError
from xtalshift.splits import Fold, RedundancySplit, drop_near, thin
from xtalshift.splits.redundancy import near_pairs

FORMULAS = np.array(["Fe2O3", "Fe9O13", "Li2O", "LiF", "NaCl", "KCl", "Fe10O13", "MgO"], object)
POOL = np.unique(np.array(["Li9O8", "Li8O9", "LiO", "Na9F8", "NaF", "FeO", "Fe9O8", "Fe8O9"]))


def pairs_of(formulas, distance):
    return near_pairs(parse_formulas(list(formulas))[0], distance)


def test_the_distance_is_the_share_of_atoms_that_differ():
    # Fe 0.4 against 9/22 and 10/23; KCl and NaCl differ in half of the atoms
    pairs = pairs_of(FORMULAS, 0.035)
    assert pairs.tolist() == [[0, 1], [0, 6], [1, 6]]
    assert pairs_of(FORMULAS, 0.0349)[0].tolist() == [0, 1]
    assert slow.distance("Fe2O3", "Fe10O13") == pytest.approx(10 / 23 - 0.4)
    assert [4, 5] in pairs_of(FORMULAS, 0.5).tolist()
    assert [4, 5] not in pairs_of(FORMULAS, 0.49).tolist()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(POOL.tolist()), min_size=2, max_size=8, unique=True),
    st.floats(0.01, 1),
)
def test_pairs_are_those_of_the_definition(formulas, distance):
    found = pairs_of(formulas, distance)
    assert [tuple(pair) for pair in found.tolist()] == slow.near_pairs(formulas, distance)


def test_linked_compositions_are_dealt_together():
    groups = np.append(FORMULAS, ["LiF"])
    folds = list(RedundancySplit(0.035, 3, random_state=0).folds(np.zeros((9, 1)), None, groups))
    together = [set(fold.test.tolist()) for fold in folds]
    assert {0, 1, 6} in [part & {0, 1, 6} for part in together]
    assert {3, 8} in [part & {3, 8} for part in together]
    assert sorted(map(len, together)) == [3, 3, 3]
    parts = slow.linked(np.unique(groups).tolist(), 0.035)
    assert sorted(map(len, parts)) == [1, 1, 1, 1, 1, 3]


def test_a_distance_that_links_everything_is_refused():
    with pytest.raises(SplitError, match="links 8 of 8 rows to one group, more than half"):
        list(RedundancySplit(1.0).folds(np.zeros((8, 1)), None, FORMULAS))


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(POOL.tolist()), min_size=2, max_size=20),
    st.floats(0.01, 1),
    st.integers(0, 99),
)
def test_thinning_keeps_apart_and_leaves_out_only_near_twins(rows, distance, seed):
    groups = np.array(rows, object)
    keep = thin(groups, distance, random_state=seed)
    kept, dropped = (np.unique(groups[mask]).tolist() for mask in (keep, ~keep))
    assert not set(kept) & set(dropped)
    assert not slow.near_pairs(kept, distance)
    for name in dropped:
        assert min(slow.distance(name, other) for other in kept) <= distance + 1e-9


def test_thinning_visits_formulas_in_random_order():
    names = np.unique(FORMULAS).tolist()
    for seed in range(5):
        kept = set(FORMULAS[thin(FORMULAS, 0.035, random_state=seed)])
        order = [names[place] for place in np.random.default_rng(seed).permutation(8)]
        first = next(name for name in order if name in {"Fe2O3", "Fe9O13", "Fe10O13"})
        assert kept & {"Fe2O3", "Fe9O13", "Fe10O13"} == {first}


def test_near_twins_of_test_rows_are_left_out_of_training():
    fold = Fold(train=np.array([1, 2, 5]), val=np.array([6, 7]), test=np.array([0, 3, 4]))
    purged = drop_near(fold, FORMULAS, 0.03)
    assert purged.train.tolist() == [2, 5]  # Fe9O13 differs by 0.009
    assert purged.val.tolist() == [6, 7]
    assert drop_near(fold, FORMULAS, 0.035).val.tolist() == [7]
    with pytest.raises(SplitError, match="every training row is within 1 of a test row"):
        drop_near(fold, FORMULAS, 1.0)


def test_parsed_formulas_are_not_parsed_again(monkeypatch):
    compositions, *_ = parse_formulas(FORMULAS.tolist())
    monkeypatch.setattr("xtalshift.splits.splitter.parse_formulas", None)
    keep = thin(FORMULAS, 0.035, compositions=compositions, random_state=0)
    fold = Fold(train=np.array([1, 2, 5]), test=np.array([0, 3, 4]))
    assert keep.sum() == 6
    assert drop_near(fold, FORMULAS, 0.03, compositions=compositions).train.tolist() == [2, 5]


@pytest.mark.parametrize("distance", [0.0, -0.1, 1.1])
def test_a_distance_out_of_range(distance):
    with pytest.raises(SplitError, match="expected a share of atoms above 0 and at most 1"):
        thin(FORMULAS, distance)
