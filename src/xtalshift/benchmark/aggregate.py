"""Means over folds and seeds, spreads and intervals."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xtalshift.benchmark.measures import CLASS_MEASURES
from xtalshift.benchmark.records import TAIL_MEASURES, Score, TaskRecord
from xtalshift.benchmark.summary_records import FoldError, LabelCurve, SummaryCell
from xtalshift.methods import METHODS
from xtalshift.metrics import bootstrap_mean, forgetting, label_efficiency

Key = tuple[str, str, str, str, int]
"""Data, split, method, variant, label budget."""

MEASURES = (
    "mae", "rmse", "r2", "spearman", "worst_family_mae", "coverage_90", "median_width_90",
)  # fmt: skip
COSTS = ("seconds", "cpu_seconds", "peak_mib", "val_mae", "val_log_loss")
"""Measures of a task; all others are measures of its scores."""
MIN_FOLDS = 5
"""Smallest number of folds for an interval over folds; otherwise it is over the test formulas."""


def label_of(name: str, variant: str, budget: int) -> str:
    """Return a method as tables show it, such as ``fine-tune:last (64)``."""
    return f"{name}{f':{variant}' if variant else ''}{f' ({budget})' if budget else ''}"


@dataclass(frozen=True)
class Run:
    """One score of a task."""

    task: TaskRecord
    score: Score

    def value(self, measure: str) -> float | None:
        """Return a measure of the score, or a cost of the task."""
        found = getattr(self.task if measure in COSTS else self.score, measure)
        return found if found is not None and np.isfinite(found) else None

    def error(self, measure: str) -> float:
        """Return an error that every score has."""
        return float(getattr(self.score, measure))


class Runs:
    """The results of all tasks, grouped by method, split and role.

    Parameters
    ----------
    records : iterable of TaskRecord
        See `xtalshift.benchmark.worker.run_task`.
    """

    def __init__(self, records: Iterable[TaskRecord]) -> None:
        self.roles: dict[tuple[Key, str], list[Run]] = {}
        for record in records:
            for score in [one for one in record.results if record.ok and one.ok]:
                key = (record.data, score.split, record.name, score.variant, record.budget)
                self.roles.setdefault((key, score.role), []).append(Run(record, score))

    def of(self, key: Key, role: str) -> list[Run]:
        """Return the results of a method on one split, one per fold and seed."""
        return self.roles.get((key, role), [])

    def names(self) -> list[Key]:
        """Return the keys that have results."""
        return list(dict.fromkeys(key for key, _ in self.roles))

    def cells(self) -> tuple[SummaryCell, ...]:
        """Return means, spread over seeds and intervals of every method, split and role."""
        return tuple(
            self._beside(_cell(key, role, runs))
            for (key, role), runs in self.roles.items()
            if role != "pool"
        )

    def _beside(self, cell: SummaryCell) -> SummaryCell:
        """Add the measures that need other roles: tails, the gap of OOD to ID error, forgetting."""
        key = (cell.data, cell.split, cell.name, cell.variant, cell.budget)
        if cell.role == "ood" or not self.of(key, "ood"):
            pool = self.of(key, "pool")
            tails: dict[str, Any] = {name: _over_seeds(pool, name)[0] for name in TAIL_MEASURES}
            cell = replace(cell, **tails)
        if cell.role == "ood":
            inside, _ = _over_seeds(self.of(key, "id"), "error")
            gap = cell.error / inside if inside and cell.error is not None else None
            own: dict[str, Any] = {f"id_{cell.error_key}": inside}
            return replace(cell, gap=gap, **own)
        return replace(cell, forgetting=self._forgetting(key)) if cell.budget else cell

    def _forgetting(self, key: Key) -> float | None:
        """Return how much the ID error of a network rose when it was adapted."""
        runs = self.of(key, "id")
        task = runs[0].task
        start = METHODS[task.method].starts_from if task.method in METHODS else None
        for other in self.names():
            source = self.of(other, "id")
            if (*other[:2], *other[3:]) != (*key[:2], "", 0) or not source:
                continue
            begun = source[0].task
            if begun.method == start and begun.features == task.features:
                after, before = (
                    _over_seeds(part, "error")[0] for part in _in_common([runs, source])
                )
                if after is not None and before is not None:
                    return forgetting(after, before)
        return None

    def over_dummy(self, key: Key, role: str, tasks: Container[tuple[Any, ...]]) -> float | None:
        """Return the error of one method on one split relative to the dummy, over some tasks.

        Parameters
        ----------
        key, role
            As in `of`.
        tasks : container of tuple
            ``(data, split, fold, seed)``.
        """
        runs = [
            run for run in self.of(key, role) if (*key[:2], run.task.fold, run.task.seed) in tasks
        ]
        return _over_dummy(runs, "error")[0]

    def label_curves(self) -> tuple[LabelCurve, ...]:
        """Return the OOD error against the number of target labels, per split and method."""
        points: dict[tuple[str, str, str, str], dict[int, list[Run]]] = {}
        for key in self.names():
            if key[4] and (runs := self.of(key, "ood") or self.of(key, "id")):
                points.setdefault(key[:4], {})[key[4]] = runs
        curves = []
        for (data, split, name, variant), found in points.items():
            budgets = sorted(found)
            # small folds lack the large budgets, so a curve uses the folds that have all budgets
            common = _in_common([found[budget] for budget in budgets])
            if not common[0]:
                continue
            method = common[0][0].task.method
            means, spreads = zip(*(_over_seeds(runs, "error") for runs in common), strict=True)
            curve = LabelCurve(
                data=data,
                split=split,
                name=name,
                method=method,
                variant=variant,
                target_only=method in METHODS and METHODS[method].family == "target-only",
                budgets=tuple(budgets),
                mae=means,
                mae_sd=spreads,
            )
            curves.append(curve)
        return tuple(replace(one, label_efficiency=_efficiency(one, curves)) for one in curves)

    def folds(self) -> tuple[FoldError, ...]:
        """Return the mean error over seeds on every fold, only for the variant ``""``."""
        rows = []
        for (key, role), runs in self.roles.items():
            if role == "pool" or key[3]:
                continue
            for fold, same in _by_fold(runs).items():
                row = FoldError(
                    data=key[0],
                    split=key[1],
                    role=role,
                    fold=fold,
                    fold_name=same[0].task.fold_name,
                    label=label_of(key[2], "", key[4]),
                    mae=_fold_mean(same),
                    mae_over_dummy=_over_dummy(same, "error")[0],
                    n_test=same[0].score.n,
                )
                rows.append(row)
        return tuple(rows)


def _cell(key: Key, role: str, runs: Sequence[Run]) -> SummaryCell:
    """Return the scores of one method on one split, without the measures that need other roles."""
    data, split, name, variant, budget = key
    folds = _by_fold(runs)
    families = [run.score.worst_family for run in runs if run.score.worst_family]
    means: dict[str, Any] = {measure: _over_seeds(runs, measure)[0] for measure in COSTS}
    for measure in MEASURES:
        means[measure], means[f"{measure}_sd"] = _over_seeds(runs, measure)
    error = runs[0].score.error_key
    of_classes = error == "log_loss"
    for measure in CLASS_MEASURES if of_classes else ():
        means[measure] = _over_seeds(runs, measure)[0]
    if of_classes:
        means["log_loss_sd"] = _over_seeds(runs, "log_loss")[1]
    for measure in ("log_loss",) if of_classes else ("mae", "rmse"):
        ratio = f"{measure}_over_dummy"
        means[ratio], means[f"{ratio}_sd"] = _over_dummy(runs, measure)
    means[f"{error}_low"], means[f"{error}_high"] = _interval(runs)
    means[f"worst_fold_{error}"] = max(_fold_mean(same) for same in folds.values())
    return SummaryCell(
        data=data,
        split=split,
        role=role,
        name=name,
        variant=variant,
        budget=budget,
        label=label_of(name, variant, budget),
        **means,
        worst_family=max(dict.fromkeys(families), key=families.count, default=None),
        n_runs=len(runs),
        n_seeds=len({run.task.seed for run in runs}),
        n_folds=len(folds),
        n_test=int(np.median([run.score.n for run in runs])),
    )


def _over_seeds(runs: Sequence[Run], measure: str) -> tuple[float | None, float | None]:
    """Return the mean over folds and seeds, and the standard deviation of the seeds' means."""
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        value = run.value(measure)
        if value is not None:
            by_seed.setdefault(run.task.seed, []).append(value)
    if not by_seed:
        return None, None
    means = [float(np.mean(values)) for values in by_seed.values()]
    mean = float(np.mean([value for values in by_seed.values() for value in values]))
    return mean, float(np.std(means, ddof=1)) if len(means) > 1 else None


