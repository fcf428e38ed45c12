"""What features from CHGNet add to those of compositions and structures, and their control.

    python benchmarks/chgnet_features.py

Needs the folder of tables named by XTALSHIFT_DATA: 1,000 random rows of `structures/dielectric`, on
the LOCO folds of MatUQ restricted to them. Two regressors with fixed settings learn from all rows
that are not in the test part. Nothing is chosen by a test row.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from xtalshift.featurize.composition import composition_features
from xtalshift.structure import read_structures

Array = NDArray[np.float64]
ROWS = 1000
SETS = {
    "composition": "magpie",
    "with structure": "magpie+structure",
    "and chgnet": "magpie+structure+chgnet",
    "and chgnet-random": "magpie+structure+chgnet-random",
}


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


def main() -> None:
    """Print the errors of each set of features."""
    folder = Path(os.environ["XTALSHIFT_DATA"])
    table = pd.read_parquet(folder / "structures" / "dielectric.parquet")
    rows = np.sort(np.random.default_rng(0).choice(len(table), ROWS, replace=False))
    table = table.iloc[rows].reset_index(drop=True)
    structures = read_structures(table["cif"]).structures
    y = table["target"].to_numpy()
    parts = pd.read_parquet(folder / "folds" / "dielectric.parquet")
    parts = parts[(parts["scheme"] == "LOCO") & (parts["part"] == "test")]
    fold = table["id"].map(parts.set_index("id")["fold"]).to_numpy()
    kinds = np.unique(fold)
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
    for one, other in (
        ("and chgnet", "with structure"),
        ("and chgnet-random", "with structure"),
        ("and chgnet", "and chgnet-random"),
    ):
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
