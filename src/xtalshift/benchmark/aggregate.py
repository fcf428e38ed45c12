"""Means over folds and seeds, spreads and intervals."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from xtalshift.benchmark.records import TaskRecord
from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS
from xtalshift.metrics import bootstrap_mean, forgetting, label_efficiency

__all__ = ["Key", "Runs", "label_of"]

Key = tuple[str, str, str, str, int]
"""Data, split, method, variant, label budget."""

MEASURES = (
    "mae", "rmse", "r2", "spearman", "worst_family_mae", "coverage_90", "median_width_90",
)  # fmt: skip
POOL_MEASURES = (
    "tail_recall", "tail_precision", "tail_enrichment", "top30_precision",
    "top30_precision_weighted",
)  # fmt: skip
FACTS = (
    "fold", "fold_name", "seed", "method", "features", "seconds", "cpu_seconds", "peak_mib",
    "val_mae",
)  # fmt: skip
COSTS = ("seconds", "cpu_seconds", "peak_mib", "val_mae")
MIN_FOLDS = 5
"""From so many folds on an interval is over folds, else over the formulas of the test rows."""


def label_of(name: str, variant: str, budget: int) -> str:
    """Return a method as tables show it, such as ``fine-tune:last (64)``."""
    return f"{name}{f':{variant}' if variant else ''}{f' ({budget})' if budget else ''}"


class Runs:
    """The results of all tasks, ordered by what is compared.

    Parameters
    ----------
    records : iterable of TaskRecord
        See `xtalshift.benchmark.worker.run_task`.
    """

    def __init__(self, records: Iterable[TaskRecord]) -> None:
        self.records = [record for record in records if record.ok]
        self.roles: dict[tuple[Key, str], list[Plain]] = {}
        for record in self.records:
            facts = {name: getattr(record, name) for name in FACTS}
            for score in [one for one in record.results if one.ok]:
                key = (record.data, score.split, record.name, score.variant, record.budget)
                self.roles.setdefault((key, score.role), []).append({**asdict(score), **facts})

    def of(self, key: Key, role: str) -> list[Plain]:
        """Return the results of a method on one split, one per fold and seed."""
        return self.roles.get((key, role), [])

    def names(self) -> list[Key]:
        """Return everything that has results, each once."""
        return list(dict.fromkeys(key for key, _ in self.roles))

    def cells(self) -> list[Plain]:
        """Return means, spread over seeds and intervals of every method, split and role."""
        cells = []
        for (key, role), runs in self.roles.items():
            if role == "pool":
                continue
            data, split, name, variant, budget = key
            cell: Plain = {
                "data": data, "split": split, "role": role, "name": name, "variant": variant,
                "budget": budget, "label": label_of(name, variant, budget), "n_runs": len(runs),
                "n_seeds": len({run["seed"] for run in runs}),
                "n_folds": len({run["fold"] for run in runs}),
                "n_test": int(np.median([run["n"] for run in runs])),
            }  # fmt: skip
            for measure in MEASURES:
                cell[measure], cell[f"{measure}_sd"] = _over_seeds(runs, measure)
            for measure in ("mae", "rmse"):
                name_of = f"{measure}_over_dummy"
                cell[name_of], cell[f"{name_of}_sd"] = _over_dummy(runs, measure)
            cell["mae_low"], cell["mae_high"] = _interval(runs)
            worst = max(_fold_means(runs, "mae").values(), default=np.nan)
            cell["worst_fold_mae"] = worst
            families = [run["worst_family"] for run in runs if run.get("worst_family")]
            cell["worst_family"] = max(dict.fromkeys(families), key=families.count, default=None)
            for measure in COSTS:
                cell[measure], _ = _over_seeds(runs, measure)
            cell |= self._beside(key, role, cell)
            cells.append(cell)
        return cells

    def _beside(self, key: Key, role: str, cell: Plain) -> Plain:
        """Return the tail measures of an OOD cell, its gap to ID, and what was forgotten."""
        found: Plain = {}
        if role == "ood" or not self.of(key, "ood"):
            pool = self.of(key, "pool")
            found |= {measure: _over_seeds(pool, measure)[0] for measure in POOL_MEASURES}
        if role == "ood":
            inside, _ = _over_seeds(self.of(key, "id"), "mae")
            found["id_mae"] = inside
            found["gap"] = cell["mae"] / inside if inside else None
        elif key[4]:
            found["forgetting"] = self._forgetting(key)
        return found

    def _forgetting(self, key: Key) -> float | None:
        """Return how an adapted network's ID error differs from that of the network it was."""
        runs = self.of(key, "id")
        method = runs[0]["method"]
        start = METHODS[method].starts_from if method in METHODS else None
        sources = [
            self.of(other, "id")
            for other in self.names()
            if (*other[:2], *other[3:]) == (*key[:2], "", 0)
        ]
        for source in sources:
            same = source and source[0]["method"] == start
            if same and source[0]["features"] == runs[0]["features"]:
                after, before = _in_common([runs, source])
                means = [_over_seeds(part, "mae")[0] for part in (after, before)]
                if means[0] is not None and means[1] is not None:
                    return forgetting(means[0], means[1])
        return None

    def over_dummy(self, key: Key, role: str, tasks: Container[tuple[Any, ...]]) -> float | None:
        """Return the mean error over the dummy's of one method on one split, over some tasks.

        Parameters
        ----------
        key, role
            As in `of`.
        tasks : container of tuple
            ``(data, split, fold, seed)``.
        """
        runs = [run for run in self.of(key, role) if (*key[:2], run["fold"], run["seed"]) in tasks]
        return _over_dummy(runs, "mae")[0]

    def label_curves(self) -> list[Plain]:
        """Return the OOD error against the number of target labels, per split and method."""
        points: dict[tuple[str, str, str, str], dict[int, list[Plain]]] = {}
        for key in self.names():
            if key[4] and (runs := self.of(key, "ood") or self.of(key, "id")):
                points.setdefault(key[:4], {})[key[4]] = runs
        curves = []
        for (data, split, name, variant), found in points.items():
            budgets = sorted(found)
            # small folds have no large budgets: a curve is over the folds that have all of them
            common = _in_common([found[budget] for budget in budgets])
            if not common[0]:
                continue
            method = common[0][0]["method"]
            means, spreads = zip(*(_over_seeds(runs, "mae") for runs in common), strict=True)
            curves.append(
                {
                    "data": data, "split": split, "name": name, "variant": variant,
                    "method": method, "budgets": budgets,
                    "target_only": method in METHODS and METHODS[method].family == "target-only",
                    "mae": list(means), "mae_sd": list(spreads),
                }
            )  # fmt: skip
        for curve in curves:
            curve["label_efficiency"] = _efficiency(curve, curves)
        return curves

    def folds(self) -> list[Plain]:
        """Return the mean over seeds of every fold, usual parameters only."""
        rows = []
        for (key, role), runs in self.roles.items():
            if role == "pool" or key[3]:
                continue
            for fold, mean in _fold_means(runs, "mae").items():
                same = [run for run in runs if run["fold"] == fold]
                rows.append(
                    {
                        "data": key[0], "split": key[1], "fold": fold,
                        "fold_name": same[0]["fold_name"], "role": role,
                        "label": label_of(key[2], "", key[4]), "mae": mean,
                        "mae_over_dummy": _over_dummy(same, "mae")[0],
                        "n_test": same[0]["n"],
                    }
                )  # fmt: skip
        return rows


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _over_seeds(runs: list[Plain], measure: str) -> tuple[float | None, float | None]:
    """Return the mean over folds and seeds, and the standard deviation of the seeds' means."""
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        value = run.get(measure)
        if value is not None and np.isfinite(value):
            by_seed.setdefault(run["seed"], []).append(value)
    if not by_seed:
        return None, None
    means = [float(np.mean(values)) for values in by_seed.values()]
    mean = float(np.mean([value for values in by_seed.values() for value in values]))
    return mean, float(np.std(means, ddof=1)) if len(means) > 1 else None


