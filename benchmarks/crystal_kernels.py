"""How much the features of crystals should count in the distances of a support vector machine.

    XTALSHIFT_DATA=folder python benchmarks/crystal_kernels.py CELLS/ [--folds 0 1 2 3]

1,500 random rows of `dielectric` and `elasticity` each, with the features magpie, fractions and
structure; a fifth of the materials, or of 20 clusters of compositions, is held out. The members
of a stack, as in `auto_members.py`, stand beside support vector machines in which

- `flat`: all features count alike, with smaller inverse widths than `svr`,
- `half`: the features of crystals count as much as all others together.

CELLS gets one file per cell; those that are there are not computed again. Then the errors of the
held-out rows are printed: of stacks with other members, over that of the first one.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import gmean
from sklearn.cluster import KMeans

import xtalshift as xs
from auto_members import (
    KRR_GRID,
    SVR_GRID,
    Cell,
    boosted,
    by_folds,
    forest,
    laplacian,
    linear,
    support,
)
from auto_rules import errors, family_of, least_absolute, read_cell
from xtalshift.data.clean import clean_table
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.scale import FeatureScaler

FloatArray = NDArray[np.float64]
Fit = Callable[[FloatArray, FloatArray, list[FloatArray]], list[FloatArray]]

ROWS, N_FOLDS, N_CLUSTERS = 1500, 5, 20
GRID = [(c, g) for c in (3.0, 10.0) for g in (0.1, 0.3)]
STACKS = {
    "svr": {"flat", "half"},
    "and flat": {"half"},
    "and half": {"flat"},
    "half for svr": {"flat", "svr"},
}
"""Kinds of members that each stack leaves out."""


def halves(kept: NDArray[np.int64], first: int) -> FloatArray:
    """Return shares of features of which those from `first` on, of crystals, have half."""
    crystal = kept >= first
    return np.where(crystal, 0.5 / crystal.sum(), 0.5 / (~crystal).sum())


def read_crystals(table: str) -> tuple[NDArray[np.str_], FloatArray, FloatArray, FloatArray]:
    """Return formulas, targets, features of compositions (magpie first) and of crystals."""
    path = Path(os.environ["XTALSHIFT_DATA"]) / "structures" / f"{table}.parquet"
    data = clean_table(
        xs.read_table(path, target="target", structure_col="cif", id_col="id"), duplicates="keep"
    )
    draws = np.random.default_rng(1)
    data = data.take(np.sort(draws.choice(len(data), ROWS, replace=False)))
    composition, crystal = (
        CompositionFeatures(blocks).featurize(data.materials).values
        for blocks in ("magpie+fractions", "structure")
    )
    return np.asarray(data.groups, dtype=str), data.y, composition, crystal


def make_cells(table: str, folds: list[int], out: Path) -> None:
    """Write the predictions of all members for the cells of a table that are missing."""
    wanted = {
        (fold, kind): out / f"{table}_{kind}_{ROWS}_{fold}.npz"
        for fold in folds
        for kind in ("random", "cluster")
    }
    if all(path.exists() for path in wanted.values()):
        return
    groups, y, composition, crystal = read_crystals(table)
    X, n = np.hstack([composition, crystal]), composition.shape[1]
    magpie = FeatureScaler(10.0).fit(composition[:, :145]).transform(composition[:, :145])
    cluster = KMeans(N_CLUSTERS, n_init=3, random_state=0).fit_predict(magpie)
    _, material = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(0)
    held = {"random": draws.permutation(material.max() + 1)[material] % N_FOLDS}
    held["cluster"] = draws.permutation(N_CLUSTERS)[cluster] % N_FOLDS
    for (fold, kind), path in wanted.items():
        if path.exists():
            continue
        train, test = (np.flatnonzero(held[kind] != fold), np.flatnonzero(held[kind] == fold))
        _, material = np.unique(groups[train], return_inverse=True)
        inner = np.random.default_rng(fold).permutation(material.max() + 1)[material] % N_FOLDS
        compute(Cell(X[train], y[train], X[test], y[test], inner, 145, fold, train, test), n, path)
        print(path.stem, flush=True)


def compute(cell: Cell, n_composition: int, path: Path) -> None:
    """Write the predictions of all members of a cell; its first features are of compositions."""
    fits: dict[str, tuple[list[tuple[float, float]], Fit]] = {
        "ridge": ([], linear),
        "svr": (SVR_GRID, support),
        "krr": (KRR_GRID, laplacian),
        "extra-trees": ([], partial(forest, trees=100)),
        "flat": (GRID, partial(support, grid=GRID)),
        "half": (GRID, partial(support, grid=GRID, shares=partial(halves, first=n_composition))),
    }
    names, found = [], []
    for scale in ("none", "log"):
        for loss in ("l1", "l2"):
            names.append(f"lgb-{loss} {scale}")
            found.append(boosted(cell, scale, loss))
        for name, (grid, fit) in fits.items():
            names += [f"{name} {a:g} {b:g} {scale}" for a, b in grid] or [f"{name} {scale}"]
            found.append(by_folds(cell, scale, fit))
    oof, test = (np.hstack(parts) for parts in zip(*found, strict=True))
    part = path.with_suffix(".part.npz")
    np.savez(part, names=np.array(names), y=cell.y, y_test=cell.y_test, oof=oof, test=test)
    part.replace(path)


def main() -> None:
    """Compute the cells that are missing, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for table in ("dielectric", "elasticity"):
        make_cells(table, options.folds, options.out)
    stacks, singles = {}, {}
    for path in sorted(options.out.glob("*_[0-9].npz")):
        row = {}
        for name, left_out in STACKS.items():
            cell = read_cell(
                path, 0.5, lambda n, gone=left_out: None if n.split()[0] in gone else family_of(n)
            )
            mixed = cell.test @ least_absolute(cell.oof, cell.y)
            row[name] = float(np.abs(mixed - cell.y_test).mean())
        every = read_cell(path, 0.5, family_of)
        singles[path.stem] = dict(zip(every.names, errors(every.test, every.y_test), strict=True))
        stacks[path.stem] = row
    table = pd.DataFrame(stacks).T
    ratios = table.div(table["svr"], axis=0)
    print(ratios.round(3).to_string())
    alone = pd.DataFrame(singles).T.div(table["svr"], axis=0)
    spread = np.log(ratios).std() / len(ratios) ** 0.5
    print("geometric mean:", gmean(ratios).round(3), "standard error:", spread.to_numpy().round(3))
    print("each alone:", gmean(alone).round(3), list(alone))


if __name__ == "__main__":
    main()