def _over_dummy(runs: Sequence[Run], measure: str) -> tuple[float | None, float | None]:
    """Return the mean error divided by that of the dummy, and the spread of this ratio over seeds.

    A mean of ratios would be dominated by a fold of one row on which the dummy is right by chance.
    """

    def ratio(chosen: Sequence[Run]) -> float | None:
        dummy = sum(run.error(f"dummy_{measure}") for run in chosen)
        return sum(run.error(measure) for run in chosen) / dummy if dummy else None

    seeds = dict.fromkeys(run.task.seed for run in runs)
    ratios = [ratio([run for run in runs if run.task.seed == seed]) for seed in seeds]
    known = [value for value in ratios if value is not None]
    return ratio(runs), float(np.std(known, ddof=1)) if len(known) > 1 else None


def _in_common(parts: Iterable[list[Run]]) -> list[list[Run]]:
    """Reduce each list of runs to the folds and seeds that all lists have."""
    lists = list(parts)
    places = [{(run.task.fold, run.task.seed) for run in runs} for runs in lists]
    common = set.intersection(*places)
    return [[run for run in runs if (run.task.fold, run.task.seed) in common] for runs in lists]


def _by_fold(runs: Sequence[Run]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run.task.fold, []).append(run)
    return found


def _fold_mean(runs: Sequence[Run]) -> float:
    return float(np.mean([run.error("error") for run in runs]))


def _interval(runs: Sequence[Run]) -> tuple[float | None, float | None]:
    folds = np.array([run.task.fold for run in runs])
    if len(np.unique(folds)) >= MIN_FOLDS:
        low, high = bootstrap_mean(np.array([run.error("error") for run in runs]), groups=folds)
        return float(low), float(high)
    return _over_seeds(runs, "error_low")[0], _over_seeds(runs, "error_high")[0]


def _efficiency(curve: LabelCurve, curves: Sequence[LabelCurve]) -> tuple[float | None, ...] | None:
    """Return how many labels the best target-only method needs for the same error, per label."""
    others = [
        other
        for other in curves
        if other.target_only
        and not other.variant
        and (other.data, other.split) == (curve.data, curve.split)
    ]
    if not others or curve.target_only:
        return None
    points: dict[int, float] = {}
    for other in others:
        for budget, error in zip(other.budgets, other.mae, strict=True):
            if error is not None:
                points[budget] = min(error, points.get(budget, np.inf))
    budgets = sorted(points)
    errors = [points[budget] for budget in budgets]
    return tuple(label_efficiency(curve.budgets, np.array(curve.mae, dtype=float), budgets, errors))
