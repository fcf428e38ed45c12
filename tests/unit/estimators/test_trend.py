"""Trees on the errors of a linear model."""

import numpy as np
import pytest

from xtalshift.errors import ModelFormatError
from xtalshift.estimators import LightGBMRegressor, RidgeRegressor, TrendLightGBMRegressor
from xtalshift.estimators.base import FitData, Labelled, deal_folds

SMALL = {"n_estimators": 60, "random_state": 0}


def rows(n=160, seed=0):
    """Return a linear trend with a bend that no linear model can follow."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    return X, 4 * X[:, 0] + np.sin(3 * X[:, 1]) + 0.05 * rng.normal(size=n)


def data_of(X, y, groups=None):
    labelled = Labelled(X, y, groups=groups)
    return FitData(labelled, labelled, None, np.random.default_rng(0))


def test_it_goes_on_where_trees_end():
    X, y = rows()
    far = np.array([[5.0, 0, 0, 0, 0], [-6.0, 0, 0, 0, 0]])
    found = TrendLightGBMRegressor(**SMALL).fit(X, y).predict(far)
    np.testing.assert_allclose(found, [20, -24], atol=2)
    assert np.abs(LightGBMRegressor(**SMALL).fit(X, y).predict(far)).max() < 14


def test_it_is_better_than_each_part_where_both_are_needed():
    X, y = rows()
    new, truth = rows(seed=1)

    def error(regressor):
        return np.abs(regressor.fit(X, y).predict(new) - truth).mean()

    alone = min(error(RidgeRegressor(random_state=0)), error(LightGBMRegressor(**SMALL)))
    assert error(TrendLightGBMRegressor(**SMALL)) < 0.8 * alone


def test_the_trees_learn_errors_of_rows_that_the_linear_model_has_not_seen():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 38)), rng.normal(size=40)  # a linear model fits these rows nearly
    model = TrendLightGBMRegressor(**SMALL, alphas=(1e-6,))
    trend, errors = model._fit_trend(data_of(X, y), 0)
    own = y - trend.predict(X)
    assert np.abs(own).mean() < 0.2 * np.abs(errors.y).mean()
    other = TrendLightGBMRegressor(**SMALL, alphas=(1e-6,))._fit_trend(data_of(X, y), 0)[1]
    np.testing.assert_array_equal(errors.y, other.y)


def test_folds_do_not_see_their_own_rows():
    X, y = rows()
    folds = np.arange(len(y)) % 4
    folds[:40] = -1
    found = TrendLightGBMRegressor(**SMALL).cross_fit(data_of(X, y), folds)
    assert np.isnan(found.predictions[:40]).all()
    error = np.abs(found.predictions - y)[40:].mean()
    assert (
        error < np.abs(RidgeRegressor().cross_fit(data_of(X, y), folds).predictions - y)[40:].mean()
    )
    out = folds == 2
    moved = np.where(out, y + 1000, y)
    with_moved = TrendLightGBMRegressor(**SMALL).cross_fit(data_of(X, moved), folds).predictions
    np.testing.assert_array_equal(with_moved[out], found.predictions[out])
    fitted = found.fit_all()
    np.testing.assert_array_equal(fitted.predict(X), found.fit_all().predict(X))
    assert fitted.n_features_in_ == 5


def test_one_material_is_not_divided():
    X, y = rows(30)
    model = TrendLightGBMRegressor(**SMALL)
    trend, errors = model._fit_trend(data_of(X, y, np.array(["GaN"] * 30)), 0)
    np.testing.assert_allclose(errors.y, y - trend.predict(X))


def test_a_saved_one_predicts_the_same_and_a_wrong_one_is_refused():
    X, y = rows()
    model = TrendLightGBMRegressor(**SMALL, clip=3.0).fit(X, y)
    state = model._get_state()
    again = TrendLightGBMRegressor(**SMALL, clip=3.0)
    again._set_state(dict(state))
    np.testing.assert_array_equal(again.predict(10 * X), model.predict(10 * X))
    np.testing.assert_array_equal(again.n_clipped(10 * X), model.n_clipped(10 * X))
    assert model.n_clipped(10 * X).max() > 2
    other = TrendLightGBMRegressor(**SMALL).fit(X[:, :3], y)._get_state()
    with pytest.raises(ModelFormatError, match="other features"):
        again._set_state(state | {"booster": other["booster"]})
    with pytest.raises(ModelFormatError):
        again._set_state({"booster": state["booster"]})


def test_folds_are_dealt_by_name():
    names = np.array(["a", "b", "a", "c", "d", "b"])
    folds = deal_folds(names, 3, np.random.default_rng(0))
    assert folds[0] == folds[2]
    assert folds[1] == folds[5]
    assert set(folds) == {0, 1, 2}
    assert set(deal_folds(names, 10, np.random.default_rng(0))) == {0, 1, 2, 3}
