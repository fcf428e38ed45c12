"""Scikit-learn regressors on features, and on formulas."""

from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.estimators.base import REGRESSORS, Regressor
from xtalshift.estimators.baselines import LightGBMRegressor, MeanRegressor, RidgeRegressor
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.methods import METHODS, MethodSettings, build_method
from xtalshift.estimators.persist import load_model, save_model
from xtalshift.estimators.pipeline import (
    FormulaLabels,
    FormulaPredictions,
    FormulaRegressor,
    ModelCard,
)

__all__ = [
    "METHODS",
    "REGRESSORS",
    "CALRegressor",
    "FormulaLabels",
    "FormulaPredictions",
    "FormulaRegressor",
    "IRNetRegressor",
    "LightGBMRegressor",
    "MeanRegressor",
    "MethodSettings",
    "ModelCard",
    "Regressor",
    "RidgeRegressor",
    "TargetedCALRegressor",
    "build_method",
    "load_model",
    "save_model",
]
