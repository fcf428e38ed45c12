"""The default model on crystals it has not seen the like of, from several sets of features.

    python benchmarks/structure_default.py dielectric --out FITS.jsonl [--methods auto,svr]
    python benchmarks/structure_default.py dielectric --out FITS.jsonl --summary

Needs the folder of tables named by XTALSHIFT_DATA: 1,000 random rows of a table of `structures/` on
the LOCO folds of MatUQ restricted to them; every tenth fold is held out together with the others of
its tenth, which makes ten fits of each method and set. Nothing is chosen by a test row. A line is
written when a fit is done; a file that has it already is continued.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

import xtalshift as xs
from xtalshift.data.clean import clean_table
from xtalshift.featurize import CompositionFeatures
from xtalshift.methods import features_of
from xtalshift.model.fitting import draw_rows, fit
from xtalshift.uncertainty.settings import IntervalConfig

ROWS = 1000
PARTS = 10
SETS = {
    "composition": None,
    "structure": "+structure",
    "chgnet only": "chgnet",
    "chgnet": "+chgnet",
    "structure and chgnet": "+structure+chgnet",
    "structure and sevennet": "+structure+sevennet",
    "all": "+structure+chgnet+sevennet",
}


def summarise(path: Path) -> str:
    """Return the table of methods and sets of features."""
    fits = pd.read_json(path, lines=True)
    lines = ["| method | features | fits | OOD error | over composition | over dummy | ID error |"]
    lines.append("|---|---|---|---|---|---|---|")
    for method, of_method in fits.groupby("method", sort=False):
        base = of_method[of_method["features"] == "composition"].set_index("part")
        for features, part in of_method.groupby("features", sort=False):
            both = part.set_index("part").join(base, rsuffix="_base", how="inner")
            weights = both["n_test"]
            error, before, dummy = (
                np.average(both[name], weights=weights) for name in ("mae", "mae_base", "dummy")
            )
            ratios = np.exp(np.quantile(np.log(both["mae"] / both["mae_base"]), [0.25, 0.5, 0.75]))
            inside = "" if both["id_mae"].isna().any() else f"{both['id_mae'].mean():.4f}"
            lines.append(
                f"| {method} | {features} | {len(both)} | {error:.4f} | {error / before:.2f} "
                f"({ratios[1]:.2f}: {ratios[0]:.2f} to {ratios[2]:.2f}) | {error / dummy:.2f} "
                f"| {inside} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the fits, or print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["dielectric", "elasticity"])
    parser.add_argument("--out", type=Path, required=True, help="file of the fits")
    parser.add_argument("--methods", default="svr,lightgbm,auto")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--summary", action="store_true", help="print the table only")
    options = parser.parse_args()
    if options.summary:
        print(summarise(options.out))
        return
    folder = Path(os.environ["XTALSHIFT_DATA"])
    data = xs.read_table(
        folder / "structures" / f"{options.table}.parquet", target="target", structure_col="cif"
    )
    data = clean_table(data, duplicates="keep")
    data = data.take(np.sort(np.random.default_rng(0).choice(len(data), ROWS, replace=False)))
    folds = pd.read_parquet(folder / "folds" / f"{options.table}.parquet")
    folds = folds[(folds["scheme"] == "LOCO") & (folds["part"] == "test")]
    part = folds.set_index("id")["fold"].loc[list(data.ids)].to_numpy() % PARTS
    transform = "log" if options.table == "dielectric" else "none"
    done = set()
    if options.out.exists():
        done = {
            (f["method"], f["features"], f["part"]) for f in map(json.loads, options.out.open())
        }
    features = {}
    for number in range(PARTS):
        for method in options.methods.split(","):
            for name in options.sets.split(","):
                blocks = features_of(method, SETS[name])
                if (method, name, number) in done:
                    continue
                if blocks not in features:
                    features[blocks] = CompositionFeatures(blocks).featurize(data.materials).values
                rest, test = np.flatnonzero(part != number), np.flatnonzero(part == number)
                rows = draw_rows(data.groups, cross_fits=method == "auto", within=rest)
                began = time.process_time()
                model = fit(
                    data,
                    method,
                    features=blocks,
                    X=features[blocks],
                    transform="none" if method == "auto" else transform,
                    rows=rows,
                    intervals=IntervalConfig(method="none"),
                    domain=False,
                )
                found = model.predict_features(features[blocks][test])
                own = getattr(model.regressor, "out_of_fold_", None)
                known = np.concatenate([rows.train, rows.validation])
                line = {
                    "method": method,
                    "features": name,
                    "part": number,
                    "n_test": len(test),
                    "mae": float(np.abs(found - data.y[test]).mean()),
                    "dummy": float(np.abs(data.y[known].mean() - data.y[test]).mean()),
                    "id_mae": None
                    if own is None
                    else float(np.abs(own.center - data.y[known][own.rows]).mean()),
                    "seconds": time.process_time() - began,
                    "members": {one.name: one.weight for one in model.regressor.members_}
                    if own is not None
                    else {},
                }
                with options.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
