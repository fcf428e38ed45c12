"""Weights of a stack from random folds, from folds of clusters, and from both.

    XTALSHIFT_DATA=folder python benchmarks/stack_folds.py CELLS.jsonl [--size 300] [--seed 0]

Cells are those of `auto_members.py` on the tables that decide. Members are the quick methods of
`auto` on both scales of the target. They are fitted to five random folds of formulas, and to five
folds of which each holds some of 20 clusters of the training rows out, as if new materials were
asked for. The members that are fitted to all rows are the same for all weights. A file that has
a cell already is continued.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gmean
from sklearn.cluster import KMeans

from auto_members import DECIDE, N_FOLDS, SHIFTS, Cell, make_cell, read_rows
from xtalshift import estimators
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.stack import stack_weights
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.featurize.scale import FeatureScaler

N_CLUSTERS = 20
MEMBERS = {
    "ridge": estimators.RidgeRegressor(),
    "svr": estimators.SVRegressor(gammas=(0.3, 1.0)),
    "kernel-ridge": estimators.KernelRidgeRegressor(
        "laplacian", alphas=(0.01, 0.1), gammas=(0.3, 1.0)
    ),
    "extra-trees": estimators.ForestRegressor(n_estimators=100),
    "lightgbm": estimators.LightGBMRegressor(max_bin=63),
    "lightgbm-squared": estimators.LightGBMRegressor(max_bin=63, loss="squared"),
}


def folds_of_clusters(cell: Cell, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row: clusters, the largest first, go to the smallest fold."""
    magpie = cell.X[:, : cell.magpie]
    scaled = FeatureScaler().fit(magpie).transform(magpie)
    clusters = KMeans(N_CLUSTERS, n_init=1, random_state=seed).fit_predict(scaled)
    sizes, held = np.bincount(clusters, minlength=N_CLUSTERS), np.zeros(N_FOLDS)
    fold_of = np.zeros(N_CLUSTERS, dtype=np.int64)
    for cluster in np.argsort(-sizes, kind="stable"):
        fold_of[cluster] = held.argmin()
        held[fold_of[cluster]] += sizes[cluster]
    return fold_of[clusters]


def run_cell(cell: Cell, groups: NDArray[np.str_], seed: int) -> dict[str, float]:
    """Return the error of the held-out rows for weights from each kind of folds."""
    kinds = {"random": cell.folds, "clusters": folds_of_clusters(cell, seed)}
    span = 0.5 * np.ptp(cell.y)
    bounds = cell.y.min() - span, cell.y.max() + span
    inside: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in kinds}
    tested = []
    for member in MEMBERS.values():
        for name in ("none", "asinh"):
            scale = MemberScale.of(name, cell.y)
            rows = Labelled(cell.X, scale.forward(cell.y), groups=groups)
            data = FitData(rows, rows, None, np.random.default_rng(seed))
            for kind, folds in kinds.items():
                own = replace(data, rng=np.random.default_rng(seed))
                found = member.cross_fit(own, folds)
                inside[kind].append(np.clip(scale.inverse(found.predictions), *bounds))
                if kind == "random":
                    predicted = found.fit_all().predict(cell.X_test)
                    tested.append(np.clip(scale.inverse(predicted), *bounds))
    weights = {kind: stack_weights(np.stack(found), cell.y) for kind, found in inside.items()}
    together = np.hstack([np.stack(found) for found in inside.values()])
    weights["both"] = stack_weights(together, np.tile(cell.y, len(inside)))
    errors = {
        kind: float(np.abs(share @ np.stack(tested) - cell.y_test).mean())
        for kind, share in weights.items()
    }
    return errors | {"best": float(np.abs(np.stack(tested) - cell.y_test).mean(axis=1).min())}


def summarise(cells: pd.DataFrame) -> str:
    """Return the geometric means of the errors over those of random folds, by shift."""
    kinds = ["clusters", "both", "best"]
    ratios = cells[kinds].div(cells["random"], axis=0)
    rows = {
        "all": ratios.agg(gmean),
        **{k: one.agg(gmean) for k, one in ratios.groupby(cells["shift"])},
    }
    return pd.DataFrame(rows).T.to_markdown(floatfmt=".3f")


def main() -> None:
    """Compute the cells that are missing, and print their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=300, help="training rows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {tuple(json.loads(line)["cell"]) for line in lines}
    for table, path in DECIDE.items():
        data, X = read_rows(path)
        for shift in SHIFTS:
            name = (table, shift, options.size, options.seed)
            cell = make_cell(data, X, shift, options.size, options.seed)
            if cell is None or name in done:
                continue
            groups = data.groups[cell.train].astype(str)
            errors = run_cell(cell, groups, options.seed)
            with options.out.open("a") as file:
                file.write(json.dumps({"cell": name, "shift": shift, **errors}) + "\n")
    print(summarise(pd.read_json(options.out, lines=True)))


if __name__ == "__main__":
    main()
