"""Scikit-learn estimators on features; each is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.estimators.adaptation import TargetedCALRegressor as TargetedCALRegressor
    from xtalshift.estimators.adapted_stack import AdaptedStackClassifier as AdaptedStackClassifier
    from xtalshift.estimators.adapted_stack import AdaptedStackRegressor as AdaptedStackRegressor
    from xtalshift.estimators.attention import AttentionRegressor as AttentionRegressor
    from xtalshift.estimators.base import Classifier as Classifier
    from xtalshift.estimators.base import Regressor as Regressor
    from xtalshift.estimators.baselines import ConstantRegressor as ConstantRegressor
    from xtalshift.estimators.baselines import LightGBMRegressor as LightGBMRegressor
    from xtalshift.estimators.baselines import (
        QuantileLightGBMRegressor as QuantileLightGBMRegressor,
    )
    from xtalshift.estimators.baselines import RidgeRegressor as RidgeRegressor
    from xtalshift.estimators.bounds import TargetBounds as TargetBounds
    from xtalshift.estimators.cal import CALRegressor as CALRegressor
    from xtalshift.estimators.class_predictors import ClassPredictor as ClassPredictor
    from xtalshift.estimators.classical import ForestRegressor as ForestRegressor
    from xtalshift.estimators.classical import GPRegressor as GPRegressor
    from xtalshift.estimators.classical import NeighborsRegressor as NeighborsRegressor
    from xtalshift.estimators.classifiers import ConstantClassifier as ConstantClassifier
    from xtalshift.estimators.classifiers import ForestClassifier as ForestClassifier
    from xtalshift.estimators.classifiers import LightGBMClassifier as LightGBMClassifier
    from xtalshift.estimators.classifiers import LogisticClassifier as LogisticClassifier
    from xtalshift.estimators.classifiers import NeighborsClassifier as NeighborsClassifier
    from xtalshift.estimators.classifiers import RecalibrationClassifier as RecalibrationClassifier
    from xtalshift.estimators.finetuned import FineTunedCHGNetRegressor as FineTunedCHGNetRegressor
    from xtalshift.estimators.irnet import AlignedRegressor as AlignedRegressor
    from xtalshift.estimators.irnet import HeteroscedasticRegressor as HeteroscedasticRegressor
    from xtalshift.estimators.irnet import IRNetRegressor as IRNetRegressor
    from xtalshift.estimators.irnet import MCDropoutRegressor as MCDropoutRegressor
    from xtalshift.estimators.irnet import RobustRegressor as RobustRegressor
    from xtalshift.estimators.kernels import KernelRidgeRegressor as KernelRidgeRegressor
    from xtalshift.estimators.kernels import SVRegressor as SVRegressor
    from xtalshift.estimators.multitask import MultiTaskRegressor as MultiTaskRegressor
    from xtalshift.estimators.network_classifiers import AlignedClassifier as AlignedClassifier
    from xtalshift.estimators.network_classifiers import CALClassifier as CALClassifier
    from xtalshift.estimators.network_classifiers import IRNetClassifier as IRNetClassifier
    from xtalshift.estimators.network_classifiers import RobustClassifier as RobustClassifier
    from xtalshift.estimators.ordinal import OrdinalClassifier as OrdinalClassifier
    from xtalshift.estimators.predictors import PREDICTORS as PREDICTORS
    from xtalshift.estimators.predictors import Predictor as Predictor
    from xtalshift.estimators.scikit import ScikitRegressor as ScikitRegressor
    from xtalshift.estimators.stack import StackClassifier as StackClassifier
    from xtalshift.estimators.stack import StackRegressor as StackRegressor
    from xtalshift.estimators.trend import TrendLightGBMRegressor as TrendLightGBMRegressor
    from xtalshift.estimators.wrapped import (
        ImportanceWeightedRegressor as ImportanceWeightedRegressor,
    )
    from xtalshift.estimators.wrapped import JointRegressor as JointRegressor
    from xtalshift.estimators.wrapped import ResidualGPRegressor as ResidualGPRegressor
    from xtalshift.estimators.wrapped import TargetOnlyRegressor as TargetOnlyRegressor

HOMES = {
    "AdaptedStackClassifier": "xtalshift.estimators.adapted_stack",
    "AdaptedStackRegressor": "xtalshift.estimators.adapted_stack",
    "AlignedRegressor": "xtalshift.estimators.irnet",
    "AttentionRegressor": "xtalshift.estimators.attention",
    "CALRegressor": "xtalshift.estimators.cal",
    "ConstantClassifier": "xtalshift.estimators.classifiers",
    "ConstantRegressor": "xtalshift.estimators.baselines",
    "FineTunedCHGNetRegressor": "xtalshift.estimators.finetuned",
    "ForestClassifier": "xtalshift.estimators.classifiers",
    "ForestRegressor": "xtalshift.estimators.classical",
    "GPRegressor": "xtalshift.estimators.classical",
    "HeteroscedasticRegressor": "xtalshift.estimators.irnet",
    "IRNetRegressor": "xtalshift.estimators.irnet",
    "ImportanceWeightedRegressor": "xtalshift.estimators.wrapped",
    "JointRegressor": "xtalshift.estimators.wrapped",
    "KernelRidgeRegressor": "xtalshift.estimators.kernels",
    "LightGBMClassifier": "xtalshift.estimators.classifiers",
    "LightGBMRegressor": "xtalshift.estimators.baselines",
    "LogisticClassifier": "xtalshift.estimators.classifiers",
    "MCDropoutRegressor": "xtalshift.estimators.irnet",
    "MultiTaskRegressor": "xtalshift.estimators.multitask",
    "NeighborsClassifier": "xtalshift.estimators.classifiers",
    "NeighborsRegressor": "xtalshift.estimators.classical",
    "OrdinalClassifier": "xtalshift.estimators.ordinal",
    "CALClassifier": "xtalshift.estimators.network_classifiers",
    "IRNetClassifier": "xtalshift.estimators.network_classifiers",
    "RobustClassifier": "xtalshift.estimators.network_classifiers",
    "AlignedClassifier": "xtalshift.estimators.network_classifiers",
    "QuantileLightGBMRegressor": "xtalshift.estimators.baselines",
    "RecalibrationClassifier": "xtalshift.estimators.classifiers",
    "ResidualGPRegressor": "xtalshift.estimators.wrapped",
    "RidgeRegressor": "xtalshift.estimators.baselines",
    "RobustRegressor": "xtalshift.estimators.irnet",
    "SVRegressor": "xtalshift.estimators.kernels",
    "ScikitRegressor": "xtalshift.estimators.scikit",
    "StackClassifier": "xtalshift.estimators.stack",
    "StackRegressor": "xtalshift.estimators.stack",
    "TargetOnlyRegressor": "xtalshift.estimators.wrapped",
    "TargetedCALRegressor": "xtalshift.estimators.adaptation",
    "TrendLightGBMRegressor": "xtalshift.estimators.trend",
}
"""Module of each class, so that trees and linear models do not load PyTorch."""

_OTHERS = {
    "ClassPredictor": "xtalshift.estimators.class_predictors",
    "Classifier": "xtalshift.estimators.base",
    "PREDICTORS": "xtalshift.estimators.predictors",
    "Predictor": "xtalshift.estimators.predictors",
    "Regressor": "xtalshift.estimators.base",
    "TargetBounds": "xtalshift.estimators.bounds",
}

__all__ = [*_OTHERS, *HOMES]  # noqa: PLE0604 - the keys are strings


__getattr__ = lazy_names(__name__, HOMES | _OTHERS)
