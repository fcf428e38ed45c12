"""Predictions of the possible members of a stack, on many small tables and shifts.

    XTALSHIFT_DATA=folder python benchmarks/auto_members.py OUT/ [--tables ...] [--sizes 150 500]
        [--shifts ...] [--seeds 0 1 2]

The protocol is in docs/science/auto.md. A cell is a table, a shift, a number of training rows and a
seed. Its held-out rows are those of the shift, at most 500; the training rows are drawn from the
others. Every candidate (a method, a scale of the target, features) is fitted to five folds of the
training rows, grouped by formula, and to all of them. OUT gets one file per cell: the targets, the
predictions outside the folds and those of the held-out rows, all in the unit of the target. Cells
that are there are not computed again. `auto_rules.py` compares rules of stacking on these files.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics.pairwise import euclidean_distances, manhattan_distances
from sklearn.svm import SVR

from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.estimators.classical import GPRegressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.methods import MethodSettings, build_method
from xtalshift.seeding import derive_seed
from xtalshift.splits import CovariateSplit, LOCOSplit, PriorSplit

FloatArray = NDArray[np.float64]
MAX_TEST = 500
N_FOLDS = 5

DECIDE = {
    "expt_gap": "composition/expt_gap.parquet",
    "refractive_index": "structures/dielectric.parquet",
    "shear": "composition/aflow__ael_shear_modulus_vrh.parquet",
    "conductivity": "composition/aflow__agl_thermal_conductivity_300K.parquet",
    "piezoelectric": "composition/piezoelectric.parquet",
    "seebeck": "ricci_seebeck",
}
"""Tables that decide."""
CONFIRM = {
    "mp_e_form": "composition/mp_e_form.parquet",
    "mp_gap": "composition/mp_gap.parquet",
    "aflow_gap": "composition/aflow__Egap.parquet",
    "expansion": "composition/aflow__agl_thermal_expansion_300K.parquet",
    "log_shear_mp": "structures/elasticity.parquet",
    "piezoelectric_mp": "composition/piezoelectric_mp.parquet",
}
"""Tables that confirm, once."""
SHIFTS = ("random", "loco", "element", "sparse", "tail")


@dataclass
class Cell:
    """Training and held-out rows."""

    X: FloatArray
    y: FloatArray
    X_test: FloatArray
    y_test: FloatArray
    folds: NDArray[np.int64]
    magpie: int
    seed: int
    train: NDArray[np.int64]
    """Row numbers of the training rows in the table."""
    test: NDArray[np.int64]
    """Those of the held-out rows."""


def read_rows(path: str) -> tuple[Dataset, FloatArray]:
    """Return a table without duplicates, and its features (magpie and fractions)."""
    folder = Path(os.environ.get("XTALSHIFT_DATA", "."))
    if path == "ricci_seebeck":
        from xtalshift.data import read_table

        data = read_table(path)
    else:
        frame = pd.read_parquet(folder / path)
        data = Dataset.of(frame["formula"].tolist(), frame["target"].to_numpy())
    data = clean_table(data)
    featurizer = CompositionFeaturizer("magpie+fractions")
    return data, featurizer.transform(data.materials.compositions)


def held_out(data: Dataset, X: FloatArray, shift: str, seed: int) -> NDArray[np.bool_]:
    """Return the rows that a shift holds out."""
    rng = np.random.default_rng(derive_seed(seed, "shift"))
    n = len(data.y)
    if shift == "random":
        return rng.permutation(n) < n // 5
    if shift == "loco":
        folds = list(LOCOSplit(10, random_state=seed).split(X, data.y, data.groups))
        fitting = [test for _, test in folds if 30 <= len(test) <= n // 2 and varies(data.y, test)]
        test = fitting[rng.integers(len(fitting))]
        return np.isin(np.arange(n), test)
    if shift == "element":
        there = data.materials.compositions.element_fractions() > 0
        share = there.mean(axis=0)
        fitting = np.flatnonzero((share > 0.03) & (share < 0.3) & (there.sum(axis=0) >= 30))
        fitting = fitting[[varies(data.y, there[:, one]) for one in fitting]]
        return there[:, fitting[rng.integers(len(fitting))]]
    if shift == "sparse":
        return CovariateSplit(0.1).held_out(X, data.y, data.groups)
    return PriorSplit("high", share=0.1).held_out(X, data.y, data.groups)


def varies(y: FloatArray, rows: NDArray[Any]) -> bool:
    """Return whether held-out targets vary: where all are 0 (metals), the best is any constant."""
    return bool(deviation(y[rows]) >= 0.3 * deviation(y))


def deviation(y: FloatArray) -> float:
    """Return the mean absolute deviation from the median."""
    return float(np.abs(y - np.median(y)).mean())


def make_cell(data: Dataset, X: FloatArray, shift: str, size: int, seed: int) -> Cell | None:
    """Return the rows of a cell, None if the table is too small."""
    out = held_out(data, X, shift, seed)
    rng = np.random.default_rng(derive_seed(seed, "rows"))
    rest = rng.permutation(np.flatnonzero(~out))
    if len(rest) < size:
        return None
    test = rng.permutation(np.flatnonzero(out))[:MAX_TEST]
    train = rest[:size]
    _, numbers = np.unique(data.groups[train], return_inverse=True)
    folds = rng.permutation(numbers.max() + 1)[numbers] % N_FOLDS
    return Cell(X[train], data.y[train], X[test], data.y[test], folds, 145, seed, train, test)


class Scale:
    """A scale of the target: ``none``, or ``log``, the inverse hyperbolic sine.

    It is linear below the 10 % quantile of the sizes of the targets and logarithmic above, so that
    zeros, negative and tiny targets do no harm.
    """

    def __init__(self, name: str, y: FloatArray) -> None:
        self.name = name
        self.size = float(np.quantile(np.abs(y[y != 0]), 0.1)) if (y != 0).any() else 1.0

    def forward(self, y: FloatArray) -> FloatArray:
        """Return targets on the scale."""
        return y if self.name == "none" else np.arcsinh(y / self.size)

    def inverse(self, z: FloatArray) -> FloatArray:
        """Return predictions in the unit of the target."""
        return z if self.name == "none" else self.size * np.sinh(np.clip(z, -50, 50))


def by_folds(
    cell: Cell, scale: str, fit: Callable[[FloatArray, FloatArray, list[FloatArray]], Any]
) -> tuple[FloatArray, FloatArray]:
    """Return predictions of ``fit(X, y, [X_out])``, which returns a list of (rows, k)."""
    oof = None
    for fold in range(N_FOLDS):
        out = cell.folds == fold
        to = Scale(scale, cell.y[~out])
        (found,) = fit(cell.X[~out], to.forward(cell.y[~out]), [cell.X[out]])
        if oof is None:
            oof = np.empty((len(cell.y), found.shape[1]))
        oof[out] = np.stack([to.inverse(column) for column in found.T], axis=1)
    to = Scale(scale, cell.y)
    (found,) = fit(cell.X, to.forward(cell.y), [cell.X_test])
    assert oof is not None
    return oof, np.stack([to.inverse(column) for column in found.T], axis=1)


def boosted(cell: Cell, scale: str, loss: str, leaves: int = 31) -> tuple[FloatArray, FloatArray]:
    """Return predictions of trees; the number is that of the smallest error of all folds."""
    X, X_test = cell.X, cell.X_test
    to = Scale(scale, cell.y)
    z = to.forward(cell.y)
    unit = float(np.std(z)) or 1.0
    parameters = {
        "objective": loss, "metric": "l1" if loss != "l2" else "l2", "learning_rate": 0.05,
        "num_leaves": leaves, "min_data_in_leaf": min(20, max(2, len(z) // 40)),
        "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "alpha": 1.0,
        "seed": cell.seed, "deterministic": True, "force_row_wise": True, "num_threads": 1,
        "verbosity": -1,
    }  # fmt: skip
    every = lightgbm.Dataset(X, z / unit, free_raw_data=False)
    rows = [(np.flatnonzero(cell.folds != f), np.flatnonzero(cell.folds == f)) for f in range(5)]
    found = lightgbm.cv(
        parameters, every, 2000, folds=rows, return_cvbooster=True,
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )  # fmt: skip
    boosters = found["cvbooster"]
    best = boosters.best_iteration
    oof = np.empty(len(z))
    for booster, (_, out) in zip(boosters.boosters, rows, strict=True):
        oof[out] = booster.predict(X[out], num_iteration=best)
    last = lightgbm.train(parameters, every, max(1, best))
    return to.inverse(unit * oof)[:, None], to.inverse(unit * last.predict(X_test))[:, None]


def stopped(cell: Cell) -> tuple[FloatArray, FloatArray]:
    """Return predictions of the method ``lightgbm`` as registered, on magpie features."""

    def fit(X: FloatArray, y: FloatArray, outs: list[FloatArray]) -> list[FloatArray]:
        model = build_method("lightgbm", MethodSettings(threads=1), seed=cell.seed)
        model.fit(X[:, : cell.magpie], y)
        return [model.predict(out[:, : cell.magpie])[:, None] for out in outs]

    return by_folds(cell, "none", fit)


def linear(X: FloatArray, y: FloatArray, outs: list[FloatArray]) -> list[FloatArray]:
    """Return predictions of ridge regression."""
    scaler = FeatureScaler(10.0).fit(X)
    model = RidgeCV(np.logspace(-1, 4, 11)).fit(scaler.transform(X), y)
    return [model.predict(scaler.transform(out))[:, None] for out in outs]


SVR_GRID = [(c, g) for c in (1.0, 10.0) for g in (0.3, 1.0)]


def support(
    X: FloatArray,
    y: FloatArray,
    outs: list[FloatArray],
    grid: Sequence[tuple[float, float]] = SVR_GRID,
    shares: Callable[[NDArray[np.int64]], FloatArray] | None = None,
) -> list[FloatArray]:
    """Return predictions of support vector regression for each point of its grid.

    `shares` gives the share of each of the features in squared distances, by their numbers; by
    default all have the same.
    """
    scaler = FeatureScaler(10.0).fit(X)
    kept = np.flatnonzero(scaler.kept_)
    share = np.full(len(kept), 1 / len(kept)) if shares is None else shares(kept)
    x, *others = (scaler.transform(rows) * np.sqrt(share) for rows in (X, *outs))
    mean, unit = y.mean(), y.std() or 1.0
    near = euclidean_distances(x, squared=True)
    far = [euclidean_distances(other, x, squared=True) for other in others]
    found: list[list[FloatArray]] = [[] for _ in outs]
    for c, g in grid:
        model = SVR(C=c, kernel="precomputed", epsilon=0.05, cache_size=500)
        model.fit(np.exp(-g * near), (y - mean) / unit)
        for place, distance in zip(found, far, strict=True):
            place.append(mean + unit * model.predict(np.exp(-g * distance)))
    return [np.stack(columns, axis=1) for columns in found]


KRR_GRID = [(a, g) for a in (0.01, 0.1) for g in (0.3, 1.0)]


def laplacian(X: FloatArray, y: FloatArray, outs: list[FloatArray]) -> list[FloatArray]:
    """Return predictions of kernel ridge regression for each point of its grid."""
    scaler = FeatureScaler(10.0).fit(X)
    x = scaler.transform(X)
    mean, unit = y.mean(), y.std() or 1.0
    near = manhattan_distances(x) / x.shape[1]
    far = [manhattan_distances(scaler.transform(o), x) / x.shape[1] for o in outs]
    found: list[list[FloatArray]] = [[] for _ in outs]
    for a, g in KRR_GRID:
        dual = np.linalg.solve(np.exp(-g * near) + a * np.eye(len(x)), (y - mean) / unit)
        for place, distance in zip(found, far, strict=True):
            place.append(mean + unit * (np.exp(-g * distance) @ dual))
    return [np.stack(columns, axis=1) for columns in found]


def forest(
    X: FloatArray, y: FloatArray, outs: list[FloatArray], trees: int = 300
) -> list[FloatArray]:
    """Return predictions of extremely randomised trees."""
    model = ExtraTreesRegressor(trees, max_features=1 / 3, random_state=0, n_jobs=1).fit(X, y)
    return [model.predict(out)[:, None] for out in outs]


def process(X: FloatArray, y: FloatArray, outs: list[FloatArray]) -> list[FloatArray]:
    """Return predictions of a Gaussian process."""
    model = GPRegressor(random_state=0, max_rows=2000).fit(X, y, X_val=X[:2], y_val=y[:2])
    return [model.predict(out)[:, None] for out in outs]


def network(name: str, seed: int) -> Callable[..., list[FloatArray]]:
    """Return a fit of a network, whose last parameters predict: nothing is selected."""

    def fit(X: FloatArray, y: FloatArray, outs: list[FloatArray]) -> list[FloatArray]:
        settings = MethodSettings(threads=1, device="cpu")
        model = build_method(name, settings, seed=seed)
        few = slice(0, max(2, len(y) // 20))
        model.fit(X, y, X_val=X[few], y_val=y[few])
        return [model.predict_variants(out)["last"][:, None] for out in outs]

    return fit


def candidates(
    cell: Cell, networks: list[str], ensembles: list[str]
) -> Iterator[tuple[list[str], Callable[[], Any]]]:
    """Yield names and a function that returns both predictions of each candidate."""
    yield ["lightgbm registered"], lambda: stopped(cell)
    for scale in ("none", "log"):
        for loss in ("l1", "l2", "huber") if scale == "none" else ("l1", "l2"):
            yield [f"lgb-{loss} {scale}"], lambda s=scale, o=loss: boosted(cell, s, o)
        yield [f"ridge {scale}"], lambda s=scale: by_folds(cell, s, linear)
        names = [f"svr C={c:g} g={g:g} {scale}" for c, g in SVR_GRID]
        yield names, lambda s=scale: by_folds(cell, s, support)
        names = [f"krr a={a:g} g={g:g} {scale}" for a, g in KRR_GRID]
        yield names, lambda s=scale: by_folds(cell, s, laplacian)
        yield [f"extra-trees {scale}"], lambda s=scale: by_folds(cell, s, forest)
        yield [f"gp {scale}"], lambda s=scale: by_folds(cell, s, process)
    for scale in ensembles:
        yield (
            [f"ensemble {scale}"],
            lambda s=scale: by_folds(cell, s, network("ensemble", cell.seed)),
        )
    for name in networks:
        yield [f"{name} none"], lambda n=name: by_folds(cell, "none", network(n, cell.seed))


def compute(cell: Cell, networks: list[str], ensembles: list[str], path: Path) -> None:
    """Write the predictions of all candidates."""
    names: list[str] = []
    oof, test, seconds = [], [], []
    for some, work in candidates(cell, networks, ensembles):
        began = time.process_time()
        a, b = work()
        took = (time.process_time() - began) / len(some)
        names += some
        oof.append(a)
        test.append(b)
        seconds += [took] * len(some)
    part = path.with_suffix(".part.npz")
    np.savez(
        part, names=np.array(names), y=cell.y, y_test=cell.y_test, folds=cell.folds,
        oof=np.hstack(oof), test=np.hstack(test), seconds=np.array(seconds),
    )  # fmt: skip
    part.replace(path)


def main() -> None:
    """Compute the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(DECIDE))
    parser.add_argument("--shifts", nargs="+", default=list(SHIFTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[150, 500])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--networks", nargs="*", default=[], help="further ones: erm cal cal-eps0")
    parser.add_argument("--ensembles", nargs="*", default=["none", "log"], help="their scales")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for seed in options.seeds:
        for table in options.tables:
            wanted = [
                (shift, size, options.out / f"{table}_{shift}_{size}_{seed}.npz")
                for shift in options.shifts
                for size in options.sizes
            ]
            if all(path.exists() for _, _, path in wanted):
                continue
            data, X = read_rows({**DECIDE, **CONFIRM}[table])
            if len(X) > 20_000:
                some = np.sort(np.random.default_rng(0).permutation(len(X))[:20_000])
                data, X = data.take(some), X[some]
            for shift, size, path in wanted:
                if path.exists():
                    continue
                cell = make_cell(data, X, shift, size, seed)
                if cell is None:
                    continue
                began = time.perf_counter()
                compute(cell, options.networks, options.ensembles, path)
                print(f"{path.stem}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
