"""Judging test rows: known answers, who calibrates whom, and coverage of simulated rows."""

import numpy as np
import pytest
from xtalshift.jobs.run.judge import Judged, halve, judge_rows, needed_levels
from xtalshift.jobs.run.prepare import Fit
from xtalshift.model.trust import add_intervals

from xtalshift.benchmark.records import JUDGED_COLUMNS
from xtalshift.data import MaterialsTable
from xtalshift.data.settings import DataConfig
from xtalshift.estimators.base import Regressor
from xtalshift.jobs.run import prepare
from xtalshift.jobs.train import wrap_model
from xtalshift.uncertainty.conformal import conformal_quantile

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


def make_case(errors, n_id, *, spread=None, transform="none", groups=None):
    """Return model, table, features and fit; the first rows are ID, the others OOD.

    On the scale of the regressor the prediction of row i is i % 3 and its error `errors[i]`.
    """
    n = len(errors)
    z = np.arange(n) % 3 + errors
    formulas = np.array([f"Na{i + 1}Cl{n + i + 2}" for i in range(n)], dtype=object)
    table = MaterialsTable(
        formulas, formulas, np.exp(z) if transform == "log" else z, groups=formulas
    )
    if groups is not None:
        table = MaterialsTable(formulas, formulas, table.targets, groups=groups)
    X = np.stack([np.arange(n) % 3, np.ones(n) if spread is None else spread], axis=1)
    regressor = FirstFeature(spread is not None).fit(X[:20], z[:20])
    data = DataConfig(transform=transform)
    model = wrap_model(regressor, "toy", data, table, {})
    add_intervals(model, table, X, np.arange(n_id), data)
    tests = (
        prepare.TestSet("random", "id", np.arange(n_id)),
        prepare.TestSet("prior", "id", np.arange(n_id)),
        prepare.TestSet("prior", "ood", np.arange(n_id, n)),
    )
    return model, table, X, Fit("all", 3, np.arange(0), np.arange(0), tests)


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
        bound = conformal_quantile(known, level)[0]
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
    model, table, X, fit = make_case(errors, 39)
    judged = judge_rows(model, table, X, fit)
    # 39 scores 1 to 39: the 36th smallest bounds 90 %, the 28th 68.27 %
    outside = np.arange(39, 43)
    assert judged.needed_level[outside].tolist() == [0.0, 9 / 40, 36 / 40, 1.0]
    np.testing.assert_allclose(judged.lower[outside], outside % 3 - 36.0)
    np.testing.assert_allclose(judged.upper[outside], outside % 3 + 36.0)
    np.testing.assert_allclose(judged.std[outside], 28.0)
    assert judged.scores(outside) == {"coverage_90": 0.5, "median_width_90": 72.0}
    halves = halve(table.groups[:39], 3)
    for own, other in (halves, halves[::-1]):
        known = np.sort(errors[other])
        bound = known[int(np.ceil((len(known) + 1) * 0.9)) - 1]
        np.testing.assert_allclose(judged.upper[own] - judged.lower[own], 2 * bound)
        below = (errors[other][None, :] < errors[own][:, None]).sum(axis=1)
        expected = np.where(below < len(other), below / (len(other) + 1), 1.0)
        assert judged.needed_level[own].tolist() == expected.tolist()


def test_coverage_of_exchangeable_rows_is_what_was_promised_and_less_where_errors_grow():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 3.0, 6000)
    noise = rng.normal(size=6000) * np.where(np.arange(6000) < 4000, 1.0, 3.0)
    for stated, errors in ((None, noise), (spread, noise * spread)):
        model, table, X, fit = make_case(errors, 4000, spread=stated)
        judged = judge_rows(model, table, X, fit)
        inside, outside = np.arange(4000), np.arange(4000, 6000)
        for level in (0.1, 0.5, 0.9, 0.99):
            assert np.mean(judged.needed_level[inside] < level) == pytest.approx(level, abs=0.02)
        # a normal error of three times the spread stays below 1.645 in 41.6 % of the cases
        assert judged.scores(outside)["coverage_90"] == pytest.approx(0.416, abs=0.03)
        y = table.targets
        held = (judged.lower <= y) & (y <= judged.upper)
        assert np.mean(held[outside]) == judged.scores(outside)["coverage_90"]
    # the half width is 1.645 times the stated spread
    ratio = (judged.upper - judged.lower)[outside] / (2 * spread[outside])
    np.testing.assert_allclose(ratio, 1.645, rtol=0.05)


def test_scores_stay_on_the_scale_of_the_regressor_and_bounds_in_the_unit_of_the_target():
    errors = np.concatenate([np.arange(1.0, 40.0) / 40, [0.4875, -0.4875, 2.0]])
    model, table, X, fit = make_case(errors, 39, transform="log")
    judged = judge_rows(model, table, X, fit)
    outside = np.arange(39, 42)
    np.testing.assert_allclose(judged.upper[outside], np.exp(outside % 3 + 0.9))
    np.testing.assert_allclose(judged.lower[outside], np.exp(outside % 3 - 0.9))
    assert judged.needed_level[outside].tolist() == [19 / 40, 19 / 40, 1.0]


def test_few_id_rows_give_no_intervals():
    model, table, X, fit = make_case(np.linspace(-1.0, 1.0, 29), 19)
    assert model.calibration_ is not None
    judged = judge_rows(model, table, X, fit)
    assert all(np.isnan(getattr(judged, name)).all() for name in JUDGED_COLUMNS)
    assert judged.scores(np.arange(29)) == {"coverage_90": None, "median_width_90": None}
    assert judged.columns(np.arange(29))["in_domain"].isna().all()


def test_what_has_no_finite_prediction_is_held_by_no_interval():
    model, table, X, fit = make_case(np.linspace(-1.0, 1.0, 44), 40)
    X[41, 0] = np.nan
    judged = judge_rows(model, table, X, fit)
    assert judged.needed_level[41] == 1.0
    assert np.isnan([judged.lower[41], judged.std[41]]).all()
    assert np.isfinite(judged.upper[[40, 42, 43]]).all()
    assert judged.scores(np.array([41])) == {"coverage_90": 0.0, "median_width_90": None}


def test_a_bound_that_overflows_is_infinite_and_has_no_width():
    model, table, X, fit = make_case(np.linspace(-1.0, 1.0, 44), 40, transform="log")
    X[41, 0] = 1e6
    judged = judge_rows(model, table, X, fit)
    assert (judged.lower[41], judged.upper[41], judged.needed_level[41]) == (np.inf, np.inf, 1.0)
    assert judged.scores(np.array([41]))["median_width_90"] is None


def test_validation_and_training_rows_are_not_judged():
    model, table, X, fit = make_case(np.linspace(-1.0, 1.0, 60), 40)
    tests = (*fit.tests[:2], prepare.TestSet("prior", "ood", np.arange(40, 50)))
    judged = judge_rows(model, table, X, Fit("all", 3, fit.train, fit.validation, tests))
    assert np.isfinite(judged.needed_level[:50]).all()
    assert np.isnan(judged.needed_level[50:]).all()


def test_nothing_is_missing_in_every_column():
    columns = Judged.nothing(3).columns(np.arange(2))
    assert list(columns) == JUDGED_COLUMNS
    assert all(len(values) == 2 for values in columns.values())
