"""What all table files have: a type, columns, and errors that name the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xtalshift.errors import DataError
from xtalshift.registry import near_miss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMULA_NAMES = (
    *("formula", "formula_pretty", "pretty_formula", "reduced_formula", "formula_reduced"),
    *("chemical_formula_reduced", "chemical_formula", "chemicalformula", "full_formula"),
    *("chemical_formula_hill", "chemical_formula_descriptive", "chemical formula"),
    *("composition", "chemical_composition", "chemical composition", "composition_reduced"),
    *("化学式", "化學式", "分子式", "組成式", "formel", "formule", "compound", "material"),
)
"""Names (any case) of formula columns, best first; their cells always remain text."""

STATED_FORMULA = "formula_in_table"
"""Column of an output with what the table says in ``formula``, which is that of the structure."""

ID_NAMES = ("id", "material_id", "mp_id", "mpid", "jid", "task_id")
"""Names (any case) of columns of ids, best first."""

READABLE = (
    "CSV, TSV, Excel (.xlsx), Parquet, JSON or JSON lines, text also with .gz; and folders, "
    "archives and files of crystal structures (CIF, POSCAR, extended XYZ)"
)


_IN_A_FILE = (
    "write formulas to a file, one a line below the line 'formula' ('predict' takes them at the "
    "prompt, 'screen' from standard input)"
)


def file_kind(path: Path) -> str:
    """Return ``csv``, ``excel``, ``json``, ``jsonl``, ``parquet`` or ``structures``.

    Raise for other types.
    """
    if path.is_dir():
        return "structures"
    if not path.exists():
        from xtalshift.chem.formulas import is_formula  # for messages only

        message = f"{path} does not exist; readable are {READABLE}"
        if str(path) == "-":
            message = f"standard input is no table for this command; {_IN_A_FILE}"
        elif is_formula(str(path)):
            message = f"{path} is a formula, not a file; {_IN_A_FILE}"
        elif not path.suffix:
            message += (
                "; 'xtalshift datasets fetch NAME' gives the file of a data set known by name"
            )
        raise DataError(message)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    last = suffixes[-2 if packed else -1] if len(suffixes) > packed else ""
    kinds = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json"}
    kinds |= {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
    kinds |= {".tab": "csv", ".dat": "csv", ".xlsx": "excel", ".xlsm": "excel"}
    kind = kinds.get(last)
    if kind is None and _holds_structures(path.name):
        return "structures"
    if last in {".xls", ".xlsb", ".ods"}:
        raise DataError(f"{path}: {last} files cannot be read; save it as .xlsx or as CSV UTF-8")
    if kind is None or (packed and kind in {"parquet", "excel"}):
        raise DataError(f"{path} has a type that cannot be read; readable are {READABLE}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    return kind


def _holds_structures(name: str) -> bool:
    """Return whether a file is one of structures, or an archive."""
    from xtalshift.structure.archives import is_archive
    from xtalshift.structure.structure_files import is_structure_file

    return is_archive(name) or is_structure_file(name)


def refuse_repeats(columns: Iterable[object]) -> None:
    """Raise `DataError` if two columns have the same name."""
    counts = Counter(str(column).strip() for column in columns)
    repeated = [name for name, count in counts.items() if count > 1 and name]
    if repeated:
        raise DataError(f"two columns are named {repeated[0]!r}; rename or remove one")


def find_formula_column(columns: Iterable[object], requested: str | None = None) -> str:
    """Return the name of the formula column.

    Parameters
    ----------
    columns : iterable of str
        The columns of a table.
    requested : str, optional
        The user's choice; otherwise the first of `FORMULA_NAMES` that exists, in any case.

    Returns
    -------
    str

    Raises
    ------
    DataError
        If there is none; the message lists the columns and the nearest name.
    """
    names = [str(column) for column in columns]
    if requested is not None:
        if requested in names:
            return requested
        raise DataError(no_column("formula column", requested, names))
    folded = {name.casefold(): name for name in reversed(names)}
    for candidate in FORMULA_NAMES:
        if candidate in folded:
            return folded[candidate]
    near = next((hint for hint in (near_miss(name, names) for name in FORMULA_NAMES) if hint), "")
    raise DataError(
        f"no formula column (formula, composition, compound ...){near}. Name it: --formula-col; "
        "for crystal structures name the folder of their files (--structures), or their column "
        f"(--structure-col). Columns: {list_names(names)}"
    )


def check_feature_columns(wanted: Iterable[str], columns: Iterable[object], source: str) -> None:
    """Raise `DataError` if a table lacks a feature column of a model.

    Parameters
    ----------
    wanted : iterable of str
        Feature columns of the model.
    columns : iterable of str
        The columns of the table.
    source : str
        Name of the table in the message.
    """
    names = [str(name) for name in columns]
    for name in wanted:
        if name not in names:
            raise DataError(
                f"the model needs a column {name!r}, which {source} does not have"
                f"{near_miss(name, names)}. Columns: {list_names(names)}"
            )


def check_new_columns(added: Iterable[str], columns: Iterable[object], source: str) -> None:
    """Raise `DataError` if a table already has a column that is to be added."""
    names = set(columns)
    for name in added:
        if name in names:
            raise DataError(f"{source} already has a column {name!r}; rename it")


def no_column(what: str, name: str, names: list[str], there: str = "") -> str:
    """Return the message for a column that does not exist; `there` replaces the list of `names`."""
    listed = there or f"Columns: {list_names(names)}"
    # a header may end in a unit: 'gap (eV)'
    longer = next((one for one in names if one.startswith((f"{name} (", f"{name} ["))), None)
    hint = near_miss(name, names) if longer is None else f" (did you mean {longer!r}?)"
    return f"no {what} {name!r}{hint}. {listed}"


def list_names(names: Iterable[object]) -> str:
    """Return names of columns in one line, as an option takes them: quoted where one has a comma.

    Examples
    --------
    >>> list_names(["T, K", "pressure"])
    '"T, K", pressure'
    """
    shown = (f'"{name}"' if "," in str(name) else str(name) for name in names)
    return ", ".join(shown) or "none"


def first_reason(reasons: NDArray[np.object_]) -> str:
    """Return why no row of a table can be used, for the end of a message."""
    return f"row 1: {reasons[0]}" if reasons.size else "it has no rows"


@contextmanager
def naming_table(source: object) -> Iterator[None]:
    """Put the name of a table before the message of a `DataError` about its columns."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turn each failure of a parser into a `DataError` that names the file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except Exception as error:  # parsers of damaged files raise nearly every class
        text = str(error).strip() or type(error).__name__
        raise DataError(f"cannot read {path}: {text}; readable are {READABLE}") from error
