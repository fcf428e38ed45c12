"""The rows of every training and test set of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data import CleaningReport, MaterialsTable
from xtalshift.data.settings import DataConfig
from xtalshift.errors import SplitError
from xtalshift.jobs.run.spec import RunConfig, SplitConfig
from xtalshift.model.dataset import groups_of, load_rows, targets_of
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import HoldOut, RandomSplit
from xtalshift.splits.schemes import build_scheme

__all__ = ["Fit", "Prepared", "TestSet", "plan_fits", "prepare"]

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

    @property
    def id_rows(self) -> NDArray[np.int64]:
        """Row numbers of the ID test set, the first one; none if there is none."""
        return next((test.rows for test in self.tests if test.role == "id"), np.arange(0))


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
        splitter = _build_splitter(scheme, config.split, table, config.data)
        name = f"family:{config.split.family}" if scheme == "family" else scheme
        rest = " that no shifted set holds" if scheme == "random" else ""
        descriptions[name] = splitter.describe() + rest
        if scheme != "random":
            shifted[name] = splitter.held_out(X, table.targets, table.groups)
    return Prepared(table, cleaning, X, targets_of(table), shifted, descriptions)


def _build_splitter(
    scheme: str, config: SplitConfig, table: MaterialsTable, data: DataConfig
) -> HoldOut:
    """Return the splitter of a scheme of a run."""
    params: dict[str, Any] = {
        "random": {"share": config.random_share},
        "covariate": {
            "share": config.covariate_share,
            "n_neighbors": config.n_neighbors,
            "n_components": config.n_components,
            "embedding": config.embedding,
            "random_state": 0,  # the shifted sets are the same for all seeds
        },
        "prior": {"tail": config.tail, "share": config.prior_share},
        "family": {"contains": config.family},
    }
    if config.relation_flag is not None:
        params["relation"] = {"flags": config.relation_flag}
    elif config.relation_file is not None:
        params["relation"] = {"formulas": config.relation_file}
    elif scheme == "relation":
        raise SplitError(
            "a relation shift is declared by the user: give --relation-flag COLUMN or "
            "--relation-file FILE of formulas"
        )
    splitter = build_scheme(scheme, params[scheme], table, hydrates=data.hydrates)
    if not isinstance(splitter, HoldOut):
        raise TypeError(type(splitter).__name__)
    return splitter


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
