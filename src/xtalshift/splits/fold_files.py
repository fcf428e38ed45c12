"""Files of folds: one row per material and fold, by the ids of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import read_frame
from xtalshift.errors import SplitError, XtalshiftError
from xtalshift.jsonio import decode_json
from xtalshift.splits.given_folds import PART_NAMES
from xtalshift.splits.split_spec import SplitRecord
from xtalshift.splits.splitter import Fold

METADATA_KEY = "xtalshift_split"
"""Key of the Parquet metadata that holds the `SplitRecord`."""

OUTER = -1
"""In the column ``inner``: rows of the fold itself, not of an inner fold."""

_TEXT_COLUMNS = ["id", "part", "scheme", "fold_name"]


def read_folds(
    path: Path,
    ids: NDArray[np.object_],
    *,
    scheme: str | None = None,
    partial: bool = False,
) -> dict[str, list[Fold]]:
    """Read folds in long form: columns ``id``, ``part`` and, if there are several, ``fold``.

    Parameters
    ----------
    path : Path
        A file of ``xtalshift split``, or published folds with a column ``scheme``.
    ids : ndarray of str, shape (n,)
        Ids of the table.
    scheme : str, optional
        Only the folds of this scheme.
    partial : bool
        Leave out rows whose id is not in the table, such as rows that cleaning merged; by default
        such an id is an error.

    Returns
    -------
    dict of list of Fold
        By scheme (``""`` without such a column) in the order of the file. Rows of inner folds are
        left out. Target labels are in the order of their budgets.

    Raises
    ------
    DataError
        If the file cannot be read.
    SplitError
        If a column, scheme, part or id is unknown or ambiguous; the message names it.
    """
    frame = read_frame(path, text_columns=_TEXT_COLUMNS)
    missing = [name for name in ("id", "part") if name not in frame.columns]
    if missing:
        raise SplitError(
            f"{path} has no column {missing[0]!r}; folds have the columns id, part (train, val, "
            f"target, test) and fold. Columns: {', '.join(map(str, frame.columns))}"
        )
    if "inner" in frame:
        frame = frame[frame["inner"] == OUTER]
    schemes = frame["scheme"].astype(str) if "scheme" in frame else pd.Series("", frame.index)
    if scheme is not None and not (schemes == scheme).any():
        raise SplitError(
            f"{path} has no scheme {scheme!r}. Schemes: {', '.join(schemes.unique()) or 'none'}"
        )
    if scheme is not None:
        frame, schemes = frame[schemes == scheme], schemes[schemes == scheme]
    if partial and (known := frame["id"].astype(str).isin(ids.astype(str))).any():
        frame, schemes = frame[known], schemes[known]
    parts = _parts(frame["part"], path)
    rows = _rows(frame["id"], ids, path)
    numbers = _numbers(frame, path)
    found: dict[str, list[Fold]] = {}
    if frame.empty:
        raise SplitError(f"{path} holds no fold")
    codes = frame.groupby([schemes, numbers], sort=False).ngroup().to_numpy()
    _refuse_doubles(frame["id"], rows, parts, codes, path)
    order = np.argsort(codes, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        first = places[0]
        fold = _fold(frame, rows, parts, places, f"fold {numbers.iloc[first]}")
        found.setdefault(schemes.iloc[first], []).append(fold)
    return found


def check_formulas(path: Path, ids: NDArray[np.object_], formulas: NDArray[np.object_]) -> str:
    """Return a warning if a file of folds was made for other formulas, else ``""``.

    Parameters
    ----------
    path : Path
        File of folds; without a column ``formula`` there is nothing to compare.
    ids, formulas : ndarray of str, shape (n,)
        Of the table.

    Raises
    ------
    SplitError
        If many formulas differ: other rows, or another order.
    """
    frame = read_frame(path, text_columns=_TEXT_COLUMNS)
    if "formula" not in frame:
        return ""
    stored = frame.drop_duplicates("id").set_index("id")["formula"].astype(str)
    own = pd.Series(formulas.astype(str), ids.astype(str)).reindex(stored.index.astype(str))
    differ = np.flatnonzero(stored.to_numpy() != own.to_numpy())
    pairs = [texts.iloc[differ].fillna("").tolist() for texts in (stored, own)]
    one, other = (parse_formulas(texts)[0].reduced_formulas() for texts in pairs)
    differ = differ[(one != other) | (one == "")]  # Li2O2 and LiO differ in spelling only
    if not differ.size:
        return ""
    first = differ[0]
    text = (
        f"{differ.size} of {len(stored)} formulas in {path.name} are not those of the table, such "
        f"as id {stored.index[first]}: {stored.iloc[first]} in the split, {own.iloc[first]} in the "
        "table; give the table that the split was made for, or a column of ids that do not depend "
        "on the order of rows (--id-col)"
    )
    if differ.size > len(stored) / 10:
        raise SplitError(text)
    return text


def read_record(path: Path) -> SplitRecord | None:
    """Return the record in a split written by this package, None for other files."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    text = (pq.read_metadata(path).metadata or {}).get(METADATA_KEY.encode())
    if not text:
        return None
    try:
        return SplitRecord.from_dict(decode_json(text, path))
    except (XtalshiftError, KeyError, TypeError, AttributeError) as error:
        raise SplitError(
            f"{path}: the settings of the split in it are damaged ({error}); split the table again"
        ) from error


