"""From a configuration to features, targets and the rows of every training and test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.spec import DataConfig, RunConfig, SplitConfig
from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates
from xtalshift.data import (
    CleaningReport,
    MaterialsTable,
    TargetTransform,
    clean_table,
    find_formula_column,
    read_frame,
    read_table,
)
from xtalshift.data.clean import Example, Finding
from xtalshift.errors import DataError, FormulaError, SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import (
    CovariateSplit,
    FamilySplit,
    PriorSplit,
    RandomSplit,
    RelationSplit,
    Splitter,
)

__all__ = ["Fit", "Prepared", "TestSet", "build_splitter", "load_rows", "plan_fits", "prepare"]

BoolArray = NDArray[np.bool_]
MIN_TRAIN_ROWS = 20


@dataclass(frozen=True)
class Prepared:
    """Cleaned rows with their features.

    Attributes
    ----------
    table : MaterialsTable
        n rows with targets and reduced formulas (`groups`).
    cleaning : CleaningReport
        What was dropped and merged.
    X : ndarray of float64, shape (n, d)
        Features; the extra feature columns stand last.
    y : ndarray of float64, shape (n,)
        Targets in their unit.
    shifted : dict of ndarray of bool, shape (n,)
        Rows of each OOD test set, by the name that is reported.
    descriptions : dict of str
        What each split holds out.
    """

    table: MaterialsTable
    cleaning: CleaningReport
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    shifted: dict[str, BoolArray]
    descriptions: dict[str, str]


@dataclass(frozen=True)
class TestSet:
    """Rows that a trained method is evaluated on; `role` is ``id`` or ``ood``."""

    split: str
    role: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """One training: its rows, and the test sets that are evaluated with it.

    Attributes
    ----------
    name : str
        ``all`` where one training serves every test set, else the split.
    seed : int
        Seed of the random split and of the method.
    train, validation : ndarray of int
        Row numbers; they share no formula with each other or with a test set.
    tests : tuple of TestSet
        At least one.
    """

    name: str
    seed: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    tests: tuple[TestSet, ...]


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


def prepare(config: RunConfig, progress: Progress = NO_PROGRESS) -> Prepared:
    """Load the rows and find the shifted ones.

    Parameters
    ----------
    config : RunConfig
        Settings.
    progress : Progress
        Told what happens.

    Raises
    ------
    DataError
        If the data cannot be used.
    SplitError
        If a split is impossible for these rows.
    """
    table, cleaning, X = load_rows(config.data, progress, flag=config.split.relation_flag)
    shifted: dict[str, BoolArray] = {}
    descriptions = {}
    for scheme in config.split.active:
        splitter = build_splitter(scheme, config.split, table, hydrates=config.data.hydrates)
        name = f"family:{config.split.family}" if scheme == "family" else scheme
        rest = " that no shifted set holds" if scheme == "random" else ""
        descriptions[name] = splitter.describe() + rest
        if scheme != "random":
            shifted[name] = splitter.held_out(X, table.targets, table.groups)
    return Prepared(table, cleaning, X, targets_of(table), shifted, descriptions)


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


def build_splitter(
    scheme: str,
    config: SplitConfig,
    table: MaterialsTable,
    *,
    seed: int = 0,
    hydrates: Hydrates = "refuse",
) -> Splitter:
    """Return the splitter of a scheme.

    Parameters
    ----------
    scheme : str
        As in `SplitConfig.schemes`.
    config : SplitConfig
        Its settings.
    table : MaterialsTable
        Where the flag column of a relation shift stands.
    seed : int
        Of the random split; the shifted sets are the same for all seeds.
    hydrates : str
        How the formulas of a relation file are read.

    Raises
    ------
    SplitError
        If a relation split is asked for but none is declared, or the flag column is unusable.
    """
    if scheme == "random":
        return RandomSplit(config.random_share, derive_seed(seed, "random split"))
    if scheme == "covariate":
        return CovariateSplit(
            config.covariate_share, config.n_neighbors, config.n_components, config.embedding
        )
    if scheme == "prior":
        return PriorSplit(config.tail, config.prior_share)
    if scheme == "family":
        return FamilySplit(config.family)
    if config.relation_flag is not None:
        return RelationSplit(flags=_read_flags(table, config.relation_flag))
    if config.relation_file is not None:
        return RelationSplit(formulas=_read_formulas(Path(config.relation_file), hydrates))
    raise SplitError(
        "a relation shift is declared by the user: give --relation-flag COLUMN or "
        "--relation-file FILE of formulas"
    )


def plan_fits(config: RunConfig, prepared: Prepared) -> Iterator[Fit]:
    """Yield every training of a run.

    By default the training rows are those of no test set, and one training per seed serves all
    test sets (the protocol of arXiv:2408.09297); with ``split.separate`` every split has its own.
    The ID test rows are drawn from the rows of no OOD set, so that they follow the training
    distribution. Every OOD split has the ID rows of its training beside its own.

    Parameters
    ----------
    config : RunConfig
        Settings.
    prepared : Prepared
        The rows.

    Raises
    ------
    SplitError
        If too few rows are left to train on.
    """
    for seed in config.seeds:
        if config.split.separate:
            nothing = np.zeros(len(prepared.y), dtype=bool)
            yield _plan_fit(config, prepared, "random", seed, {"random": nothing})
            for name, mask in prepared.shifted.items():
                yield _plan_fit(config, prepared, name, seed, {name: mask})
        else:
            sets = {"random": np.zeros(len(prepared.y), dtype=bool), **prepared.shifted}
            yield _plan_fit(config, prepared, "all", seed, sets)


def _plan_fit(
    config: RunConfig, prepared: Prepared, name: str, seed: int, sets: dict[str, BoolArray]
) -> Fit:
    groups = groups_of(prepared.table)
    rest = np.flatnonzero(~np.logical_or.reduce(list(sets.values())))
    parts = []
    for share, purpose in (
        (config.split.random_share, "random split"),
        (config.split.validation_share, "validation"),
    ):
        if len(rest) < MIN_TRAIN_ROWS:
            raise SplitError(
                f"only {len(rest)} of {len(groups)} rows are in no test set; at least "
                f"{MIN_TRAIN_ROWS} are needed for training. Use fewer or smaller splits, or "
                "--separate"
            )
        splitter = RandomSplit(share, derive_seed(seed, purpose))
        mask = splitter.held_out(rest, None, groups[rest])  # needs the formulas only
        parts.append(rest[mask])
        rest = rest[~mask]
    id_rows, validation = parts
    tests = []
    for split, mask in sets.items():
        tests.append(TestSet(split, "id", id_rows))
        if mask.any():
            tests.append(TestSet(split, "ood", np.flatnonzero(mask)))
    return Fit(name, seed, rest, validation, tuple(tests))


def _spread_flag(table: MaterialsTable, column: str, hydrates: Hydrates) -> MaterialsTable:
    """Give every row of a formula the flag of any of its rows: merging keeps the first row's."""
    compositions, reasons, _ = parse_formulas(table.formulas, hydrates=hydrates)
    good = np.flatnonzero((reasons == "") & np.isfinite(targets_of(table)))
    groups = compositions.take(good).reduced_formulas()
    flagged = groups[_read_flags(table.take(good), column)]
    spread = np.zeros(len(table), dtype=bool)
    spread[good] = np.isin(groups, flagged)
    return replace(table, extra=table.extra.assign(**{column: spread}))


