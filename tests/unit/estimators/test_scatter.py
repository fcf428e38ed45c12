"""The standard deviations that networks state, in the unit of the target."""

import numpy as np
import pytest

from xtalshift.data import Dataset
from xtalshift.errors import ConfigError
from xtalshift.estimators import HeteroscedasticRegressor, IRNetRegressor, MCDropoutRegressor
from xtalshift.model import adapt, fit

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (1200, 2))
NOISE = np.where(X[:, 0] > 0, 40.0, 4.0)
Y = 1000 + 100 * X[:, 1] + RNG.normal(size=1200) * NOISE
QUICK = {"architecture": (32, 16), "epochs": 40, "batch_size": 64, "learning_rate": 1e-2,
         "device": "cpu", "random_state": 0}  # fmt: skip
NEW = np.array([[-0.5, 0.0], [0.5, 0.0]])


def test_the_second_head_states_the_noise_in_the_unit_of_the_target():
    model = HeteroscedasticRegressor(**QUICK).fit(X, Y)
    quiet, loud = model.predict_std(NEW)
    assert quiet == pytest.approx(4, rel=0.6)
    assert loud == pytest.approx(40, rel=0.3)
    assert model.predict(NEW) == pytest.approx([1000, 1000], abs=15)


def test_members_of_an_ensemble_add_their_disagreement():
    model = HeteroscedasticRegressor(**{**QUICK, "epochs": 2}, n_members=3).fit(X, Y)
    far = np.array([[8.0, -8.0]])
    between = model.predict_members(far).std(axis=0)
    alone = HeteroscedasticRegressor(**{**QUICK, "epochs": 2}).fit(X, Y).predict_std(NEW)
    assert (model.predict_std(far) >= between).all()
    assert between[0] > 0
    assert model.predict_std(NEW).shape == alone.shape
    # law of total variance, with the heads asked one by one
    net, dtype = model._predictor("best")
    import torch

    x = torch.as_tensor(model.scaler_.transform(far), dtype=dtype)
    mean, std = (part.detach().numpy() for part in net.mean_and_std(x))
    expected = np.sqrt((std**2).mean(axis=0) + mean.var(axis=0)) * Y.std()
    assert model.predict_std(far) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "model",
    [
        HeteroscedasticRegressor(**{**QUICK, "epochs": 1}, n_members=2),
        IRNetRegressor(**{**QUICK, "epochs": 1}, n_members=2),
        MCDropoutRegressor(**{**QUICK, "epochs": 1}, n_samples=2),
        IRNetRegressor(**{**QUICK, "epochs": 1}),
    ],
    ids=lambda model: f"{type(model).__name__}-{model.n_members}",
)
def test_mean_and_spread_at_once_are_those_asked_for_apart(model):
    model.fit(X, Y)
    rows = np.random.default_rng(1).uniform(-3, 3, (70_001, 2))  # more than one piece
    mean, std = model.predict_with_std(rows)
    np.testing.assert_allclose(mean, model.predict(rows), rtol=1e-12)
    if type(model) is IRNetRegressor and model.n_members == 1:
        assert std is None
        assert model.predict_std(rows) is None
        return
    np.testing.assert_array_equal(std, model.predict_std(rows))
    assert mean.shape == std.shape == (70_001,)
    np.testing.assert_allclose(std[-3:], model.predict_std(rows[-3:]), rtol=1e-9)


def test_dropout_states_a_spread_that_grows_away_from_the_data_and_is_the_same_each_time():
    model = MCDropoutRegressor(n_samples=32, dropout=0.2, **QUICK).fit(X, Y)
    near = model.predict_std(X[:200])
    assert (near > 0).all()
    assert model.predict_std(np.array([[6.0, 6.0]]))[0] > 1.5 * np.median(near)
    np.testing.assert_array_equal(model.predict_std(X[:200]), near)
    # a row alone has the spread that it has among others
    np.testing.assert_allclose(model.predict_std(X[7:8]), near[7], rtol=1e-9)


def test_without_dropout_there_is_no_spread():
    with pytest.raises(ConfigError, match="dropout = 0"):
        MCDropoutRegressor(dropout=0.0, **QUICK).fit(X, Y)
    with pytest.raises(ConfigError, match="n_samples = 1"):
        MCDropoutRegressor(n_samples=1, **QUICK).fit(X, Y)
    assert MCDropoutRegressor(**{**QUICK, "epochs": 1}).fit(X, Y).dropout_ == 0.1


def test_a_heteroscedastic_model_can_be_adapted_without_its_second_head():
    formulas = [
        f"{m}{x}" for m in ("Li", "Na", "K", "Mg", "Zn", "Ga") for x in ("O", "S", "F", "N")
    ]
    values = np.arange(24.0)
    regressor = HeteroscedasticRegressor(architecture=(8,), epochs=2, device="cpu", random_state=0)
    start = fit(Dataset.of(formulas, values), regressor)
    labels = Dataset.of(formulas, values + 5)
    adapted = adapt(start, labels, method="fine-tune", settings={"steps": 3}, seed=0)
    assert "scatter.bias" in start.regressor.states_["best"]
    assert "scatter.bias" not in adapted.regressor.states_["best"]
    assert adapted.regressor.predict_std(adapted.features_of(formulas)) is None
