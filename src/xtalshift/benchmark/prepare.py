"""Read the tables, compute features, make the folds: once per benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.benchmark.spec import BenchmarkData, BenchmarkSpec, BenchmarkSplit
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import FAMILIES, family_codes
from xtalshift.data import MaterialsTable
from xtalshift.errors import SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import METHODS
from xtalshift.model.dataset import groups_of, load_rows, targets_of
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import SPLITTERS, Fold, RandomSplit, add_targets, add_validation, drop_near
from xtalshift.splits.schemes import build_scheme

__all__ = ["TAIL_SHARE", "Space", "make_folds", "prepare_problem", "wanted_features"]

TAIL_SHARE = 0.05
"""Share of the rows of a table whose targets count as extreme (the share of MatEx)."""
MIN_TEST_AFTER_LABELS = 10


class Space(NamedTuple):
    """What splits and audits of a table look at.

    Attributes
    ----------
    X : ndarray of float64, shape (n, d)
        Features, those of `BenchmarkData`.
    groups : ndarray of str, shape (n,)
        Reduced formulas.
    """

    X: NDArray[np.float64]
    groups: NDArray[np.object_]


def wanted_features(spec: BenchmarkSpec) -> tuple[str, ...]:
    """Return all features that a method of a benchmark is run on, each once."""
    wanted: list[str] = []
    for entry in spec.methods:
        own = entry.features or METHODS[entry.method].features
        wanted += [own] if own else spec.features
    return tuple(dict.fromkeys(wanted))


def prepare_problem(
    name: str, data: BenchmarkData, features: tuple[str, ...], progress: Progress = NO_PROGRESS
) -> tuple[Problem, MaterialsTable, Space]:
    """Read and clean one table and compute its features.

    Parameters
    ----------
    name : str
        Of the table in the benchmark.
    data : BenchmarkData
        Where it comes from.
    features : tuple of str
        Blocks of `xtalshift.featurize.CompositionFeaturizer`.
    progress : Progress
        Told what happens.

    Returns
    -------
    problem : Problem
        n rows.
    table : MaterialsTable
        The same rows, for the splitters.
    space : Space
        What splits and audits look at.

    Raises
    ------
    DataError
        If the data cannot be used.
    """
    data = data.resolve()
    table, cleaning, space = load_rows(data, progress)
    if data.sample is not None and data.sample < len(table):
        draw = np.random.default_rng(derive_seed(0, "sample"))
        rows = np.sort(draw.choice(len(table), data.sample, replace=False))
        table, space = table.take(rows), space[rows]
        progress.say(f"  {data.sample:,} of them drawn at random, the same for every seed")
    compositions, _, _ = parse_formulas(table.formulas, hydrates=data.hydrates)
    extra = table.feature_columns(data.feature_cols) if data.feature_cols else None
    X: dict[str, NDArray[np.float64]] = {}
    for block in features:
        if block == data.features:
            X[block] = space
            continue
        values = CompositionFeaturizer(block, data.impute_nan).transform(compositions)  # type: ignore[arg-type]
        X[block] = values if extra is None else np.hstack([values, extra])
    y = targets_of(table)
    low, high = np.quantile(y, [TAIL_SHARE, 1 - TAIL_SHARE])
    _, groups = np.unique(groups_of(table).astype(str), return_inverse=True)
    info = {
        "name": name,
        **table.describe(),
        "transform": data.transform,
        "impute_nan": data.impute_nan,
        "hydrates": data.hydrates,
        "feature_cols": list(data.feature_cols),
        "split_features": data.features,
        "families": list(FAMILIES),
        "tails": {"low": float(low), "high": float(high)},
        "cleaning": {k: v for k, v in cleaning.to_dict().items() if k.startswith("rows_")},
    }
    problem = Problem(
        info,
        X,
        y,
        groups.astype(np.int64),
        family_codes(compositions),
        table.formulas,
    )
    return problem, table, Space(space, groups_of(table))


def make_folds(
    spec: BenchmarkSpec,
    name: str,
    table: MaterialsTable,
    space: NDArray[np.float64],
    progress: Progress = NO_PROGRESS,
) -> Iterator[FoldRows]:
    """Yield the folds of every split and seed for one table.

    Held-out rows are the same for every seed, but for schemes that follow the training
    distribution; a seed draws target labels from them, and ID test and validation rows from the
    training rows, whole formulas each.

    Parameters
    ----------
    spec : BenchmarkSpec
        Settings.
    name : str
        Of the table.
    table : MaterialsTable
        n rows.
    space : ndarray of float64, shape (n, d)
        Features that the splitters look at.
    progress : Progress
        Told about budgets that a fold is too small for.

    Raises
    ------
    SplitError
        If a split is impossible for these rows.
    """
    data = spec.data[name].resolve()
    groups = groups_of(table)
    for split_name, given in spec.splits.items():
        if given.data and name not in given.data:
            continue
        split = given.resolve()
        found: list[Fold] | None = None
        for seed in range(spec.seed, spec.seed + spec.seeds):
            try:
                if found is None or _is_id(split):
                    splitter = build_scheme(
                        split.scheme,
                        split.params,
                        table,
                        hydrates=data.hydrates,
                        featurize=CompositionFeaturizer(data.features, data.impute_nan).featurize,
                        seed=seed if _is_id(split) else 0,
                        progress=progress,
                    )
                    folds = splitter.folds(space, targets_of(table), groups)
                    found = list(islice(folds, split.max_folds))
                for number, fold in enumerate(found):
                    yield _finish(
                        spec, split, name, split_name, number, seed, fold, groups, progress
                    )
            except SplitError as error:
                raise SplitError(f"split {split_name!r} of {name!r}: {error}") from error


def _is_id(split: BenchmarkSplit) -> bool:
    return SPLITTERS[split.scheme].role == "id"


def _finish(
    spec: BenchmarkSpec,
    split: BenchmarkSplit,
    data: str,
    name: str,
    number: int,
    seed: int,
    fold: Fold,
    groups: NDArray[np.object_],
    progress: Progress,
) -> FoldRows:
    """Return a fold with ID test rows, validation rows and target labels."""
    role: Literal["id", "ood"] = "id" if _is_id(split) else "ood"
    if split.min_distance is not None:
        fold = drop_near(fold, groups, split.min_distance)
    wanted = spec.budgets if split.budgets is None else split.budgets
    most = len(fold.target) or len(fold.test) - MIN_TEST_AFTER_LABELS  # the scheme may have labels
    budgets = tuple(sorted(budget for budget in set(wanted) if budget <= most))
    if len(budgets) < len(set(wanted)) and seed == spec.seed:
        progress.say(
            f"  {name} fold {number} has {len(fold.target) or len(fold.test)} held-out rows: no "
            f"{', '.join(str(b) for b in sorted(set(wanted) - set(budgets)))} target labels"
        )
    if budgets and not len(fold.target):
        labels = derive_seed(seed, "target labels", name, number)
        fold = add_targets(fold, groups, budgets, labels)
    inside = np.zeros(0, dtype=np.int64)
    share = spec.id_share if split.id_share is None else split.id_share
    if role == "ood" and share > 0:
        draw = RandomSplit(share, derive_seed(seed, "random split", name, number))
        mask = draw.held_out(fold.train, None, groups[fold.train])
        inside, fold = fold.train[mask], replace(fold, train=fold.train[~mask])
    share = spec.validation_share if split.validation_share is None else split.validation_share
    if share > 0:
        fold = add_validation(fold, groups, share, derive_seed(seed, "validation", name, number))
    if not len(fold.val):
        raise SplitError(
            "no validation rows: model selection would have to look at test rows; give "
            "validation_share"
        )
    parts = {"train": fold.train, "val": fold.val, "id": inside}
    parts |= {"target": fold.target, "test": fold.test}
    return FoldRows(
        data, name, number, seed, fold.name, role, split.tail, budgets,
        {part: np.asarray(rows, dtype=np.int64) for part, rows in parts.items()},
    )  # fmt: skip
