"""From the settings of a table to a clean data set with features, ready to fit."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xtalshift.data import Dataset, TargetTransform, clean_table, list_datasets
from xtalshift.data.catalog import get_entry
from xtalshift.data.classes import check_classes
from xtalshift.data.fidelities import part_fidelities
from xtalshift.data.formula_texts import GIVE_STRUCTURES, find_formulas, name_structures
from xtalshift.data.intake import Example, Finding, advise_on_range
from xtalshift.data.readers import read_configured, takes_replicates
from xtalshift.data.settings import DataConfig, FidelityConfig, refuse_of_numbers
from xtalshift.data.sources import open_source
from xtalshift.errors import ConfigError, DataError, FormulaError
from xtalshift.featurize import CompositionFeatures, CompositionFeaturizer, Features
from xtalshift.featurize.blocks import Blocks, needs_structures, with_structures
from xtalshift.featurize.known_targets import find_known_target
from xtalshift.featurize.pretrained import count_overlap
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.words import plural

Config = TypeVar("Config", bound=DataConfig)
_SHOWN = 8
"""Classes that are named with their numbers of rows."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """A clean data set of n rows and its features, shape (n, d), as `featurizer` computes them."""

    data: Dataset
    X: NDArray[np.float64]
    featurizer: CompositionFeatures


def settle_structures(settings: Config, features: Iterable[Blocks] = ()) -> Config:
    """Return settings that say where the structures of a table are, if they are read.

    They are read if features need them, if the settings say where they are, or if the table has no
    formulas; then they are features too, unless the settings name others. A data set of the
    catalogue is read without them if other features are computed, as in benchmarks.

    Parameters
    ----------
    settings : DataConfig
        Where the rows come from.
    features : iterable of str
        Further features that will be computed; a data set of the catalogue that has formulas and
        structures then brings the structures only if one of them needs these.

    Raises
    ------
    ConfigError
        If features need structures and the table has none.
    DataError
        If the table cannot be read.
    """
    path = Path(settings.dataset)
    if any(map(needs_structures, [settings.blocks, *features])):
        found = require_structures(settings)
        named = None if found.features is None else with_structures(found.features)
        return found.model_copy(update={"features": named})
    if not path.exists():
        if settings.dataset not in list_datasets():
            return settings
        return _settle_catalogue(settings, free=not features)
    given = settings.structure_col is not None or settings.structures is not None
    with suppress(DataError):  # a table without formulas is told when it is read
        columns = open_source(path, settings).layout.columns
        given = given or find_formulas(columns, settings).structures
    if not given:
        return settings
    return settings.model_copy(update={"features": with_structures(settings.features)})


def require_structures(settings: Config) -> Config:
    """Return settings that say where the structures of a table are; raises as above."""
    path = Path(settings.dataset)
    if path.exists():
        return name_structures(path, settings)
    if settings.dataset not in list_datasets():
        return settings  # reading it says what is missing
    column = settings.structure_col or get_entry(settings.dataset).structure_col
    if column is None:
        raise ConfigError(f"{settings.dataset} has no crystal structures; {GIVE_STRUCTURES}")
    return settings.model_copy(update={"structure_col": column})


def _settle_catalogue(settings: Config, *, free: bool) -> Config:
    """Return settings that read the structures of a data set, if they are usual or named."""
    entry = get_entry(settings.dataset)
    usual = free and settings.features is None and entry.formula == entry.structure_col
    if not (usual or settings.structure_col):
        return settings
    features = with_structures(settings.features) if free else settings.features
    column = settings.structure_col or entry.structure_col
    return settings.model_copy(update={"structure_col": column, "features": features})


def read_inputs(
    settings: DataConfig,
    progress: Progress = NO_PROGRESS,
    *,
    flag: str | None = None,
    featurizer: CompositionFeatures | None = None,
    classes: bool = False,
) -> Inputs:
    """Read and clean a table and compute its features.

    Parameters
    ----------
    settings : DataConfig
        Where the rows come from and how they become features and targets.
    progress : Progress
        Receives downloads and the findings of cleaning.
    flag : str, optional
        Column that flags materials; one flagged row flags its formula, also after merging.

    featurizer : CompositionFeatures, optional
        That of a model, in place of the one of the settings.
    classes : bool
        Whether the target may be a class.

    Raises
    ------
    DataError
        If the data cannot be used.
    ConfigError
        If the target is a class and may be none.
    SplitError
        If a cell of `flag` is not a flag.
    """
    table = read_rows(settings, progress, classes=classes)
    if flag is not None:
        table = _spread_flag(table, flag)
    return clean_rows(table, settings, progress, featurizer=featurizer)


def read_rows(
    settings: DataConfig, progress: Progress = NO_PROGRESS, *, classes: bool = False
) -> Dataset:
    """Read a table whose targets have a scale; arguments and errors as in `read_inputs`."""
    progress.say(f"Reading {settings.dataset}")
    table = read_configured(settings, progress=progress)
    if table.classes is not None and not classes:
        raise ConfigError(
            f"{settings.target or table.target_name or 'the target'} was read as classes "
            f"({', '.join(table.classes[:_SHOWN])}), and this command works with numbers only; "
            "give --task regression (or --set data.task=regression) if they are numbers"
        )
    if table.classes is not None:
        refuse_of_numbers(settings)
    check_scale(table, settings.transform)
    return table


@dataclass(frozen=True, eq=False)
class FidelityInputs:
    """Clean rows of two fidelities of one table, see `xtalshift.data.fidelities.Fidelities`."""

    high: Inputs
    low: Dataset
    names: tuple[str, str]
    """What the column says of the rows that are predicted, and of the others."""


def read_fidelities(
    settings: DataConfig,
    fidelity: FidelityConfig,
    progress: Progress = NO_PROGRESS,
    *,
    flag: str | None = None,
) -> FidelityInputs:
    """Read and clean the rows of two fidelities; other arguments and errors as in `read_inputs`.

    Parameters
    ----------
    fidelity : FidelityConfig
        The column, and which rows are predicted.

    Raises
    ------
    ConfigError
        If bounds are to be used.
    """
    if settings.bounds != "drop":
        raise ConfigError(
            "--bounds and --fidelity-col do not go together: values of two fidelities are "
            "compared with each other, and a bound is none; leave one out"
        )
    table = read_rows(settings, progress)
    parts = part_fidelities(table, str(fidelity.column), fidelity.values)
    for remark in parts.remarks:
        progress.say(remark)
    progress.say(f"{fidelity.column} = {parts.names[0]!r}:")
    rows = parts.high if flag is None else _spread_flag(parts.high, flag)
    high = clean_rows(rows, settings, progress)
    progress.say(f"{fidelity.column} = {parts.names[1]!r}:")
    return FidelityInputs(high, clean_rows(parts.low, settings, progress).data, parts.names)


def check_scale(table: Dataset, transform: str) -> None:
    """Raise an error unless targets as they were read can be transformed.

    This is before any merging, so that the error names the row of the file.
    """
    refuse_transform(table, transform)
    TargetTransform(transform).forward(np.where(np.isfinite(table.y), table.y, 1.0))


def clean_rows(
    table: Dataset,
    settings: DataConfig,
    progress: Progress = NO_PROGRESS,
    *,
    featurizer: CompositionFeatures | None = None,
) -> Inputs:
    """Clean the rows of a table and compute their features; arguments as in `read_inputs`.

    Raises
    ------
    DataError
        If the rows cannot be used.
    """
    data = only_clean(table, settings, trains=featurizer is None)
    featurizer = featurizer or featurizer_of(settings)
    return join_inputs(data, featurizer.featurize(data.materials), featurizer, settings, progress)


def only_clean(table: Dataset, settings: DataConfig, *, trains: bool = True) -> Dataset:
    """Return a table without unusable and repeated rows, of which something can be learned."""
    data = clean_table(
        table,
        duplicates=settings.duplicates,
        strict=settings.strict,
        feature_cols=settings.feature_cols,
        noise_from_replicates=takes_replicates(table, settings),
        bounds=settings.bounds,
    )
    if data.classes is not None:
        if trains:  # labels for a model may have fewer classes
            check_classes(data)
    elif np.ptp(data.y) == 0:
        what = f"all {len(data)} targets are {data.y[0]:g}"
        if len(data) == 1:
            what = f"all rows are one material, {data.formulas[0]}"
        raise DataError(
            f"{what}; there is nothing to learn. Check the table: cleaning kept {len(data)} of "
            f"{len(table)} rows"
        )
    return data


def featurizer_of(settings: DataConfig) -> CompositionFeaturizer:
    """Return what computes the features that settings name."""
    return CompositionFeaturizer(
        settings.blocks,
        settings.impute_nan,
        settings.notation.hydrates,
        settings.notation.amounts,
    )


def join_inputs(
    data: Dataset,
    features: Features,
    featurizer: CompositionFeatures,
    settings: DataConfig,
    progress: Progress,
) -> Inputs:
    """Return a clean table with the features of its rows, and report what became of the table."""
    data, X = _with_features(data, features, strict=settings.strict)
    _say_intake(data, X.shape[1], settings.transform, progress)
    say_overlap(featurizer, data, progress)
    return Inputs(data, X, featurizer)


def refuse_transform(data: Dataset, name: str) -> None:
    """Raise `ConfigError` if classes are to be transformed."""
    if data.classes is not None and name != "none":
        raise ConfigError(
            f"transform = {name!r} changes the scale of numbers, and the target is a class; leave "
            "it out, or give --task regression"
        )


def say_overlap(features: Blocks | CompositionFeatures, data: Dataset, progress: Progress) -> None:
    """Report what of a table the pretrained networks behind some features have seen."""
    overlap = count_overlap(features, data.groups)
    if overlap is not None:
        progress.say(f"  note: {overlap.describe()}")
    if isinstance(features, str):
        features = CompositionFeatures(features)
    for note in features.notes.values():
        progress.say(f"  note: {note}")
    for finding in find_known_target(
        features.blocks, data.target_name, data.targets, data.materials.structures
    ):
        progress.say(f"  note: {finding}")


def _with_features(
    data: Dataset, features: Features, *, strict: bool
) -> tuple[Dataset, NDArray[np.float64]]:
    """Return rows and features; a row without them is rare, and dropped like any other bad row."""
    data, kept, _ = drop_without_features(data, features.reasons, strict=strict)
    return data, np.hstack([features.values[kept], data.materials.extra])


def drop_without_features(
    data: Dataset, reasons: NDArray[np.object_], *, strict: bool, blocks: Blocks = ""
) -> tuple[Dataset, NDArray[np.int64], Finding | None]:
    """Return the rows that have features, their numbers among all, and what is said of the others.

    Parameters
    ----------
    data : Dataset
        n clean rows.
    reasons : ndarray of str, shape (n,)
        Why a row has no features, or an empty text.
    strict : bool
        Whether such a row is an error.
    blocks : str
        Name of the features, if there are several.

    Raises
    ------
    FormulaError
        If no row is left, or `strict` and one has no features.
    """
    bad, good = np.flatnonzero(reasons != ""), np.flatnonzero(reasons == "")
    if not bad.size:
        return data, good, None
    row, number = int(bad[0]), int(data.row_numbers[bad[0]])
    named = f"{blocks} features" if blocks else "features"
    if strict or not good.size:
        raise FormulaError(
            f"row {number}: no {named} for {data.formulas[row]} (id {data.ids[row]}): "
            f"{reasons[row]}"
        )
    example = Example(number, data.ids[row], data.formulas[row], reasons[row])
    finding = Finding(f"formula without {named}", int(bad.size), (example,))
    assert data.intake is not None
    intake = replace(data.intake, rows_kept=len(good), dropped=(*data.intake.dropped, finding))
    return replace(data.take(good), intake=intake), good, finding


def _say_intake(data: Dataset, n_features: int, transform: str, progress: Progress) -> None:
    intake = data.intake
    assert intake is not None
    if intake.reading is not None and intake.reading.layout:
        progress.say(f"  {intake.reading.brief()}")
    progress.say(
        f"{plural(intake.rows_read, 'row')} read, {intake.rows_dropped:,} dropped, "
        f"{intake.rows_merged:,} merged: {plural(intake.rows_kept, 'material')}, {n_features} "
        "features"
    )
    for finding in intake.dropped:
        progress.say(f"  dropped {finding.count:,}: {finding.kind} ({finding.first()})")
    for finding in (*(intake.reading.findings if intake.reading else ()), *intake.findings):
        progress.say(f"  {'warning' if finding.warns else 'note'}: {finding.describe()}")
        for line in finding.show() if finding.warns else ():
            progress.say(f"    {line}")
    if intake.notes:
        count = sum(finding.count for finding in intake.notes)
        kinds = "; ".join(f"{finding.count:,} x {finding.kind}" for finding in intake.notes[:3])
        progress.say(f"  note: remarks on {plural(count, 'material')} ({kinds})")
    if data.classes is not None:
        counts = np.bincount(data.y.astype(np.intp), minlength=len(data.classes))
        shown = [f"{name} {count:,}" for name, count in zip(data.classes, counts, strict=True)]
        progress.say(f"  {data.task}: {', '.join(shown[:_SHOWN])}{' ...' * (len(shown) > _SHOWN)}")
        return
    advice = [intake.remedy, advise_on_range(data.y) if transform == "none" else ""]
    for text in filter(None, advice):
        progress.say(f"  note: {text}")


def _spread_flag(table: Dataset, column: str) -> Dataset:
    """Flag every row of a formula if one of its rows is flagged: merging keeps the first row."""
    good = np.flatnonzero((table.groups != "") & np.isfinite(table.y))
    rows = table.take(good)
    spread = np.zeros(len(table), dtype=bool)
    spread[good] = np.isin(rows.groups, rows.groups[rows.flags(column)])
    return replace(table, columns=table.columns.assign(**{column: spread}))
