"""Tables of materials: reading, the catalogue of data sets, cleaning and target transforms."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

# name -> module; loaded at first use, because some commands need no pandas
_HOMES = {
    "TRANSFORMS": "transform",
    "CleaningReport": "intake",
    "Dataset": "dataset",
    "Materials": "materials",
    "TargetTransform": "transform",
    "clean_table": "clean",
    "find_formula_column": "files",
    "get_entry": "catalog",
    "iter_frames": "frames",
    "list_datasets": "catalog",
    "load_dataset": "catalog",
    "read_frame": "frames",
    "read_table": "readers",
    "table_from_frame": "columns",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
