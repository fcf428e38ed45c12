"""Out-of-distribution splits as scikit-learn cross-validation objects."""

from xtalshift.splits.base import SPLITTERS, Splitter
from xtalshift.splits.density import CovariateSplit
from xtalshift.splits.groups import FamilySplit, RelationSplit
from xtalshift.splits.random import RandomSplit
from xtalshift.splits.target import PriorSplit

__all__ = [
    "SPLITTERS",
    "CovariateSplit",
    "FamilySplit",
    "PriorSplit",
    "RandomSplit",
    "RelationSplit",
    "Splitter",
]
