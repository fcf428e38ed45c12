"""Ranks and tails: known values, ties, and what a constant scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from reference.ranking import slow_hits, slow_regret, slow_top
from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import (
    Regret,
    TailScores,
    extrapolative_precision,
    rank_evidence,
    regret,
    spearman,
    tail_scores,
    top_scores,
)

few_values = st.integers(-3, 3)  # so that there are ties
pairs = st.lists(st.tuples(few_values, few_values), min_size=1, max_size=25)
flagged = st.lists(st.tuples(st.booleans(), few_values), min_size=1, max_size=6)
few_rows = st.lists(st.tuples(few_values, few_values), min_size=2, max_size=6)


@given(pairs)
def test_spearman_is_that_of_scipy(rows):
    y, z = np.array(rows, dtype=float).T
    found = spearman(y, z)
    if np.ptp(y) == 0 or np.ptp(z) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(y, z).statistic, abs=1e-12)
        assert -1.0 <= found <= 1.0
        assert spearman(y, -z) == pytest.approx(-found, abs=1e-12)


def test_spearman_by_hand():
    # rank differences 0 1 1 0: 1 - 6 * 2 / (4 * 15)
    assert spearman([1, 2, 3, 4], [10, 30, 20, 1000]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [1, 8, 27]) == pytest.approx(1.0, abs=1e-15)
    assert spearman([1, 2, 3], [0.3, 0.2, 0.1]) == pytest.approx(-1.0, abs=1e-15)


def test_spearman_needs_what_varies():
    assert math.isnan(spearman([1.0, 1.0], [0.0, 1.0]))
    assert math.isnan(spearman([0.0, 1.0], [1.0, 1.0]))
    assert math.isnan(spearman([1.0], [2.0]))


def test_tail_by_hand():
    targets = [0.0, 1.0, 2.0, 5.0, 6.0, 7.0]
    predictions = [0.0, 5.5, 1.0, 4.0, 5.0, 9.0]
    # tail 5 6 7; predicted there 5.5 5 9, of which 5 and 9 belong there; the same are the top three
    found = tail_scores(targets, predictions, threshold=5.0)
    assert found == TailScores(3, 2 / 3, 2 / 3, pytest.approx(2 / 3 / 0.5))


def test_a_flat_method_finds_none_beyond_the_threshold_but_ranks_well():
    found = tail_scores([1.0, 2.0, 8.0, 9.0], [1.0, 1.1, 1.2, 1.3], threshold=8.0)
    assert found[:2] == (2, 0.0)
    assert math.isnan(found.precision)
    assert found.enrichment == 2.0


def test_the_low_tail_mirrors_the_high_one():
    generator = np.random.default_rng(0)
    y, z = generator.normal(size=(2, 40))
    high = tail_scores(y, z, threshold=0.5)
    assert tail_scores(-y, -z, threshold=-0.5, side="low") == high
    ood = y > 0
    assert extrapolative_precision(ood, -z, side="low") == extrapolative_precision(ood, z)
    assert extrapolative_precision(ood, z, side="low") != extrapolative_precision(ood, z)


def test_where_all_or_none_are_in_the_tail_there_is_nothing_to_find():
    for threshold, n in ((3.0, 0), (1.0, 2)):
        found = tail_scores([1.0, 2.0], [1.0, 3.5], threshold=threshold)
        assert found.n_tail == n
        assert all(math.isnan(value) for value in found[1:])


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.sampled_from([0.1, -7.3, 0.0]))
def test_a_constant_has_exactly_chance(tail, value):
    targets = np.array(tail, dtype=float)
    found = tail_scores(targets, np.full(len(tail), value), threshold=1.0)
    if 0 < sum(tail) < len(tail):
        assert found.enrichment == 1.0
    assert extrapolative_precision(tail, np.full(len(tail), value)) == pytest.approx(np.mean(tail))


@given(flagged)
def test_ties_are_those_of_a_random_order(rows):
    flags, scores = zip(*rows, strict=True)
    n, n_tail = len(flags), sum(flags)
    if 0 < n_tail < n:
        found = tail_scores(np.array(flags, dtype=float), scores, threshold=1.0)
        slow = slow_hits(flags, scores, n_tail)
        assert found.enrichment == pytest.approx(slow / n_tail / (n_tail / n))
    k = max(1, math.floor(n / 2 + 0.5))
    slow = slow_hits(flags, scores, k)
    found = extrapolative_precision(flags, scores, share=0.5, id_weight=3.0)
    assert found == pytest.approx(slow / (slow + 3 * (k - slow)))


@given(few_rows, st.integers(1, 5))
def test_regret_and_top_are_means_over_the_orders_of_ties(rows, k):
    y, z = zip(*rows, strict=True)
    if k < len(y):
        found = regret(y, z, n_picks=k)
        assert found.size == pytest.approx(slow_regret(y, z, k), abs=1e-12)
        if np.ptp(y):
            assert found.over_range == pytest.approx(found.size / np.ptp(y))
            assert 0 <= found.over_range <= 1
        else:
            assert found.size == 0
            assert math.isnan(found.over_range)
    top = top_scores(y, z, share=min(k, len(y)) / len(y))
    n_top = sum(value >= sorted(y)[-min(k, len(y))] for value in y)
    if n_top == len(y):
        assert math.isnan(top.recall)
        assert math.isnan(top.enrichment)
    else:
        assert top.recall == pytest.approx(slow_top(y, z, min(k, len(y))))
        assert top.enrichment == pytest.approx(top.recall * len(y) / n_top)


def test_regret_by_hand():
    y, z = [0.0, 2.0, 9.0, 10.0, 4.0], [5.0, 4.0, 3.0, 2.0, 1.0]
    assert regret(y, z, n_picks=1) == Regret(10.0, 1.0)
    assert regret(y, z, n_picks=2) == Regret(8.0, 0.8)
    assert regret(y, z, n_picks=4) == Regret(0.0, 0.0)
    assert regret(y, z, n_picks=3, side="low") == Regret(4.0, 0.4)  # 4, 10 and 9 are picked
    # two of three that tie: 9 and 10 with 2 of 3 chances for 10
    assert regret([0.0, 9.0, 10.0], [1, 1, 1], n_picks=2).size == pytest.approx(1 / 3)


def test_the_regret_of_a_constant_is_that_of_random_picks():
    y = np.random.default_rng(0).gamma(2.0, size=400)
    generator = np.random.default_rng(1)
    drawn = [y.max() - generator.choice(y, 10, replace=False).max() for _ in range(4000)]
    found = regret(y, np.full(400, 3.0), n_picks=10).size
    assert found == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 4000**0.5)


def test_who_picks_every_row_misses_nothing_and_chooses_nothing():
    assert all(math.isnan(value) for value in regret([1.0, 2.0], [0.0, 0.0], n_picks=2))


def test_top_by_hand():
    y = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    z = [9.0, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]
    assert top_scores(y, z, share=0.2) == (0.5, 2.5)  # 0 and 9 are picked for 8 and 9
    assert top_scores(y, z, share=0.3, side="low").recall == pytest.approx(2 / 3)
    assert top_scores(y, np.ones(10), share=0.1) == (pytest.approx(0.1), 1.0)


@given(pairs)
def test_tail_scores_by_counting(rows):
    y, z = np.array(rows, dtype=float).T
    found = tail_scores(y, z, threshold=1.0)
    tail, chosen = set(np.flatnonzero(y >= 1)), set(np.flatnonzero(z >= 1))
    assert found.n_tail == len(tail)
    if 0 < len(tail) < len(y):
        assert found.recall == len(tail & chosen) / len(tail)
        if chosen:
            assert found.precision == len(tail & chosen) / len(chosen)
        assert 0 <= found.enrichment <= len(y) / len(tail) + 1e-12


def test_extrapolative_precision_by_hand():
    ood = [True, False, True, False, False, True, False, False, False, False]
    predictions = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    # three of ten are selected: OOD, ID, OOD
    assert extrapolative_precision(ood, predictions) == pytest.approx(2 / 3)
    assert extrapolative_precision(ood, predictions, id_weight=19) == pytest.approx(2 / 21)
    assert extrapolative_precision(ood, predictions, share=0.1) == 1.0
    assert extrapolative_precision(ood, predictions, share=1.0) == pytest.approx(0.3)
    assert extrapolative_precision(ood, predictions, side="low") == 0.0


@pytest.mark.parametrize(
    ("n", "share", "selected"),
    [(1, 0.3, 1), (2, 0.1, 1), (5, 0.3, 2), (10, 0.25, 3), (50, 0.29, 15), (4, 0.6, 2), (3, 1, 3)],
)
def test_halves_are_rounded_up(n, share, selected):
    # only the last selected row is OOD, so that the result is one over the number selected
    ood = np.arange(n) == selected - 1
    found = extrapolative_precision(ood, -np.arange(n), share=share)
    assert found == pytest.approx(1 / selected)


def test_pools_of_one_kind():
    assert extrapolative_precision([True] * 3, [1, 2, 3], id_weight=19) == 1.0
    assert extrapolative_precision([False] * 3, [1, 2, 3], id_weight=19) == 0.0


def test_inputs_are_left_alone():
    y, z = np.array([3.0, 1.0, 2.0]), np.array([0.0, 2.0, 1.0])
    spearman(y, z)
    tail_scores(y, z, threshold=2.0)
    extrapolative_precision(y > 1, z)
    regret(y, z, n_picks=1, side="low")
    top_scores(y, z, share=0.3, side="low")
    assert y.tolist() == [3.0, 1.0, 2.0]
    assert z.tolist() == [0.0, 2.0, 1.0]


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(DataError, match=r"y\.shape=\(2,\) and z\.shape=\(1,\)"):
        spearman([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match=r"predictions\[1\] is nan; expected a finite number"):
        tail_scores([1.0, 2.0], [1.0, math.nan], threshold=1.0)
    with pytest.raises(ConfigError, match=r"threshold=nan: the tail needs a finite edge"):
        tail_scores([1.0], [1.0], threshold=math.nan)
    with pytest.raises(ConfigError, match=r"side='up': expected \"high\" or \"low\""):
        tail_scores([1.0], [1.0], threshold=1.0, side="up")
    with pytest.raises(ConfigError, match=r"side='up'"):
        regret([1.0], [1.0], n_picks=1, side="up")
    with pytest.raises(ConfigError, match=r"n_picks=0: expected a number of rows of at least 1"):
        regret([1.0, 2.0], [1.0, 2.0], n_picks=0)
    with pytest.raises(DataError, match=r"targets\[0\] is inf; expected a finite number"):
        top_scores([math.inf, 2.0], [1.0, 2.0], share=0.5)
    with pytest.raises(ConfigError, match=r"side='up'"):
        extrapolative_precision([True], [1.0], side="up")
    with pytest.raises(DataError, match=r"ood\.shape=\(2,\) and z\.shape=\(1,\): expected equal"):
        extrapolative_precision([True, False], [1.0])
    with pytest.raises(DataError, match="expected equal lengths above 0"):
        extrapolative_precision([], [])
    with pytest.raises(DataError, match="targets_are_ood has dtype int64; expected bool"):
        extrapolative_precision(np.array([0, 1], dtype=np.int64), [1.0, 2.0])


@pytest.mark.parametrize("share", [0.0, 1.01, math.nan])
def test_shares_are_parts_of_the_rows(share):
    with pytest.raises(ConfigError, match=r"share=.*: expected a share of the rows above 0"):
        extrapolative_precision([True, False], [1.0, 2.0], share=share)
    with pytest.raises(ConfigError, match=r"share=.*: expected a share of the rows above 0"):
        top_scores([1.0, 2.0], [1.0, 2.0], share=share)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_weights_are_above_0(weight):
    with pytest.raises(ConfigError, match=r"id_weight=.*: expected a finite number above 0"):
        extrapolative_precision([True, False], [1.0, 2.0], id_weight=weight)


def test_rank_evidence_joins_the_scores_of_both_sides():
    rng = np.random.default_rng(5)
    y = rng.normal(size=200)
    z = y + rng.normal(size=200)
    found = rank_evidence(y, z)
    assert found.n_rows == 200
    assert found.spearman == pytest.approx(spearman(y, z), abs=1e-12)
    assert found.highest == top_scores(y, z, share=0.1, side="high")
    assert found.lowest == top_scores(y, z, share=0.1, side="low")
    assert found.highest != found.lowest
    assert rank_evidence(np.exp(y), np.exp(z)) == found  # only the order counts


@pytest.mark.parametrize(("y", "z"), [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([1], [2])])
def test_no_evidence_where_ranks_mean_nothing(y, z):
    assert rank_evidence(y, z) is None
