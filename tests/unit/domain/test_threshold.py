"""The threshold of the domain."""

import numpy as np
import pytest

from xtalshift.domain.threshold import choose_threshold


def _blobs(n, seed, d=6):
    """Return points that fill five clouds of different width, as chemistries do."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 5, (5, d))
    which = rng.integers(0, 5, n)
    return centres[which] + rng.normal(0, 1, (n, d)) * (0.2 + which[:, None] / 4)


def test_too_few_materials_have_the_default_threshold_and_no_rates():
    threshold = choose_threshold(_blobs(50, 1), np.zeros((50, 118), dtype=bool))
    assert threshold.threshold == 0.9
    assert np.isnan(threshold.true_positive_rate)
    assert threshold.groups == ()


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


def test_the_area_under_the_curve_is_how_often_a_row_of_a_group_scores_higher():
    X = np.concatenate([_blobs(200, 1), _blobs(40, 2) + 30.0])
    contains = np.zeros((240, 118), dtype=bool)
    contains[:, 7], contains[200:, 8] = True, True
    found = choose_threshold(X, contains, random_state=0)
    assert "F" in found.groups
    assert found.aurocs[found.groups.index("F")] > 0.99
    assert found.found[found.groups.index("F")] == 1.0
    assert found.true_positive_rate == pytest.approx(found.found.mean())
