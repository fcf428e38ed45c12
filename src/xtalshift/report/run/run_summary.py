"""Records of a run to means, spreads and comparisons: every number of its tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from xtalshift.benchmark.measures import CLASS_MEASURES
from xtalshift.benchmark.records import TAIL_MEASURES, MeanScore
from xtalshift.benchmark.run_results import Record, Split
from xtalshift.report.shared.interval_evaluation import RowSet
from xtalshift.report.shared.methods import DUMMY

_MEASURES = ["mae", "rmse", "r2", "mae_over_dummy", "seconds", *TAIL_MEASURES]
_OF_CLASSES = [*CLASS_MEASURES, "log_loss_over_dummy"]
_ENOUGH_SEEDS = 3
_NOTABLY = 0.9  # an error of the constant below this part of the other is notably smaller
_LABELS = {
    "random": "random split",
    "covariate": "covariate shift",
    "prior": "prior shift",
    "relation": "relation shift",
}


@dataclass(frozen=True, kw_only=True)
class Cell(MeanScore):
    """Score of one method on one set of test rows; `seeds` finished runs are in the means.

    `factor` is by which factor a prediction is typically wrong, `typical_factors`; None unless the
    model was trained on logarithms. `id_over_dummy` is `error_over_dummy` of the same training on
    its ID rows, for OOD rows.
    """

    method: str
    split: str
    role: str
    seeds: int
    factor: float | None = None
    id_over_dummy: float | None = None

    @property
    def worse_than_dummy(self) -> bool:
        """Whether the dummy has no larger error."""
        ratio = self.error_over_dummy
        return self.method != DUMMY and ratio is not None and ratio >= 1.0


@dataclass(frozen=True)
class Pair:
    """Two methods on the seeds that both finished.

    `change` is the mean error of `first` over that of `second`, minus 1: negative if `first` is
    better. `wins` of the `seeds` have a smaller error of `first`.
    """

    first: str
    second: str
    change: float
    wins: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Column:
    """One split of the tables, with the method of the smallest error.

    Splits of one `fit` share their training. `n_rows` are the fewest rows that a run was tested
    on. `best` is the smallest mean error of the methods except the dummy (None if no run
    finished), `winner` its method, or the dummy where that is no worse. `runner_up` compares the
    best method with the second; `every_seed` tells whether it leads on each of at least 3 seeds.
    `dummy_error` is the error of the constant, `id_dummy_error` that on the ID rows of an OOD
    split. `distance` is how far the mean of the test rows is from the constant, in standard
    deviations of the test rows.
    """

    split: str
    role: str
    label: str
    fit: str
    description: str
    n_train: int | None
    n_val: int | None
    n_test: int | None
    n_rows: int | None
    best: Cell | None
    winner: str
    dummy_error: float | None
    id_dummy_error: float | None
    distance: float | None
    runner_up: Pair | None
    every_seed: bool

    @property
    def r2_says_nothing(self) -> bool:
        """Whether R² compares with a mean of the test rows that is far from all training rows.

        The test rows, such as a tail of the targets, are then closer to each other than to the
        training mean: R² is very negative for useful models too.
        """
        return self.distance is not None and self.distance > 1.0

    @property
    def only_smaller_values(self) -> bool | None:
        """Whether an OOD error below the ID error comes from smaller values only (or in part).

        None if the error is not smaller, or the constant's error is hardly smaller too.
        """
        best, inside, outside = self.best, self.id_dummy_error, self.dummy_error
        if best is None or best.gap is None or inside is None or outside is None:
            return None
        if best.error_over_dummy is None or best.id_over_dummy is None or best.gap >= 1.0:
            return None
        if best.error_over_dummy >= best.id_over_dummy:
            return True
        return False if outside < _NOTABLY * inside else None

    @property
    def rows(self) -> RowSet:
        """The test rows."""
        return RowSet(self.split, self.role, self.label)


class RunSummary:
    """The records of a run, asked by method, split and role."""

    def __init__(
        self, records: Sequence[Record], factors: dict[tuple[str, str, str], float] | None = None
    ) -> None:
        self._factors = factors or {}
        frame = pd.DataFrame([asdict(record) for record in records])
        measures = [*_MEASURES, *_OF_CLASSES]
        frame[measures] = frame[measures].astype(float)
        of_classes = frame["log_loss"].notna().any()
        self._error = "log_loss" if of_classes else "mae"
        self._measures = [*_MEASURES, *(_OF_CLASSES if of_classes else [])]
        self._frame = frame
        self._done = frame[frame["status"] == "ok"]

    def methods(self, *, variants: bool = False) -> list[str]:
        """Return the methods in order of appearance, the dummy first.

        `variants` (with a colon) are other weights of a training that is in the table already.
        """
        names = [name for name in self._frame["method"].unique() if variants or ":" not in name]
        return sorted(names, key=lambda name: name != DUMMY)

    def errors(self, split: str, role: str) -> pd.DataFrame:
        """Return the errors that rank, one row per seed and one column per method."""
        rows = _select(self._done, split=split, role=role)
        table = rows.pivot_table(self._error, index="seed", columns="method")
        return table.reindex(columns=self.methods(variants=True)).astype(float)

    def cell(self, method: str, split: str, role: str) -> Cell | None:
        """Return the score of a method on one set of test rows; None where it was not run."""
        runs = _select(self._frame, method=method, split=split, role=role)
        if runs.empty:
            return None
        done = runs[runs["status"] == "ok"]
        means = {name: _known(done[name].mean()) for name in self._measures}
        error, name = means[self._error], self._error
        inside = _known(self.errors(split, "id")[method].mean()) if role == "ood" else None
        return Cell(
            method=method,
            split=split,
            role=role,
            **means,
            **{
                f"{name}_sd": _known(done[name].std()),
                f"{name}_over_dummy_sd": _known(done[f"{name}_over_dummy"].std()),
                f"id_{name}": inside,
            },
            gap=error / inside if error is not None and inside else None,
            factor=self._factors.get((method, split, role)),
            id_over_dummy=self._id_over_dummy(method, split) if role == "ood" else None,
            seeds=int(done[name].count()),
            failed=len(runs) - len(done),
        )

    def _id_over_dummy(self, method: str, split: str) -> float | None:
        rows = _select(self._done, method=method, split=split, role="id")
        return _known(rows[f"{self._error}_over_dummy"].mean())

    def cost(self, method: str, columns: Sequence[Column]) -> float | None:
        """Return the mean seconds of one fit over the splits and seeds of the columns."""
        runs = [
            _select(self._done, method=method, split=column.split, role=column.role)["seconds"]
            for column in columns
        ]
        return _known(pd.concat(runs).mean())

    def tested_rows(self, split: str, role: str) -> int | None:
        """Return the fewest rows that a run was tested on."""
        rows = _known(_select(self._done, split=split, role=role)["n"].min())
        return None if rows is None else int(rows)

    def ranking(self, split: str, role: str) -> list[str]:
        """Return the base methods except the dummy, smallest mean error first.

        Methods that finished fewer seeds than the others come last: means over other seeds are
        not comparable.
        """
        errors = self.errors(split, role)[[name for name in self.methods() if name != DUMMY]]
        errors = errors.dropna(axis="columns", how="all")
        counts, means = errors.count(), errors.mean()
        return sorted(errors.columns, key=lambda name: (counts[name] < counts.max(), means[name]))

    def paired(self, first: str, second: str, split: str, role: str) -> Pair | None:
        """Compare two methods on the seeds that both finished; None without such a seed."""
        errors = self.errors(split, role)
        if not {first, second} <= set(errors.columns):
            return None
        both = errors[[first, second]].dropna()
        if not both[second].sum():
            return None
        change = float(both[first].sum() / both[second].sum() - 1.0)
        return Pair(first, second, change, int((both[first] < both[second]).sum()), len(both))

    def chosen(self, saved: str | None, columns: Sequence[Column]) -> str | None:
        """Return the method that the page is about: that of the saved model, if any run finished.

        Without a saved model it is the one with the smallest error in the first column that has
        one, the ID rows; None if no run finished.
        """
        done = [column.best.method for column in columns if column.best]
        if saved is not None and (self._done["method"] == saved).any():
            return saved
        return done[0] if done else None

    def leads_every_seed(self, method: str, split: str, role: str) -> bool:
        """Return whether a method has the smallest error of all base methods on every seed."""
        errors = self.errors(split, role)[self.methods()]
        rivals = errors.drop(columns=method)
        return bool((rivals.gt(errors[method], axis="index") | rivals.isna()).all(axis=None))

    def column(self, split: Split) -> Column:
        """Return a split with its best method."""
        key = (split.name, split.role)
        ranking, dummy = self.ranking(*key), self.cell(DUMMY, *key)
        best = self.cell(ranking[0], *key) if ranking else None
        pair = self.paired(ranking[0], ranking[1], *key) if ranking[1:] else None
        inside = self.cell(DUMMY, split.name, "id") if split.role == "ood" else None
        below = dummy.r2 if dummy else None
        enough = pair is not None and pair.seeds >= _ENOUGH_SEEDS
        return Column(
            split=split.name,
            role=split.role,
            label=_LABELS.get(split.name, split.name.replace("_", " ").replace(":", " ")),
            fit=split.fit or split.name,
            description=split.description or "",
            n_train=split.n_train,
            n_val=split.n_val,
            n_test=split.n_test,
            n_rows=self.tested_rows(*key),
            best=best,
            winner=DUMMY if best is None or best.worse_than_dummy else ranking[0],
            dummy_error=dummy.error if dummy else None,
            id_dummy_error=inside.error if inside else None,
            # a constant at distance d (in sd) of the mean of the test rows has R² = -d²
            distance=math.sqrt(max(0.0, -below)) if below is not None else None,
            runner_up=pair,
            every_seed=enough and self.leads_every_seed(ranking[0], *key),
        )


def typical_factors(predictions: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return by which factor predictions are typically wrong, by method, split and role.

    This is ``exp(mean |ln(prediction / target)|)`` over all rows and seeds: 2 means that
    predictions are twice or half the target, on (geometric) average. A method that has a value that
    is not positive has no entry.
    """
    values = predictions[["target", "prediction"]].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.abs(np.log(values[:, 1]) - np.log(values[:, 0]))
    found = {}
    keys = ["method", "split", "role"]
    for key, part in pd.Series(logs, predictions.index).groupby([predictions[k] for k in keys]):
        mean = part.mean(skipna=False)
        if np.isfinite(mean):
            method, split, role = map(str, key)
            found[method, split, role] = float(np.exp(mean))
    return found


def _select(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the rows with these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def list_columns(splits: Sequence[Split], summary: RunSummary) -> list[Column]:
    """Return one column per split, in distribution first.

    The rows of an OOD split may be listed with its ID rows; the OOD rows make it one.
    """
    first: dict[str, Split] = {}
    for split in sorted(splits, key=lambda split: split.role != "ood"):
        first.setdefault(split.name, split)
    names = dict.fromkeys(split.name for split in splits)
    return [
        summary.column(split)
        for split in sorted((first[name] for name in names), key=lambda one: one.role != "id")
    ]


def list_failures(records: Sequence[Record]) -> list[list[Record]]:
    """Return the failed records of one training that have one reason together."""
    groups: dict[tuple[str, int, str | None], list[Record]] = {}
    for one in records:
        if one.status != "ok":
            groups.setdefault((one.method, one.seed, one.reason), []).append(one)
    return list(groups.values())
