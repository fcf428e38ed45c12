"""From the name of a scheme and plain parameters to a splitter for a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from xtalshift.chem.composition_labels import LABELLINGS, blank_labels
from xtalshift.chem.compositions import AS_WRITTEN, Compositions
from xtalshift.chem.formulas import Notation
from xtalshift.data import Dataset, list_datasets, read_raw
from xtalshift.data.catalog import load_dataset
from xtalshift.data.files import first_reason
from xtalshift.data.settings import BY_DEFAULT
from xtalshift.errors import ConfigError, DataError, SplitError, UsageError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss
from xtalshift.seeding import derive_seed
from xtalshift.splits import SPLITTERS, Splitter
from xtalshift.splits.fold_files import read_folds
from xtalshift.structure import Structures, read_structures
from xtalshift.structure.labels import STRUCTURE_LABELS, label_structures
from xtalshift.structure.symmetry import find_structure_column


class _Features(Protocol):
    """As `xtalshift.featurize.Features`."""

    @property
    def values(self) -> NDArray[np.float64]: ...

    @property
    def reasons(self) -> NDArray[np.object_]: ...


FeaturizeFormulas = Callable[[Compositions], _Features]
FeaturizeRows = Callable[[str], NDArray[np.float64]]
"""From blocks of features to the values of the rows to split."""


def build_scheme(
    name: str,
    params: dict[str, Any],
    table: Dataset,
    *,
    notation: Notation = AS_WRITTEN,
    featurize: FeaturizeFormulas | None = None,
    featurize_rows: FeaturizeRows | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
    progress: Progress = NO_PROGRESS,
) -> Splitter:
    """Return the splitter of a scheme for the rows of a table.

    Parameters
    ----------
    name : str
        Name in `xtalshift.splits.SPLITTERS`.
    params : dict
        Arguments of the splitter as plain values: an argument with a value per row names a column
        (or a labelling, or blocks of features), one that a file can give names the file. Structures
        are those of the table.
    table : Dataset
        Has the columns and ids.
    notation : Notation
        How formulas in files are read.
    featurize : callable, optional
        From compositions to `xtalshift.featurize.Features`, for schemes that compare the table with
        the materials in a file.
    featurize_rows : callable, optional
        From blocks of features to the values of the rows, shape (n, d), for schemes that measure
        distances in features of their own.
    rows : ndarray of int64, shape (n,), optional
        The rows of the table to split, each with a readable formula; by default all.
    seed : int
        Gives `random_state` if `params` does not set it.
    progress : Progress
        Listener to the analysis of structures.

    Raises
    ------
    ConfigError
        If a parameter is unknown, missing or of the wrong type.
    DataError, SplitError
        If a column or file cannot be used.
    """
    kind = SPLITTERS[name]
    if table.classes is not None and not table.ordered and kind.role == "ood" and "y" in kind.needs:
        raise SplitError(
            f"scheme {name} holds out rows by the size of their target, and the classes of "
            f"{table.target_name!r} have no order; give one (--task ordinal --class-order), or use "
            "another scheme"
        )
    signature = inspect.signature(kind).parameters
    known = {key: one for key, one in signature.items() if kind.per_row.get(key) != "structure"}
    kept = np.arange(len(table)) if rows is None else rows
    usable = table if rows is None else table.take(rows)
    hints = get_type_hints(kind.__init__)
    values: dict[str, Any] = {
        key: _read_structures(name, usable, progress) for key in signature if key not in known
    }
    for key, value in params.items():
        if key not in known:
            hint = near_miss(key, known)
            raise ConfigError(
                f"scheme {name} has no parameter {key!r}{hint}. It has: "
                f"{', '.join(known) or 'none'}."
            )
        if key in kind.per_row and isinstance(value, str):
            held = kind.per_row[key]
            values[key] = (
                _featurize(key, value, featurize_rows)
                if held == "features"
                else _read_column(held, value, usable, progress)
            )
            if held == "one label" and not isinstance(values[key], str):
                _need_labels(values[key], value, table, kept)
        elif key in kind.from_file and isinstance(value, str):
            values[key] = _read_file(kind.from_file[key], value, table, kept, notation, featurize)
        elif key in kind.per_row or key in kind.from_file:
            values[key] = value
        else:
            values[key] = _validate(name, key, value, hints[key])
    if "random_state" in known and "random_state" not in values:
        values["random_state"] = derive_seed(seed, f"{name} split")
    missing = [
        key
        for key, parameter in known.items()
        if parameter.default is inspect.Parameter.empty and key not in values
    ]
    if missing:
        what = "FILE" if missing[0] in kind.from_file else "COLUMN"
        raise ConfigError(f"scheme {name} needs the parameter {missing[0]}={what}")
    return kind(**values)


@dataclass(frozen=True)
class Scheme:
    """A scheme in the words of `--schemes` and of the documentation."""

    name: str
    """Name in `xtalshift.splits.SPLITTERS`."""
    summary: str
    """What it holds out: the first paragraph of the docstring."""
    aim: str
    """The kind of shift aimed at."""
    params: str
    """The parameters with their defaults, ``name=value``, joined by spaces."""


def list_schemes() -> list[Scheme]:
    """Return every scheme, sorted by name."""
    found = []
    for name in sorted(SPLITTERS):
        kind = SPLITTERS[name]
        params = []
        for key, parameter in inspect.signature(kind).parameters.items():
            if kind.per_row.get(key) == "features":
                params.append(f"{key}=BLOCKS")
            elif kind.per_row.get(key) == "structure":
                continue  # the table has them
            elif key in kind.per_row:
                shown = "COLUMN" if parameter.default is parameter.empty else parameter.default
                params.append(f"{key}={shown or 'COLUMN'}")
            elif key in kind.from_file:
                params.append(f"{key}=FILE")
            elif key != "random_state":
                shown = "" if parameter.default is None else parameter.default
                params.append(f"{key}={str(shown).lower() if isinstance(shown, bool) else shown}")
        summary = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
        found.append(Scheme(name, summary, kind.aim, " ".join(params)))
    return found


def _validate(scheme: str, key: str, value: Any, hint: Any) -> Any:
    # a seed is a whole number here: no text can give a generator
    wanted: Any = int if key == "random_state" else hint
    adapter: TypeAdapter[Any] = TypeAdapter(wanted, config=ConfigDict(coerce_numbers_to_str=True))
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"scheme {scheme}, parameter {key} = {value!r}: {message}") from error


def _read_column(kind: str, name: str, table: Dataset, progress: Progress) -> Any:
    """Return one value per row of a column, or the name of a labelling as it is."""
    if kind == "flag":
        return table.flags(name)
    if kind == "number":
        return _read_times(table, name)
    if name in LABELLINGS:
        return name
    if name in table.columns.columns:
        cells = table.columns[name]
        return cells.astype(object).where(cells.notna(), None).to_numpy()
    if name in STRUCTURE_LABELS:
        structures, unread = table_structures(table, name, progress)
        labels, reasons = label_structures(structures, name, progress=progress)
        reasons = np.where(unread == "", reasons, unread)
        bad = np.flatnonzero(reasons != "")
        if bad.size:
            number = table.row_numbers[bad[0]]
            progress.say(
                f"  {bad.size:,} structures have no {name} (row {number}: {reasons[bad[0]]})"
            )
        return labels
    choices = [*LABELLINGS, *STRUCTURE_LABELS, *map(str, table.columns.columns)]
    raise SplitError(
        f"{name!r} is neither a labelling nor a column{near_miss(name, choices)}. "
        "Labellings: "
        f"{', '.join((*LABELLINGS, *STRUCTURE_LABELS))}; columns: "
        f"{', '.join(map(str, table.columns.columns)) or 'none'}"
    )


def table_structures(
    table: Dataset, what: str, progress: Progress = NO_PROGRESS
) -> tuple[Structures, NDArray[np.object_]]:
    """Return the crystal structures of the n rows of a table, or those of its column of texts.

    Parameters
    ----------
    table : Dataset
        n rows.
    what : str
        What needs them, for the message.
    progress : Progress
        Advances by one per text.

    Returns
    -------
    structures : Structures
        n rows.
    reasons : ndarray of str, shape (n,)
        Why a text could not be read.

    Raises
    ------
    SplitError
        If the table has no structures.
    """
    if table.materials.structures is not None:
        return table.materials.structures, np.full(len(table), "", dtype=object)
    column = find_structure_column(table.columns.columns)
    if column is None:
        raise SplitError(
            f"{what} is read from a column cif, structure or poscar, and the table has none; its "
            f"columns: {', '.join(map(str, table.columns.columns)) or 'none'}"
        )
    read = read_structures(table.columns[column].astype(object).tolist(), progress=progress)
    return read.structures, read.reasons


def _featurize(key: str, blocks: str, featurize_rows: FeaturizeRows | None) -> NDArray[np.float64]:
    if featurize_rows is None:
        raise ConfigError(f"{key}={blocks}: give build_scheme `featurize_rows`")
    return featurize_rows(blocks)


def _read_structures(scheme: str, table: Dataset, progress: Progress) -> Structures:
    """Return the structures of the rows; raise `SplitError` if one cannot be read."""
    structures, reasons = table_structures(table, scheme, progress)
    bad = np.flatnonzero(reasons != "")
    if bad.size:
        raise SplitError(
            f"{scheme}: row {table.row_numbers[bad[0]]} (id {table.ids[bad[0]]}): "
            f"{reasons[bad[0]]}; drop the row"
        )
    return structures


def scheme_needs(name: str, params: dict[str, Any]) -> frozenset[str]:
    """Return what a scheme uses of the rows besides the formulas: of X, y and structures.

    Features of its own take the place of those of the table.
    """
    needs = set(SPLITTERS[name].needs)
    return frozenset(needs - {"X"} if own_features(name, params) else needs)


def own_features(name: str, params: dict[str, Any]) -> str | None:
    """Return the blocks of features that the parameters of a scheme name, None for none."""
    for key, kind in SPLITTERS[name].per_row.items():
        if kind == "features" and isinstance(params.get(key), str):
            return str(params[key])
    return None


def _need_labels(labels: NDArray[Any], name: str, table: Dataset, kept: NDArray[np.int64]) -> None:
    """Raise `SplitError` if a row lacks a label; it has the number of the row in the table."""
    bad = np.flatnonzero(blank_labels(labels))
    if bad.size:
        row = int(kept[bad[0]])
        raise SplitError(
            f"column {name!r}, row {table.row_numbers[row]} (id {table.ids[row]}) has no label, "
            f"{bad.size} of {len(kept)} rows have none; every row needs one, fill it or drop the "
            "row"
        )


def _read_times(table: Dataset, name: str) -> NDArray[Any]:
    numbers, problems = table.parse_column(name)
    if not (problems != "").any():
        return numbers
    texts = table.columns[name].astype(str)  # a number in a column of dates is a year
    dates = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True)
    bad = np.flatnonzero(dates.isna())
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"column {name!r}, row {table.row_numbers[row]} (id {table.ids[row]}): "
            f"{table.columns[name].iloc[row]!r} is neither a number nor a date such as 2021-05-31; "
            f"{bad.size} of {len(table)} rows have no usable time. Fill the cells or drop the rows"
        )
    return dates.dt.tz_localize(None).to_numpy()


def _read_file(
    kind: str,
    name: str,
    table: Dataset,
    kept: NDArray[np.int64],
    notation: Notation,
    featurize: FeaturizeFormulas | None,
) -> Any:
    if kind == "folds":
        path, _, scheme = name.partition("#")
        found = read_folds(Path(path), table.ids, scheme=scheme or None)
        if len(found) > 1:
            raise SplitError(
                f"{path} holds several schemes: {', '.join(found)}; name one, as in "
                f"{path}#{next(iter(found))}"
            )
        (folds,) = found.values()
        places = np.full(len(table), -1)
        places[kept] = np.arange(len(kept))
        return [fold.renumber(places) for fold in folds]
    compositions = read_formulas(name, notation)
    if kind == "formulas":
        return compositions.reduced_formulas()
    if featurize is None:
        raise ConfigError(f"{name}: this scheme needs features; give build_scheme `featurize`")
    features = featurize(compositions)
    return features.values[features.reasons == ""]


def read_formulas(name: str, notation: Notation) -> Compositions:
    """Return the distinct readable formulas of a file or data set, sorted by reduced formula.

    Raises `DataError` if the file cannot be read or holds no readable formula.
    """
    if name in list_datasets() and not Path(name).is_file():
        materials = load_dataset(name, notation=notation).materials
    else:
        materials = read_raw(Path(name)).formulas(BY_DEFAULT).materials(notation)
    compositions, reasons = materials.compositions, materials.reasons
    good = np.flatnonzero(reasons == "")
    if not len(good):
        raise DataError(f"{name} holds no readable formula; {first_reason(reasons)}")
    formulas = compositions.take(good).reduced_formulas().astype(str)
    return compositions.take(good[np.unique(formulas, return_index=True)[1]])
