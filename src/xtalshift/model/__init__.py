"""A fitted model: what fits it, adapts it, calibrates it, predicts with it, and keeps it."""

from xtalshift.model.card import FormulaLabels, ModelCard
from xtalshift.model.formula_regressor import FormulaRegressor
from xtalshift.model.persist import load_model, save_model
from xtalshift.model.predictions import FormulaPredictions

__all__ = [
    "FormulaLabels",
    "FormulaPredictions",
    "FormulaRegressor",
    "ModelCard",
    "load_model",
    "save_model",
]
