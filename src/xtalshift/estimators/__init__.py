"""Scikit-learn regressors on features, and on formulas."""

from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.alignment import AlignedRegressor
from xtalshift.estimators.attention import AttentionRegressor
from xtalshift.estimators.base import REGRESSORS, Regressor
from xtalshift.estimators.baselines import ConstantRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.classical import (
    ForestRegressor,
    GPRegressor,
    KernelRidgeRegressor,
    NeighborsRegressor,
)
from xtalshift.estimators.irnet import IRNetRegressor
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
    "REGRESSORS",
    "AlignedRegressor",
    "AttentionRegressor",
    "BilinearTransductionRegressor",
    "CALRegressor",
    "ConstantRegressor",
    "ForestRegressor",
    "GPRegressor",
    "HeteroscedasticRegressor",
    "IRNetRegressor",
    "ImportanceWeightedRegressor",
    "JointRegressor",
    "KernelRidgeRegressor",
    "LightGBMRegressor",
    "MCDropoutRegressor",
    "NeighborsRegressor",
    "QuantileLightGBMRegressor",
    "Regressor",
    "ResidualGPRegressor",
    "RidgeRegressor",
    "RobustRegressor",
    "TargetOnlyRegressor",
    "TargetedCALRegressor",
]
