"""A benchmark of 90 made-up rows, built without reading or splitting anything."""

import numpy as np

from xtalshift.benchmark.problem import FoldRows, Problem, Shared

N = 90
FAMILIES = ["oxide", "fluoride"]


def make_problem(name="toy"):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4))
    y = X @ [2.0, -1.0, 0.5, 0.0] + 0.1 * rng.normal(size=N)
    info = {
        "name": name, "target": "gap", "unit": "eV", "source": "toy.csv", "sha256": "00",
        "rows": N, "conditions": "", "transform": "none", "impute_nan": True,
        "hydrates": "refuse", "feature_cols": [], "split_features": "magpie",
        "families": FAMILIES, "cleaning": {},
        "tails": {"low": float(np.quantile(y, 0.05)), "high": float(np.quantile(y, 0.95))},
    }  # fmt: skip
    formulas = np.array([f"Fe{i + 1}O" for i in range(N)])
    return Problem(info, {"magpie": X}, y, np.arange(N), np.arange(N) % 2, formulas)


def make_fold(split="shift", fold=0, seed=0, role="ood", budgets=(10, 20), data="toy"):
    rows = np.random.default_rng(seed).permutation(N)
    parts = {"train": rows[:40], "val": rows[40:48], "id": rows[48:55], "target": rows[55:75]}
    parts = {name: np.sort(part) if name != "target" else part for name, part in parts.items()}
    parts["test"] = np.sort(rows[75:])
    return FoldRows(data, split, fold, seed, "held out", role, "high", budgets, parts)


def make_shared(seeds=2, plugins=None, **options):
    folds = [make_fold(seed=seed, **options) for seed in range(seeds)]
    return Shared({"toy": make_problem()}, {fold.key: fold for fold in folds}, plugins or {})
