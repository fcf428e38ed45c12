"""Constants, ridge regression and boosted trees."""

import numpy as np
import pytest

from estimator_toys import data
from xtalshift.estimators import (
    ConstantRegressor,
    LightGBMRegressor,
    RidgeRegressor,
)


def test_sample_weights_move_the_fit():
    X = np.zeros((40, 1))
    X[:, 0] = np.arange(40) % 2
    y = np.where(np.arange(40) < 20, 0.0, 1.0)
    weights = np.where(np.arange(40) < 20, 1.0, 9.0)
    held = {"X_val": X, "y_val": y}
    for regressor in (ConstantRegressor(), RidgeRegressor(alphas=(1e-3,))):
        mean = regressor.fit(X, y, sample_weight=weights, **held).predict(X).mean()
        assert mean == pytest.approx(0.9, abs=0.01)


def test_features_far_outside_training_are_clipped_and_counted():
    X, y = data()
    model = RidgeRegressor(clip=5.0, random_state=0).fit(X, y)
    far = X[:2].copy()
    far[1, 0], far[1, 3] = 1e6, -1e6
    assert model.n_clipped(far).tolist() == [0, 2]
    assert abs(model.predict(far)[1] - 50) < 500


def test_boosted_trees_cut_a_feature_at_the_ends_of_its_bins():
    X, y = data(400)
    most = {}
    for bins in (4, 16):
        regressor = LightGBMRegressor(n_estimators=60, max_bin=bins, random_state=0)
        table = regressor.fit(X, y).trees_.trees
        most[bins] = max(
            len(np.unique(table.threshold[table.feature == one])) for one in set(table.feature)
        )
    assert most[4] <= 3 < most[16] <= 15
