"""Out-of-distribution splits as scikit-learn cross-validation objects, and their audit."""

from xtalshift.splits.base import SPLITTERS, Fold, HoldOut, Region, Splitter
from xtalshift.splits.clusters import LOCOSplit
from xtalshift.splits.density import CovariateSplit
from xtalshift.splits.grouped_rows import Rows
from xtalshift.splits.groups import FamilySplit, LeaveOutSplit
from xtalshift.splits.nested import (
    NestedFold,
    add_targets,
    add_validation,
    budget_folds,
    nested_folds,
)
from xtalshift.splits.order import TimeSplit
from xtalshift.splits.predefined import ColumnSplit, PredefinedSplit, RelationSplit
from xtalshift.splits.random import GroupedSplit, KFoldSplit, RandomSplit, StratifiedSplit
from xtalshift.splits.redundancy import RedundancySplit, drop_near, thin
from xtalshift.splits.regions import FarthestPointSplit, PropensitySplit
from xtalshift.splits.relation import FoundRelationSplit, find_relations
from xtalshift.splits.sparse import SparseXSplit, SparseYSplit
from xtalshift.splits.target import MatExSplit, PriorSplit

__all__ = [
    "SPLITTERS",
    "ColumnSplit",
    "CovariateSplit",
    "FamilySplit",
    "FarthestPointSplit",
    "Fold",
    "FoundRelationSplit",
    "GroupedSplit",
    "HoldOut",
    "KFoldSplit",
    "LOCOSplit",
    "LeaveOutSplit",
    "MatExSplit",
    "NestedFold",
    "PredefinedSplit",
    "PriorSplit",
    "PropensitySplit",
    "RandomSplit",
    "RedundancySplit",
    "Region",
    "RelationSplit",
    "Rows",
    "SparseXSplit",
    "SparseYSplit",
    "Splitter",
    "StratifiedSplit",
    "TimeSplit",
    "add_targets",
    "add_validation",
    "budget_folds",
    "drop_near",
    "find_relations",
    "nested_folds",
    "thin",
]
