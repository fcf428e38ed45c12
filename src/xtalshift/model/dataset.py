"""From a file to clean rows with features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates
from xtalshift.data import (
    CleaningReport,
    MaterialsTable,
    TargetTransform,
    clean_table,
    read_table,
)
from xtalshift.data.clean import Example, Finding
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError, FormulaError
from xtalshift.estimators import Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize import CompositionSource as Origin
from xtalshift.methods.inputs import origin_of
from xtalshift.progress import NO_PROGRESS, Progress

__all__ = ["groups_of", "load_rows", "origin_rows", "spread_rows", "targets_of"]


def load_rows(
    data: DataConfig, progress: Progress = NO_PROGRESS, *, flag: str | None = None
) -> tuple[MaterialsTable, CleaningReport, NDArray[np.float64]]:
    """Read, clean and featurize the rows.

    Parameters
    ----------
    data : DataConfig
        Where the rows come from and how they become features and targets.
    progress : Progress
        Told about downloads and what cleaning found.
    flag : str, optional
        Column that flags materials; a flagged row flags its formula, also if it is merged.

    Returns
    -------
    table : MaterialsTable
        n usable rows.
    cleaning : CleaningReport
        What was dropped and merged.
    X : ndarray of float64, shape (n, d)
        Features; the extra feature columns stand last.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If a cell of `flag` is no flag.
    """
    progress.say(f"Reading {data.dataset}")
    table = read_table(
        data.dataset,
        target=data.target,
        formula_col=data.formula_col,
        id_col=data.id_col,
        unit=data.unit,
        progress=progress,
    )
    targets = targets_of(table)
    # before any merging, so that a refused target is named by its row of the file
    TargetTransform(data.transform).forward(np.where(np.isfinite(targets), targets, 1.0))
    if flag is not None:
        table = _spread_flag(table, flag, data.hydrates)
    table, compositions, cleaning = clean_table(
        table,
        duplicates=data.duplicates,
        hydrates=data.hydrates,
        strict=data.strict,
        feature_cols=data.feature_cols,
    )
    kept = targets_of(table)
    if np.ptp(kept) == 0:
        raise DataError(
            f"all {len(table)} targets are {kept[0]:g}; there is nothing to learn. "
            "Check the target column"
        )
    table, cleaning, X = _featurize(table, compositions, cleaning, data)
    progress.say(
        f"{cleaning.rows_read:,} rows read, {cleaning.rows_dropped:,} dropped, "
        f"{cleaning.rows_merged:,} merged: {cleaning.rows_kept:,} materials, {X.shape[1]} features"
    )
    for finding in cleaning.dropped:
        first = finding.examples[0]
        progress.say(
            f"  dropped {finding.count:,}: {finding.kind} (row {first.row}: {first.reason})"
        )
    if cleaning.zero_inflated:
        progress.say(f"  note: {cleaning.remedy}")
    return table, cleaning, X


def _featurize(
    table: MaterialsTable, compositions: Compositions, cleaning: CleaningReport, data: DataConfig
) -> tuple[MaterialsTable, CleaningReport, NDArray[np.float64]]:
    """Compute the features; the rare row that has none is dropped like any other bad row."""
    featurizer = CompositionFeaturizer(blocks=data.features, impute_nan=data.impute_nan)
    X, reasons = featurizer.featurize(compositions)
    bad = np.flatnonzero(reasons != "")
    if bad.size:
        row = int(bad[0])
        if data.strict or bad.size == len(table):
            raise FormulaError(
                f"no features for {table.formulas[row]} (id {table.ids[row]}): {reasons[row]}"
            )
        good = np.flatnonzero(reasons == "")
        example = Example(row + 1, table.ids[row], table.formulas[row], reasons[row])
        finding = Finding("formula without features", int(bad.size), (example,))
        cleaning = replace(cleaning, rows_kept=int(good.size), dropped=(*cleaning.dropped, finding))
        table, X = table.take(good), X[good]
    if data.feature_cols:
        X = np.hstack([X, table.feature_columns(data.feature_cols)])
    return table, cleaning, X


def origin_rows(
    regressor: Regressor, table: MaterialsTable, data: DataConfig, rows: NDArray[Any]
) -> Origin | None:
    """Return the argument `origin` of `regressor.fit` for some rows; None if it needs none."""
    formulas = np.asarray(table.formulas)[rows].tolist()
    return origin_of(
        regressor, formulas, CompositionFeaturizer(data.features, data.impute_nan, data.hydrates)
    )


def spread_rows(
    values: NDArray[np.float64], rows: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Return values by row number of a table of n rows, NaN where there is none."""
    spread = np.full(n, np.nan)
    spread[rows] = values
    return spread


def targets_of(table: MaterialsTable) -> NDArray[np.float64]:
    """Return the targets of a table that must have them."""
    if table.targets is None:
        raise DataError(f"{table.source or 'the table'} has no target column")
    return table.targets


def groups_of(table: MaterialsTable) -> NDArray[np.object_]:
    """Return the reduced formulas of a table that must have been cleaned."""
    if table.groups is None:
        raise DataError(f"{table.source or 'the table'} has not been cleaned")
    return table.groups


def _spread_flag(table: MaterialsTable, column: str, hydrates: Hydrates) -> MaterialsTable:
    """Give every row of a formula the flag of any of its rows: merging keeps the first row's."""
    compositions, reasons, _ = parse_formulas(table.formulas, hydrates=hydrates)
    good = np.flatnonzero((reasons == "") & np.isfinite(targets_of(table)))
    groups = compositions.take(good).reduced_formulas()
    flagged = groups[table.take(good).flags(column)]
    spread = np.zeros(len(table), dtype=bool)
    spread[good] = np.isin(groups, flagged)
    return replace(table, extra=table.extra.assign(**{column: spread}))
