"""Assign every row of a table to a part of every fold of a split."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.data import Dataset
from xtalshift.data.files import first_reason
from xtalshift.data.numbers import parse_numbers
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import needs_structures
from xtalshift.jsonio import Plain
from xtalshift.model.inputs import require_structures
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed
from xtalshift.splits import (
    Fold,
    NestedFold,
    Rows,
    Splitter,
    add_targets,
    add_validation,
    drop_near,
    nested_folds,
    thin,
)
from xtalshift.splits.fold_files import OUTER
from xtalshift.splits.schemes import build_scheme, own_features, scheme_needs
from xtalshift.splits.split_spec import SplitSpec
from xtalshift.structure.soap import why_no_soap


@dataclass(frozen=True)
class SplitRows:
    """The rows of a table that a split can use."""

    table: Dataset
    """All N rows of the table."""
    good: NDArray[np.int64]
    """Shape (n,). Numbers of the usable rows."""
    reasons: NDArray[np.object_]
    """Shape (N,). Why a row cannot be used; ``""`` for usable rows."""
    usable: Rows
    """Their features (d = 0 if nothing needs them), targets, reduced formulas and compositions."""
    thinned: NDArray[np.bool_] | None = None
    """Shape (N,). Rows that are unused because a kept material is too similar."""
    spaces: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Blocks of features -> their values, shape (N, d), for schemes with features of their own."""

    @property
    def places(self) -> NDArray[np.int64]:
        """Number of each row of the table among the usable ones, -1 for the others."""
        places = np.full(len(self.table), -1, dtype=np.int64)
        places[self.good] = np.arange(len(self.good))
        return places


@dataclass(frozen=True)
class FoldParts:
    """One fold: its rows, and the same as a table."""

    fold: Fold
    """Row numbers among the usable rows."""
    frame: pd.DataFrame
    """Every row of the table in its order: ``id``, ``formula``, ``fold``, ``part`` (``train``,
    ``val``, ``target``, ``test`` or empty), ``fold_name``, ``status`` (``ok``, ``unused`` or
    ``error``), ``reason``; with budgets ``budget`` (the smallest that contains the row, else 0);
    with an inner cross-validation ``inner`` (number of the inner fold, -1 for the outer fold), and
    the rows of the inner folds below those of the outer one."""


def settle_split(spec: SplitSpec) -> SplitSpec:
    """Return settings that say where the structures are, if a scheme or its features need them.

    Raises
    ------
    ConfigError
        If the table has none.
    DataError
        If the table cannot be read.
    """
    needs, spaces = _needs(spec)
    blocks = [*spaces, *([spec.data.blocks] if "X" in needs else [])]
    if "structures" in needs or any(map(needs_structures, blocks)):
        return spec.model_copy(update={"data": require_structures(spec.data)})
    return spec


