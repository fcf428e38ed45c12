"""Predict properties of materials unlike the training data, and say how far to trust each one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtalshift._version import __version__
from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.benchmark.engine import run_benchmark as run_benchmark
    from xtalshift.chem import parse_formula as parse_formula
    from xtalshift.client import Client as Client
    from xtalshift.data import Dataset as Dataset
    from xtalshift.data import clean_table as clean_table
    from xtalshift.data import load_dataset as load_dataset
    from xtalshift.data import read_table as read_table
    from xtalshift.data import read_targets as read_targets
    from xtalshift.errors import XtalshiftError as XtalshiftError
    from xtalshift.featurize import CompositionFeaturizer as CompositionFeaturizer
    from xtalshift.jobs.judge import judge as judge
    from xtalshift.jobs.predict import predict as predict
    from xtalshift.jobs.run import run as run
    from xtalshift.jobs.suggest import suggest as suggest
    from xtalshift.model import FittedClassifier as FittedClassifier
    from xtalshift.model import FittedModel as FittedModel
    from xtalshift.model import FittedModels as FittedModels
    from xtalshift.model import FormulaClassifier as FormulaClassifier
    from xtalshift.model import FormulaRegressor as FormulaRegressor
    from xtalshift.model import adapt as adapt
    from xtalshift.model import calibrate as calibrate
    from xtalshift.model import fit as fit
    from xtalshift.model import fit_several as fit_several
    from xtalshift.model import load_model as load_model
    from xtalshift.model import load_models as load_models
    from xtalshift.model import save_model as save_model
    from xtalshift.screening import screen as screen
    from xtalshift.splits.audit import audit_split as audit_split

# loaded at first use, so that the import costs nothing
_HOMES = {
    "Client": "xtalshift.client",
    "CompositionFeaturizer": "xtalshift.featurize",
    "Dataset": "xtalshift.data",
    "FittedClassifier": "xtalshift.model",
    "FittedModel": "xtalshift.model",
    "FittedModels": "xtalshift.model",
    "FormulaClassifier": "xtalshift.model",
    "FormulaRegressor": "xtalshift.model",
    "XtalshiftError": "xtalshift.errors",
    "adapt": "xtalshift.model",
    "audit_split": "xtalshift.splits.audit",
    "calibrate": "xtalshift.model",
    "clean_table": "xtalshift.data",
    "fit": "xtalshift.model",
    "fit_several": "xtalshift.model",
    "judge": "xtalshift.jobs.judge",
    "load_dataset": "xtalshift.data",
    "load_model": "xtalshift.model",
    "load_models": "xtalshift.model",
    "parse_formula": "xtalshift.chem",
    "predict": "xtalshift.jobs.predict",
    "read_table": "xtalshift.data",
    "read_targets": "xtalshift.data",
    "run": "xtalshift.jobs.run",
    "run_benchmark": "xtalshift.benchmark.engine",
    "save_model": "xtalshift.model",
    "screen": "xtalshift.screening",
    "suggest": "xtalshift.jobs.suggest",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
