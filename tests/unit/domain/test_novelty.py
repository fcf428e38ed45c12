"""The score and its parts: known answers, and what its definition gives row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.domain.held_out import auroc, choose_threshold
from xtalshift.domain.neighbours import NeighbourIndex
from xtalshift.domain.novelty import Novelty, mid_rank
from xtalshift.domain.rarity import FeatureRarity
from xtalshift.domain.texts import decode_texts, encode_texts


def _blobs(n, seed, d=6):
    """Return points that fill five clouds of different width, as chemistries do."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 5, (5, d))
    which = rng.integers(0, 5, n)
    return centres[which] + rng.normal(0, 1, (n, d)) * (0.2 + which[:, None] / 4)


def _slow_score(X, X_held_out, asked):
    """Compute the score as its docstrings say, row by row."""
    mean, sd = X.mean(axis=0), X.std(axis=0)
    R, H, Q = ((part - mean) / sd for part in (X, X_held_out, asked))

    def five_nearest(row, points):
        gaps = np.sqrt(((points - row) ** 2).sum(axis=1))
        near = np.argsort(gaps)[:5]
        return gaps[near], near

    local = np.array(
        [five_nearest(row, np.delete(R, i, axis=0))[0].mean() for i, row in enumerate(R)]
    )

    def ratio(row):
        gaps, near = five_nearest(row, R)
        return gaps.mean() / (local[near].mean() + 0.25 * np.median(local))

    def rarity(row):
        bins = lambda values: np.floor((np.clip(values, -10, 10) + 10) / 0.02)  # noqa: E731
        n_same = (np.abs(bins(R) - bins(row)) <= 1).sum(axis=0)
        surprise = -np.log((n_same + 1) / (len(R) + 1)) / np.log(len(R) + 1)
        return (surprise**16).mean() ** (1 / 16)

    def rank(value, known):
        return np.mean((known < value) + 0.5 * (known == value))

    ratios, rarities = np.array([ratio(h) for h in H]), np.array([rarity(h) for h in H])
    joint = lambda a, b: max(rank(a, ratios), rank(b, rarities))  # noqa: E731
    known = np.array([joint(a, b) for a, b in zip(ratios, rarities, strict=True)])
    return np.array([rank(joint(ratio(q), rarity(q)), known) for q in Q])


def test_the_score_equals_its_definition_computed_row_by_row():
    # ten digits of each feature: no value falls on the edge of a bin in float32 only
    X, held, asked = _blobs(300, 1), _blobs(60, 2), 1.5 * _blobs(100, 3)
    got = Novelty.fit(X, held).assess(asked).score
    assert np.abs(got - _slow_score(X, held, asked)).max() <= 1.5 / 60  # at most one rank off
    assert np.mean(got == pytest.approx(_slow_score(X, held, asked))) > 0.9


def test_rows_farther_than_all_held_out_rows_have_score_one_and_known_rows_nearly_zero():
    X, held = _blobs(500, 1), _blobs(200, 2)
    novelty = Novelty.fit(X, held)
    assert (novelty.assess(100 + 10 * _blobs(20, 3)).score == 1).all()
    assert novelty.assess(X).distance_rank.mean() < 0.25  # each is its own neighbour
    # held-out rows fill [0, 1] evenly
    assert np.sort(novelty.assess(held).score) == pytest.approx(
        (np.arange(200) + 0.5) / 200, abs=0.02
    )


def test_fresh_rows_of_the_same_kind_exceed_a_score_as_often_as_it_says():
    novelty = Novelty.fit(_blobs(1500, 1), _blobs(1000, 2))
    fresh = novelty.assess(_blobs(2000, 3)).score
    for level in (0.5, 0.9, 0.95):
        assert (fresh > level).mean() == pytest.approx(1 - level, abs=0.03)


def test_without_held_out_rows_training_rows_are_compared_with_the_others():
    novelty = Novelty.fit(_blobs(1000, 1), None)
    assert novelty.held_out.shape == (3, 1000)
    assert (novelty.assess(_blobs(2000, 3)).score > 0.9).mean() == pytest.approx(0.1, abs=0.04)