def _needs(spec: SplitSpec) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return what both schemes use of the rows, and the features of their own."""
    chosen = [(spec.scheme, spec.params)]
    if spec.inner is not None:
        chosen.append((spec.inner, spec.inner_params))
    needs = frozenset[str]().union(*(scheme_needs(*one) for one in chosen))
    spaces = (own_features(*one) for one in chosen)
    return needs, tuple(dict.fromkeys(filter(None, spaces)))


def prepare_rows(
    table: Dataset, data: DataConfig, needs: Collection[str], spaces: Iterable[str] = ()
) -> SplitRows:
    """Find the usable rows of a table.

    A row is usable if its formula can be read and it has features (if ``"X"`` is in `needs`), also
    those of the blocks in `spaces`, a target (if ``"y"`` is) and a crystal structure with whole
    atoms (if ``"structures"`` is).

    Raises
    ------
    DataError
        If targets are needed and there are none, or no row is usable.
    """
    compositions, reasons = table.materials.compositions, table.materials.reasons.copy()
    y = table.targets
    if y is not None:
        problems = parse_numbers(y)[1] if table.problems is None else table.problems
        y = np.where(problems == "", y, np.nan)
        if "y" in needs:
            for row in np.flatnonzero((reasons == "") & (problems != "")):
                reasons[row] = f"target {problems[row]}"
    elif "y" in needs:
        raise DataError("this scheme uses the targets: give --target COLUMN")
    if "X" in needs:
        features = CompositionFeaturizer(data.blocks, data.impute_nan).featurize(table.materials)
        X, reasons = features.values, np.where(reasons == "", features.reasons, reasons)
    else:
        X = np.empty((len(table), 0))
    values = {}
    for blocks in spaces:
        features = CompositionFeaturizer(blocks, data.impute_nan).featurize(table.materials)
        values[blocks] = features.values
        reasons = np.where(reasons == "", features.reasons, reasons)
    structures = table.materials.structures
    if "structures" in needs and structures is not None:
        reasons = np.where(reasons == "", why_no_soap(structures), reasons)
    good = np.flatnonzero(reasons == "")
    if not len(good):
        raise DataError(f"no row of {table.source} is usable; {first_reason(reasons)}")
    return SplitRows(
        table,
        good,
        reasons,
        Rows.of(
            X[good],
            None if y is None else y[good],
            table.groups[good],
            compositions.take(good),
        ),
        spaces=values,
    )


def open_rows(
    table: Dataset,
    spec: SplitSpec,
    needs: Collection[str],
    spaces: Iterable[str] = (),
    progress: Progress = NO_PROGRESS,
) -> SplitRows:
    """Return the rows that a split uses: as `prepare_rows`, then thinned if `spec.thin` is set."""
    rows = prepare_rows(table, spec.data, needs, spaces)
    if spec.thin is None:
        return rows
    keep = thin(
        rows.usable.groups,
        spec.thin,
        compositions=rows.usable.parsed,
        random_state=derive_seed(spec.seed, "thin"),
    )
    progress.say(
        f"  {int(np.sum(~keep)):,} of {len(keep):,} rows thinned out: a kept material is within a "
        f"composition distance of {spec.thin:g}"
    )
    reasons, thinned = rows.reasons.copy(), np.zeros(len(table), dtype=bool)
    thinned[rows.good[~keep]] = True
    reasons[thinned] = f"thinned out: a kept material is within {spec.thin:g}"
    return replace(
        rows,
        good=rows.good[keep],
        reasons=reasons,
        usable=rows.usable.take(keep),
        thinned=thinned,
    )


def make_splitter(
    scheme: str, params: Plain, spec: SplitSpec, rows: SplitRows, progress: Progress = NO_PROGRESS
) -> Splitter:
    """Return the splitter of a scheme for the usable rows, see `build_scheme`."""
    return build_scheme(
        scheme,
        params,
        rows.table,
        notation=spec.data.notation,
        featurize=CompositionFeaturizer(spec.data.blocks, spec.data.impute_nan).featurize,
        featurize_rows=lambda blocks: rows.spaces[blocks][rows.good],
        rows=rows.good,
        seed=spec.seed,
        progress=progress,
    )


def iter_parts(
    table: Dataset, spec: SplitSpec, progress: Progress = NO_PROGRESS
) -> Iterator[FoldParts]:
    """Yield the parts of every fold of a split.

    Parameters
    ----------
    table : Dataset
        The table, not cleaned.
    spec : SplitSpec
        Settings.
    progress : Progress
        Reports the analysis of structures and the thinning.

    Raises
    ------
    ConfigError, DataError, SplitError
        If a setting, the table or the split is impossible; the message says what is possible.
    """
    ids, counts = np.unique(table.ids.astype(str), return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"id {str(ids[np.argmax(counts > 1)])!r} is in several rows, so their parts cannot be "
            "distinguished; name a column of unique ids, or none to use row numbers"
        )
    rows = open_rows(table, spec, *_needs(spec), progress)
    outer = make_splitter(spec.scheme, spec.params, spec, rows, progress)
    inner = None
    if spec.inner is not None:
        inner = make_splitter(spec.inner, spec.inner_params, spec, rows, progress)
    formulas = rows.usable.numbers  # faster to compare than text
    for number, (fold, inside) in enumerate(_folds(rows.usable, outer, inner)):
        whole = fold
        if spec.min_distance is not None:
            whole = drop_near(
                whole, rows.usable.groups, spec.min_distance, compositions=rows.usable.parsed
            )
        if spec.budgets:
            seed = derive_seed(spec.seed, "target labels", number)
            whole = add_targets(whole, formulas, spec.budgets, seed)
        if spec.validation_share and inner is None:
            # the first fold has the validation rows of `run` and `train`
            seed = derive_seed(spec.seed, "validation", *([number] if number else []))
            whole = add_validation(whole, formulas, spec.validation_share, seed)
        frames = [_frame(rows, spec, whole, fold, number)]
        for place, small in enumerate(inside):
            frames.append(_frame(rows, spec, small, small, number, inner=place))
        yield FoldParts(whole, pd.concat(frames, ignore_index=True))


def _folds(rows: Rows, outer: Splitter, inner: Splitter | None) -> Iterator[NestedFold]:
    if inner is not None:
        return nested_folds(outer, inner, rows)
    return (NestedFold(fold, ()) for fold in outer.folds(rows))


def _frame(
    rows: SplitRows,
    spec: SplitSpec,
    fold: Fold,
    before: Fold,
    number: int,
    inner: int = OUTER,
) -> pd.DataFrame:
    table = rows.table
    parts = np.full(len(table), "", dtype=object)
    reasons = rows.reasons.copy()
    status = np.where(reasons == "", "ok", "error").astype(object)
    if rows.thinned is not None:
        status[rows.thinned] = "unused"
    idle = np.ones(len(rows.good), dtype=bool)
    for name, members in fold.parts.items():
        parts[rows.good[members]] = name
        idle[members] = False
    status[rows.good[idle]] = "unused"
    reasons[rows.good[idle]] = (
        "in no part of this fold" if inner == OUTER else "in no part of this inner fold"
    )
    if spec.min_distance is not None and inner == OUTER:
        members = np.concatenate(list(fold.parts.values()))
        near = np.setdiff1d(np.concatenate([before.train, before.val]), members)
        reasons[rows.good[near]] = f"within {spec.min_distance:g} of a test row"
    frame = pd.DataFrame(
        {
            "id": table.ids,
            "formula": table.formulas,
            "fold": np.int64(number),
            "part": parts,
            "fold_name": fold.name,
            "status": status,
            "reason": reasons,
        }
    )
    if spec.inner is not None:
        frame["inner"] = np.int64(inner)
    if spec.budgets:
        budgets = np.zeros(len(table), dtype=np.int64)
        limits = np.array(sorted(set(spec.budgets)))
        order = np.searchsorted(limits, np.arange(len(fold.target)), side="right")
        budgets[rows.good[fold.target]] = limits[order]
        frame["budget"] = budgets
    return frame
