"""Intervals of test rows: known answers, who calibrates whom, and coverage of simulated rows."""

from dataclasses import replace

import numpy as np
import pytest

from xtalshift.benchmark.problem import FoldRows, TestRows
from xtalshift.benchmark.records import TRUST_COLUMNS
from xtalshift.benchmark.row_intervals import (
    RowIntervals,
    evaluate_intervals,
    halve,
    needed_levels,
)
from xtalshift.data import Dataset, clean_table
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.estimators.base import Regressor
from xtalshift.model import FitRows, fit
from xtalshift.uncertainty.conformal import ScoreLaw

LEVELS = [percent / 100 for percent in range(1, 100)]


class FirstFeature(Regressor):
    """Predicts the first feature; where asked for, states the second as its spread."""

    def __init__(self, spread=False, validation_fraction=0.1, random_state=None):
        self.spread = spread
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data):
        pass

    def _predict(self, X):
        return X[:, 0]

    def predict_std(self, X):
        return X[:, 1] if self.spread else None


def make_case(errors, n_id, *, spread=None, transform="none"):
    """Return model, table, features and fold; the first rows are ID, the others OOD.

    On the scale of the regressor the prediction of row i is i % 3 and its error `errors[i]`.
    """
    n = len(errors)
    z = np.arange(n) % 3 + errors
    formulas = [f"Na{i + 1}Cl{n + i + 2}.5" for i in range(n)]
    data = clean_table(
        Dataset.of(formulas, np.exp(z) if transform == "log" else z), duplicates="keep"
    )
    X = np.stack([np.arange(n) % 3, np.ones(n) if spread is None else spread], axis=1)
    inside, none = np.arange(n_id), np.arange(0)
    rows = FitRows(np.arange(20), np.arange(20), inside)
    regressor = FirstFeature(spread is not None)
    model = fit(data, regressor, transform=transform, rows=rows, X=X, domain=False)
    tests = (
        TestRows("random", "id", inside),
        TestRows("prior", "id", inside),
        TestRows("prior", "ood", np.arange(n_id, n)),
    )
    return model, data, X, FoldRows("t", "all", 0, 3, "", "high", (), none, none, none, tests)


def test_needed_levels_have_known_answers():
    known = np.array([3.0, 1.0, 2.0])
    scores = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 3.1, np.inf])
    expected = [0.0, 0.0, 0.25, 0.25, 0.5, 1.0, 1.0]
    assert needed_levels(scores, known).tolist() == expected


@pytest.mark.parametrize("n", [1, 9, 19, 20, 57, 99])
def test_intervals_hold_a_row_exactly_above_the_level_that_it_needs(n):
    rng = np.random.default_rng(n)
    known = rng.integers(0, 40, n) / 4.0  # ties
    scores = np.concatenate([rng.integers(-4, 44, 200) / 4.0, known])
    needed = needed_levels(scores, known)
    for level in LEVELS:
        bound = ScoreLaw.of(known).bound(level)
        # an interval without bounds holds everything, which proves nothing
        held = (scores <= bound) & (np.isfinite(bound) | (needed < 1))
        assert (needed < level).tolist() == held.tolist()


def test_halves_are_disjoint_even_and_share_no_formula():
    groups = np.array([f"g{i // 3}" for i in range(63)], dtype=object)
    first, second = halve(groups, 0)
    assert sorted([*first, *second]) == list(range(63))
    assert not set(groups[first]) & set(groups[second])
    assert abs(len(first) - len(second)) <= 3
    assert [half.tolist() for half in halve(groups, 0)] == [first.tolist(), second.tolist()]
    assert halve(groups, 1)[0].tolist() != first.tolist()


@pytest.mark.parametrize(
    "groups", [["a"] * 30, [f"g{i}" for i in range(19)], ["a"] * 25 + [f"g{i}" for i in range(5)]]
)
def test_too_few_rows_or_formulas_have_no_halves(groups):
    assert halve(np.array(groups, dtype=object), 0) is None


def test_shifted_rows_are_calibrated_on_all_id_rows_and_halves_on_each_other():
    errors = np.concatenate([np.arange(1.0, 40.0), [0.5, 10.0, 36.5, 50.0]])
    model, table, X, fold = make_case(errors, 39)
    found = evaluate_intervals(model, table, X, fold)
    # 39 scores 1 to 39: the 36th smallest bounds 90 %, the 28th 68.27 %
    outside = np.arange(39, 43)
    assert found.needed_level[outside].tolist() == [0.0, 9 / 40, 36 / 40, 1.0]
    np.testing.assert_allclose(found.lower[outside], outside % 3 - 36.0)
    np.testing.assert_allclose(found.upper[outside], outside % 3 + 36.0)
    np.testing.assert_allclose(found.std[outside], 28.0)
    assert found.coverage(outside) == (0.5, 72.0)
    halves = halve(table.groups[:39], 3)
    for own, other in (halves, halves[::-1]):
        known = np.sort(errors[other])
        bound = known[int(np.ceil((len(known) + 1) * 0.9)) - 1]
        np.testing.assert_allclose(found.upper[own] - found.lower[own], 2 * bound)
        below = (errors[other][None, :] < errors[own][:, None]).sum(axis=1)
        expected = np.where(below < len(other), below / (len(other) + 1), 1.0)
        assert found.needed_level[own].tolist() == expected.tolist()


