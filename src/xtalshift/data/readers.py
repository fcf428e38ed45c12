"""Read a file, or a data set by name, as a `Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.data.catalog import get_entry, list_datasets, load_dataset
from xtalshift.data.classes import TaskChoice
from xtalshift.data.columns import guess_target, table_from_frame, target_candidates
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import READABLE, naming_table
from xtalshift.data.formula_texts import find_formulas
from xtalshift.data.frames import RawTable, read_raw
from xtalshift.data.materials import Materials
from xtalshift.data.row_weights import noise_of_rows, weigh_rows
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.data.units import unit_of_header
from xtalshift.errors import ConfigError, DataError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss

REPLICATES = "replicates"
"""The uncertainty column that stands for the scatter of rows of one material."""


def read_table(
    path_or_name: str | Path,
    *,
    target: str | None = None,
    formula_col: str | None = None,
    id_col: str | None = None,
    weight_col: str | None = None,
    uncertainty_col: str | None = None,
    structure_col: str | None = None,
    structures: str | Path | None = None,
    unit: str = "",
    task: TaskChoice = "auto",
    class_order: Sequence[str] = (),
    hydrates: Hydrates | None = None,
    amounts: Amounts | None = None,
    options: ReadingOptions | None = None,
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
    weight_col : str, optional
        Column of the weights of the rows in a fit, see `xtalshift.Dataset`.
    uncertainty_col : str, optional
        Column of the standard deviations of the measured targets.
    structure_col : str, optional
    structures : str or Path, optional
        `structure_col`, `structures`: column of crystal structures, and folder or archive of their
        files, see `xtalshift.data.settings.ReadingOptions`.
    unit : str
        Unit of the target, if neither the catalogue nor the file says it.
    task : {"auto", "regression", "classification", "ordinal"}
    class_order : sequence of str
        `task`, `class_order`: whether the target is a number or a class, see
        `xtalshift.data.classes.read_classes`.
    hydrates : {"refuse", "expand"}, optional
    amounts : {"at", "wt", "mol"}, optional
        `hydrates`, `amounts`: see `xtalshift.chem.formulas.parse_formula`.
    options : ReadingOptions, optional
        Further options of reading: separator, encoding, sheet ...; the arguments above win over its
        fields.
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
    given = {
        "formula_col": formula_col,
        "structure_col": structure_col,
        "structures": None if structures is None else str(structures),
        "hydrates": hydrates,
        "amounts": amounts,
    }
    base = {} if options is None else options.to_dict()
    return read_configured(
        DataConfig.from_dict(
            {
                "dataset": str(path_or_name),
                "target": target,
                "id_col": id_col,
                "weight_col": weight_col,
                "uncertainty_col": uncertainty_col,
                "unit": unit,
                "task": task,
                "class_order": tuple(class_order),
                **{name: base[name] for name in ReadingOptions.model_fields if name in base},
                **{name: value for name, value in given.items() if value is not None},
            }
        ),
        progress=progress,
        need_target=need_target,
    )


def read_configured(
    data: DataConfig, *, progress: Progress = NO_PROGRESS, need_target: bool = True
) -> Dataset:
    """Read the table that settings name; arguments and errors as in `read_table`."""
    path, name, target = Path(data.dataset), data.dataset, data.target
    if name in list_datasets() and not path.is_file():
        if data.formula_col is not None or data.id_col is not None:
            raise ConfigError(f"the columns of {name} are known: omit formula and id column")
        column = get_entry(name).structure_col
        if data.structures is not None or data.structure_col not in {None, column}:
            raise ConfigError(
                f"{name} has its structures in column {column!r}: omit --structures"
                if column
                else f"{name} has no crystal structures"
            )
        found = load_dataset(
            name,
            target=target,
            unit=data.unit,
            notation=data.notation,
            structures=data.structure_col is not None,
            task=data.task,
            class_order=data.class_order,
            progress=progress,
        )
        return _with_row_columns(found, data)
    check_source(name)
    return read_file(data, need_target=need_target)[1]


def check_source(name: str) -> None:
    """Raise `DataError` if a table is neither a file nor a data set, before any work."""
    if Path(name).exists() or name in list_datasets():
        return
    hint = near_miss(name, list_datasets())
    raise DataError(
        f"{name!r} is neither a file nor a data set{hint or '.'} Readable are {READABLE}, and the "
        "names that 'xtalshift datasets list' shows"
    )


def read_file(data: DataConfig, *, need_target: bool = True) -> tuple[RawTable, Dataset]:
    """Read the file that settings name, as it is and as a data set; see `read_table`.

    Without `need_target` a target that is not named is guessed only if there is one candidate.
    """
    raw = read_raw(data.dataset, data, text_columns=[data.id_col] if data.id_col else [])
    return raw, table_of(raw, data, need_target=need_target)


def table_of(
    raw: RawTable,
    data: DataConfig,
    *,
    need_target: bool = True,
    materials: Materials | None = None,
) -> Dataset:
    """Return a file that was read as the data set that settings describe, see `read_file`.

    `materials` are those of its rows, if they were read for another target.
    """
    path, target = Path(data.dataset), data.target
    with naming_table(path):
        known = {*find_formulas(raw.frame.columns, data).names, data.id_col}
        known |= {data.weight_col, data.uncertainty_col}
        if target is None:
            others = raw.frame.drop(columns=list(known & set(raw.frame.columns)))
            if need_target or len(target_candidates(others)) == 1:
                target = guess_target(others)
        dialect = raw.layout.dialect if raw.layout else None
        units = dialect.units if dialect else {}
        table = table_from_frame(
            raw,
            target=target,
            reading=data,
            id_col=data.id_col,
            unit=data.unit or units.get(target or "") or unit_of_header(target or ""),
            source=path.name,
            task=data.task,
            class_order=data.class_order,
            materials=materials,
        )
    return _with_row_columns(table, data)


def _with_row_columns(table: Dataset, data: DataConfig) -> Dataset:
    """Return the rows with what columns say of each: how much it counts, and how exact it is."""
    if data.weight_col is not None:
        table = weigh_rows(table, data.weight_col)
    if data.uncertainty_col is not None and not takes_replicates(table, data):
        table = noise_of_rows(table, data.uncertainty_col)
    return table


def takes_replicates(table: Dataset, data: DataConfig) -> bool:
    """Return whether the scatter of rows of one material is to be their uncertainty."""
    return data.uncertainty_col == REPLICATES and REPLICATES not in table.columns.columns
