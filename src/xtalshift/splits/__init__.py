"""Out-of-distribution splits as scikit-learn cross-validation objects, and their audit."""

from xtalshift.splits.given_folds import ColumnSplit, PredefinedSplit
from xtalshift.splits.leave_out import FamilySplit, GroupedSplit, LeaveOutSplit, LOCOSplit
from xtalshift.splits.nested_folds import NestedFold, add_validation, nested_folds
from xtalshift.splits.random_folds import KFoldSplit, RandomSplit, StratifiedSplit
from xtalshift.splits.redundancy import RedundancySplit, drop_near, thin
from xtalshift.splits.relation_shift import FoundRelationSplit, RelationSplit
from xtalshift.splits.soap_clusters import SOAPLOCOSplit
from xtalshift.splits.sparse_regions import (
    CovariateSplit,
    FarthestPointSplit,
    SparseXSplit,
    SparseYSplit,
)
from xtalshift.splits.splitter import SPLITTERS, Fold, HoldOut, Region, Rows, Splitter
from xtalshift.splits.target_labels import add_targets
from xtalshift.splits.target_like import PropensitySplit
from xtalshift.splits.target_tails import MatExSplit, PriorSplit
from xtalshift.splits.time_split import TimeSplit

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
    "SOAPLOCOSplit",
    "SparseXSplit",
    "SparseYSplit",
    "Splitter",
    "StratifiedSplit",
    "TimeSplit",
    "add_targets",
    "add_validation",
    "drop_near",
    "nested_folds",
    "thin",
]
