"""Importance weights: known answers, an independent solver, and no row is ever lost."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel

from xtalshift.importance import density_ratio
from xtalshift.importance.density_ratio import (
    _fit_ratio,
    bound_weights,
    classifier_weights,
    effective_sample_size,
    principal_components,
    standardise,
    ulsif_weights,
)
from xtalshift.importance.kernel_mean_matching import _match_means, kmm_weights

METHODS = [kmm_weights, ulsif_weights, classifier_weights]
BOUND = 20.0


def rng(seed=0):
    return np.random.default_rng(seed)


def gaussians(n=900, m=400, mean=1.0, width=0.7, d=2, seed=0):
    """Return source and target rows that differ in the first feature, and the true ratio."""
    source, target = rng(seed).normal(size=(n, d)), rng(seed + 1).normal(size=(m, d))
    target[:, 0] = mean + width * target[:, 0]
    ratio = norm.pdf(source[:, 0], mean, width) / norm.pdf(source[:, 0])
    return source, target, ratio


@pytest.mark.parametrize(
    ("weights", "width", "least"),
    # the odds of a logistic regression are log-linear: exact where the widths agree
    [(kmm_weights, 0.7, 0.9), (ulsif_weights, 0.7, 0.9), (classifier_weights, 1.0, 0.98)],
)
def test_the_known_ratio_of_two_gaussians(weights, width, least):
    source, target, ratio = gaussians(width=width)
    found = weights(source, target, bound=BOUND, rng=rng())
    assert spearmanr(found, ratio).statistic > least
    # weights move the mean of the source rows to that of the target rows; uLSIF's penalty keeps
    # some of the way
    before = source[:, 0].mean()
    moved = (found @ source[:, 0] / len(source) - before) / (target[:, 0].mean() - before)
    assert 0.75 < moved < 1.15
    assert effective_sample_size(found) == pytest.approx(effective_sample_size(ratio), rel=0.35)


@pytest.mark.parametrize("slack", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("bound", [1.5, 4.0])
def test_kernel_mean_matching_is_the_optimum_of_another_solver(slack, bound):
    source, target, _ = gaussians(14, 9, seed=3)
    kernel = rbf_kernel(source, gamma=2.0)
    kappa = rbf_kernel(source, target, gamma=2.0).sum(axis=1) * 14 / 9

    def value(b):
        return b @ kernel @ b / 2 - kappa @ b

    reference = minimize(
        value,
        np.ones(14),
        jac=lambda b: kernel @ b - kappa,
        bounds=[(0, bound)] * 14,
        constraints=[
            {"type": "ineq", "fun": lambda b: 14 * (1 + slack) + 1e-12 - b.sum()},
            {"type": "ineq", "fun": lambda b: b.sum() - 14 * (1 - slack) + 1e-12},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert reference.success
    found = _match_means(kernel, kappa, bound, slack)
    assert found.min() >= 0
    assert found.max() <= bound
    assert abs(found.mean() - 1) <= slack + 1e-9
    assert value(found) == pytest.approx(reference.fun, abs=1e-4)
    np.testing.assert_allclose(found, reference.x, atol=5e-3)


def test_kmm_weights_are_that_optimum_with_mean_1():
    source, target, _ = gaussians(14, 9, seed=3)
    kernel = rbf_kernel(source, gamma=2.0)
    kappa = rbf_kernel(source, target, gamma=2.0).sum(axis=1) * 14 / 9
    expected = bound_weights(_match_means(kernel, kappa, 4.0, 0.5), 4.0)
    found = kmm_weights(source, target, bound=4.0, gamma=2.0, rng=rng())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rows_that_were_not_solved_have_the_weights_of_their_neighbours():
    source, target, ratio = gaussians(1001, 300)
    options = {"bound": BOUND, "gamma": 0.5}
    found = kmm_weights(source, target, max_rows=300, rng=rng(), **options)
    solved = np.sort(rng().choice(1001, 300, replace=False))
    others = np.setdiff1d(np.arange(1001), solved)
    # the solved rows have the weights of a problem of their own, up to the scale
    alone = kmm_weights(source[solved], target, rng=rng(), **options)
    inside = (alone > 0) & (alone < 4)
    np.testing.assert_allclose(np.ptp(found[solved][inside] / alone[inside]), 0, atol=1e-9)
    # the others have means of five of them
    scale = np.median(found[solved][inside] / alone[inside])
    distances = np.linalg.norm(source[others][:, None] - source[solved], axis=2)
    expected = scale * alone[np.argsort(distances, axis=1)[:, :5]].mean(axis=1)
    np.testing.assert_allclose(found[others], expected, atol=1e-9)
    assert spearmanr(found[others], ratio[others]).statistic > 0.8


def test_the_coefficients_of_ulsif_solve_its_equations():
    source, target = rng(1).uniform(size=(30, 5)), rng(2).uniform(size=(20, 5))
    lambdas = [0.1, 3.0]
    found = _fit_ratio(source, target, lambdas)
    for column, penalty in zip(found.T, lambdas, strict=True):
        system = source.T @ source / 30 + penalty * np.eye(5)
        expected = np.maximum(np.linalg.solve(system, target.mean(axis=0)), 0)
        np.testing.assert_allclose(column, expected, rtol=1e-10, atol=1e-12)


def test_ulsif_chooses_the_width_that_fits():
    source, target, ratio = gaussians()
    weights = partial(ulsif_weights, source, target, bound=BOUND)
    chosen = weights(sigmas=[1e-3, 1.0, 1e3], rng=rng())
    np.testing.assert_allclose(chosen, weights(sigmas=[1.0], rng=rng()))
    assert np.corrcoef(chosen, ratio)[0, 1] > 0.9


def test_the_classifier_has_not_seen_the_rows_it_weighs(monkeypatch):
    class Witness(LogisticRegression):
        def fit(self, X, y):
            self.seen = {row.tobytes() for row in X}
            assert 0.7 < len(X) / 120 < 0.9
            return super().fit(X, y)

        def decision_function(self, X):
            assert not {row.tobytes() for row in X} & self.seen
            return super().decision_function(X)

    monkeypatch.setattr(density_ratio, "LogisticRegression", Witness)
    # 60 features of noise tell 120 rows apart perfectly, unless the rows are new
    source, target = rng(1).normal(size=(60, 60)), rng(2).normal(size=(60, 60))
    found = classifier_weights(source, target, bound=BOUND, rng=rng())
    assert effective_sample_size(found) > 55


def test_the_classifier_corrects_for_the_sizes_of_the_domains():
    source, target, ratio = gaussians(1500, 200, width=1.0)
    found = classifier_weights(source, target, bound=1e6, rng=rng())
    slope, level = np.polyfit(source[:, 0], np.log(found), 1)
    # log of the ratio is x - 1/2
    assert slope == pytest.approx(1.0, abs=0.2)
    assert level == pytest.approx(-0.5, abs=0.2)
    assert np.log(found)[ratio > 1].mean() > 0


@pytest.mark.parametrize("weights", METHODS)
def test_no_shift_no_weights(weights):
    source, target = rng(1).normal(size=(600, 3)), rng(2).normal(size=(400, 3))
    found = weights(source, target, bound=BOUND, rng=rng())
    least = 0.3 if weights is kmm_weights else 0.85  # it also matches the scatter of the sample
    assert effective_sample_size(found) > least * 600


@pytest.mark.parametrize("weights", METHODS)
def test_the_same_generator_gives_the_same_weights_and_nothing_is_changed(weights):
    source, target, _ = gaussians(61, 33)
    before = source.copy(), target.copy()
    first = weights(source, target, bound=BOUND, rng=rng(5))
    np.testing.assert_array_equal(first, weights(source, target, bound=BOUND, rng=rng(5)))
    np.testing.assert_array_equal(source, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize(
    "weights",
    [
        partial(kmm_weights, max_rows=7),
        kmm_weights,
        partial(ulsif_weights, max_rows=7, n_centers=5),
        ulsif_weights,
        partial(classifier_weights, folds=3),
    ],
)
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 43),
    m=st.integers(1, 23),
    d=st.integers(1, 4),
    kind=st.sampled_from(["shifted", "far", "equal", "repeated"]),
    bound=st.sampled_from([1.0, 1.7, 20.0]),
    seed=st.integers(0, 99),
)
def test_every_row_has_a_weight_and_their_mean_is_1(weights, n, m, d, kind, bound, seed):
    draws = rng(seed)
    source, target = draws.normal(size=(n, d)), draws.normal(size=(m, d)) + 1
    if kind == "far":
        target += 1e4
    elif kind == "equal":
        source, target = np.zeros((n, d)), np.zeros((m, d))
    elif kind == "repeated":
        source, target = np.round(source), np.round(target)
    found = weights(source, target, bound=bound, rng=draws)
    assert found.shape == (n,)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= bound * (1 + 1e-9)
    assert found.mean() == pytest.approx(1, abs=1e-9)


def test_bounded_weights_by_hand():
    np.testing.assert_allclose(bound_weights(np.array([1.0, 2.0, 3.0]), 10.0), [0.5, 1, 1.5])
    # the largest stands at the bound, the others share 2 as 1 : 3
    np.testing.assert_allclose(bound_weights(np.array([1.0, 3.0, 90.0]), 1.0), [1, 1, 1])
    np.testing.assert_allclose(
        bound_weights(np.array([1.0, 3.0, 90.0, 0.0]), 2.0), [0.5, 1.5, 2, 0]
    )
    # so few are positive that they cannot weigh 4: the rest goes to the others
    np.testing.assert_allclose(
        bound_weights(np.array([0.0, 5.0, 0.0, 0.0]), 2.5), [0.5, 2.5, 0.5, 0.5]
    )
    np.testing.assert_array_equal(bound_weights(np.zeros(3), 2.0), [1, 1, 1])


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(0, 1e300), min_size=1, max_size=30), bound=st.floats(1, 50))
def test_bounded_weights_keep_order_mean_and_bound(values, bound):
    given_weights = np.array(values)
    found = bound_weights(given_weights, bound)
    assert found.mean() == pytest.approx(1, rel=1e-9)
    assert found.min() >= 0
    assert found.max() <= bound * (1 + 1e-12)
    assert (np.diff(found[np.argsort(given_weights)]) >= -1e-9).all()


def test_effective_sample_size_by_hand():
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size(np.array([0.0, 2.0, 0.0])) == pytest.approx(1)
    assert effective_sample_size(np.array([1.0, 3.0])) == pytest.approx(1.6)
    assert effective_sample_size(np.array([1e-200, 3e-200])) == pytest.approx(1.6)


def test_principal_components_keep_distances_and_drop_small_directions():
    source, target = rng(1).normal(size=(50, 4)), rng(2).normal(size=(30, 4))
    a, b = principal_components(source, target)
    assert (a.shape, b.shape) == ((50, 4), (30, 4))
    np.testing.assert_allclose(
        np.linalg.norm(a[:30] - b, axis=1), np.linalg.norm(source[:30] - target, axis=1)
    )
    source[:, 1:] *= 1e-3
    target[:, 1:] *= 1e-3
    a, b = principal_components(source, target, n_components=1)
    np.testing.assert_allclose(
        np.abs(a[:30] - b)[:, 0], np.abs(source[:30, 0] - target[:, 0]), atol=1e-2
    )


class TestStandardise:
    def test_by_training_rows_without_constant_columns(self):
        train = np.array([[1.0, 5.0, 0.1, np.nan], [3.0, 5.0, 0.1, np.nan], [np.nan, 5.0, 0.1, 1]])
        other = np.array([[4.0, 9.0, 0.2, 2.0]])
        scaled, others = standardise(train, other)
        np.testing.assert_allclose(scaled, [[-1.0], [1.0], [0.0]])
        np.testing.assert_allclose(others, [[2.0]])

    def test_one_column_of_zeros_is_left(self):
        (scaled,) = standardise(np.full((3, 2), 7.0))
        np.testing.assert_array_equal(scaled, np.zeros((3, 1)))
