"""Small problems and regressors that the tests of estimators share."""

import numpy as np

from xtalshift.errors import DataError
from xtalshift.estimators import (
    AdaptedStackRegressor,
    AlignedClassifier,
    AlignedRegressor,
    AttentionRegressor,
    CALClassifier,
    CALRegressor,
    ConstantClassifier,
    ConstantRegressor,
    ForestClassifier,
    ForestRegressor,
    GPRegressor,
    HeteroscedasticRegressor,
    ImportanceWeightedRegressor,
    IRNetClassifier,
    IRNetRegressor,
    JointRegressor,
    KernelRidgeRegressor,
    LightGBMClassifier,
    LightGBMRegressor,
    LogisticClassifier,
    MCDropoutRegressor,
    MultiTaskRegressor,
    NeighborsClassifier,
    NeighborsRegressor,
    OrdinalClassifier,
    QuantileLightGBMRegressor,
    Regressor,
    ResidualGPRegressor,
    RidgeRegressor,
    RobustClassifier,
    RobustRegressor,
    StackClassifier,
    StackRegressor,
    SVRegressor,
    TargetedCALRegressor,
    TargetOnlyRegressor,
    TrendLightGBMRegressor,
)
from xtalshift.estimators.adapted_stack import Correction
from xtalshift.estimators.stack import Member
from xtalshift.experimental.divergence_balls import DivergenceBallRegressor
from xtalshift.experimental.transduction import BilinearTransductionRegressor
from xtalshift.featurize.blocks import needs_structures
from xtalshift.methods import features_of, saved_methods

FORMULA_METHODS = tuple(name for name in saved_methods() if not needs_structures(features_of(name)))
"""The saved methods that need no crystal structures."""


class Spy(ConstantRegressor):
    """Keeps the data of its last fit."""

    uses = frozenset({"X_target", "y_target"})
    seen = None

    def _fit(self, data):
        type(self).seen = data
        super()._fit(data)


class Picky(ConstantRegressor):
    """Refuses to learn from exactly 10 rows."""

    def _fit(self, data):
        if len(data.train.y) + len(data.validation.y) == 10:
            raise DataError("10 rows are an unlucky number")
        super()._fit(data)


CPU = {"random_state": 0, "device": "cpu"}
NETWORK = {"architecture": (32, 16), **CPU}
QUICK = {"epochs": 60, "batch_size": 32, "learning_rate": 1e-2, **NETWORK}
ATTENTION = {
    "width": 16, "n_heads": 2, "dropout": 0.0, "epochs": 40, "batch_size": 32,
    "learning_rate": 1e-2, **CPU,
}  # fmt: skip
CAL = {"batch_size": 32, "learning_rate": 1e-2}
SOURCE = {"epochs": 60, "batch_size": 32, "learning_rate": 1e-2}


class Recorder(Regressor):
    """Keeps what it was given to fit; predicts the weighted mean."""

    def _fit(self, data):
        self.data_ = data
        self.mean_ = np.average(data.train.y, weights=data.train.weights)

    def _predict(self, X):
        return np.full(len(X), self.mean_)


class OwnWeights(ImportanceWeightedRegressor):
    """Takes the source rows for target rows too, so that every check weighs."""

    def fit(self, X, y, sample_weight=None, **given):
        return super().fit(X, y, sample_weight=sample_weight, X_target=X, **given)


class OwnTarget(TargetOnlyRegressor):
    """Takes the source rows for target labels, without which it cannot be fitted."""

    def fit(self, X, y, sample_weight=None, **given):
        labels = {"X_target": X, "y_target": y}
        return super().fit(X, y, sample_weight=sample_weight, **labels, **given)


