"""Source rows weighted by the features of the target, and weighted validation rows."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from xtalshift.errors import ConfigError
from xtalshift.estimators import (
    ImportanceWeightedRegressor,
    IRNetRegressor,
    LightGBMRegressor,
    Regressor,
    RidgeRegressor,
)
from xtalshift.importance.density_ratio import effective_sample_size

RATIOS = ("kmm", "ulsif", "classifier")
TREES = {"n_estimators": 60}
NETWORK = {"architecture": (16, 8), "epochs": 3, "device": "cpu"}
REASON = "validation rows are drawn at random, so a weight is not a number of repeated rows"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


class Recorder(Regressor):
    """Keeps what it was given to fit; predicts the weighted mean."""

    def __init__(self, validation_fraction=0.1, random_state=None):
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data):
        self.data_ = data
        self.mean_ = np.average(data.train.y, weights=data.train.weights)

    def _predict(self, X):
        return np.full(len(X), self.mean_)


class OwnTarget(ImportanceWeightedRegressor):
    """Takes the source rows for target rows too, so that every check weighs."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight, X_target=X)


CHECKED = [
    ImportanceWeightedRegressor(RidgeRegressor(), random_state=0),
    OwnTarget(RidgeRegressor(), "classifier", random_state=0),
]


@parametrize_with_checks(CHECKED, expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_check_estimator(estimator, check):
    check(estimator)


def parabola(n, seed, mean=0.0, width=1.0):
    """Return rows of a parabola in the first of two features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    X[:, 0] = mean + width * X[:, 0]
    return X, X[:, 0] ** 2 + 0.05 * rng.normal(size=n)


@pytest.fixture(scope="module")
def shifted():
    return parabola(801, 0), parabola(203, 1, 1.5, 0.4)


@pytest.mark.parametrize("ratio", RATIOS)
def test_weights_make_a_misspecified_line_fit_where_the_target_is(ratio, shifted):
    (X, y), (X_target, y_target) = shifted
    line = RidgeRegressor(alphas=(1e-3,))
    plain = clone(line).fit(X, y)
    weighted = ImportanceWeightedRegressor(line, ratio, random_state=0)
    weighted.fit(X, y, X_target=X_target)

    def error(model):
        return np.abs(model.predict(X_target) - y_target).mean()

    assert error(plain) > 1.0
    assert error(weighted) < 0.4 * error(plain)
    assert weighted.weights_.shape == (721,)  # a tenth validates
    assert weighted.weights_.mean() == pytest.approx(1)
    assert weighted.effective_sample_size_ == effective_sample_size(weighted.weights_)
    assert 20 < weighted.effective_sample_size_ < 400


@pytest.mark.parametrize(
    "inner", [RidgeRegressor(), LightGBMRegressor(**TREES), IRNetRegressor(**NETWORK)]
)
@pytest.mark.parametrize("weight", [False, True])
def test_without_target_rows_it_is_the_plain_estimator(inner, weight, shifted):
    (X, y), (X_target, y_target) = shifted
    given = {"X_val": X_target, "y_val": y_target}
    if weight:
        given["sample_weight"] = np.random.default_rng(0).uniform(size=len(y))
    plain = clone(inner).set_params(random_state=3).fit(X, y, **given)
    wrapped = ImportanceWeightedRegressor(inner, random_state=3).fit(X, y, **given)
    np.testing.assert_array_equal(plain.predict(X), wrapped.predict(X))
    np.testing.assert_array_equal(wrapped.weights_, np.ones(len(y)))
    assert wrapped.effective_sample_size_ == pytest.approx(len(y))


@pytest.mark.parametrize("ratio", RATIOS)
def test_training_and_validation_rows_have_weights_of_their_own(ratio, shifted):
    (X, y), (X_target, _) = shifted
    given = np.random.default_rng(0).uniform(0.5, 1.5, size=700)
    model = ImportanceWeightedRegressor(Recorder(), ratio, max_weight=8.0, random_state=0)
    model.fit(
        X[:700], y[:700], sample_weight=given, X_val=X[700:], y_val=y[700:], X_target=X_target
    )
    data = model.estimator_.data_
    kept = model.weights_ > 0  # a row of weight 0 is no row
    np.testing.assert_array_equal(data.train.X, X[:700][kept])
    np.testing.assert_array_equal(data.train.weights, (model.weights_ * given)[kept])
    assert model.weights_.max() <= 8 + 1e-9
    # validation rows are those of the target region too
    assert data.validation.weights.sum() == pytest.approx(101)
    center = np.average(data.validation.X[:, 0], weights=data.validation.weights)
    assert center == pytest.approx(1.5, abs=0.4)
    assert data.target is None


def test_the_inner_regressor_draws_as_it_would_alone(shifted):
    (X, y), (X_target, _) = shifted
    draws = []
    for target in (None, X_target):
        model = ImportanceWeightedRegressor(Recorder(), random_state=7)
        model.fit(X, y, X_val=X, y_val=y, X_target=target)
        draws.append(model.estimator_.data_.rng.random())
    assert draws[0] == draws[1] == np.random.default_rng(7).random()


@pytest.mark.parametrize("ratio", RATIOS)
def test_any_features_and_the_same_bits_again(ratio):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(57, 14)), rng.normal(size=57)
    target = rng.normal(size=(13, 14))
    X[:, 3], target[:, 3] = 1.0, 2.0  # varies only between the domains
    X[:, 4] = target[:, 4] = 5.0
    X[3, 0] = target[2, 1] = np.nan
    X[:, 5] = np.nan
    before = X.copy(), target.copy()
    model = ImportanceWeightedRegressor(RidgeRegressor(), ratio, random_state=1)
    first = model.fit(X, y, X_target=target).predict(X)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, clone(model).fit(X, y, X_target=target).predict(X))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("n", [2, 9, 10, 11])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("ratio", RATIOS)
def test_few_rows(ratio, n, k):
    X, y = parabola(n, 0)
    model = ImportanceWeightedRegressor(RidgeRegressor(), ratio, random_state=0)
    model.fit(X, y, X_target=X[:k])
    assert len(model.weights_) == (n if n < 10 else n - 1)
    assert model.weights_.mean() == pytest.approx(1)
    assert np.isfinite(model.predict(X)).all()


def test_everything_else_is_asked_of_the_inner_regressor(shifted):
    (X, y), (X_target, _) = shifted
    inner = IRNetRegressor(**NETWORK, n_members=2)
    model = ImportanceWeightedRegressor(inner, "ulsif", random_state=0)
    model.fit(X, y, X_target=X_target)
    assert list(model.predict_variants(X)) == ["", "last", "ema"]
    for name, values in model.predict_variants(X).items():
        np.testing.assert_array_equal(values, model.estimator_.predict_variants(X)[name])
    np.testing.assert_array_equal(model.predict_std(X), model.estimator_.predict_std(X))
    far = np.array([[1e6, -1e6], [0.0, 0.0]])
    assert model.n_clipped(far).tolist() == [2, 0]
    assert ImportanceWeightedRegressor(RidgeRegressor()).fit(X, y).predict_std(X) is None


def test_parameters_reach_the_inner_regressor_and_fit_leaves_it_alone(shifted):
    (X, y), (X_target, _) = shifted
    inner = RidgeRegressor(random_state=5)
    model = ImportanceWeightedRegressor(inner).set_params(estimator__alphas=(7.0,))
    model.fit(X, y, X_target=X_target)
    assert model.estimator_.alpha_ == 7.0
    assert not hasattr(inner, "coef_")
    assert inner.random_state == 5


def test_what_is_refused(shifted):
    (X, y), (X_target, y_target) = shifted
    for options, message in [
        ({"ratio": "kmn"}, "ratio = 'kmn'; expected kmm, ulsif, classifier"),
        ({"max_weight": 0.5}, "max_weight = 0.5; expected at least 1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ImportanceWeightedRegressor(RidgeRegressor(), **options).fit(X, y)
    model = ImportanceWeightedRegressor(RidgeRegressor())
    with pytest.raises(ValueError, match="does not use y_target"):
        model.fit(X, y, X_target=X_target, y_target=y_target)
    with pytest.raises(ValueError, match=r"3 features.*2 features"):
        model.fit(X, y, X_target=np.ones((4, 3)))


def test_validation_weights_choose():
    X, y = parabola(60, 0)
    # a strong penalty is right for the first half of the validation rows, a weak one for the other
    line = RidgeRegressor(alphas=(1e-3, 1e6))
    best = clone(line).fit(X, 3 * X[:, 0])
    y_val = np.where(np.arange(60) < 30, np.mean(3 * X[:, 0]), 3 * X[:, 0])
    for half, alpha in ((0, 1e6), (1, 1e-3)):
        weights = np.where((np.arange(60) >= 30) == half, 1.0, 1e-3)
        best = clone(line).fit(X, 3 * X[:, 0], X_val=X, y_val=y_val, val_weight=weights)
        assert best.alpha_ == alpha
    # a row of weight 0 is no row
    weights = np.where(np.arange(60) < 30, 1.0, 0.0)
    spy = Recorder().fit(X, y, X_val=X, y_val=y_val, val_weight=weights)
    assert len(spy.data_.validation.y) == 30
    np.testing.assert_array_equal(spy.data_.validation.weights, np.ones(30))


def test_validation_weights_that_are_refused():
    X, y = parabola(20, 0)
    with pytest.raises(ValueError, match="val_weight needs X_val"):
        RidgeRegressor().fit(X, y, val_weight=np.ones(20))
    held = {"X_val": X[:5], "y_val": y[:5]}
    with pytest.raises(ValueError, match="sample_weight"):
        RidgeRegressor().fit(X, y, val_weight=np.ones(6), **held)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        RidgeRegressor().fit(X, y, val_weight=-np.ones(5), **held)
