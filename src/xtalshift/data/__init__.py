"""Tables of materials: reading, the catalogue of data sets, cleaning and target transforms."""

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.data.catalog import get_entry, list_datasets, load_dataset
    from xtalshift.data.clean import clean_table
    from xtalshift.data.columns import table_from_frame
    from xtalshift.data.dataset import Dataset
    from xtalshift.data.files import find_formula_column
    from xtalshift.data.frames import iter_frames, read_frame
    from xtalshift.data.intake import CleaningReport
    from xtalshift.data.materials import Materials
    from xtalshift.data.readers import read_table
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

# module of each name, loaded at first use, because some commands need no pandas
_HOMES = {
    "TRANSFORMS": "xtalshift.data.transform",
    "CleaningReport": "xtalshift.data.intake",
    "Dataset": "xtalshift.data.dataset",
    "Materials": "xtalshift.data.materials",
    "TargetTransform": "xtalshift.data.transform",
    "clean_table": "xtalshift.data.clean",
    "find_formula_column": "xtalshift.data.files",
    "get_entry": "xtalshift.data.catalog",
    "iter_frames": "xtalshift.data.frames",
    "list_datasets": "xtalshift.data.catalog",
    "load_dataset": "xtalshift.data.catalog",
    "read_frame": "xtalshift.data.frames",
    "read_table": "xtalshift.data.readers",
    "table_from_frame": "xtalshift.data.columns",
}


__getattr__ = lazy_names(__name__, _HOMES)
