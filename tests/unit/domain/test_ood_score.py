"""The score and its parts: known answers, and what its definition gives row by row."""

import numpy as np
import pytest

from xtalshift.domain.ood_score import FeatureRarity, Novelty, mid_rank


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
