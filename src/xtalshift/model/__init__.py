"""Fitted models: to fit, adapt, calibrate, save and load them, and their predictions."""

from xtalshift.model.adaptation import adapt
from xtalshift.model.calibration import calibrate
from xtalshift.model.card import ModelCard
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import FitRows, draw_rows, fit
from xtalshift.model.formula_regressor import FormulaRegressor
from xtalshift.model.persist import load_model, save_model
from xtalshift.model.predictions import Predictions

__all__ = [
    "FitRows",
    "FittedModel",
    "FormulaRegressor",
    "ModelCard",
    "Predictions",
    "adapt",
    "calibrate",
    "draw_rows",
    "fit",
    "load_model",
    "save_model",
]