def test_a_formula_is_not_its_own_neighbour_when_no_rows_are_held_out():
    # every formula at ten temperatures: near rows of other folds would hide how far others are
    X = np.repeat(_blobs(60, 1), 10, axis=0)
    X = np.column_stack([X, np.tile(np.arange(10) * 1e-3, 60)])
    formulas = np.repeat(np.arange(60), 10)
    fresh = np.column_stack([_blobs(200, 2), np.zeros(200)])
    together = Novelty.fit(X, None, groups=formulas).assess(fresh).distance_rank
    apart = Novelty.fit(X, None).assess(fresh).distance_rank
    assert together.mean() == pytest.approx(0.5, abs=0.1)
    assert apart.mean() > 0.8


def test_mid_rank_counts_equal_values_half():
    assert mid_rank(np.array([0.0, 1.0, 2.0, 9.0]), np.array([1.0, 1.0, 2.0, 3.0])).tolist() == [
        0.0,
        0.25,
        0.625,
        1.0,
    ]


# parts


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


def test_equal_points_are_at_distance_zero_and_the_first_comes_first():
    points = np.repeat(100 * _blobs(40, 1), 2, axis=0).astype(np.float32)
    distances, rows = NeighbourIndex.build(points).query(points, 2)
    assert (distances == 0).all()
    assert rows[7].tolist() == [6, 7]


def test_an_index_with_further_points_finds_old_and_new_ones():
    old, new = _blobs(3000, 1).astype(np.float32), _blobs(50, 2).astype(np.float32)
    _, rows = NeighbourIndex.build(old).extended(new).query(np.concatenate([old, new]), 1)
    assert rows[:, 0].tolist() == list(range(3050))


def test_rarity_of_known_values():
    points = np.array([[0.0], [0.0], [0.0], [1.0]], dtype=np.float32)
    rarity = FeatureRarity.build(points, clip=10.0)
    asked = np.array([[0.0], [1.0], [0.01], [-3.0]], dtype=np.float32)
    expected = 1 - np.log([4, 2, 4, 1]) / np.log(5)
    assert rarity.score(asked) == pytest.approx(expected, rel=1e-5)
    assert rarity.shares(asked)[:, 0].tolist() == [0.75, 0.25, 0.75, 0.0]
    # the power mean of two features: 1 and 0.5 give (1/2 + 1/2 ** 17) ** (1/16)
    two = FeatureRarity(np.array([[0, 0, 0, 3], [0, 0, 0, 1]], dtype=np.uint32), 3)
    at = np.array([[-0.03, 0.03]], dtype=np.float32)
    assert two.surprises(at).tolist() == [[1.0, 0.5]]
    assert two.score(at)[0] == pytest.approx((0.5 + 0.5**17) ** (1 / 16), rel=1e-6)


def test_too_few_materials_have_the_default_threshold_and_no_rates():
    threshold = choose_threshold(_blobs(50, 1), np.zeros((50, 118), dtype=bool))
    assert threshold.threshold == 0.9
    assert np.isnan(threshold.true_positive_rate)
    assert threshold.groups == ()


def test_auroc_counts_ties_half():
    assert auroc([1.0, 2.0], [1.0, 0.0]) == 0.875
    assert auroc([0.0], [1.0, 2.0]) == 0.0


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
def test_texts_come_back(texts):
    assert decode_texts(encode_texts(texts)) == texts


def test_rows_of_one_formula_are_not_known_and_tested_at_once():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(150, 6))
    contains = np.zeros((150, 118), dtype=bool)
    X = np.repeat(base, 10, axis=0)
    X = np.hstack([X, np.tile(np.arange(10.0), 150)[:, None]])  # ten conditions each
    names = np.repeat(np.arange(150), 10)
    many = np.repeat(contains, 10, axis=0)
    apart = choose_threshold(X, many, names, random_state=0)
    mixed = choose_threshold(X, many, random_state=0)
    # twins under another condition make everything look near, so that nothing seems to be an alarm
    assert mixed.threshold > apart.threshold
    assert apart.false_positive_rate <= 0.1