def _read_flags(table: MaterialsTable, column: str) -> BoolArray:
    if column in table.extra.columns and table.extra[column].dtype == bool:
        return np.asarray(table.extra[column], dtype=bool)
    words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
    if column in table.extra.columns:
        texts = table.extra[column].astype(str).str.strip().str.casefold()
        if texts.isin(list(words)).all():
            return np.asarray(texts.map(words) == 1.0, dtype=bool)
    values = table.feature_columns([column])[:, 0]
    bad = np.flatnonzero((values != 0) & (values != 1))
    if bad.size:
        raise SplitError(
            f"column {column!r}, {table.formulas[bad[0]]} (id {table.ids[bad[0]]}): "
            f"{values[bad[0]]:g} is no flag; use 0 and 1, or true and false"
        )
    return np.asarray(values == 1, dtype=bool)


def _read_formulas(path: Path, hydrates: Hydrates) -> NDArray[np.object_]:
    frame = read_frame(path)
    column = find_formula_column([str(name) for name in frame.columns])
    compositions, reasons, _ = parse_formulas(frame[column].tolist(), hydrates=hydrates)
    formulas = compositions.reduced_formulas()[reasons == ""]
    if not len(formulas):
        raise DataError(f"{path} holds no readable formula: {reasons[0] if len(reasons) else ''}")
    return np.unique(formulas.astype(str)).astype(object)
