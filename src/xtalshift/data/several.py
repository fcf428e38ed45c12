"""Read one table with several targets, of which every row may have some only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtalshift.config import split_names
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import list_names, naming_table, no_column
from xtalshift.data.formula_texts import find_formulas
from xtalshift.data.frames import read_raw
from xtalshift.data.readers import REPLICATES, read_configured, table_of
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.data.sources import open_source
from xtalshift.errors import ConfigError, DataError, UsageError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss
from xtalshift.words import plural


@dataclass(frozen=True, eq=False)
class Hole:
    """How many rows lack a target that have another one."""

    target: str
    rows: int
    of: int

    def describe(self) -> str:
        """Return it in one line."""
        have = "has" if self.rows == 1 else "have"
        return (
            f"{self.target}: {self.rows:,} of {plural(self.of, 'row')} {have} no value of it, but "
            "another"
        )


def settings_of_targets(data: DataConfig) -> dict[str, DataConfig]:
    """Return the settings of each target that `data` names, by its name and in order.

    Parameters
    ----------
    data : DataConfig
        `target` may be several names, as `xtalshift.config.split_names` reads them; a text that is
        itself the name of a column is one target. `unit` then has one unit for each of them
        (``GPa,GPa,eV``), or those of some by name (``gap=eV``).

    Returns
    -------
    dict of str to DataConfig
        One entry if one target, or none, is named.

    Raises
    ------
    UsageError
        If a target is named twice, or the units do not fit the targets.
    ConfigError
        If a column of uncertainties is named for several targets.
    """
    names = _names(data)
    if len(names) < 2:  # noqa: PLR2004 - several
        name = names[0] if names else data.target
        return {name or "": data.model_copy(update={"target": name})}
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"--target {data.target}: {repeated!r} is named twice")
    if data.uncertainty_col not in {None, REPLICATES}:
        raise ConfigError(
            f"--uncertainty-col {data.uncertainty_col} is about one target; train each of the "
            f"{len(names)} targets by a command of its own"
        )
    units = split_units(data.unit, names)
    return {
        name: data.model_copy(update={"target": name, "unit": units.get(name, "")})
        for name in names
    }


def _names(data: DataConfig) -> list[str]:
    if data.target is None:
        return []
    path = Path(data.dataset)
    if (
        "," in data.target
        and path.exists()
        and data.target in open_source(path, data).layout.columns
    ):
        return [data.target]
    return split_names(data.target) if {",", '"'} & set(data.target) else [data.target]


def check_columns(data: DataConfig, out: Path) -> None:
    """Raise `DataError` if a file lacks a column that settings name, and something is at `out`.

    What is there may be refused next; to hear of it first would be to mend it for nothing.
    """
    path = Path(data.dataset)
    if not (out.exists() and path.is_file()):
        return
    names = list(open_source(path, data).layout.columns)
    with naming_table(path):
        find_formulas(names, data)
        if data.id_col is not None and data.id_col not in names:
            raise DataError(no_column("id column", data.id_col, names))
        for target in _names(data):
            if target not in names:
                raise DataError(no_column("target column", target, names))


def split_units(text: str, names: Sequence[str]) -> dict[str, str]:
    """Return the unit of each target that `text` gives one.

    Examples
    --------
    >>> split_units("GPa,eV", ["bulk", "gap"]), split_units("gap=eV", ["bulk", "gap"])
    ({'bulk': 'GPa', 'gap': 'eV'}, {'gap': 'eV'})
    """
    given = split_names(text)
    if not given:
        return {}
    pairs = [unit.partition("=") for unit in given]
    if all(equals for _, equals, _ in pairs):
        for name, _, _ in pairs:
            if name not in names:
                raise UsageError(
                    f"--unit {text}: {name!r} is no target{near_miss(name, names)}. Targets: "
                    f"{list_names(names)}"
                )
        return {name: unit for name, _, unit in pairs}
    if len(given) != len(names):
        raise UsageError(
            f"--unit {text}: {plural(len(given), 'unit')} for {plural(len(names), 'target')}; give "
            f"one for each, in their order, or name them: --unit {names[0]}={given[0]}"
        )
    return dict(zip(names, given, strict=True))


def read_targets(
    path_or_name: str | Path,
    targets: Sequence[str],
    *,
    units: Mapping[str, str] | None = None,
    id_col: str | None = None,
    weight_col: str | None = None,
    options: ReadingOptions | None = None,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Dataset]:
    """Read a table, or a data set of the catalogue, with several targets.

    Parameters
    ----------
    path_or_name : str or Path
        As in `xtalshift.read_table`.
    targets : sequence of str
        Columns to predict.
    units : mapping of str to str, optional
        Unit of each target that neither the catalogue nor the file says.
    id_col, weight_col : str, optional
        As in `xtalshift.read_table`.
    options : ReadingOptions, optional
        How the table is read.
    progress : Progress
        Reports downloads.

    Returns
    -------
    dict of str to Dataset
        One data set per target, in order, with the rows that have a value of it or of no target;
        `Dataset.row_numbers` are those of the table. The formulas are parsed once.

    Raises
    ------
    DataError, FetchError
        As `xtalshift.read_table`.
    UsageError
        If a target is named twice.
    """
    base = {} if options is None else options.to_dict()
    quoted = list_names(targets)
    given = {"dataset": str(path_or_name), "id_col": id_col, "weight_col": weight_col, **base}
    data = DataConfig.from_dict({**given, "target": quoted})
    settings = {
        name: one.model_copy(update={"unit": (units or {}).get(name, "")})
        for name, one in settings_of_targets(data).items()
    }
    return read_settings(settings, progress)[0]


def read_settings(
    settings: Mapping[str, DataConfig], progress: Progress = NO_PROGRESS
) -> tuple[dict[str, Dataset], tuple[Hole, ...]]:
    """Read the tables of `settings_of_targets`, and say which rows lack which target.

    Raises
    ------
    DataError, FetchError
        As `xtalshift.read_table`.
    """
    first = next(iter(settings.values()))
    tables: dict[str, Dataset] = {}
    if Path(first.dataset).exists():
        raw = read_raw(first.dataset, first, text_columns=[first.id_col] if first.id_col else [])
        materials = None
        for name, one in settings.items():
            tables[name] = table_of(raw, one, materials=materials)
            materials = tables[name].materials
    else:
        tables = {name: read_configured(one, progress=progress) for name, one in settings.items()}
    return _without_holes(tables)


def _without_holes(
    tables: Mapping[str, Dataset],
) -> tuple[dict[str, Dataset], tuple[Hole, ...]]:
    """Leave out of each table the rows that lack its target and have another."""
    lacks = np.array([_blank(table) for table in tables.values()])
    nothing = lacks.all(axis=0)
    kept, holes = {}, []
    for (name, table), blank in zip(tables.items(), lacks, strict=True):
        hole = blank & ~nothing
        kept[name] = table.take(~hole) if hole.any() else table
        if hole.any():
            holes.append(Hole(name, int(hole.sum()), len(table)))
    return kept, tuple(holes)


def _blank(table: Dataset) -> NDArray[np.bool_]:
    if table.problems is not None:
        return np.asarray(table.problems == "missing", dtype=np.bool_)
    return np.isnan(table.y)


def check_same_table(tables: Mapping[str, Dataset]) -> None:
    """Raise `DataError` unless the data sets of several targets are rows of one table.

    Rows of one number must be of one material.
    """
    seen: dict[int, str] = {}
    for name, table in tables.items():
        for number, key in zip(table.row_numbers.tolist(), table.groups.tolist(), strict=True):
            if seen.setdefault(number, key) != key:
                raise DataError(
                    f"row {number} is {key!r} in the data set of {name!r} and {seen[number]!r} in "
                    "another: they are not of one table; read them together with read_targets"
                )