def _parts(cells: pd.Series, path: Path) -> NDArray[np.object_]:
    """Return the part of each row, ``""`` for a row in none."""
    codes, names = pd.factorize(cells.fillna("").astype(str).str.strip())
    folded = [PART_NAMES.get(name.casefold(), "" if name == "" else None) for name in names]
    if None in folded:
        raise SplitError(
            f"{path}: part {names[folded.index(None)]!r} is none of {', '.join(PART_NAMES)}"
        )
    return np.array(folded, dtype=object)[codes]


def _rows(cells: pd.Series, ids: NDArray[np.object_], path: Path) -> NDArray[np.int64]:
    """Return the row of the table of each id."""
    index = pd.Index(ids)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise SplitError(
            f"id {twice!r} is in more than one row of the table, so folds by id are ambiguous; "
            "name a column of unique ids with --id-col"
        )
    codes, names = pd.factorize(cells.astype(str))
    places = index.get_indexer(pd.Index(names))
    unknown = np.flatnonzero(places < 0)
    if unknown.size:
        raise SplitError(
            f"{unknown.size} of {len(names)} ids in {path} are not in the table, such as "
            f"{names[unknown[0]]!r} (the table has ids such as {ids[0]!r}); name the column of ids "
            "with --id-col, or give the table that the folds were made for"
        )
    return places[codes].astype(np.int64)


def _numbers(frame: pd.DataFrame, path: Path) -> pd.Series:
    """Return the fold of each row as text, whole numbers without a fraction."""
    if "fold" not in frame:
        return pd.Series("0", frame.index)
    cells = frame["fold"]
    missing = np.flatnonzero(cells.isna() | (cells.astype(str).str.strip() == ""))
    if missing.size:
        raise SplitError(
            f"{path}: {missing.size} rows have no fold, the first with id "
            f"{frame['id'].iloc[missing[0]]!r}; fill the column or drop the rows"
        )
    whole = pd.api.types.is_float_dtype(cells) and np.isfinite(cells).all()
    if whole and (cells == cells.round()).all():
        cells = cells.astype(np.int64)
    return cells.astype(str)


def _refuse_doubles(
    ids: pd.Series,
    rows: NDArray[np.int64],
    parts: NDArray[np.object_],
    codes: NDArray[Any],
    path: Path,
) -> None:
    pairs = pd.DataFrame({"fold": codes, "row": rows, "part": parts})
    twice = np.flatnonzero(pairs.duplicated())
    if twice.size:
        raise SplitError(
            f"{path}: id {ids.iloc[twice[0]]!r} is twice in the same part of a fold; list each row "
            "once"
        )


def _fold(
    frame: pd.DataFrame,
    rows: NDArray[np.int64],
    parts: NDArray[np.object_],
    places: NDArray[np.int64],
    default_name: str,
) -> Fold:
    chosen = {name: places[parts[places] == name] for name in ("train", "val", "target", "test")}
    if "budget" in frame:
        budgets = frame["budget"].to_numpy()[chosen["target"]]
        chosen["target"] = chosen["target"][np.argsort(budgets, kind="stable")]
    name = str(frame["fold_name"].iloc[places[0]]) if "fold_name" in frame else ""
    return Fold(
        train=np.sort(rows[chosen["train"]]),
        test=np.sort(rows[chosen["test"]]),
        val=np.sort(rows[chosen["val"]]),
        target=rows[chosen["target"]],
        name=name if name not in {"", "nan", "None"} else default_name,
    )
