"""Train an encoder of compositions on several tables, for the block ``pretrained``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xtalshift._version import __version__
from xtalshift.chem.compositions import parse_formulas
from xtalshift.config import Settings
from xtalshift.data import Dataset, clean_table
from xtalshift.data.catalog import get_entry
from xtalshift.data.readers import read_configured
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError, NotFoundError
from xtalshift.featurize.encoder import (
    Encoder,
    PretrainingTable,
    hash_formulas,
    network_inputs,
    save_encoder,
    scale_inputs,
)
from xtalshift.nn.pretraining import pretrain as pretrain_network
from xtalshift.nn.pretraining import scale_targets
from xtalshift.nn.settings import PretrainSettings
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.words import plural

MIN_MATERIALS = 100
"""Fewest materials of a table: with fewer it teaches nothing."""
_PACKAGES = ("numpy", "torch")


class TableSource(Settings):
    """One table to train on."""

    dataset: str
    target: str | None = None
    """`dataset`, `target`: file, or name in the catalogue, and column, as `train` takes them."""
    property: str = ""
    """What the target is, in words; by default the name of the column."""
    licence: str = ""
    citation: str = ""
    """`licence`, `citation`: of the table, for the card; known for tables of the catalogue."""


class PretrainConfig(PretrainSettings):
    """All settings of ``xtalshift pretrain``."""

    tables: tuple[TableSource, ...] = Field(min_length=1)
    """Tables to train on."""
    without: tuple[str, ...] = ()
    """Files or names of tables whose formulas are left out of all tables."""
    held_out: float = Field(default=0.5, ge=0, le=0.9)
    """Share of all formulas that are never shown to the encoder, and measure its error. The hash of
    a formula decides, so that they are the same for all tables. A stack judges members with
    pretrained features by such formulas: others may have been seen with the very property."""
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, eq=False)
class _Task:
    """The materials of one table."""

    source: TableSource
    formulas: NDArray[np.object_]
    """Shape (n,). Reduced formulas, each once."""
    y: NDArray[np.float64]
    """Shape (n,). Median of the targets of each."""
    about: PretrainingTable


def pretrain(config: PretrainConfig, out: Path, *, progress: Progress = NO_PROGRESS) -> Encoder:
    """Train an encoder and write it to a folder.

    Parameters
    ----------
    config : PretrainConfig
        Tables and settings. The same settings, tables and number of threads give the same encoder.
    out : Path
        Folder; an encoder that is there is replaced.
    progress : Progress
        Receives the tables and the epochs.

    Returns
    -------
    Encoder
        As the folder has it.

    Raises
    ------
    DataError
        If a table cannot be read, has fewer than 100 materials that are not left out, or a constant
        target; or the folder cannot be written.
    """
    left_out = {name: _formulas_of(name, progress) for name in config.without}
    gone = set().union(*left_out.values())
    tasks = [_read_task(source, gone, progress) for source in config.tables]
    formulas = np.unique(np.concatenate([task.formulas for task in tasks]).astype(str))
    compositions, reasons, _ = parse_formulas(formulas.tolist())
    X = network_inputs(compositions, reasons)
    good = reasons == ""
    formulas, X = formulas[good], X[good]
    held_out = hash_formulas(formulas.tolist()) < config.held_out * 2.0**64
    train = ~held_out
    mean = X[train].mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = X[train].std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * np.maximum(1.0, np.abs(mean))  # those that do not vary are ignored
    gain = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0).astype(np.float32)
    targets = [_targets_of(task, formulas, train) for task in tasks]
    progress.say(
        f"{plural(len(formulas), 'material')}, {held_out.sum():,} of them held out"
        + (f"; without the {len(gone):,} formulas of other tables" if gone else "")
    )
    network = pretrain_network(
        scale_inputs(X, mean, gain),
        np.concatenate(targets, axis=1),
        held_out,
        config,
        seed=derive_seed(config.seed, "network"),
        progress=progress,
    )
    arrays = {
        "inputs.mean": mean,
        "inputs.gain": gain,
        **network.parameters,
        "formulas": np.sort(hash_formulas(formulas[train].tolist())),
    }
    errors = network.errors.reshape(len(tasks), -1)[:, -1]  # on the second scale, asinh
    about = [
        {**vars(task.about), "error": round(float(error), 4) if np.isfinite(error) else None}
        for task, error in zip(tasks, errors, strict=True)
    ]
    return save_encoder(
        out,
        arrays,
        {
            "tables": tuple(PretrainingTable(**one) for one in about),
            "materials": int(train.sum()),
            "without": {Path(name).stem: len(found) for name, found in left_out.items()},
            "settings": config.model_dump(mode="json", exclude={"tables", "without"}),
            "versions": {
                "xtalshift": __version__,
                **{name: importlib.metadata.version(name) for name in _PACKAGES},
            },
        },
    )


def _read_task(source: TableSource, gone: set[str], progress: Progress) -> _Task:
    """Read a table without the formulas that are left out; several rows of one are merged."""
    progress.say(f"Reading {source.dataset}")
    settings = DataConfig(dataset=source.dataset, target=source.target)
    data = clean_table(read_configured(settings, progress=progress), duplicates="median")
    kept = np.array([formula not in gone for formula in data.groups], dtype=bool)
    if kept.sum() < MIN_MATERIALS:
        raise DataError(
            f"{source.dataset} has {plural(int(kept.sum()), 'material')}"
            + (" that are not left out" if gone else "")
            + f"; at least {MIN_MATERIALS} are needed: do not pretrain on this table"
        )
    if np.ptp(data.y[kept]) == 0:
        raise DataError(
            f"all targets of {source.dataset} are {data.y[kept][0]:g}; name another column"
        )
    name = Path(source.dataset).stem
    licence, citation = source.licence, source.citation
    with suppress(NotFoundError):
        entry = get_entry(source.dataset)
        licence, citation = licence or entry.licence, citation or entry.citation
    described = source.property or data.target_name or name
    about = PretrainingTable(name, described, int(kept.sum()), licence, citation)
    return _Task(source, data.groups[kept], data.y[kept], about)


def _formulas_of(name: str, progress: Progress) -> set[str]:
    """Return the reduced formulas of a table, whose targets do not matter."""
    settings = DataConfig(dataset=name)
    table: Dataset = read_configured(settings, progress=progress, need_target=False)
    return set(table.groups.tolist()) - {""}


def _targets_of(
    task: _Task, formulas: NDArray[np.str_], train: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the targets of a table on their scales for all materials, NaN where it has none."""
    y = np.full(len(formulas), np.nan)
    place = np.minimum(np.searchsorted(formulas, task.formulas.astype(str)), len(formulas) - 1)
    there = formulas[place] == task.formulas.astype(str)
    y[place[there]] = task.y[there]
    return scale_targets(y, train)


def describe_encoder(encoder: Encoder) -> Sequence[str]:
    """Return one line about each table, and one about the encoder."""
    lines = [
        f"  {table.name}: {table.materials:,} materials, held-out error "
        + ("unknown" if table.error is None else f"{table.error:.2f} of that of the median")
        for table in encoder.card.tables
    ]
    return [
        *lines,
        f"{encoder.size} features, {encoder.card.materials:,} materials, encoder {encoder.label}",
    ]
