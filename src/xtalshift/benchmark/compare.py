"""Ranks and tests: which methods are significantly better."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.aggregate import Key, Runs, label_of
from xtalshift.benchmark.summary_records import Comparison, RankedMethod, Scenario
from xtalshift.metrics import (
    average_ranks,
    cliques,
    compare_all,
    correct_holm,
    critical_difference,
    friedman_p,
    paired_test,
    win_tie_loss,
)

LEVEL = 0.05
MIN_BLOCKS = 6
"""Smallest number of folds that are tested as means over seeds: 5 pairs cannot reach p = 0.05."""
TIE = 0.005
"""Errors that differ by less than this share count as a tie in the win / tie / loss table."""


def compare_scenarios(runs: Runs) -> tuple[Scenario, ...]:
    """Compare methods without target labels, and all methods at every label budget.

    Only OOD test rows are used, unless every split is random. A task is a fold of a split of a
    table. With fewer than 6 folds each seed of a fold is a task; the seeds share OOD test rows, so
    that p values are then too small rather than too large. Errors are relative to the dummy.
    Variants of a method (other parameters of the same training) are not compared.

    Parameters
    ----------
    runs : Runs
        All results.

    Returns
    -------
    tuple of Scenario
        One per number of target labels.
    """
    keys = [key for key in runs.names() if not key[3]]
    budgets = sorted({key[4] for key in keys})
    found = [_compare(runs, keys, budget) for budget in budgets]
    return tuple(scenario for scenario in found if scenario is not None)


def _compare(runs: Runs, keys: list[Key], budget: int) -> Scenario | None:
    splits = {key[:2] for key in keys if key[4] == budget}
    places = [key for key in keys if key[4] in {0, budget} and key[:2] in splits]
    names = list(dict.fromkeys((key[2], key[4]) for key in places))
    errors, unit, tasks = _errors(runs, names, places, budget)
    if len(names) < 2 or not len(errors):  # noqa: PLR2004 - nothing to compare
        return None
    labels = [label_of(name, "", labelled) for name, labelled in names]
    n_complete = int((~np.isnan(errors).any(axis=1)).sum())
    means = _means(runs, names, places, tasks)
    ranks = average_ranks(errors) if n_complete else np.full(len(names), np.nan)
    difference = critical_difference(len(names), n_complete, level=LEVEL) if n_complete else None
    order = np.argsort(ranks if n_complete else means, kind="stable")
    best = int(order[0])
    holm, shared = _against(errors, best)
    separated = holm < LEVEL
    # with fewer tasks in common with the best method no difference can be significant
    tested = (shared >= MIN_BLOCKS) & _beats_dummy(errors, names, means)
    # no method is bold if the test separates none from the best; nor is a method that no test
    # separates from the dummy, because it is ahead on one split only
    bold = separated.any() & tested & ~separated
    return Scenario(
        budget=budget,
        unit=unit,
        n_tasks=len(errors),
        n_complete=n_complete,
        tie=TIE,
        level=LEVEL,
        friedman_p=friedman_p(errors) if n_complete else None,
        critical_difference=difference,
        cliques=()
        if difference is None
        else tuple(tuple(labels[i] for i in group) for group in cliques(ranks, difference)),
        methods=tuple(
            RankedMethod(
                label=labels[i],
                name=names[i][0],
                budget=names[i][1],
                over_dummy=means[i],
                rank=float(ranks[i]),
                p_against_best=None if i == best else float(holm[i]),
                bold=bool(bold[i]),
            )
            for i in order
        ),
        comparisons=tuple(
            Comparison(
                a=one.a,
                b=one.b,
                **one.test._asdict(),
                wilcoxon_holm=one.wilcoxon_holm,
                sign_holm=one.sign_holm,
            )
            for one in compare_all(errors, labels)
        ),
        wins=tuple(
            tuple((win, tie, loss) for win, tie, loss in row)
            for row in win_tie_loss(errors[:, order], tolerance=TIE).tolist()
        ),
    )


def _means(
    runs: Runs, names: list[tuple[str, int]], keys: list[Key], tasks: Container[tuple[Any, ...]]
) -> list[float]:
    """Return the error of each method relative to the dummy on some tasks, mean over splits."""
    role = _role(runs, keys)
    found: dict[tuple[str, int], list[float]] = {name: [] for name in names}
    for key in keys:
        value = runs.over_dummy(key, role, tasks)
        if value is not None:
            found[key[2], key[4]].append(value)
    return [float(np.mean(found[name])) if found[name] else float("nan") for name in names]


def _role(runs: Runs, keys: list[Key]) -> str:
    return "ood" if any(runs.of(key, "ood") for key in keys) else "id"


def _errors(
    runs: Runs, names: list[tuple[str, int]], keys: list[Key], budget: int
) -> tuple[NDArray[np.float64], str, set[tuple[Any, ...]]]:
    """Return errors relative to the dummy, shape (n, methods), the unit of a row, and the tasks.

    The error of a missing task is NaN.
    """
    values: dict[tuple[Any, ...], dict[tuple[str, int], float]] = {}
    role = _role(runs, keys)
    for key in keys:
        for run in runs.of(key, role):
            error = run.value("error_over_dummy")
            if error is not None:
                task = (key[0], key[1], run.task.fold, run.task.seed)
                values.setdefault(task, {})[key[2], key[4]] = error
    # a fold with too few target rows for the budget is not one of its tasks
    values = {
        task: found
        for task, found in values.items()
        if any(labelled == budget for _, labelled in found)
    }
    table = np.array(
        [[values[task].get(name, np.nan) for name in names] for task in values]
    ).reshape(len(values), len(names))
    blocks = list(dict.fromkeys(task[:3] for task in values))
    if len(blocks) < MIN_BLOCKS:
        return table, "fold and seed", set(values)
    where = {block: [i for i, task in enumerate(values) if task[:3] == block] for block in blocks}
    # the mean is NaN if one seed is missing
    blocked = np.array([table[rows].mean(axis=0) for rows in where.values()])
    return blocked, "fold", set(values)


def _beats_dummy(
    errors: NDArray[np.float64], names: list[tuple[str, int]], means: list[float]
) -> NDArray[np.bool_]:
    """Return which methods have a significantly smaller error than the dummy."""
    if ("dummy", 0) not in names:
        return np.ones(len(names), dtype=bool)
    holm, _ = _against(errors, names.index(("dummy", 0)))
    return (holm < LEVEL) & (np.array(means) < 1.0)


def _against(
    errors: NDArray[np.float64], best: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the Holm-corrected Wilcoxon p of each method against the best, and their tasks.

    The second array has the number of tasks with results of both methods. p is NaN for the best
    method itself, and if there are no such tasks.
    """
    both = ~np.isnan(errors) & ~np.isnan(errors[:, [best]])
    raw = np.full(errors.shape[1], np.nan)
    for i in range(errors.shape[1]):
        if i != best and both[:, i].any():
            raw[i] = paired_test(errors[both[:, i], i], errors[both[:, i], best]).wilcoxon_p
    return correct_holm(raw), both.sum(axis=0)