def _over_dummy(runs: list[Plain], measure: str) -> tuple[float | None, float | None]:
    """Return the mean error over the dummy's mean error, and its spread over seeds.

    Not the mean of the ratios: a fold of one row in which the dummy is right by chance would decide
    it.
    """

    def ratio(chosen: list[Plain]) -> float | None:
        dummy = sum(run[f"dummy_{measure}"] for run in chosen)
        return float(sum(run[measure] for run in chosen) / dummy) if dummy else None

    seeds = dict.fromkeys(run["seed"] for run in runs)
    ratios = [ratio([run for run in runs if run["seed"] == seed]) for seed in seeds]
    known = [value for value in ratios if value is not None]
    return ratio(runs), float(np.std(known, ddof=1)) if len(known) > 1 else None


def _in_common(parts: Iterable[list[Plain]]) -> list[list[Plain]]:
    """Return of each list of runs those whose fold and seed every list has."""
    lists = list(parts)
    places = [{(run["fold"], run["seed"]) for run in runs} for runs in lists]
    common = set.intersection(*places)
    return [[run for run in runs if (run["fold"], run["seed"]) in common] for runs in lists]


def _fold_means(runs: list[Plain], measure: str) -> dict[int, float]:
    folds = dict.fromkeys(run["fold"] for run in runs)
    return {fold: float(np.mean([r[measure] for r in runs if r["fold"] == fold])) for fold in folds}


def _interval(runs: list[Plain]) -> tuple[float | None, float | None]:
    folds = np.array([run["fold"] for run in runs])
    if len(np.unique(folds)) >= MIN_FOLDS:
        low, high = bootstrap_mean(np.array([run["mae"] for run in runs]), groups=folds)
        return float(low), float(high)
    return _mean(run["mae_low"] for run in runs), _mean(run["mae_high"] for run in runs)


def _efficiency(curve: Plain, curves: list[Plain]) -> list[float | None] | None:
    """Return labels that the best target-only method needs for the same error, per label."""
    others = [
        other
        for other in curves
        if other["target_only"]
        and not other["variant"]
        and (other["data"], other["split"]) == (curve["data"], curve["split"])
    ]
    if not others or curve["target_only"]:
        return None
    points: dict[int, float] = {}
    for other in others:
        for budget, error in zip(other["budgets"], other["mae"], strict=True):
            points[budget] = min(error, points.get(budget, np.inf))
    budgets = sorted(points)
    return list(
        label_efficiency(
            curve["budgets"], curve["mae"], budgets, [points[budget] for budget in budgets]
        )
    )
