"""Expected hypervolume improvement, against differences of hypervolumes."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.acquisition.hypervolume_improvement import (
    choose_batch,
    draw_values,
    expected_improvement,
)
from xtalshift.data.transform import TargetTransform
from xtalshift.metrics.pareto import Front, hypervolume
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.predictive import PredictiveDistribution

KNOWN = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])


def normal_like(center, width):
    """Return the distributions of absolute scores of 999 calibration rows."""
    scores = np.abs(np.random.default_rng(0).normal(size=999)) * width
    n = len(center)
    return PredictiveDistribution(
        TargetTransform(), center, center, center, np.ones(n), (ScoreLaw.of(scores),),
        np.zeros(n, dtype=np.int64), np.ones(n), 0.0,
    )  # fmt: skip


def test_the_expectation_is_the_mean_of_differences_of_hypervolumes():
    front = Front(KNOWN, np.zeros(2))
    samples = np.random.default_rng(1).normal(2.0, 1.5, size=(40, 5, 2))
    before = hypervolume(KNOWN, front.reference)
    expected = [
        np.mean([hypervolume(np.vstack([KNOWN, one]), front.reference) - before for one in drawn])
        for drawn in samples.transpose(1, 0, 2)
    ]
    np.testing.assert_allclose(expected_improvement(front, samples), expected, atol=1e-12)


def test_samples_are_those_of_the_distributions_with_their_signs():
    parts = [normal_like(np.array([1.0, 5.0]), 1.0), normal_like(np.array([10.0, 20.0]), 2.0)]
    samples = draw_values([*parts, parts[0]], ("max", "min", "-"), 20_000, seed=3)
    assert samples.shape == (20_000, 2, 2)
    np.testing.assert_allclose(samples.mean(axis=0), [[1, -10], [5, -20]], atol=0.05)
    np.testing.assert_allclose(samples.std(axis=0), [[1, 2], [1, 2]], rtol=0.06)
    assert abs(np.corrcoef(samples[:, 0].T)[0, 1]) < 0.03
    again = draw_values([*parts, parts[0]], ("max", "min", "-"), 20_000, seed=3)
    np.testing.assert_array_equal(samples, again)


def test_the_improvement_of_a_normal_candidate_is_near_the_closed_form():
    """One known point at the reference: the expectation is a product of two of one target."""
    parts = [normal_like(np.array([1.0]), 1.0), normal_like(np.array([0.5]), 2.0)]
    samples = draw_values(parts, ("max", "max"), 100_000, seed=0)
    found = expected_improvement(Front(np.zeros((1, 2)), np.zeros(2)), samples)
    each = [one.expected_improvement(0.0)[0] for one in parts]
    assert found[0] == pytest.approx(each[0] * each[1], rel=0.03)


def test_a_batch_improves_different_things():
    front = Front(KNOWN, np.zeros(2))
    # the first two are the same; the third is a little worse, and elsewhere
    predictions = np.array([[4.0, 2.5], [4.0, 2.5], [1.5, 4.5], [0.5, 0.5]])
    samples = np.repeat(predictions[None], 3, axis=0)
    batch = choose_batch(front, samples, predictions, 3)
    assert batch.rows.tolist() == [0, 2, 1]
    np.testing.assert_allclose(batch.score, expected_improvement(front, samples)[[0, 2, 1]])
    assert batch.utility[0] == batch.score[0] > batch.utility[1] > batch.utility[2] == 0.0
    assert len(choose_batch(front, samples, predictions, 9).rows) == 4
