"""Boosted trees with fewer intervals per feature: error and time.

    XTALSHIFT_DATA=folder python benchmarks/tree_bins.py [--rows 4000] [--bins 255,63]

For each table, a fifth of the formulas at random is held out (random), then 4 of 20 clusters
(cluster). The trees are those of `auto`, on a logarithmic scale of the target where the table has
one here. Two seeds; processor time of one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

import xtalshift as xs
from xtalshift.data.clean import clean_table
from xtalshift.estimators import LightGBMRegressor
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.scale import FeatureScaler

TABLES = {
    "composition/expt_gap": "none",
    "composition/aflow__ael_shear_modulus_vrh": "asinh",
    "composition/piezoelectric": "asinh",
    "composition/mp_gap": "none",
    "structures/dielectric": "asinh",
    "structures/elasticity": "none",
}
SEEDS = (0, 1)


def main() -> None:
    """Print a row for each table, loss and number of intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--rows", type=int, default=4000, help="most random rows of a table")
    parser.add_argument("--bins", default="255,127,63,31")
    options = parser.parse_args()
    print("| table | rows | loss | bins | random MAE | s | cluster MAE | s |\n|" + 8 * "---|")
    for name in options.tables.split(","):
        crystals = name.startswith("structures/")
        columns = {"structure_col": "cif", "id_col": "id"} if crystals else {}
        data = xs.read_table(
            Path(os.environ["XTALSHIFT_DATA"]) / f"{name}.parquet", target="target", **columns
        )
        data, rng = clean_table(data), np.random.default_rng(0)
        if len(data) > options.rows:
            data = data.take(np.sort(rng.choice(len(data), options.rows, replace=False)))
        blocks = "magpie+fractions+pretrained" + ("+structure" if crystals else "")
        X = CompositionFeatures(blocks).featurize(data.materials).values
        scale = MemberScale.of(TABLES[name], data.y)
        y = scale.forward(data.y)
        formulas = np.unique(data.groups.astype(str), return_inverse=True)[1]
        magpie = FeatureScaler().fit(X[:, :145]).transform(X[:, :145])
        clusters = KMeans(20, n_init=1, random_state=0).fit_predict(magpie)
        shifts = {
            "random": rng.permutation(formulas.max() + 1)[formulas] % 5 == 0,
            "cluster": np.isin(clusters, rng.permutation(20)[:4]),
        }
        for loss in ("absolute", "squared"):
            for bins in map(int, options.bins.split(",")):
                found = []
                for shift, out in shifts.items():
                    for seed in SEEDS:
                        trees = LightGBMRegressor(loss=loss, max_bin=bins, random_state=seed)
                        began = time.process_time()
                        trees.fit(X[~out], y[~out], groups=formulas[~out])
                        seconds = time.process_time() - began
                        error = np.abs(trees.predict(X[out]) - y[out]).mean()
                        found.append((shift, error, seconds))
                table = pd.DataFrame(found, columns=["shift", "mae", "s"])
                mean = table.groupby("shift").mean()
                cells = " | ".join(f"{mean.mae[one]:.4f} | {mean.s[one]:.1f}" for one in shifts)
                print(f"| {name} | {len(y)} | {loss} | {bins} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