# one of each base class; scikit-learn's own checks run on these
MECHANISMS = {
    "constant": ConstantRegressor(random_state=0),
    "ridge": RidgeRegressor(random_state=0),
    "lightgbm": LightGBMRegressor(n_estimators=60, random_state=0),
    "neighbors": NeighborsRegressor(n_neighbors=5, random_state=0),
    "gp": GPRegressor(random_state=0),
    "irnet": IRNetRegressor(**{**QUICK, "epochs": 40}),
    "multi-task": MultiTaskRegressor(**{**QUICK, "epochs": 40}),
    "weighted": OwnWeights(RidgeRegressor(), "classifier", random_state=0),
    "target-only": OwnTarget(RidgeRegressor(), random_state=0),
}
NETWORKS = {
    "irnet": IRNetRegressor(**QUICK),
    "ensemble": IRNetRegressor(**QUICK, n_members=2, bootstrap=True),
    "heteroscedastic": HeteroscedasticRegressor(**QUICK),
    "mc-dropout": MCDropoutRegressor(dropout=0.1, **QUICK),
    "multi-task": MultiTaskRegressor(**QUICK),
    "cal": CALRegressor(settings={"epochs": 40, **CAL}, **NETWORK),
    "cal-paper": CALRegressor("paper", {"epochs": 25, "warmup_epochs": 20, **CAL}, **NETWORK),
    "targeted-cal": TargetedCALRegressor(
        source=SOURCE, settings={"steps": 20}, validation_fraction=0.1, **NETWORK
    ),
    "cvar": RobustRegressor("cvar", **QUICK),
    "group-dro": RobustRegressor("group-dro", n_environments=3, **QUICK),
    "v-rex": RobustRegressor("v-rex", n_environments=3, **QUICK),
    "c-mixup": RobustRegressor("c-mixup", **QUICK),
    "chi2": DivergenceBallRegressor("chi2", **QUICK),
    "kl": DivergenceBallRegressor("kl", **QUICK),
    "coral": AlignedRegressor("coral", **QUICK),
    "mmd": AlignedRegressor("mmd", **QUICK),
    "attention": AttentionRegressor(**ATTENTION),
}
REGRESSORS = {
    **MECHANISMS,
    **NETWORKS,
    "median": ConstantRegressor("median", random_state=0),
    "quantile": QuantileLightGBMRegressor(n_estimators=60, random_state=0),
    "nearest": NeighborsRegressor(random_state=0),
    "kernel-ridge": KernelRidgeRegressor(random_state=0),
    "svr": SVRegressor(random_state=0),
    "trend": TrendLightGBMRegressor(n_estimators=60, random_state=0),
    "squared": LightGBMRegressor(n_estimators=60, loss="squared", random_state=0),
    "huber": LightGBMRegressor(n_estimators=60, loss="huber", random_state=0),
    "forest": ForestRegressor(n_estimators=40, random_state=0),
    "bilinear": BilinearTransductionRegressor(
        widths=(32, 32), embedding=8, batch_size=64, epochs=12, steps=25, differences=256,
        learning_rate=5e-3, **CPU,
    ),
    "stack": StackRegressor(
        [
            Member("ridge", RidgeRegressor()),
            Member("ridge@asinh", RidgeRegressor(), "asinh"),
            Member("svr", SVRegressor()),
            Member("lightgbm", LightGBMRegressor(n_estimators=60)),
            Member("network", IRNetRegressor(**QUICK, weights="last")),
        ],
        random_state=0,
    ),
    "adapted-stack": AdaptedStackRegressor(
        RidgeRegressor(),
        members=[
            Correction("line", RidgeRegressor(), "start", "errors"),
            Correction("svr", SVRegressor(), "both", "errors", "asinh"),
            Correction("joint", LightGBMRegressor(), "features", "targets", replays=True),
        ],
        random_state=0,
    ),
    "joint": JointRegressor(RidgeRegressor(), random_state=0),
    "residual-gp": ResidualGPRegressor(IRNetRegressor(**QUICK), random_state=0),
}  # fmt: skip


CLASSIFIERS = {
    "shares": ConstantClassifier(random_state=0),
    "logistic": LogisticClassifier(random_state=0),
    "boosted": LightGBMClassifier(n_estimators=60, random_state=0),
    "class-forest": ForestClassifier(n_estimators=40, random_state=0),
    "class-neighbors": NeighborsClassifier(n_neighbors=5, random_state=0),
    "class-irnet": IRNetClassifier(**{**QUICK, "epochs": 30}),
    "class-ensemble": IRNetClassifier(**QUICK, n_members=2, bootstrap=True),
    "class-cal": CALClassifier(settings={"epochs": 30, **CAL}, **NETWORK),
    "class-cal-paper": CALClassifier(
        "paper", {"epochs": 25, "warmup_epochs": 20, **CAL}, **NETWORK
    ),
    "class-cvar": RobustClassifier("cvar", **QUICK),
    "class-group-dro": RobustClassifier("group-dro", n_environments=3, **QUICK),
    "class-v-rex": RobustClassifier("v-rex", n_environments=3, **QUICK),
    "class-coral": AlignedClassifier("coral", **QUICK),
    "ordinal": OrdinalClassifier(LogisticClassifier(), random_state=0),
    "class-stack": StackClassifier(
        [
            Member("logistic", LogisticClassifier()),
            Member("boosted", LightGBMClassifier(n_estimators=60)),
            Member("forest", ForestClassifier(n_estimators=40)),
            Member("ordinal", OrdinalClassifier(LogisticClassifier())),
        ],
        random_state=0,
    ),
}


def class_data(n=120, k=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    score = X[:, 0] + 0.5 * np.abs(X[:, 1]) + 0.2 * rng.normal(size=n)
    edges = np.quantile(score, np.arange(1, k) / k)
    return X, np.digitize(score, edges)


def data(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, 50 + 10 * (X[:, 0] + 0.5 * np.abs(X[:, 1]))


def held_out(X, y):
    return {"X_val": X[-20:], "y_val": y[-20:]}


def target_rows(regressor, n=30):
    """Return the target rows that a regressor uses, in the place of the source rows."""
    X = np.random.default_rng(9).normal(size=(n, 6)) + 1.0
    labels = {"X_target": X, "y_target": 50 + 10 * X[:, 0]}
    own = isinstance(regressor, OwnWeights | OwnTarget)
    return {} if own else {name: labels[name] for name in labels if name in regressor.uses}


def shorten(regressor, epochs=4):
    """Return a clone whose training is short, for what does not depend on its success."""
    from sklearn.base import clone

    short = clone(regressor)
    names = short.get_params()
    if "epochs" in names:
        short.set_params(epochs=epochs)
    elif "estimator__epochs" in names:
        short.set_params(estimator__epochs=epochs)
    elif "preset" in names:
        short.set_params(settings={**CAL, "epochs": epochs + 2, "warmup_epochs": 2})
    elif "source" in names:
        short.set_params(source={**SOURCE, "epochs": epochs}, settings={"steps": 3})
    return short
