"""Assign every row of a table to a part of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from xtalshift.benchmark.prepare import build_splitter
from xtalshift.benchmark.spec import DataConfig, RunConfig
from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import MaterialsTable, list_datasets, read_frame, read_table, table_from_frame
from xtalshift.errors import DataError, SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.seeding import derive_seed
from xtalshift.splits import RandomSplit

__all__ = ["assign_parts", "read_rows"]


def assign_parts(table: MaterialsTable, scheme: str, config: RunConfig) -> pd.DataFrame:
    """Return the part of every row, in the order of the table.

    Parameters
    ----------
    table : MaterialsTable
        As read. Rows without a readable formula (and for a prior shift without a target) belong to
        no part and say why.
    scheme : str
        ``random``, ``covariate``, ``prior``, ``family`` or ``relation``.
    config : RunConfig
        ``data``, ``split`` and ``seed`` count.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``formula``, ``fold`` (0), ``part`` (``train``, ``val``, ``test`` or empty),
        ``status`` (``ok`` or ``error``), ``reason``. No reduced formula is in two parts.

    Raises
    ------
    DataError
        If the scheme needs targets and there are none, or no row is usable.
    SplitError
        If the split is impossible.
    """
    compositions, found, _ = parse_formulas(table.formulas, hydrates=config.data.hydrates)
    reasons = found.copy()
    if scheme == "prior":
        if table.targets is None:
            raise DataError("a prior shift is a tail of the targets: give --target COLUMN")
        for row in np.flatnonzero((reasons == "") & ~np.isfinite(table.targets)):
            reasons[row] = f"target {table.problems[row] if table.problems is not None else 'nan'}"
    good = np.flatnonzero(reasons == "")
    if not len(good):
        raise DataError(f"no row of {table.source} is usable; row 1: {reasons[0]}")
    usable = compositions.take(good)
    X = np.empty((len(good), 0))
    if scheme == "covariate":  # the other rules look at formulas, targets or flags
        X = CompositionFeaturizer(config.data.features, config.data.impute_nan).transform(usable)
    y = None if table.targets is None else table.targets[good]
    groups = usable.reduced_formulas()
    splitter = build_splitter(
        scheme, config.split, table.take(good), seed=config.seed, hydrates=config.data.hydrates
    )
    test = splitter.held_out(X, y, groups)
    share = RandomSplit(config.split.validation_share, derive_seed(config.seed, "validation"))
    rest = np.flatnonzero(~test)
    parts = np.full(len(good), "train", dtype=object)
    parts[test] = "test"
    try:
        parts[rest[share.held_out(X[rest], None, groups[rest])]] = "val"
    except SplitError as error:
        raise SplitError(f"{len(rest)} rows are left beside the test rows: {error}") from error
    assigned = np.full(len(table), "", dtype=object)
    assigned[good] = parts
    return pd.DataFrame(
        {
            "id": table.ids,
            "formula": table.formulas,
            "fold": np.int64(0),
            "part": assigned,
            "status": np.where(reasons == "", "ok", "error"),
            "reason": reasons,
        }
    )


def read_rows(data: DataConfig, scheme: str) -> MaterialsTable:
    """Read a table to split; a target is needed for a prior shift only.

    Parameters
    ----------
    data : DataConfig
        The file or data set, and its columns.
    scheme : str
        As in `assign_parts`.

    Raises
    ------
    DataError
        If the file or a column cannot be read.
    """
    known = data.dataset in list_datasets() and not Path(data.dataset).is_file()
    if known or data.target is not None or scheme == "prior":
        return read_table(
            data.dataset, target=data.target, formula_col=data.formula_col, id_col=data.id_col
        )
    columns = [name for name in (data.formula_col, data.id_col) if name]
    frame = read_frame(data.dataset, text_columns=columns)
    return table_from_frame(
        frame,
        target=None,
        formula_col=data.formula_col,
        id_col=data.id_col,
        source=Path(data.dataset).name,
    )
