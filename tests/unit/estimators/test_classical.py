"""Well-kept models of scikit-learn: values, weights, caps, spread."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KNeighborsRegressor

from estimator_toys import data, held_out
from xtalshift.errors import ConfigError, TrainingError
from xtalshift.estimators import (
    ForestRegressor,
    GPRegressor,
    KernelRidgeRegressor,
    NeighborsRegressor,
    SVRegressor,
    classical,
)
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.kernel_predictors import KernelRidgePredictor
from xtalshift.estimators.kernels import solve_kernel
from xtalshift.estimators.lightgbm_text import read_trees

REGRESSORS = [
    NeighborsRegressor(random_state=0),
    NeighborsRegressor(n_neighbors=5, random_state=0),
    KernelRidgeRegressor(random_state=0),
    GPRegressor(random_state=0),
    ForestRegressor(n_estimators=40, random_state=0),
]
IDS = ["nearest", "neighbors", "kernel-ridge", "gp", "forest"]

every = pytest.mark.parametrize("regressor", REGRESSORS, ids=IDS)


@every
def test_one_row_predicts_as_in_a_batch_and_in_blocks(regressor, monkeypatch):
    X, y = data(60)
    fitted = clone(regressor).fit(X, y)
    whole = fitted.predict(X)
    alone = np.array([fitted.predict(X[i : i + 1])[0] for i in range(5)])
    np.testing.assert_allclose(alone, whole[:5], rtol=1e-9)
    spread = fitted.predict_std(X)
    monkeypatch.setattr(classical, "PIECE_ROWS", 7)
    np.testing.assert_allclose(fitted.predict(X), whole, rtol=1e-9)
    if spread is not None:
        np.testing.assert_allclose(fitted.predict_std(X), spread, rtol=1e-9)


@every
def test_a_missing_feature_is_the_training_mean(regressor):
    X, y = data(60)
    X[5, 1] = np.nan
    fitted = clone(regressor).fit(X, y)
    gap, filled = X[:1].copy(), X[:1].copy()
    gap[0, 2], filled[0, 2] = np.nan, fitted.scaler_.mean_[2]
    np.testing.assert_allclose(fitted.predict(gap), fitted.predict(filled), rtol=1e-9)


@pytest.mark.parametrize(
    "regressor",
    [
        NeighborsRegressor(n_neighbors=100),
        KernelRidgeRegressor(alphas=(1e-3,)),
        GPRegressor(),
        ForestRegressor(n_estimators=5),
    ],
    ids=IDS[1:],
)
def test_sample_weights_move_the_fit(regressor):
    X = (np.arange(80) % 2)[:, None].astype(float)
    y = np.where(np.arange(80) < 40, 0.0, 1.0)
    weights = np.where(np.arange(80) < 40, 1.0, 9.0)
    found = regressor.fit(X, y, weights, X_val=X, y_val=y).predict(X[:2])
    np.testing.assert_allclose(found, 0.9, atol=0.02)


@pytest.mark.parametrize(("cap", "used"), [(None, 60), (25, 25), (60, 60), (1000, 60)])
@every
def test_cap_on_rows(regressor, cap, used):
    X, y = data(80)
    model = clone(regressor).set_params(max_rows=cap)
    model.fit(X[:60], y[:60], **held_out(X, y))
    assert model.n_rows_used_ == used
    assert isinstance(model.n_rows_used_, int)
    assert np.isfinite(model.predict(X)).all()


def test_capped_rows_are_distinct_keep_their_weights_and_depend_on_the_seed():
    X, y = data(60)
    weights = y / 10
    drawn = []
    for seed in (0, 0, 1):
        model = NeighborsRegressor(max_rows=25, random_state=seed)
        model.fit(X, y, weights, **held_out(X, y))
        targets = model.targets_ * model.target_scale_ + model.target_mean_
        np.testing.assert_allclose(model.weights_, targets / 10)
        assert len(np.unique(targets)) == 25
        drawn.append(targets)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    default = KernelRidgeRegressor(), GPRegressor(), NeighborsRegressor(), ForestRegressor()
    assert [model.max_rows for model in default] == [5000, 2000, None, None]


def test_counts_that_are_not_positive_are_refused():
    X, y = data(30)
    for model in (
        NeighborsRegressor(max_rows=0),
        NeighborsRegressor(n_neighbors=0),
        GPRegressor(hyper_rows=-1),
    ):
        with pytest.raises(ConfigError, match=r"= (0|-1); expected at least 1"):
            model.fit(X, y)


@every
def test_features_far_outside_training_are_clipped_and_counted(regressor):
    X, y = data(60)
    model = clone(regressor).set_params(clip=5.0).fit(X, y)
    far = X[:2].copy()
    far[1, 0], far[1, 3] = 1e6, -1e6
    assert model.n_clipped(far).tolist() == [0, 2]
    assert abs(model.predict(far)[1] - 50) < 200


# nearest neighbours


def test_neighbors_are_those_of_scikit_learn():
    X, y = data(80)
    model = NeighborsRegressor(n_neighbors=3).fit(X[:60], y[:60], **held_out(X, y))
    reference = KNeighborsRegressor(n_neighbors=3).fit(model.scaler_.transform(X[:60]), y[:60])
    expected = reference.predict(model.scaler_.transform(X))
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    nearest = NeighborsRegressor().fit(X[:60], y[:60], **held_out(X, y))
    np.testing.assert_allclose(nearest.predict(X[:60]), y[:60], rtol=1e-12)


# kernel ridge


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
def test_kernel_ridge_is_that_of_scikit_learn(kernel, weighted):
    X, y = data(80)
    weights = np.random.default_rng(1).uniform(0.1, 4, 60) if weighted else None
    model = KernelRidgeRegressor(kernel, alphas=(0.05,), gammas=(0.7,))
    model.fit(X[:60], y[:60], weights, **held_out(X, y))
    targets = (y[:60] - np.average(y[:60], weights=weights)) / model.target_scale_
    reference = KernelRidge(alpha=0.05, kernel=kernel, gamma=0.7 / 6)
    reference.fit(model.scaler_.transform(X[:60]), targets, sample_weight=weights)
    np.testing.assert_allclose(model.dual_coef_, reference.dual_coef_, rtol=1e-8, atol=1e-8)
    expected = reference.predict(model.scaler_.transform(X)) * model.target_scale_
    found = model.predict(X) - model.target_mean_
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


BLOCKS = {"magpie": range(4), "structure": range(4, 5), "symmetry": range(5, 6)}
CRYSTAL = ("structure", "symmetry", "sevennet")


def test_emphasised_blocks_count_as_much_as_all_others():
    X, y = data(80)
    X[:, 1] = 7.0  # constant, and dropped
    fixed = {"kernel": "rbf", "alphas": (0.05,), "gammas": (0.7,)}
    model = KernelRidgeRegressor(**fixed, emphasis=CRYSTAL)
    model.fit(X[:60], y[:60], **held_out(X, y), blocks=BLOCKS)
    square = model.stretch_**2
    assert square[:3].sum() == pytest.approx(square[3:].sum())
    assert square.mean() == pytest.approx(1)
    x = model.scaler_.transform(X)
    apart = [((x[:, None, i] - x[None, :, i]) ** 2).mean(axis=-1) for i in ([0, 1, 2], [3, 4])]
    kernel = np.exp(-0.7 * (apart[0] + apart[1]) / 2)
    targets = (y[:60] - y[:60].mean()) / model.target_scale_
    reference = KernelRidge(alpha=0.05, kernel="precomputed").fit(kernel[:60, :60], targets)
    expected = y[:60].mean() + model.target_scale_ * reference.predict(kernel[:, :60])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-9)
    found = model.contributions(X[0], X[1:4])
    np.testing.assert_allclose(found.sum(axis=-1), expected[0] - expected[1:4], rtol=1e-6)
    loaded = KernelRidgePredictor(**fixed)
    loaded._set_state(model._get_state())
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("blocks", [None, {"magpie": range(6)}, {"structure": range(6)}])
def test_without_two_kinds_of_blocks_all_features_count_alike(blocks):
    X, y = data(80)
    plain, model = SVRegressor(random_state=0), SVRegressor(emphasis=CRYSTAL, random_state=0)
    plain.fit(X, y)
    model.fit(X, y, blocks=blocks)
    assert model.stretch_ is None
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))


@pytest.mark.parametrize("weighted", [False, True])
def test_kernel_ridge_chooses_by_weighted_validation_error(weighted):
    X, y = data(100)
    y = y + np.random.default_rng(3).normal(0, 5, 100)
    weights = np.random.default_rng(4).uniform(0, 1, 40) ** 8 if weighted else None
    rng = np.random.default_rng(0)
    fit = FitData(Labelled(X[:60], y[:60]), Labelled(X[60:], y[60:], weights), None, rng)
    errors = {}
    for kernel in ("rbf", "laplacian"):
        for alpha in (0.01, 1.0, 10.0):
            for gamma in (0.1, 1.0):
                one = KernelRidgeRegressor(kernel, alphas=(alpha,), gammas=(gamma,))
                one._fit(fit)
                deviation = np.abs(one._predict(X[60:]) - y[60:])
                errors[kernel, alpha, gamma / 6] = np.average(deviation, weights=weights)
    model = KernelRidgeRegressor(alphas=(0.01, 1.0, 10.0), gammas=(0.1, 1.0))
    model._fit(fit)
    chosen = model.kernel_, model.alpha_, model.gamma_
    assert chosen == min(errors, key=errors.get)
    deviation = np.abs(model._predict(X[60:]) - y[60:])
    found = np.average(deviation, weights=weights)
    assert found == pytest.approx(errors[chosen], rel=1e-9)  # with the coefficients of the choice


def test_each_half_of_the_validation_rows_gets_the_penalty_that_suits_it():
    X, wrong = data(100)
    y = wrong.copy()
    wrong[80:] = y[:60].mean()  # here only a large penalty is right
    chosen = []
    for weights in (np.repeat([1.0, 0.0], 20), np.repeat([0.0, 1.0], 20)):
        rng = np.random.default_rng(0)
        fit = FitData(Labelled(X[:60], y[:60]), Labelled(X[60:], wrong[60:], weights), None, rng)
        model = KernelRidgeRegressor("rbf", alphas=(1e-3, 1e3), gammas=(0.1,))
        model._fit(fit)
        chosen.append(model.alpha_)
    assert chosen == [1e-3, 1e3]


def test_kernel_ridge_names_what_is_wrong():
    X, y = data(30)
    for kernel in ("cosine", (), ("rbf", "cosine")):
        with pytest.raises(ConfigError, match="expected rbf, laplacian"):
            KernelRidgeRegressor(kernel).fit(X, y)
    with pytest.raises(ConfigError, match="alphas"):
        KernelRidgeRegressor(alphas=(0.0, 1.0)).fit(X, y)
    with pytest.raises(ConfigError, match="gammas"):
        KernelRidgeRegressor(gammas=()).fit(X, y)


def test_a_penalty_too_small_to_solve_is_passed_over():
    X, y = data(30)
    X = np.repeat(X[:15], 2, axis=0)
    assert solve_kernel(np.ones((3, 3)), Labelled(X[:3], y[:3]), 1e-30) is None
    model = KernelRidgeRegressor("laplacian", alphas=(1e-30, 0.1), random_state=0).fit(X, y)
    assert model.alpha_ == 0.1
    with pytest.raises(TrainingError, match="allow larger penalties"):
        KernelRidgeRegressor("laplacian", alphas=(1e-30,)).fit(X, y)


# Gaussian process


def draw_from_gp(n, noise, seed, d=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    covariance = 4 * RBF(1.5)(X) + 1e-9 * np.eye(n)
    signal = np.linalg.cholesky(covariance) @ rng.normal(size=n)
    return X, 20 + 10 * (signal + noise * rng.normal(size=n))


def test_std_is_calibrated_on_draws_from_a_gp():
    scores = []
    for seed in range(5):
        X, y = draw_from_gp(400, 0.5, seed)
        model = GPRegressor(max_rows=200, hyper_rows=150, random_state=0)
        model.fit(X[:250], y[:250], **held_out(X, y))
        scores.append((model.predict(X[250:]) - y[250:]) / model.predict_std(X[250:]))
        assert model.noise_ * model.target_scale_**2 == pytest.approx(25, rel=0.5)
    scores = np.concatenate(scores)  # 750 of unit variance: standard error 0.05 of the square
    assert np.square(scores).mean() == pytest.approx(1, abs=0.2)
    assert (np.abs(scores) < 1).mean() == pytest.approx(0.683, abs=0.06)
    assert (np.abs(scores) < 1.96).mean() == pytest.approx(0.95, abs=0.03)


def test_std_grows_away_from_the_data_and_has_the_unit_of_the_target():
    X, y = draw_from_gp(100, 0.1, 0)
    model = GPRegressor(random_state=0).fit(X, y)
    near, far = model.predict_std(X[:1]), model.predict_std(X[:1] + 50)
    assert far > 3 * near
    prior = np.sqrt(model.kernel_.diag(X[:1]) + model.noise_) * model.target_scale_
    np.testing.assert_allclose(far, prior, rtol=1e-6)
    larger = GPRegressor(random_state=0).fit(X, 100 * y)
    np.testing.assert_allclose(larger.predict_std(X), 100 * model.predict_std(X), rtol=1e-3)


def test_gp_conditions_as_scikit_learn_does():
    X, y = draw_from_gp(90, 0.3, 1)
    model = GPRegressor(random_state=0).fit(X[:60], y[:60], **held_out(X, y))
    kernel = model.kernel_ + WhiteKernel(model.noise_)
    reference = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None)
    reference.fit(model.scaler_.transform(X[:60]), (y[:60] - y[:60].mean()) / y[:60].std())
    mean, std = reference.predict(model.scaler_.transform(X), return_std=True)
    np.testing.assert_allclose(model.predict(X), mean * y[:60].std() + y[:60].mean(), rtol=1e-8)
    np.testing.assert_allclose(model.predict_std(X), std * y[:60].std(), rtol=1e-8)


def test_gp_conditions_on_more_rows_than_choose_its_hyperparameters():
    X, y = draw_from_gp(300, 0.1, 2)
    options = {"hyper_rows": 60, "random_state": 0}
    few = GPRegressor(max_rows=60, **options).fit(X[:250], y[:250], **held_out(X, y))
    many = GPRegressor(max_rows=None, **options).fit(X[:250], y[:250], **held_out(X, y))
    assert (len(few.process_.X_train_), len(many.process_.X_train_)) == (60, 250)
    errors = [np.abs(model.predict(X[250:]) - y[250:]).mean() for model in (few, many)]
    assert errors[1] < 0.8 * errors[0]


def test_a_heavier_row_has_less_noise():
    X, y = draw_from_gp(60, 0.5, 3)
    weights = np.ones(60)
    weights[0] = 100.0
    model = GPRegressor(random_state=0).fit(X, y, weights, **held_out(X, y))
    plain = GPRegressor(random_state=0).fit(X, y, **held_out(X, y))
    miss = [abs(fitted.predict(X[:1])[0] - y[0]) for fitted in (model, plain)]
    assert miss[0] < 0.2 * miss[1]


def test_no_convergence_warning_leaks():
    X, _ = data(40)
    y = X @ np.arange(6.0)  # without noise the best noise lies at its lower bound
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = GPRegressor(random_state=0).fit(X, y, **held_out(X, y))
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(2.4) + WhiteKernel(0.1, (1e-6, 10.0))
    reference = GaussianProcessRegressor(kernel)
    with pytest.warns(ConvergenceWarning):  # scikit-learn itself does warn here
        reference.fit(model.scaler_.transform(X), (y - y.mean()) / y.std())


# trees


def test_trees_are_those_of_scikit_learn():
    X, y = data(80)
    model = ForestRegressor(n_estimators=20, random_state=5).fit(X[:60], y[:60], **held_out(X, y))
    seed = int(np.random.default_rng(5).integers(2**31 - 1))
    reference = ExtraTreesRegressor(20, max_features=1 / 3, random_state=seed)
    targets = (y[:60] - y[:60].mean()) / y[:60].std()
    expected = reference.fit(model.scaler_.transform(X[:60]), targets)
    expected = expected.predict(model.scaler_.transform(X)) * y[:60].std() + y[:60].mean()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X[:60]), y[:60], rtol=1e-9)  # leaves of one row
    assert model.predict_std(X) is None


def test_threads_do_not_change_a_bit():
    X, y = data(80)
    found = [
        ForestRegressor(n_estimators=20, threads=threads, random_state=0).fit(X, y).predict(X)
        for threads in (1, 2)
    ]
    np.testing.assert_array_equal(*found)


# by name


def test_the_trees_of_a_forest_are_those_of_scikit_learn():
    X, y = data(80)
    weights = np.linspace(1, 2, 80)
    model = ForestRegressor(
        n_estimators=20, min_samples_leaf=2, random_state=np.random.default_rng(5)
    )
    model.fit(X, y, weights, X_val=X, y_val=y)
    reference = ExtraTreesRegressor(
        20,
        max_features=1 / 3,
        min_samples_leaf=2,
        random_state=int(np.random.default_rng(5).integers(2**31 - 1)),
    )
    mean, scale = model.scaler_.mean_, model.scaler_.scale_
    reference.fit((X - mean) / scale, y, weights)
    asked = np.concatenate([X, 2 * X[::-1]])
    expected = reference.predict(np.clip((asked - mean) / scale, -10, 10))
    np.testing.assert_allclose(model.predict(asked), expected, rtol=1e-9)
    assert read_trees(model.trees_.text, "regression").n_features == 6


def test_a_forest_of_single_leaves_is_written_too():
    X, y = data(12)
    model = ForestRegressor(n_estimators=3, min_samples_leaf=12, random_state=0).fit(
        X, y, X_val=X, y_val=y
    )
    np.testing.assert_allclose(model.predict(X), y.mean())
    assert read_trees(model.trees_.text, "regression").n_features == 6
