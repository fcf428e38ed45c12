"""What features of pretrained potentials add to structure features, and what random ones add.

    python benchmarks/potential_features.py
    python benchmarks/potential_features.py --choose
    python benchmarks/potential_features.py --finetune

Needs the folder of tables named by XTALSHIFT_DATA: 1,000 random crystals of
`structures/dielectric` on the LOCO folds of MatUQ restricted to them. Two regressors with fixed
settings learn from all rows that are not in the test part. Nothing is chosen by a test row.
`--choose` does not look at these folds: it compares the convolutions of SevenNet-0 on five folds
of 20 clusters of compositions of 1,500 random rows of `structures/elasticity`; this is how the
usual one was chosen. `--finetune` trains heads of CHGNet on every second of these crystals, on
the four folds with most rows.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import structure_features
from xtalshift.featurize.composition import composition_features
from xtalshift.methods import MethodSettings, build_method
from xtalshift.structure import Structures, read_structures

Array = NDArray[np.float64]
ROWS = 1000
FINETUNED = 4  # folds
FINETUNED_ROWS = 500
SETS = {
    "composition": "magpie",
    "with structure": "magpie+structure",
    "and chgnet": "magpie+structure+chgnet",
    "and chgnet-random": "magpie+structure+chgnet-random",
    "and sevennet": "magpie+structure+sevennet",
    "and sevennet-random": "magpie+structure+sevennet-random",
    "and both": "magpie+structure+chgnet+sevennet",
    "both alone": "chgnet+sevennet",
}
PAIRS = (
    ("and chgnet", "with structure"),
    ("and chgnet-random", "with structure"),
    ("and chgnet", "and chgnet-random"),
    ("and sevennet", "with structure"),
    ("and sevennet-random", "with structure"),
    ("and sevennet", "and sevennet-random"),
    ("and both", "with structure"),
    ("and both", "and chgnet"),
)


def predict(x: Array, y: Array, train: NDArray[np.intp], test: NDArray[np.intp]) -> list[Array]:
    """Return the predictions of boosted trees, of an SVR of log y, and their mean."""
    trees = LGBMRegressor(
        objective="l1",
        n_estimators=120,
        learning_rate=0.1,
        num_leaves=15,
        min_child_samples=10,
        colsample_bytree=0.3,
        subsample=0.8,
        subsample_freq=1,
        random_state=0,
        n_jobs=1,
        verbose=-1,
    )
    scaled = StandardScaler().fit(x[train]).transform(x)
    machine = SVR(C=3.0, epsilon=0.02).fit(scaled[train], np.log(y[train]))
    found = [
        np.asarray(trees.fit(x[train], y[train]).predict(x[test])),
        np.exp(machine.predict(scaled[test])),
    ]
    return [*found, np.mean(found, axis=0)]


def choose(folder: Path) -> None:
    """Print the errors with each convolution of SevenNet-0, with and without structure features."""
    table = pd.read_parquet(folder / "structures" / "elasticity.parquet")
    rng = np.random.default_rng(0)
    table = table.iloc[np.sort(rng.permutation(len(table))[:1500])]
    structures, y = read_structures(table["cif"]).structures, table["target"].to_numpy()
    compositions = structures.compositions()

    def featurize(blocks: str) -> Array:
        return composition_features(compositions, blocks, structures=structures).values

    scaled, _ = structure_features.standardise(featurize("magpie"), featurize("magpie"))
    clusters = KMeans(20, n_init=3, random_state=0).fit_predict(scaled)
    fold = rng.integers(0, 5, 20)[clusters]
    weights = np.bincount(fold, minlength=5) / len(fold)
    settings = [
        "",
        *(f"+sevennet:c{k}" for k in range(1, 6)),
        "+sevennet:c1-mean-std",
        "+sevennet:c1-c2",
    ]
    for usual in ("magpie", "magpie+structure"):
        for added in settings:
            x = featurize(usual + added)
            parts = [structure_features.errors(x, y, fold == k, log=False) for k in range(5)]
            means = {head: float(weights @ [part[head] for part in parts]) for head in parts[0]}
            print(usual + added, *(f"{head} {mean:.4f}" for head, mean in means.items()), sep=", ")


def finetune(structures: Structures, x: Array, y: Array, fold: NDArray[np.intp]) -> None:
    """Print the errors of CHGNet with a new head on the largest folds, beside those of features."""
    read = composition_features(structures.compositions(), "sites", structures=structures)
    small = read.reasons == ""
    print(f"{len(small) - small.sum()} crystals of more than 128 atoms are left out")
    rows = np.flatnonzero(small)[:: len(small) // FINETUNED_ROWS]
    structures, x, y, fold = structures.take(rows), x[rows], y[rows], fold[rows]
    sites = read.values[rows]
    formulas = structures.compositions().reduced_formulas()
    kinds, counts = np.unique(fold, return_counts=True)
    for kind in kinds[np.argsort(-counts, kind="stable")][:FINETUNED]:
        train, test = np.flatnonzero(fold != kind), np.flatnonzero(fold == kind)
        found = {"features": predict(x, y, train, test)[-1]}
        seconds = {}
        for method in ("chgnet-frozen", "chgnet-finetune"):
            start = time.process_time()
            model = build_method(method, MethodSettings(device="cpu"), seed=0)
            model.fit(sites[train], np.log(y[train]), groups=formulas[train])
            found[method] = np.exp(model.predict(sites[test]))
            seconds[method] = round(time.process_time() - start)
        found["mean"] = (found["features"] + found["chgnet-finetune"]) / 2
        errors = {name: round(float(np.abs(p - y[test]).mean()), 4) for name, p in found.items()}
        print(f"fold {kind}, {len(test)} rows: {errors}, {seconds} processor seconds", flush=True)


def main() -> None:
    """Print the errors of each set of features."""
    folder = Path(os.environ["XTALSHIFT_DATA"])
    if "--choose" in sys.argv:
        choose(folder)
        return
    table = pd.read_parquet(folder / "structures" / "dielectric.parquet")
    rows = np.sort(np.random.default_rng(0).choice(len(table), ROWS, replace=False))
    table = table.iloc[rows].reset_index(drop=True)
    structures = read_structures(table["cif"]).structures
    y = table["target"].to_numpy()
    parts = pd.read_parquet(folder / "folds" / "dielectric.parquet")
    parts = parts[(parts["scheme"] == "LOCO") & (parts["part"] == "test")]
    fold = table["id"].map(parts.set_index("id")["fold"]).to_numpy()
    kinds = np.unique(fold)
    if "--finetune" in sys.argv:
        x = composition_features(
            structures.compositions(), "magpie+structure+chgnet", structures=structures
        ).values
        finetune(structures, x, y, fold)
        return
    errors = {}
    for name, blocks in SETS.items():
        x = composition_features(structures.compositions(), blocks, structures=structures).values
        found = np.empty((3, len(y)))
        for kind in kinds:
            test = np.flatnonzero(fold == kind)
            found[:, test] = predict(x, y, np.flatnonzero(fold != kind), test)
        errors[name] = np.abs(found - y)
        print(name, errors[name].mean(axis=1).round(4), "boosted trees, SVR, mean of both")
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(kinds), size=(4000, len(kinds)))
    for one, other in PAIRS:
        for k, regressor in enumerate(("boosted trees", "SVR", "mean of both")):
            difference = errors[one][k] - errors[other][k]
            sums = np.array([difference[fold == kind].sum() for kind in kinds])
            counts = np.array([(fold == kind).sum() for kind in kinds])
            means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
            change = f"{difference.mean():+.4f} ({low:+.4f} to {high:+.4f})"
            print(f"{one} - {other}, {regressor}: {change}")


if __name__ == "__main__":
    main()
