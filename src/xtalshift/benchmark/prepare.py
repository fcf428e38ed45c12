"""Read the tables, compute features and make the folds, once per benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.problem import FoldRows, Problem, Shared, TestRows
from xtalshift.benchmark.records import JOINT, Role
from xtalshift.benchmark.scores import TAIL_SHARE
from xtalshift.benchmark.spec import BenchmarkData, BenchmarkSpec, BenchmarkSplit
from xtalshift.data import Dataset
from xtalshift.data.cut_classes import cut_classes
from xtalshift.data.several import read_settings
from xtalshift.errors import SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks
from xtalshift.model.inputs import (
    drop_without_features,
    only_clean,
    read_fidelities,
    read_inputs,
    require_structures,
    say_overlap,
    settle_structures,
)
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import Fold, RandomSplit, add_targets, add_validation, drop_near
from xtalshift.splits import Rows as SplitRows
from xtalshift.splits.schemes import (
    FeaturizeFormulas,
    build_scheme,
    own_features,
    scheme_needs,
)
from xtalshift.words import plural

MIN_TRAIN_ROWS = 20
MIN_TEST_AFTER_LABELS = 10

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """A data set with all its columns, and the features in which splitters measure distances."""

    data: Dataset
    X: FloatArray

    @cached_property
    def rows(self) -> SplitRows:
        """The rows in the form that splitters take."""
        return SplitRows.of(self.X, self.data.y, self.data.groups, self.data.materials.compositions)


def prepare_shared(
    spec: BenchmarkSpec,
    plugins: dict[str, str],
    progress: Progress = NO_PROGRESS,
    *,
    compute: bool = True,
) -> tuple[Shared, dict[str, Table]]:
    """Return the rows and folds of a benchmark, and its tables by name.

    Without `compute` the features of the methods are left out: a plan does not need them, and those
    of pretrained networks take minutes. Rows that lack some of them are then still there.
    """
    features = wanted_features(spec)
    problems: dict[str, Problem] = {}
    folds, tables = {}, {}
    for name, data in spec.data.items():
        splits = [split for _, split in _splits_of(spec, name)]
        problem, tables[name] = prepare_table(name, data, features, splits, progress)
        if compute:
            problem, tables[name] = compute_features(problem, tables[name], features, progress)
        problems[name] = problem
        for fold in make_folds(spec, name, tables[name], progress):
            folds[fold.key] = fold
    if spec.joint:
        _say_tests(folds, progress)
    for name, data in spec.data.items():
        if data.beside:
            others = {other: problems[other] for other in data.beside}
            problems[name] = problems[name].with_others(others)
    return Shared(problems, folds, plugins, spec.own_methods), tables


def _say_tests(folds: dict[str, FoldRows], progress: Progress) -> None:
    """Report what the first fold of a joint benchmark holds out."""
    for test in next(iter(folds.values())).tests:
        if test.role == "ood" or len(test.description):
            progress.say(
                f"  {test.split} ({test.role}): {len(test.rows):,} test rows, {test.description}"
            )


def wanted_features(spec: BenchmarkSpec) -> tuple[Blocks, ...]:
    """Return all features that methods of a benchmark use, each once."""
    wanted: list[Blocks] = []
    for entry in spec.methods:
        own = entry.own_features
        wanted += [own] if own else spec.features
    return tuple(dict.fromkeys(wanted))


def prepare_table(
    name: str,
    settings: BenchmarkData,
    features: tuple[Blocks, ...],
    splits: Sequence[BenchmarkSplit] = (),
    progress: Progress = NO_PROGRESS,
) -> tuple[Problem, Table]:
    """Read and clean one table, see `compute_features` for those of its methods.

    Parameters
    ----------
    name : str
        Name of the table in the benchmark.
    settings : BenchmarkData
        Settings of the table.
    features : tuple of str
        Blocks of `xtalshift.featurize.CompositionFeaturizer`, which may need structures.
    splits : sequence of BenchmarkSplit
        The splits of the table, which may need structures.
    progress : Progress
        Receives messages.

    Raises
    ------
    DataError
        If the data cannot be used.
    """
    spaces = (own_features(split.scheme, split.params) for split in splits)
    settings = settle_structures(settings.resolve(), [*features, *filter(None, spaces)])
    if any("structures" in scheme_needs(split.scheme, split.params) for split in splits):
        settings = require_structures(settings)
    lower, lower_name, others = None, "", {}
    if settings.fidelity.column is not None:
        both = read_fidelities(settings, settings.fidelity, progress, flag=settings.flag)
        inputs, low, lower_name = both.high, both.low, both.names[1]
        lower = low.take(~np.isin(low.groups.astype(str), inputs.data.groups.astype(str)))
        progress.say(
            f"  {len(lower):,} materials of {lower_name!r} without a value of "
            f"{both.names[0]!r} train every method but constants"
        )
    else:
        inputs = read_inputs(settings, progress, flag=settings.flag, classes=True)
        others = read_others(settings, progress)
    data, space = inputs.data, inputs.X
    if settings.cuts:
        data = cut_classes(data, settings.cuts, settings.cut_names, ordered=settings.ordered)
    if settings.sample is not None and settings.sample < len(data):
        draw = np.random.default_rng(derive_seed(0, "sample"))
        rows = np.sort(draw.choice(len(data), settings.sample, replace=False))
        data, space = data.take(rows), space[rows]
        progress.say(f"  {settings.sample:,} of them drawn at random, the same for every seed")
    problem = Problem(
        name, _slim(data), settings, {}, _tails(data), settings.encoder, lower, lower_name,
        tuple(settings.targets), others,
    )  # fmt: skip
    return problem, Table(data, space)


def _slim(data: Dataset) -> Dataset:
    """Return rows without the columns that no task needs, described as the whole table."""
    slim = replace(data, columns=pd.DataFrame())
    slim.__dict__["description"] = data.description
    return slim


def _tails(data: Dataset) -> tuple[float, float]:
    least, most = np.quantile(data.y[~data.bounded], [TAIL_SHARE, 1 - TAIL_SHARE])
    return float(least), float(most)


def compute_features(
    problem: Problem,
    table: Table,
    features: tuple[Blocks, ...],
    progress: Progress = NO_PROGRESS,
) -> tuple[Problem, Table]:
    """Return a problem with the features of its rows, and its table.

    A row that lacks the features of one method is left out for all of them, so that their errors
    are those of the same rows.

    Parameters
    ----------
    problem : Problem
        Of `prepare_table`.
    table : Table
        Its rows, with the features in which splits measure distances.
    features : tuple of str
        Blocks of `xtalshift.featurize.CompositionFeaturizer`.
    progress : Progress
        Receives messages.

    Raises
    ------
    FormulaError
        If no row has the features of a method, or the table is strict and one lacks them.
    """
    values: dict[Blocks, FloatArray] = {}
    data, kept = table.data, np.arange(len(table.data))
    for block in features:
        if block == problem.settings.blocks:
            values[block] = table.X
            continue
        say_overlap(problem.blocks(block), table.data, progress)
        computed = problem.featurizer(block).featurize(table.data.materials)
        values[block] = np.hstack([computed.values, table.data.materials.extra])
        data, good, finding = drop_without_features(
            data, computed.reasons[kept], strict=problem.settings.strict, blocks=block
        )
        kept = kept[good]
        if finding is not None:
            progress.say(
                f"  {plural(finding.count, 'row', 'is', 'are')} left out for every method: no "
                f"{block} features ({finding.first()})"
            )
    if len(kept) < len(table.data):
        table = Table(data, table.X[kept])
        values = {block: found[kept] for block, found in values.items()}
        problem = replace(problem, data=_slim(data), tails=_tails(data))
    return replace(problem, X=values), table


def read_others(settings: BenchmarkData, progress: Progress) -> dict[str, Dataset]:
    """Return clean rows of the targets of a table that are numbers, but for the one to predict."""
    if not settings.targets:
        return {}
    tables, _ = read_settings(
        {
            name: settings.model_copy(update={"target": name, "unit": unit})
            for name, unit in settings.targets.items()
            if name != settings.target
        },
        progress,
    )
    return {
        name: only_clean(table, settings) for name, table in tables.items() if table.classes is None
    }


def make_folds(
    spec: BenchmarkSpec, name: str, table: Table, progress: Progress = NO_PROGRESS
) -> Iterator[FoldRows]:
    """Yield the folds of every split and seed for one table.

    Held-out rows are the same for every seed, except for schemes that follow the training
    distribution; a seed draws target labels from them, and ID test and validation rows from the
    training rows, whole formulas each.

    Parameters
    ----------
    spec : BenchmarkSpec
        Settings.
    name : str
        Name of the table.
    table : Table
        n rows.
    progress : Progress
        Receives the budgets for which a fold is too small.

    Raises
    ------
    SplitError
        If a split is impossible for these rows, or no row of a part has a known target.
    """
    for fold in _folds(spec, name, table, progress):
        yield with_known_tests(fold, table.data.bounded)


def with_known_tests(fold: FoldRows, bounded: NDArray[np.bool_]) -> FoldRows:
    """Return a fold whose test rows and target labels have targets, of which others have bounds.

    A bound has no error. Training and validation rows with bounds stay.

    Parameters
    ----------
    fold : FoldRows
        Rows of a table.
    bounded : ndarray of bool, shape (n,)
        Rows of the table of which only bounds of the target are known.

    Raises
    ------
    SplitError
        If no training, validation or test row, or no row of a set of test rows, has a target.
    """
    if not bounded.any():
        return fold
    tests = []
    for test in fold.tests:
        rows = test.rows[~bounded[test.rows]]
        n = len(test.rows) - len(rows)
        said = f"{test.description}; {n:,} further rows have bounds, and so no error"
        said = said if n and test.description else test.description
        tests.append(replace(test, rows=rows, description=said, n_bounded=n))
    target = fold.target[~bounded[fold.target]]
    parts = {"training": fold.train, "validation": fold.val}
    parts |= {f"{test.split} ({test.role}) test": test.rows for test in tests}
    for what, rows in parts.items():
        if bounded[rows].all():  # also of none
            raise SplitError(
                f"{fold.key}: of all {what} rows only bounds of the target are known; give more "
                "rows with values, or leave the split out"
            )
    budgets = tuple(budget for budget in fold.budgets if budget <= len(target))
    return replace(fold, tests=tuple(tests), target=target, budgets=budgets)


def _folds(spec: BenchmarkSpec, name: str, table: Table, progress: Progress) -> Iterator[FoldRows]:
    if spec.joint:
        yield from _joint_folds(spec, name, table, progress)
        return
    for split_name, split in _splits_of(spec, name):
        found: tuple[list[Fold], str] | None = None
        for seed in spec.all_seeds:
            try:
                if found is None or split.is_id:
                    found = _regions(spec, name, split, table, seed, progress)
                for number, fold in enumerate(found[0]):
                    yield _finish(
                        spec, split, name, split_name, number, seed, fold, table.data.groups,
                        found[1], progress,
                    )  # fmt: skip
            except SplitError as error:
                raise _impossible(spec, name, table, split_name, error) from error


def _splits_of(spec: BenchmarkSpec, data: str) -> Iterator[tuple[str, BenchmarkSplit]]:
    for name, split in spec.splits.items():
        if not split.data or data in split.data:
            yield name, split.resolve()


def _regions(
    spec: BenchmarkSpec,
    name: str,
    split: BenchmarkSplit,
    table: Table,
    seed: int,
    progress: Progress,
) -> tuple[list[Fold], str]:
    """Return the folds of a split of a table, and a description of what it holds out."""
    settings = spec.data[name].resolve()
    data = table.data
    splitter = build_scheme(
        split.scheme,
        split.params,
        data,
        notation=settings.notation,
        featurize=_featurizer(settings),
        featurize_rows=partial(_featurize_rows, settings, data),
        seed=seed if split.is_id else 0,
        progress=progress,
    )
    folds = islice(splitter.folds(table.rows), split.max_folds)
    return list(folds), splitter.describe()


def _featurizer(settings: BenchmarkData) -> FeaturizeFormulas:
    return CompositionFeaturizer(settings.blocks, settings.impute_nan).featurize


def _featurize_rows(settings: BenchmarkData, data: Dataset, blocks: Blocks) -> FloatArray:
    """Return the features in which a split measures distances; a row without them is an error."""
    values = CompositionFeaturizer(blocks, settings.impute_nan).transform(data.materials)
    return np.asarray(values, dtype=np.float64)


def _joint_folds(
    spec: BenchmarkSpec, name: str, table: Table, progress: Progress
) -> Iterator[FoldRows]:
    """Yield one fold per seed, trained on the rows that no split holds out.

    This is the protocol of arXiv:2408.09297: one training serves all test sets. The ID test rows
    are drawn from the same rows, so that they follow the training distribution.
    """
    held_out = _held_out(spec, name, table, progress)
    groups = table.data.groups
    taken = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, _ in held_out.values())])
    for seed in spec.all_seeds:
        rest = np.setdiff1d(np.arange(len(groups)), taken)
        parts: list[Rows] = []
        for share, purpose in (
            (spec.id_share, "random split"),
            (spec.validation_share, "validation"),
        ):
            if len(rest) < MIN_TRAIN_ROWS:
                raise SplitError(
                    f"{table.data.source or name}: only {len(rest)} of {len(groups)} rows are in "
                    f"no test set; at least {MIN_TRAIN_ROWS} are needed for training. Use fewer or "
                    "smaller splits (--splits), or train once per split (--separate)"
                )
            mask = np.zeros(len(rest), dtype=bool)
            if share > 0:
                draw = RandomSplit(share, derive_seed(seed, purpose))
                mask = draw.held_out(rest, None, groups[rest])  # needs the formulas only
            parts.append(rest[mask])
            rest = rest[~mask]
        inside, validation = parts
        tests = []
        if len(inside):
            random = f"{RandomSplit(spec.id_share).describe()} that no shifted set holds"
            tests.append(TestRows(spec.id_name, "id", inside, random))
        for split_name, (rows, what) in held_out.items():
            tests += [TestRows(split_name, "id", inside)] if len(inside) else []
            tests += [TestRows(split_name, "ood", rows, what)] if len(rows) else []
        yield FoldRows(
            name, JOINT, 0, seed, JOINT, spec.tail, (), rest, validation, inside[:0], tuple(tests)
        )


def _held_out(
    spec: BenchmarkSpec, name: str, table: Table, progress: Progress
) -> dict[str, tuple[Rows, str]]:
    """Return the rows that each split of a joint benchmark holds out, with a description."""
    held_out: dict[str, tuple[Rows, str]] = {}
    for split_name, split in _splits_of(spec, name):
        if split.is_id:
            raise SplitError(f"split {split_name!r}: a joint benchmark draws ID test rows itself")
        try:
            found, what = _regions(spec, name, split, table, 0, progress)
        except SplitError as error:
            raise _impossible(spec, name, table, split_name, error) from error
        if len(found) != 1:
            raise SplitError(
                f"split {split_name!r} has {len(found)} folds; a joint benchmark needs splits of "
                "one fold"
            )
        held_out[split_name] = found[0].test, what
    return held_out


def _impossible(
    spec: BenchmarkSpec, name: str, table: Table, split: str, error: SplitError
) -> SplitError:
    """Return the error of a split with the names of file, table and split."""
    which = f" of {name!r}" if len(spec.data) > 1 else ""
    named = SplitError(f"{table.data.source or name}: split {split!r}{which}: {error}")
    named.split = split
    return named


def _finish(
    spec: BenchmarkSpec,
    split: BenchmarkSplit,
    data: str,
    name: str,
    number: int,
    seed: int,
    fold: Fold,
    groups: NDArray[np.object_],
    what: str,
    progress: Progress,
) -> FoldRows:
    """Return a fold with ID test rows, validation rows and target labels."""
    role: Role = "id" if split.is_id else "ood"
    if split.min_distance is not None:
        fold = drop_near(fold, groups, split.min_distance)
    wanted = spec.budgets if split.budgets is None else split.budgets
    most = (
        len(fold.target) or len(fold.test) - MIN_TEST_AFTER_LABELS
    )  # the scheme may define labels
    budgets = tuple(sorted(budget for budget in set(wanted) if budget <= most))
    if len(budgets) < len(set(wanted)) and seed == spec.seed:
        progress.say(
            f"  {name} fold {number} has {len(fold.target) or len(fold.test)} held-out rows: too "
            f"few for {', '.join(str(b) for b in sorted(set(wanted) - set(budgets)))} target labels"
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
    if split.max_train_rows is not None and split.max_train_rows < len(fold.train):
        draw_rows = np.random.default_rng(derive_seed(seed, "training rows", name, number))
        fewer = draw_rows.permutation(fold.train)[: split.max_train_rows]
        fold = replace(fold, train=np.sort(fewer))
    hidden = fold.train[:0]
    if split.known_share is not None:
        draw_known = np.random.default_rng(derive_seed(seed, "known targets", number))
        mixed = draw_known.permutation(fold.train)
        n_known = max(round(split.known_share * len(mixed)), 1)
        hidden, fold = mixed[n_known:], replace(fold, train=np.sort(mixed[:n_known]))
    share = spec.validation_share if split.validation_share is None else split.validation_share
    if share > 0:
        fold = add_validation(fold, groups, share, derive_seed(seed, "validation", name, number))
    if not len(fold.val):
        raise SplitError(
            "no validation rows, so that models would be selected on test rows; set "
            "validation_share"
        )
    rows = {
        part: np.asarray(values, dtype=np.int64)
        for part, values in (
            ("train", fold.train), ("val", fold.val), ("target", fold.target), ("test", fold.test),
        )
    }  # fmt: skip
    tests = [TestRows(name, "id", np.asarray(inside, dtype=np.int64), what)] if len(inside) else []
    tests.append(TestRows(name, role, rows["test"], what))
    return FoldRows(
        data, name, number, seed, fold.name, split.tail or spec.tail, budgets,
        rows["train"], rows["val"], rows["target"], tuple(tests),
        np.sort(np.asarray(hidden, dtype=np.int64)),
    )  # fmt: skip
