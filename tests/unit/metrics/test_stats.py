"""Intervals of a mean, Holm, paired tests and ranks: against loops, scipy and Demšar's tables."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, friedmanchisquare, rankdata, t, ttest_1samp, wilcoxon

from xtalshift.errors import ConfigError, DataError
from xtalshift.metrics import (
    Interval,
    PairedTest,
    average_ranks,
    bootstrap_mean,
    cliques,
    compare_all,
    correct_holm,
    corrected_t_test,
    critical_difference,
    friedman_p,
    grouped_t_test,
    paired_test,
    stats,
    win_tie_loss,
)

NAN = math.nan
X = np.random.default_rng(0).normal(3.0, 2.0, size=101)
GROUPS = np.random.default_rng(1).integers(0, 17, size=101)
chances = st.lists(st.floats(0, 1), min_size=1, max_size=12)
# Demšar (2006), table 6: accuracies of four versions of C4.5 on 14 data sets
ACCURACIES = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
ERRORS = 1.0 - ACCURACIES
small_tables = st.integers(1, 5).flatmap(
    lambda m: st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 1.05, 2.0, NAN]), min_size=m, max_size=m),
        min_size=1,
        max_size=12,
    )
)


def slow_wilcoxon(difference):
    """Return the share of all signs whose rank sum is as extreme, zeros ranked and then dropped."""
    ranks = rankdata(np.abs(difference))[difference != 0]
    observed = ranks[difference[difference != 0] > 0].sum()
    sums = [np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=len(ranks))]
    tails = np.mean(np.array(sums) <= observed), np.mean(np.array(sums) >= observed)
    return min(1.0, 2 * min(tails))


def test_a_paired_test_by_hand():
    # differences -1 -2 3 0: ranks 2 3 4 (0 has rank 1, dropped); the positive sum is 4 of 0 to 9
    found = paired_test([1.0, 1.0, 4.0, 2.0], [2.0, 3.0, 1.0, 2.0])
    # sums of 2 3 4 at most 4: 0 2 3 4, so half of eight
    assert found == PairedTest(4, 2, 1, 1, 0.0, 1.0, 1.0)
    better = paired_test([1.0] * 6, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert better == PairedTest(6, 6, 0, 0, -3.5, 2 / 64, 2 / 64)


@pytest.mark.parametrize("n", [2, 5, 13, 14, 50, 51, 200])
def test_without_ties_it_is_the_test_of_scipy(n):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    found = paired_test(a, b + 0.3)
    expected = wilcoxon(a, b + 0.3, zero_method="pratt", method="auto")
    assert found.wilcoxon_p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.sign_p == pytest.approx(binomtest(found.wins, n).pvalue)
    assert found.mean_difference == pytest.approx(np.mean(a - b - 0.3))


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_ties_and_zeros_are_exact(differences):
    difference = np.array(differences, dtype=float)
    found = paired_test(difference, np.zeros(len(difference)))
    assert found.wilcoxon_p == pytest.approx(slow_wilcoxon(difference))
    swapped = paired_test(np.zeros(len(difference)), difference)
    assert swapped.wilcoxon_p == pytest.approx(found.wilcoxon_p)
    assert (swapped.wins, swapped.ties) == (found.losses, found.ties)


def test_many_tasks_with_ties_are_approximate():
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 9, size=(2, 80)).astype(float)
    expected = wilcoxon(a - b, zero_method="pratt", method="approx").pvalue
    assert paired_test(a, b).wilcoxon_p == pytest.approx(expected)
    # the exact test of the most tasks it is used for is already near the approximation
    a, b = generator.integers(0, 9, size=(2, 50)).astype(float)
    expected = wilcoxon(a - b, zero_method="pratt", method="approx").pvalue
    assert paired_test(a, b).wilcoxon_p == pytest.approx(expected, abs=0.01)


def test_a_p_value_is_never_smaller_than_the_signs_allow():
    # the normal approximation would say 0.025
    assert paired_test([1.0] * 5, [2.0] * 5).wilcoxon_p == 2 / 2**5


def test_few_tasks():
    none, one, equal = paired_test([], []), paired_test([1.0], [2.0]), paired_test([1.0], [1.0])
    assert none[:4] == (0, 0, 0, 0)
    assert np.isnan(none[4:]).all()
    assert one[:5] == (1, 1, 0, 0, -1.0)
    assert one.sign_p == equal.sign_p == 1.0
    assert math.isnan(one.wilcoxon_p)
    assert math.isnan(equal.wilcoxon_p)


def test_all_ties_are_no_difference():
    for n in (2, 60):
        assert paired_test([0.1] * n, [0.1] * n) == PairedTest(n, 0, n, 0, 0.0, 1.0, 1.0)


def test_every_pair_with_holm():
    found = compare_all(ERRORS, ["C4.5", "+m", "+cf", "+m+cf"])
    assert [(pair.a, pair.b) for pair in found] == [
        ("C4.5", "+m"),
        ("C4.5", "+cf"),
        ("C4.5", "+m+cf"),
        ("+m", "+cf"),
        ("+m", "+m+cf"),
        ("+cf", "+m+cf"),
    ]
    assert found[2].test == paired_test(ERRORS[:, 0], ERRORS[:, 3])
    ranked = correct_holm(np.array([pair.test.wilcoxon_p for pair in found]))
    signed = correct_holm(np.array([pair.test.sign_p for pair in found]))
    assert [pair.wilcoxon_holm for pair in found] == ranked.tolist()
    assert [pair.sign_holm for pair in found] == signed.tolist()
    # as Demšar counts: C4.5+m is better than C4.5 on 10 of 14, and two are ties
    assert found[0].test[1:4] == (2, 2, 10)


def test_missing_tasks_are_left_out_pair_by_pair():
    errors = [[1.0, 2.0, NAN], [1.0, NAN, NAN], [3.0, 1.0, NAN], [1.0, 5.0, 2.0]]
    ab, ac, bc = compare_all(errors, ["a", "b", "c"])
    assert ab.test[:4] == (3, 2, 0, 1)
    assert ac.test[:4] == (1, 1, 0, 0)
    # one p value of the ranks, so no correction; three of the signs
    assert ab.wilcoxon_holm == ab.test.wilcoxon_p
    assert math.isnan(bc.wilcoxon_holm)
    assert (ab.sign_holm, ac.sign_holm, bc.sign_holm) == (1.0, 1.0, 1.0)
    assert compare_all([[1.0], [2.0]], ["a"]) == []


def test_wins_by_hand():
    found = win_tie_loss([[1.0, 1.05, 2.0], [1.0, 1.0, NAN], [3.0, 2.0, 1.0]])
    assert found.dtype == np.int64
    assert found[0, 1].tolist() == [1, 1, 1]
    assert found[0, 2].tolist() == [1, 0, 1]
    assert found[2, 2].tolist() == [0, 2, 0]
    # 0.05 is within 5 % of 1.05, and just outside 4 %
    near = [[1.0, 1.05]]
    assert win_tie_loss(near, tolerance=0.05)[0, 1].tolist() == [0, 1, 0]
    assert win_tie_loss(near, tolerance=0.04)[0, 1].tolist() == [1, 0, 0]


@given(small_tables, st.sampled_from([0.0, 0.02, 0.1]))
def test_wins_against_a_loop(rows, tolerance):
    found = win_tie_loss(rows, tolerance=tolerance)
    m = len(rows[0])
    for i, j in itertools.product(range(m), repeat=2):
        wins = ties = losses = 0
        for row in rows:
            a, b = row[i], row[j]
            if math.isnan(a) or math.isnan(b):
                continue
            if abs(a - b) <= tolerance * max(a, b):
                ties += 1
            elif a < b:
                wins += 1
            else:
                losses += 1
        assert found[i, j].tolist() == [wins, ties, losses]
    np.testing.assert_array_equal(found, found.transpose(1, 0, 2)[:, :, ::-1])


def test_the_ranks_of_demsar():
    np.testing.assert_allclose(average_ranks(ERRORS), [3.143, 2.000, 2.893, 1.964], atol=5e-4)


@given(small_tables)
def test_ranks_add_up(rows):
    table = np.array(rows)
    complete = table[~np.isnan(table).any(axis=1)]
    if not len(complete):
        with pytest.raises(DataError, match=f"none of {len(rows)} tasks .*leave out the methods"):
            average_ranks(rows)
        return
    found, m = average_ranks(rows), table.shape[1]
    assert found.shape == (m,)
    assert found.sum() == pytest.approx(m * (m + 1) / 2)
    np.testing.assert_allclose(found, average_ranks(complete))
    for j in range(m):  # one more than the number better, and half of the others that are as good
        slow = (
            1
            + (complete < complete[:, [j]]).sum(1)
            + ((complete == complete[:, [j]]).sum(1) - 1) / 2
        )
        assert found[j] == pytest.approx(slow.mean())


def test_no_complete_task_names_the_methods_that_miss():
    with pytest.raises(DataError, match=r"missing per method: \[0, 1, 2\]"):
        average_ranks([[1.0, NAN, NAN], [1.0, 1.0, NAN]])


def test_friedman():
    # Demšar has a chi-square of 9.28 (p = 0.0258) without the correction for ties
    found = friedman_p(ERRORS)
    assert found == pytest.approx(friedmanchisquare(*ERRORS.T).pvalue)
    assert 0.01 < found < 0.026
    with_gap = np.vstack([ERRORS, [NAN, 1.0, 2.0, 3.0]])
    assert friedman_p(with_gap) == found
    # three tasks, always the same order of three: 12 * 14 * 9 / (3 * 12) - 36 = 6
    assert friedman_p([[1, 2, 3]] * 3) == pytest.approx(math.exp(-3))


def test_friedman_needs_three_methods_and_two_tasks():
    assert math.isnan(friedman_p(ERRORS[:, :2]))
    assert math.isnan(friedman_p(ERRORS[:1]))
    assert math.isnan(friedman_p([[1.0, 2.0, NAN], [1.0, 2.0, 3.0]]))
    assert friedman_p([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]) == 1.0


@pytest.mark.parametrize(
    ("level", "table"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_the_critical_values_of_demsar(level, table):
    for k, q in zip(range(2, 11), table, strict=True):
        found = critical_difference(k, 30, level=level) / math.sqrt(k * (k + 1) / 180)
        assert found == pytest.approx(q, abs=1.1e-3)


def test_the_critical_difference_of_demsar():
    # four methods, 14 data sets
    assert critical_difference(4, 14, level=0.1) == pytest.approx(1.12, abs=0.005)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_cliques_by_hand():
    # Demšar's example: the first method is worse than the second and the fourth, not the third
    assert cliques([3.143, 2.000, 2.893, 1.964], 1.12) == [(3, 1, 2), (2, 0)]
    assert cliques([1.0, 2.0, 3.0, 4.0], 1.0) == [(0, 1), (1, 2), (2, 3)]
    assert cliques([4.0, 1.0, 2.5, 2.0], 1.5) == [(1, 3, 2), (2, 0)]
    assert cliques([1.0, 5.0, 9.0], 1.0) == []
    assert cliques([2.0, 2.0, 2.0], 0.0) == [(0, 1, 2)]
    assert cliques([], 1.0) == []
    assert cliques([1.0, 2.0], math.inf) == [(0, 1)]


@given(st.lists(st.integers(2, 20), max_size=7), st.integers(0, 12))
def test_cliques_against_every_subset(doubled, width):
    ranks, difference = np.array(doubled) / 2, width / 2
    subsets = [
        set(subset)
        for size in range(2, len(ranks) + 1)
        for subset in itertools.combinations(range(len(ranks)), size)
        if np.ptp(ranks[list(subset)]) <= difference
    ]
    largest = [found for found in subsets if not any(found < other for other in subsets)]
    found = cliques(ranks, difference)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))
    for clique in found:
        assert (np.diff(ranks[list(clique)]) >= 0).all()
    best = [ranks[clique[0]] for clique in found]
    assert best == sorted(best)


def test_inputs_are_left_alone():
    errors = ERRORS.copy()
    compare_all(errors, list("abcd"))
    win_tie_loss(errors, tolerance=0.1)
    average_ranks(errors)
    friedman_p(errors)
    np.testing.assert_array_equal(errors, ERRORS)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"x\.shape=\(2,\) and y\.shape=\(1,\): .* same tasks"):
        paired_test([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match=r"b\[0\] is nan"):
        paired_test([1.0], [NAN])
    with pytest.raises(DataError, match=r"names are \['a'\] for 2 columns"):
        compare_all([[1.0, 2.0]], ["a"])
    with pytest.raises(DataError, match="one name per column, each once"):
        compare_all([[1.0, 2.0]], ["a", "a"])
    for function in (win_tie_loss, average_ranks, friedman_p):
        with pytest.raises(DataError, match=r"errors has shape \(2,\); expected \(n_tasks, n_met"):
            function([1.0, 2.0])
        with pytest.raises(DataError, match=r"errors\[1, 0\] is inf; expected finite .* or NaN"):
            function([[1.0, 2.0], [math.inf, NAN]])


def test_settings_out_of_range_are_refused():
    for tolerance in (-0.1, NAN, math.inf):
        with pytest.raises(ConfigError, match=r"tolerance=.*: expected a finite share"):
            win_tie_loss([[1.0]], tolerance=tolerance)
    for k, n in ((1, 5), (3, 0)):
        with pytest.raises(ConfigError, match=f"n_methods={k} and n_tasks={n}: expected at least"):
            critical_difference(k, n)
    with pytest.raises(ConfigError, match=r"level=5"):
        critical_difference(3, 5, level=5)
    for difference in (-1.0, NAN):
        with pytest.raises(ConfigError, match=r"difference=.*: expected a difference of ranks"):
            cliques([1.0, 2.0], difference)
    with pytest.raises(DataError, match=r"ranks\[0\] is nan"):
        cliques([NAN, 2.0], 1.0)


def slow(values, groups, level, n_resamples, seed):
    """Draw the same groups one resample at a time and join their rows."""
    generator = np.random.default_rng(seed)
    rows = [values[groups == name] for name in np.unique(groups)]
    means = []
    for _ in range(n_resamples):
        drawn = generator.integers(0, len(rows), size=len(rows))
        means.append(np.concatenate([rows[i] for i in drawn]).mean())
    return np.percentile(means, [50 * (1 - level), 50 * (1 + level)])


@pytest.mark.parametrize("groups", [GROUPS, np.arange(101)])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_against_a_loop(groups, level):
    found = bootstrap_mean(X, groups=groups, level=level, n_resamples=300, seed=7)
    np.testing.assert_allclose(found, slow(X, groups, level, 300, 7), rtol=1e-12)


def test_rows_are_groups_of_their_own():
    assert bootstrap_mean(X) == bootstrap_mean(X, groups=np.arange(101))
    # an order of names that is that of the rows
    assert bootstrap_mean(X) == bootstrap_mean(X, groups=[f"{i:03d}" for i in range(101)])


def test_the_size_of_the_parts_does_not_matter(monkeypatch):
    whole = bootstrap_mean(X), bootstrap_mean(X, groups=GROUPS)
    monkeypatch.setattr(stats, "_DRAWS", 250)
    assert (bootstrap_mean(X), bootstrap_mean(X, groups=GROUPS)) == whole


def test_it_is_near_the_normal_interval():
    low, high = bootstrap_mean(X, n_resamples=4000)
    half = 1.96 * X.std() / math.sqrt(len(X))
    assert low == pytest.approx(X.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(X.mean() + half, abs=0.1 * half)


def test_the_interval_holds_the_mean_as_often_as_promised():
    generator, held = np.random.default_rng(0), 0
    for seed in range(300):
        low, high = bootstrap_mean(generator.normal(size=60), level=0.8, n_resamples=300, seed=seed)
        held += low <= 0 <= high
    assert held / 300 == pytest.approx(0.8, abs=0.07)  # three standard errors


def test_rows_that_repeat_each_other_tell_nothing_new():
    groups = np.repeat(np.arange(101), 9)
    apart = bootstrap_mean(np.repeat(X, 9))
    together = bootstrap_mean(np.repeat(X, 9), groups=groups)
    np.testing.assert_allclose(together, bootstrap_mean(X), rtol=1e-12)
    assert apart.high - apart.low == pytest.approx((together.high - together.low) / 3, rel=0.1)


def test_seeds():
    assert bootstrap_mean(X) == bootstrap_mean(X, seed=0) != bootstrap_mean(X, seed=1)
    assert bootstrap_mean(X, seed=np.random.default_rng(0)) == bootstrap_mean(X)


@pytest.mark.parametrize(
    ("values", "groups"), [([], None), ([1.0], None), ([1.0, 2.0], ["a", "a"]), ([], [])]
)
def test_one_group_is_too_little(values, groups):
    found = bootstrap_mean(values, groups=groups)
    assert isinstance(found, Interval)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@given(st.floats(-1e6, 1e6), st.integers(2, 20))
def test_equal_values_have_no_spread(value, n):
    assert bootstrap_mean([value] * n, n_resamples=10) == (value, value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(0.01, 0.99))
def test_the_bounds_are_in_order_and_within_the_values(values, level):
    low, high = bootstrap_mean(values, level=level, n_resamples=20)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= high <= max(values) + slack


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match=r"values\[1\] is nan"):
        bootstrap_mean([1.0, math.nan])
    with pytest.raises(DataError, match=r"groups has shape \(3,\); expected .* \(2,\)"):
        bootstrap_mean([1.0, 2.0], groups=["a", "b", "c"])
    with pytest.raises(DataError, match=r"groups cannot be sorted .* none missing"):
        bootstrap_mean([1.0, 2.0], groups=np.array(["NaCl", None], dtype=object))
    with pytest.raises(ConfigError, match=r"level=1\.0"):
        bootstrap_mean([1.0, 2.0], level=1.0)
    with pytest.raises(ConfigError, match="n_resamples=1: expected at least 2"):
        bootstrap_mean([1.0, 2.0], n_resamples=1)


def test_holm_by_hand():
    # ordered 0.01 0.02 0.03 times 3 2 1 is 0.03 0.04 0.03, never falling: 0.03 0.04 0.04
    found = correct_holm(np.array([0.03, np.nan, 0.01, 0.02]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.03, 0.04])


def test_no_test_and_one_test_need_no_correction():
    assert correct_holm(np.array([])).tolist() == []
    assert correct_holm(np.array([0.2])).tolist() == [0.2]
    assert np.isnan(correct_holm(np.array([np.nan, np.nan]))).all()


def test_p_values_end_at_one_and_the_input_is_left_alone():
    p = np.array([0.9, 0.4, 0.6])
    assert correct_holm(p).tolist() == [1.0, 1.0, 1.0]
    assert p.tolist() == [0.9, 0.4, 0.6]


@given(chances)
def test_holm_is_never_smaller_and_keeps_the_order(values):
    p = np.array(values)
    found = correct_holm(p)
    assert (found >= p).all()
    assert (found <= 1).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


@given(chances, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_rule_rejects(values, level):
    rejected, p = set(), np.array(values)
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > level:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(correct_holm(p) <= level).tolist()) == rejected


def test_folds_that_share_training_rows_by_hand():
    differences = [0.1, 0.3, -0.1, 0.2, 0.5]
    mean, variance = 0.2, sum((d - 0.2) ** 2 for d in differences) / 4
    wanted = 2 * t.sf(mean / math.sqrt((1 / 5 + 1 / 4) * variance), 4)
    assert corrected_t_test(differences, 1 / 4) == pytest.approx(wanted)
    assert corrected_t_test(-np.array(differences), 1 / 4) == pytest.approx(wanted)
    # without the correction it is the test of Student
    student = ttest_1samp(differences, 0.0).pvalue
    assert corrected_t_test(differences, 0.0) == pytest.approx(student)
    assert corrected_t_test(differences, 1 / 4) > student
    assert corrected_t_test([0.0, 0.0], 1 / 4) == 1.0
    assert corrected_t_test([0.5, 0.5], 1 / 4) == 0.0
    assert math.isnan(corrected_t_test([0.5], 1 / 4))


def test_rows_of_one_group_count_as_one():
    assert grouped_t_test(X - 2.8, np.arange(101)) == pytest.approx(ttest_1samp(X, 2.8).pvalue)
    values, groups = np.array([1.0, 2.0, -1.0, 3.0]), np.array(["a", "a", "b", "c"])
    # residuals from the mean 1.25: -0.25 + 0.75, -2.25, 1.75
    variance = 3 / 2 * (0.5**2 + 2.25**2 + 1.75**2) / 16
    wanted = 2 * t.sf(1.25 / math.sqrt(variance), 2)
    assert grouped_t_test(values, groups) == pytest.approx(wanted)
    # the same rows several times add nothing
    repeated = grouped_t_test(np.tile(X, 5) - 2.8, np.tile(np.arange(101), 5))
    assert repeated == pytest.approx(ttest_1samp(X, 2.8).pvalue)
    assert math.isnan(grouped_t_test([1.0, 2.0], ["a", "a"]))
    assert math.isnan(grouped_t_test([], []))
    assert grouped_t_test([0.0, 0.0], ["a", "b"]) == 1.0
