"""Read a file, or a data set by name, as a `Dataset`."""

from __future__ import annotations

from pathlib import Path

from xtalshift.chem.formulas import Hydrates
from xtalshift.data.catalog import list_datasets, load_dataset
from xtalshift.data.columns import guess_target, table_from_frame
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import READABLE, find_formula_column, naming_table
from xtalshift.data.frames import read_frame
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError, DataError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss


def read_table(
    path_or_name: str | Path,
    *,
    target: str | None = None,
    formula_col: str | None = None,
    id_col: str | None = None,
    unit: str = "",
    hydrates: Hydrates = "refuse",
    progress: Progress = NO_PROGRESS,
    need_target: bool = True,
) -> Dataset:
    """Read labelled materials from a file, or a data set of the catalogue.

    Parameters
    ----------
    path_or_name : str or Path
        An existing file, or a name such as ``"ricci_seebeck"``.
    target : str, optional
        Column to predict; by default that of the data set, or the only numeric column of a file.
    formula_col, id_col : str, optional
        Columns of a file; by default those with a usual name.
    unit : str
        Unit of the target, if the catalogue does not know it.
    hydrates : {"refuse", "expand"}
        See `xtalshift.chem.formulas.parse_formula`.
    progress : Progress
        Reports downloads.
    need_target : bool
        Whether a file without a clear target column is an error; if not, only `target` is read.

    Returns
    -------
    Dataset
        All rows: nothing is dropped, and a cell that is not a number is NaN with a reason in
        `problems`.

    Raises
    ------
    DataError
        If there is neither such a file nor such a data set, the file cannot be read, or a column
        does not exist.
    FetchError
        If a data set cannot be downloaded.
    """
    path, name = Path(path_or_name), str(path_or_name)
    if name in list_datasets() and not path.is_file():
        if formula_col is not None or id_col is not None:
            raise ConfigError(f"the columns of {name} are known: omit formula and id column")
        return load_dataset(name, target=target, unit=unit, hydrates=hydrates, progress=progress)
    if not path.exists():
        hint = near_miss(name, list_datasets())
        raise DataError(
            f"{name!r} is neither a file nor a data set{hint or '.'} Readable are {READABLE}, "
            "and the names that 'xtalshift datasets list' shows"
        )
    protected = [name for name in (formula_col, id_col) if name]
    frame = read_frame(path, text_columns=protected)
    with naming_table(path):
        if target is None and need_target:
            formula = find_formula_column(frame.columns, formula_col)
            others = frame.drop(columns=[formula, *([id_col] if id_col in frame else [])])
            target = guess_target(others)
        return table_from_frame(
            frame,
            target=target,
            formula_col=formula_col,
            id_col=id_col,
            unit=unit,
            source=path.name,
            hydrates=hydrates,
        )


def read_configured(
    data: DataConfig, *, progress: Progress = NO_PROGRESS, need_target: bool = True
) -> Dataset:
    """Read the table that settings name; arguments and errors as in `read_table`."""
    return read_table(
        data.dataset,
        target=data.target,
        formula_col=data.formula_col,
        id_col=data.id_col,
        unit=data.unit,
        hydrates=data.hydrates,
        progress=progress,
        need_target=need_target,
    )
