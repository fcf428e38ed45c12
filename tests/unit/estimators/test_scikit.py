"""Regressors of scikit-learn, and users' own, behind the interface of the package."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from estimator_toys import data
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators import ImportanceWeightedRegressor, RidgeRegressor, ScikitRegressor
from xtalshift.estimators.predictors import PREDICTORS
from xtalshift.estimators.scikit import as_regressor, check_estimator, name_of
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.methods.registry import Method, override, saved_methods
from xtalshift.testing import check_regressor


class Mean:
    """No estimator of scikit-learn: `fit` and `predict` are all there is."""

    def fit(self, X, y):
        self.mean_ = y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Curious(RegressorMixin, BaseEstimator):
    """Takes everything, and keeps it."""

    def fit(self, X, y, sample_weight=None, groups=None, origin=None):
        self.seen_ = {"X": X, "weight": sample_weight, "groups": groups, "origin": origin}
        self.mean_ = np.average(y, weights=sample_weight)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Column(Mean):
    """Predicts two columns."""

    def predict(self, X):
        return np.zeros((len(X), 2))


FOREST = RandomForestRegressor(5)
KERNEL = make_pipeline(StandardScaler(), SVR())


@parametrize_with_checks(
    [ScikitRegressor(LinearRegression()), ScikitRegressor(make_pipeline(Ridge()))]
)
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("inner", [KERNEL, HistGradientBoostingRegressor(max_iter=20)], ids=name_of)
def test_the_contract_of_the_package(inner):
    X, y = data(60)
    fails = {"check_sample_weight_equivalence_on_dense_data": "that of the estimator",
             "check_sample_weight_equivalence_on_sparse_data": "that of the estimator",
             "check_regressors_train": "that of the estimator"}  # fmt: skip
    check_regressor(ScikitRegressor(inner, random_state=0), X, y, expected_failed_checks=fails,
                    tolerance=np.inf)  # fmt: skip


@pytest.mark.parametrize(
    "inner",
    [FOREST, KERNEL, Mean(), PLSRegression(2), GridSearchCV(Ridge(), {"alpha": [1, 2]}),
     TransformedTargetRegressor(Ridge()), StackingRegressor([("a", Ridge())])],
    ids=name_of,
)  # fmt: skip
def test_it_is_the_estimator_on_all_rows(inner):
    X, y = data(40)
    found = ScikitRegressor(inner, random_state=3).fit(X, y)
    same = ScikitRegressor(clone(inner, safe=False), random_state=3).fit(X, y)
    assert found.predict(X).shape == (40,)
    assert np.array_equal(found.predict(X), same.predict(X))
    if inner is not FOREST:  # whose seed is drawn
        alone = clone(inner, safe=False).fit(X, y)
        assert np.array_equal(found.predict(X), np.ravel(alone.predict(X)))
    assert not hasattr(inner, "mean_")  # the one given stays unfitted


def test_the_seed_reaches_every_part_that_has_none():
    X, y = data(40)
    pair = make_pipeline(StandardScaler(), RandomForestRegressor(3))

    def fitted(seed, inner=pair):
        return ScikitRegressor(inner, random_state=seed).fit(X, y).predict(X)

    assert np.array_equal(fitted(0), fitted(0))
    assert not np.array_equal(fitted(0), fitted(1))
    own = clone(pair).set_params(randomforestregressor__random_state=7)
    assert np.array_equal(fitted(0, own), fitted(1, own))
    assert np.array_equal(fitted(0, own), clone(own).fit(X, y).predict(X))
    assert pair.get_params()["randomforestregressor__random_state"] is None


def test_weights_groups_and_origin_go_to_those_who_take_them():
    X, y = data(40)
    weights, groups = np.linspace(1, 2, 40), np.repeat(np.arange(10).astype(str), 4)
    for inner in (Curious(), make_pipeline(StandardScaler(), Curious())):
        assert ScikitRegressor(inner).needs_origin
        found = ScikitRegressor(inner).fit(X, y, sample_weight=weights, groups=groups).estimator_
        seen = (found if isinstance(found, Curious) else found[-1]).seen_
        assert np.array_equal(seen["weight"], weights)
        assert np.array_equal(seen["groups"], groups)
        assert seen["origin"] is None
    assert not ScikitRegressor(FOREST).needs_origin
    plain = ScikitRegressor(Mean()).fit(X, y, sample_weight=np.full(40, 3.0), groups=groups)
    assert plain.predict(X[:1]) == y.mean()
    some = ScikitRegressor(Mean()).fit(X, y, sample_weight=np.arange(40) < 20)
    assert some.predict(X[:1]) == pytest.approx(y[:20].mean())
    with pytest.raises(ConfigError, match="KNeighborsRegressor takes no sample weights, and those"):
        ScikitRegressor(KNeighborsRegressor()).fit(X, y, sample_weight=weights)


def test_missing_features_go_to_the_estimator():
    X, y = data(60)
    X[::5, 0] = np.nan
    found = ScikitRegressor(HistGradientBoostingRegressor(random_state=0)).fit(X, y)
    alone = HistGradientBoostingRegressor(random_state=0).fit(X, y)
    assert np.array_equal(found.predict(X), alone.predict(X))
    with pytest.raises(ValueError, match="contains NaN"):
        ScikitRegressor(KERNEL).fit(X, y)


def test_it_can_be_inside_the_wrappers_of_the_package():
    X, y = data(60)
    wrapped = ImportanceWeightedRegressor(ScikitRegressor(Curious()), ratio="classifier")
    found = wrapped.set_params(random_state=0).fit(X, y, X_target=X[:20] + 1)
    seen = found.estimator_.estimator_.seen_["weight"]
    assert np.array_equal(seen, found.weights_)
    assert np.ptp(seen) > 0


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (RandomForestRegressor, r"is the class RandomForestRegressor; give an object of it"),
        (RandomForestClassifier(), "is a classifier, RandomForestClassifier, but the target"),
        (make_pipeline(StandardScaler(), LogisticRegression()),
         r"is a classifier, StandardScaler \+ LogisticRegression"),
        (StandardScaler(), "is a transformer, StandardScaler, which predicts nothing; put it into"),
        (make_pipeline(StandardScaler()), "is a transformer, StandardScaler"),
        (KMeans(), "is a clusterer, KMeans"),
        (IsolationForest(), "is an outlier detector, IsolationForest"),
        (3, "is an object of int, which has no method fit; give a regressor"),
    ],
)  # fmt: skip
def test_what_is_no_regressor_is_named(estimator, words):
    with pytest.raises(ConfigError, match=f"mine {words}"):
        check_estimator(estimator, "mine")
    with pytest.raises(ConfigError, match=f"estimator {words}"):
        ScikitRegressor(estimator).fit(*data(20))


def test_predictions_of_another_shape_are_refused():
    X, y = data(20)
    with pytest.raises(ConfigError, match=r"Column returns predictions of shape \(20, 2\) for 20"):
        ScikitRegressor(Column()).fit(X, y).predict(X)


def test_regressors_of_the_package_stay_what_they_are():
    ridge = RidgeRegressor()
    assert as_regressor(ridge, seed=1) is ridge
    assert as_regressor(FOREST, seed=1).get_params(deep=False)["estimator"] is FOREST


def test_it_cannot_be_saved_and_no_file_can_name_it():
    fitted = ScikitRegressor(FOREST, random_state=0).fit(*data(20))
    with pytest.raises(
        ModelFormatError, match=r"^RandomForestRegressor cannot be saved: only pick"
    ):
        fitted._get_state()
    assert "ScikitRegressor" not in PREDICTORS


@pytest.mark.parametrize("name", sorted(METHODS))
def test_only_the_methods_that_commands_save_can_be_saved(name):
    unsaved = build_method(name, MethodSettings(), seed=0).unsaved
    if name in saved_methods():
        assert unsaved == ""
    elif unsaved:
        assert "cannot be saved" in unsaved

    class Own(RidgeRegressor):
        pass

    assert Own().unsaved.startswith("Own cannot be saved: nothing says what it learns")


def test_a_registered_method_may_build_any_estimator(monkeypatch):
    monkeypatch.setitem(METHODS._items, "mine", Method(lambda settings, seed: clone(FOREST)))
    built = build_method("mine", MethodSettings(), seed=5, params={"max_depth": 2})
    assert isinstance(built, ScikitRegressor)
    assert (built.random_state, built.estimator.max_depth) == (5, 2)
    with pytest.raises(
        ConfigError, match=r"RandomForestRegressor has no argument 'max_dept' \(did"
    ):
        build_method("mine", MethodSettings(), seed=5, params={"max_dept": 2})
    with pytest.raises(ConfigError, match="Mean has no get_params, so that no argument"):
        override(Mean(), {"a": 1})
    monkeypatch.setitem(METHODS._items, "mine", Method(lambda settings, seed: KMeans()))
    with pytest.raises(ConfigError, match="method 'mine' is a clusterer, KMeans"):
        build_method("mine", MethodSettings(), seed=5)