def test_coverage_of_exchangeable_rows_is_what_was_promised_and_less_where_errors_grow():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 3.0, 6000)
    noise = rng.normal(size=6000) * np.where(np.arange(6000) < 4000, 1.0, 3.0)
    for stated, errors in ((None, noise), (spread, noise * spread)):
        model, table, X, fold = make_case(errors, 4000, spread=stated)
        found = evaluate_intervals(model, table, X, fold)
        inside, outside = np.arange(4000), np.arange(4000, 6000)
        for level in (0.1, 0.5, 0.9, 0.99):
            assert np.mean(found.needed_level[inside] < level) == pytest.approx(level, abs=0.02)
        # a normal error of three times the spread stays below 1.645 in 41.6 % of the cases
        assert found.coverage(outside)[0] == pytest.approx(0.416, abs=0.03)
        y = table.targets
        held = (found.lower <= y) & (y <= found.upper)
        assert np.mean(held[outside]) == found.coverage(outside)[0]
    # the half width is 1.645 times the stated spread
    ratio = (found.upper - found.lower)[outside] / (2 * spread[outside])
    np.testing.assert_allclose(ratio, 1.645, rtol=0.05)


def test_scores_stay_on_the_scale_of_the_regressor_and_bounds_in_the_unit_of_the_target():
    errors = np.concatenate([np.arange(1.0, 40.0) / 40, [0.4875, -0.4875, 2.0]])
    model, table, X, fold = make_case(errors, 39, transform="log")
    found = evaluate_intervals(model, table, X, fold)
    outside = np.arange(39, 42)
    np.testing.assert_allclose(found.upper[outside], np.exp(outside % 3 + 0.9))
    np.testing.assert_allclose(found.lower[outside], np.exp(outside % 3 - 0.9))
    assert found.needed_level[outside].tolist() == [19 / 40, 19 / 40, 1.0]


def test_few_id_rows_give_no_intervals():
    model, table, X, fold = make_case(np.linspace(-1.0, 1.0, 29), 19)
    assert model.calibration is not None
    found = evaluate_intervals(model, table, X, fold)
    assert all(np.isnan(getattr(found, name)).all() for name in TRUST_COLUMNS)
    assert found.coverage(np.arange(29)) == (None, None)


def test_what_has_no_finite_prediction_is_held_by_no_interval():
    model, table, X, fold = make_case(np.linspace(-1.0, 1.0, 44), 40)
    X[41, 0] = np.nan
    found = evaluate_intervals(model, table, X, fold)
    assert found.needed_level[41] == 1.0
    assert np.isnan([found.lower[41], found.std[41]]).all()
    assert np.isfinite(found.upper[[40, 42, 43]]).all()
    assert found.coverage(np.array([41])) == (0.0, None)


def test_a_bound_that_overflows_is_infinite_and_has_no_width():
    model, table, X, fold = make_case(np.linspace(-1.0, 1.0, 44), 40, transform="log")
    X[41, 0] = 1e6
    found = evaluate_intervals(model, table, X, fold)
    assert (found.lower[41], found.upper[41], found.needed_level[41]) == (np.inf, np.inf, 1.0)
    assert found.coverage(np.array([41]))[1] is None


def test_validation_and_training_rows_have_none():
    model, table, X, fold = make_case(np.linspace(-1.0, 1.0, 60), 40)
    tests = (*fold.tests[:2], TestRows("prior", "ood", np.arange(40, 50)))
    found = evaluate_intervals(model, table, X, replace(fold, tests=tests))
    assert np.isfinite(found.needed_level[:50]).all()
    assert np.isnan(found.needed_level[50:]).all()


def test_nothing_is_missing_in_every_column():
    found = RowIntervals.empty(3)
    for name in TRUST_COLUMNS:
        assert np.isnan(getattr(found, name)).tolist() == [True] * 3
    assert found.coverage(np.arange(3)) == (None, None)
    assert found.coverage(np.arange(0)) == (None, None)


def test_a_domain_says_how_far_test_rows_are():
    errors = np.linspace(-1.0, 1.0, 44)
    model, table, X, fold = make_case(errors, 40)
    domain = ApplicabilityDomain.fit(
        X[:20], table.y[:20], table.formulas[:20].tolist(), X[20:40], feature_names=("a", "b")
    )
    known = replace(model, domain=domain)
    assert np.isnan(evaluate_intervals(model, table, X, fold).ood_score).all()
    found = evaluate_intervals(known, table, X, fold)
    scores = domain.assess(X)
    np.testing.assert_array_equal(found.ood_score, scores.ood_score)
    assert found.in_domain.tolist() == scores.in_domain.astype(float).tolist()
    other = clean_table(
        Dataset.of([*table.formulas[:-1], "KBr"], table.y), duplicates="keep"
    )  # elements that no training material has
    assert evaluate_intervals(known, other, X, fold).in_domain[-1] == 0.0
