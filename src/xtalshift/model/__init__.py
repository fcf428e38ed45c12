"""Fitted models: to fit, adapt, calibrate, save and load them, and their predictions."""

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.model.adaptation import adapt
    from xtalshift.model.calibration import calibrate
    from xtalshift.model.card import ModelCard
    from xtalshift.model.class_predictions import ClassPredictions
    from xtalshift.model.classifier import FittedClassifier
    from xtalshift.model.explaining.record import Explanation, explanation_table
    from xtalshift.model.fit_plan import FitRows
    from xtalshift.model.fitted import FittedModel
    from xtalshift.model.fitting import draw_rows, fit
    from xtalshift.model.formula_classifier import FormulaClassifier
    from xtalshift.model.formula_regressor import FormulaRegressor
    from xtalshift.model.persist import load_model, save_model
    from xtalshift.model.predictions import Predictions
    from xtalshift.model.several import FittedModels, SeveralPredictions
    from xtalshift.model.several_fitting import fit_several
    from xtalshift.model.several_folder import load_models

__all__ = [
    "ClassPredictions",
    "Explanation",
    "FitRows",
    "FittedClassifier",
    "FittedModel",
    "FittedModels",
    "FormulaClassifier",
    "FormulaRegressor",
    "ModelCard",
    "Predictions",
    "SeveralPredictions",
    "adapt",
    "calibrate",
    "draw_rows",
    "explanation_table",
    "fit",
    "fit_several",
    "load_model",
    "load_models",
    "save_model",
]

# name -> module; loaded at first use, because what predicts needs nothing of what fits
_HOMES = {
    "ClassPredictions": "xtalshift.model.class_predictions",
    "Explanation": "xtalshift.model.explaining.record",
    "FitRows": "xtalshift.model.fit_plan",
    "FittedClassifier": "xtalshift.model.classifier",
    "FittedModel": "xtalshift.model.fitted",
    "FittedModels": "xtalshift.model.several",
    "FormulaClassifier": "xtalshift.model.formula_classifier",
    "FormulaRegressor": "xtalshift.model.formula_regressor",
    "ModelCard": "xtalshift.model.card",
    "Predictions": "xtalshift.model.predictions",
    "SeveralPredictions": "xtalshift.model.several",
    "adapt": "xtalshift.model.adaptation",
    "calibrate": "xtalshift.model.calibration",
    "draw_rows": "xtalshift.model.fitting",
    "explanation_table": "xtalshift.model.explaining.record",
    "fit": "xtalshift.model.fitting",
    "fit_several": "xtalshift.model.several_fitting",
    "load_model": "xtalshift.model.persist",
    "load_models": "xtalshift.model.several_folder",
    "save_model": "xtalshift.model.persist",
}


__getattr__ = lazy_names(__name__, _HOMES)
