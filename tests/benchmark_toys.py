"""A benchmark of 90 made-up rows, built without reading or splitting anything."""

import numpy as np

from xtalshift.benchmark.problem import FoldRows, Problem, Shared, TestRows
from xtalshift.data import Dataset, clean_table
from xtalshift.data.settings import DataConfig

N = 90


def make_problem(name="toy", **settings):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4))
    y = X @ [2.0, -1.0, 0.5, 0.0] + 0.1 * rng.normal(size=N)
    formulas = [f"Fe{i + 1}{'OF'[i % 2]}" for i in range(N)]
    data = clean_table(Dataset.of(formulas, y, target_name="gap", unit="eV", source="toy.csv"))
    tails = float(np.quantile(y, 0.05)), float(np.quantile(y, 0.95))
    return Problem(name, data, DataConfig(dataset="toy.csv", **settings), {"magpie": X}, tails)


def make_fold(split="shift", fold=0, seed=0, role="ood", budgets=(10, 20), data="toy"):
    rows = np.random.default_rng(seed).permutation(N)
    tests = (TestRows(split, role, np.sort(rows[75:]), "the last rows"),)
    if role == "ood":
        tests = (TestRows(split, "id", np.sort(rows[48:55])), *tests)
    return FoldRows(
        data, split, fold, seed, "held out", "high", budgets,
        np.sort(rows[:40]), np.sort(rows[40:48]), rows[55:75], tests,
    )  # fmt: skip


def make_shared(seeds=2, plugins=None, **options):
    folds = [make_fold(seed=seed, **options) for seed in range(seeds)]
    return Shared({"toy": make_problem()}, {fold.key: fold for fold in folds}, plugins or {})
