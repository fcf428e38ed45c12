"""The data sets known by name; ``catalog.toml`` describes each."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xtalshift.config import Settings
from xtalshift.errors import ConfigError, DataError, FetchError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import hash_file
from xtalshift.registry import Registry

if TYPE_CHECKING:  # pandas and httpx are needed only to load a table
    from collections.abc import Sequence

    import pandas as pd

    from xtalshift.chem.formulas import Notation
    from xtalshift.data.classes import TaskChoice
    from xtalshift.data.dataset import Dataset

_FOLDER = Path(__file__).parent
_STRUCTURES = ("structure", "final_structure")


class DatasetEntry(Settings):
    """One data set of the catalogue."""

    name: str
    title: str
    """Content, in one line."""
    url: str = ""
    """Where to download it; empty for a file of this package."""
    sha256: str
    """SHA-256 of the file."""
    file_type: str
    formula: str
    """Column of formulas; a structure is read as its formula."""
    id: str = ""
    """Column of ids; empty for row numbers."""
    target: str
    """The default target column."""
    columns: tuple[str, ...]
    units: dict[str, str]
    """Known units by column; "1" means dimensionless."""
    conditions: str
    licence: str
    citation: str
    reference: str = ""
    """DOI or address."""
    n_rows: int

    @property
    def structure_col(self) -> str | None:
        """Column of crystal structures; None without."""
        return next((name for name in _STRUCTURES if name in self.columns), None)

    @property
    def file_name(self) -> str:
        """Name of the file in the cache or in this package."""
        return f"{self.name}.{self.file_type}"


def list_datasets() -> tuple[str, ...]:
    """Return the names of the catalogue, in its order."""
    return tuple(_catalogue())


def get_entry(name: str) -> DatasetEntry:
    """Return the catalogue's description of a data set.

    Raises
    ------
    NotFoundError
        If the name is unknown; the message names the nearest one.
    """
    return _catalogue()[name]


def dataset_path(name: str, *, progress: Progress = NO_PROGRESS) -> Path:
    """Return the verified file of a data set, downloaded if necessary.

    Raises
    ------
    NotFoundError
        If the name is unknown.
    FetchError
        If it cannot be downloaded or does not match its checksum.
    """
    from xtalshift.data.fetch import cache_folder, fetch

    entry = get_entry(name)
    if entry.url:
        return fetch(entry.url, entry.sha256, cache_folder() / entry.file_name, progress=progress)
    path = _FOLDER / entry.file_name
    found = hash_file(path) if path.is_file() else "no file"
    if found != entry.sha256:
        raise FetchError(
            f"{path}, which holds data set {name!r}, is damaged: expected sha256 {entry.sha256}, "
            f"got {found}; install xtalshift again"
        )
    return path


def load_dataset(
    name: str,
    *,
    target: str | None = None,
    unit: str = "",
    notation: Notation | None = None,
    structures: bool = False,
    task: TaskChoice = "auto",
    class_order: Sequence[str] = (),
    progress: Progress = NO_PROGRESS,
) -> Dataset:
    """Return a data set by name.

    Parameters
    ----------
    name : str
        A name of the catalogue, such as ``"ricci_seebeck"``, which needs no download.
    target : str, optional
        Target column; by default that of the catalogue.
    unit : str
        Unit of the target if the catalogue has none.
    notation : Notation, optional
        How formulas are read that can be read in two ways; by default they are refused.
    structures : bool
        Whether to read the crystal structures, and not only the formulas.
    task, class_order
        Whether the target is a number or a class, see `xtalshift.data.classes.read_classes`.
    progress : Progress
        Receives the progress of the download.

    Returns
    -------
    Dataset
        All published rows.

    Raises
    ------
    NotFoundError
        If the name is unknown.
    FetchError
        If the file cannot be downloaded or is damaged.
    ConfigError
        If it has no structures to read, or the libraries for them are not installed.
    DataError
        If the target column does not exist, or the number of rows is not that of the catalogue.
    """
    from xtalshift.data.columns import table_from_frame
    from xtalshift.data.frames import read_frame
    from xtalshift.data.settings import ReadingOptions

    entry = get_entry(name)
    if structures and entry.structure_col is None:
        raise ConfigError(f"data set {name!r} has no crystal structures; use its formulas")
    path = dataset_path(name, progress=progress)
    protected = [column for column in (entry.formula, entry.id) if column]
    reading = ReadingOptions(
        formula_col=None if structures else entry.formula,
        structure_col=entry.structure_col if structures else None,
        hydrates=notation.hydrates if notation else None,
        amounts=notation.amounts if notation else None,
    )
    frame = read_frame(path, reading, text_columns=protected)
    if not entry.url:
        frame = _join_decimals(frame)
    if len(frame) != entry.n_rows:
        raise DataError(f"data set {name!r} has {len(frame)} rows, expected {entry.n_rows}")
    target = target or entry.target
    return table_from_frame(
        frame,
        target=target,
        reading=reading,
        id_col=entry.id or None,
        unit=entry.units.get(target, unit),
        source=name,
        conditions=entry.conditions,
        task=task,
        class_order=class_order,
    )


@cache
def _catalogue() -> Registry[DatasetEntry]:
    catalogue = Registry[DatasetEntry]("data set")
    for name, values in tomllib.loads((_FOLDER / "catalog.toml").read_text("utf-8")).items():
        catalogue.add(name, DatasetEntry.from_dict({"name": name, **values}))
    return catalogue


def _join_decimals(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace the columns ``x.digits`` and ``x.exponent`` of a table of the package by ``x``.

    Published decimals compress better as two integers than as doubles. Digits are below 2**53 and
    powers of ten below 1e22, so both are exact as doubles; the product or quotient is the only
    rounding, and the result is the double nearest to the decimal.
    """
    import numpy as np
    import pandas as pd

    columns = {}
    for column in frame.columns:
        name, _, part = str(column).rpartition(".")
        if part == "digits":
            digits = frame[column].to_numpy(dtype=np.float64)
            exponent = frame[f"{name}.exponent"].to_numpy(dtype=np.float64)
            power = 10.0 ** np.abs(exponent)
            columns[name] = np.where(exponent < 0, digits / power, digits * power)
        elif part != "exponent":
            columns[column] = frame[column]
    return pd.DataFrame(columns)
