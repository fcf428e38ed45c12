"""Tables of materials: reading, the catalogue of data sets, cleaning and target transforms."""

from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

if TYPE_CHECKING:
    from xtalshift.data.catalog import get_entry as get_entry
    from xtalshift.data.catalog import list_datasets as list_datasets
    from xtalshift.data.catalog import load_dataset as load_dataset
    from xtalshift.data.clean import clean_table as clean_table
    from xtalshift.data.columns import table_from_frame as table_from_frame
    from xtalshift.data.dataset import Dataset as Dataset
    from xtalshift.data.files import find_formula_column as find_formula_column
    from xtalshift.data.frames import RawTable as RawTable
    from xtalshift.data.frames import iter_raw as iter_raw
    from xtalshift.data.frames import read_frame as read_frame
    from xtalshift.data.frames import read_raw as read_raw
    from xtalshift.data.intake import CleaningReport as CleaningReport
    from xtalshift.data.materials import Materials as Materials
    from xtalshift.data.readers import read_table as read_table
    from xtalshift.data.several import read_targets as read_targets
    from xtalshift.data.transform import TRANSFORMS as TRANSFORMS
    from xtalshift.data.transform import TargetTransform as TargetTransform

# module of each name, loaded at first use, because some commands need no pandas
_HOMES = {
    "TRANSFORMS": "xtalshift.data.transform",
    "CleaningReport": "xtalshift.data.intake",
    "Dataset": "xtalshift.data.dataset",
    "Materials": "xtalshift.data.materials",
    "RawTable": "xtalshift.data.frames",
    "TargetTransform": "xtalshift.data.transform",
    "clean_table": "xtalshift.data.clean",
    "find_formula_column": "xtalshift.data.files",
    "get_entry": "xtalshift.data.catalog",
    "iter_raw": "xtalshift.data.frames",
    "list_datasets": "xtalshift.data.catalog",
    "load_dataset": "xtalshift.data.catalog",
    "read_frame": "xtalshift.data.frames",
    "read_raw": "xtalshift.data.frames",
    "read_table": "xtalshift.data.readers",
    "read_targets": "xtalshift.data.several",
    "table_from_frame": "xtalshift.data.columns",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


__getattr__ = lazy_names(__name__, _HOMES)
