"""A method of your own in the benchmark: xtalshift benchmark examples/own_method.toml."""

from __future__ import annotations

from sklearn.linear_model import HuberRegressor
from sklearn.preprocessing import StandardScaler

from xtalshift.estimators import Regressor
from xtalshift.methods import register_method


class HuberMethod(Regressor):
    """A linear model that outliers move little."""

    def __init__(self, epsilon=1.35, validation_fraction=0.1, random_state=None):
        self.epsilon = epsilon
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data):  # data.train, data.validation, data.target; data.rng
        self.scaler_ = StandardScaler().fit(data.train.X)
        X = self.scaler_.transform(data.train.X)
        self.model_ = HuberRegressor(epsilon=self.epsilon, max_iter=2000).fit(X, data.train.y)

    def _predict(self, X):
        return self.model_.predict(self.scaler_.transform(X))


@register_method("huber", space={"epsilon": ("float", 1.05, 3.0)})
def build(settings, seed):
    return HuberMethod(random_state=seed)
