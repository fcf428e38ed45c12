"""Tables of materials: reading, the catalogue of data sets, cleaning and target transforms."""

from xtalshift.data.catalog import get_entry, list_datasets, load_dataset
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.intake import CleaningReport
from xtalshift.data.materials import Materials
from xtalshift.data.readers import (
    find_formula_column,
    iter_frames,
    read_frame,
    read_table,
    table_from_frame,
)
from xtalshift.data.transform import TRANSFORMS, TargetTransform

__all__ = [
    "TRANSFORMS",
    "CleaningReport",
    "Dataset",
    "Materials",
    "TargetTransform",
    "clean_table",
    "find_formula_column",
    "get_entry",
    "iter_frames",
    "list_datasets",
    "load_dataset",
    "read_frame",
    "read_table",
    "table_from_frame",
]
