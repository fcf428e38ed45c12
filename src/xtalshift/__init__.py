"""Predict properties of materials unlike the training data, and say how far to trust each one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xtalshift._version import __version__

if TYPE_CHECKING:
    from xtalshift.chem.formulas import parse_formula as parse_formula
    from xtalshift.data import Dataset as Dataset
    from xtalshift.data import clean_table as clean_table
    from xtalshift.data import list_datasets as list_datasets
    from xtalshift.data import load_dataset as load_dataset
    from xtalshift.data import read_table as read_table
    from xtalshift.errors import XtalshiftError as XtalshiftError
    from xtalshift.estimators import CALRegressor as CALRegressor
    from xtalshift.estimators import ConstantRegressor as ConstantRegressor
    from xtalshift.estimators import IRNetRegressor as IRNetRegressor
    from xtalshift.estimators import LightGBMRegressor as LightGBMRegressor
    from xtalshift.estimators import RidgeRegressor as RidgeRegressor
    from xtalshift.estimators import TargetedCALRegressor as TargetedCALRegressor
    from xtalshift.featurize import CompositionFeaturizer as CompositionFeaturizer
    from xtalshift.jobs.run import run as run
    from xtalshift.jobs.run_settings import RunConfig as RunConfig
    from xtalshift.model import FormulaRegressor as FormulaRegressor
    from xtalshift.model import load_model as load_model
    from xtalshift.model import save_model as save_model
    from xtalshift.splits import ColumnSplit as ColumnSplit
    from xtalshift.splits import CovariateSplit as CovariateSplit
    from xtalshift.splits import FamilySplit as FamilySplit
    from xtalshift.splits import FarthestPointSplit as FarthestPointSplit
    from xtalshift.splits import Fold as Fold
    from xtalshift.splits import FoundRelationSplit as FoundRelationSplit
    from xtalshift.splits import GroupedSplit as GroupedSplit
    from xtalshift.splits import KFoldSplit as KFoldSplit
    from xtalshift.splits import LeaveOutSplit as LeaveOutSplit
    from xtalshift.splits import LOCOSplit as LOCOSplit
    from xtalshift.splits import MatExSplit as MatExSplit
    from xtalshift.splits import PredefinedSplit as PredefinedSplit
    from xtalshift.splits import PriorSplit as PriorSplit
    from xtalshift.splits import PropensitySplit as PropensitySplit
    from xtalshift.splits import RandomSplit as RandomSplit
    from xtalshift.splits import RedundancySplit as RedundancySplit
    from xtalshift.splits import RelationSplit as RelationSplit
    from xtalshift.splits import SparseXSplit as SparseXSplit
    from xtalshift.splits import SparseYSplit as SparseYSplit
    from xtalshift.splits import Splitter as Splitter
    from xtalshift.splits import StratifiedSplit as StratifiedSplit
    from xtalshift.splits import TimeSplit as TimeSplit
    from xtalshift.splits import add_targets as add_targets
    from xtalshift.splits import add_validation as add_validation
    from xtalshift.splits import nested_folds as nested_folds
    from xtalshift.splits.audit import audit_split as audit_split
    from xtalshift.testing import check_splitter as check_splitter

# public name -> where it stands; loaded at first use, so that the import costs nothing
_HOMES = {
    "CALRegressor": "xtalshift.estimators",
    "ColumnSplit": "xtalshift.splits",
    "CompositionFeaturizer": "xtalshift.featurize",
    "CovariateSplit": "xtalshift.splits",
    "FamilySplit": "xtalshift.splits",
    "FarthestPointSplit": "xtalshift.splits",
    "Fold": "xtalshift.splits",
    "FormulaRegressor": "xtalshift.model",
    "FoundRelationSplit": "xtalshift.splits",
    "GroupedSplit": "xtalshift.splits",
    "IRNetRegressor": "xtalshift.estimators",
    "KFoldSplit": "xtalshift.splits",
    "LOCOSplit": "xtalshift.splits",
    "LeaveOutSplit": "xtalshift.splits",
    "LightGBMRegressor": "xtalshift.estimators",
    "MatExSplit": "xtalshift.splits",
    "Dataset": "xtalshift.data",
    "ConstantRegressor": "xtalshift.estimators",
    "PredefinedSplit": "xtalshift.splits",
    "PriorSplit": "xtalshift.splits",
    "PropensitySplit": "xtalshift.splits",
    "RandomSplit": "xtalshift.splits",
    "RedundancySplit": "xtalshift.splits",
    "RelationSplit": "xtalshift.splits",
    "RidgeRegressor": "xtalshift.estimators",
    "RunConfig": "xtalshift.jobs.run_settings",
    "SparseXSplit": "xtalshift.splits",
    "SparseYSplit": "xtalshift.splits",
    "Splitter": "xtalshift.splits",
    "StratifiedSplit": "xtalshift.splits",
    "TargetedCALRegressor": "xtalshift.estimators",
    "TimeSplit": "xtalshift.splits",
    "XtalshiftError": "xtalshift.errors",
    "add_targets": "xtalshift.splits",
    "add_validation": "xtalshift.splits",
    "audit_split": "xtalshift.splits.audit",
    "check_splitter": "xtalshift.testing",
    "clean_table": "xtalshift.data",
    "list_datasets": "xtalshift.data",
    "load_dataset": "xtalshift.data",
    "load_model": "xtalshift.model",
    "nested_folds": "xtalshift.splits",
    "parse_formula": "xtalshift.chem.formulas",
    "read_table": "xtalshift.data",
    "run": "xtalshift.jobs.run",
    "save_model": "xtalshift.model",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    from xtalshift.registry import near_miss

    raise AttributeError(f"module 'xtalshift' has no attribute {name!r}{near_miss(name, _HOMES)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
