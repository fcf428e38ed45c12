"""Scikit-learn regressors on features, and on formulas."""

# the modules that fill METHODS, in the order of tables
from xtalshift.estimators import classical_methods as _classical  # noqa: F401
from xtalshift.estimators import network_methods as _networks  # noqa: F401
from xtalshift.estimators import target_methods as _target  # noqa: F401
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.alignment import AlignedRegressor
from xtalshift.estimators.attention import AttentionRegressor
from xtalshift.estimators.base import REGRESSORS, Regressor
from xtalshift.estimators.baselines import ConstantRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.card import FormulaLabels, ModelCard
from xtalshift.estimators.classical import (
    ForestRegressor,
    GPRegressor,
    KernelRidgeRegressor,
    NeighborsRegressor,
)
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.methods import (
    METHODS,
    Method,
    MethodSettings,
    build_method,
    register_method,
    saved_methods,
)
from xtalshift.estimators.persist import load_model, save_model
from xtalshift.estimators.pipeline import FormulaRegressor
from xtalshift.estimators.predictions import FormulaPredictions
from xtalshift.estimators.quantile_trees import QuantileLightGBMRegressor
from xtalshift.estimators.robust import RobustRegressor
from xtalshift.estimators.scatter import HeteroscedasticRegressor, MCDropoutRegressor
from xtalshift.estimators.target_labels import (
    JointRegressor,
    ResidualGPRegressor,
    TargetOnlyRegressor,
)
from xtalshift.estimators.transduction import BilinearTransductionRegressor
from xtalshift.estimators.weighting import ImportanceWeightedRegressor

__all__ = [
    "METHODS",
    "REGRESSORS",
    "AlignedRegressor",
    "AttentionRegressor",
    "BilinearTransductionRegressor",
    "CALRegressor",
    "ConstantRegressor",
    "ForestRegressor",
    "FormulaLabels",
    "FormulaPredictions",
    "FormulaRegressor",
    "GPRegressor",
    "HeteroscedasticRegressor",
    "IRNetRegressor",
    "ImportanceWeightedRegressor",
    "JointRegressor",
    "KernelRidgeRegressor",
    "LightGBMRegressor",
    "MCDropoutRegressor",
    "Method",
    "MethodSettings",
    "ModelCard",
    "NeighborsRegressor",
    "QuantileLightGBMRegressor",
    "Regressor",
    "ResidualGPRegressor",
    "RidgeRegressor",
    "RobustRegressor",
    "TargetOnlyRegressor",
    "TargetedCALRegressor",
    "build_method",
    "load_model",
    "register_method",
    "save_model",
    "saved_methods",
]
