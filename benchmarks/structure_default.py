"""The default model on crystals it has not seen the like of, from several sets of features.

    python benchmarks/structure_default.py dielectric --out FITS.jsonl [--rows 1000] [--seed 0]
        [--schemes LOCO,SparseXcluster] [--methods auto,svr] [--sets composition,structure]
    python benchmarks/structure_default.py dielectric --out FITS.jsonl --summary

Needs the folder of tables named by XTALSHIFT_DATA: a table of `structures/` on the published
folds of MatUQ. A fit of the default takes minutes, so that folds are held out together: part k of n
holds out the test rows of every n-th fold. A scheme of sparse rows tests on fewer rows and has
fewer parts. With `--rows`, as many random rows are left of the table, and the folds are restricted
to them. Nothing is chosen by a test row. A line is written when a fit is done; a file that has it
already is continued.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import gmean

import xtalshift as xs
from xtalshift.data.clean import clean_table
from xtalshift.featurize import CompositionFeatures
from xtalshift.methods import features_of
from xtalshift.model.fitting import draw_rows, fit
from xtalshift.uncertainty.settings import IntervalConfig

PARTS = {
    "LOCO": 10,
    "SOAP_LOCO": 10,
    "SparseXcluster": 2,
    "SparseYcluster": 2,
    "SparseXsingle": 1,
    "SparseYsingle": 1,
}
SETS = {
    "composition": None,
    "structure": "+structure",
    "chgnet only": "chgnet",
    "chgnet": "+chgnet",
    "structure and chgnet": "+structure+chgnet",
    "structure and chgnet-random": "+structure+chgnet-random",
    "structure and sevennet": "+structure+sevennet",
    "structure and sevennet-random": "+structure+sevennet-random",
    "all": "+structure+chgnet+sevennet",
}
MEAN = ("ridge", "svr", "lightgbm")  # the mean of their predictions is a row of the table


def with_mean(fits: pd.DataFrame) -> pd.DataFrame:
    """Add the mean of the predictions of three methods where all of them were fitted."""
    rows = []
    for _, same in fits[fits["method"].isin(MEAN)].groupby(["scheme", "part", "features"]):
        if len(same) == len(MEAN):
            predicted = np.mean(same["predicted"].to_list(), axis=0)
            rows.append(
                {**same.iloc[0].to_dict(), "method": "mean of three", "predicted": predicted}
            )
    return pd.concat([fits, pd.DataFrame(rows)], ignore_index=True)


def fold_errors(fits: pd.DataFrame, targets: pd.Series, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the mean absolute error of each fit on each published fold, and that of the mean."""
    rows = []
    for fit_ in fits.itertuples():
        predicted = pd.Series(fit_.predicted, index=fit_.ids)
        tested = folds[(folds["scheme"] == fit_.scheme) & (folds["fold"] % fit_.of == fit_.part)]
        for fold, of_fold in tested.groupby("fold"):
            ids = [one for one in of_fold["id"] if one in predicted.index]
            if ids:
                true = targets[ids]
                rows.append(
                    (
                        *(fit_.scheme, fit_.method, fit_.features, fit_.part, fold),
                        float((predicted[ids] - true).abs().mean()),
                        float((fit_.mean_of_training - true).abs().mean()),
                    )
                )
    names = ["scheme", "method", "features", "part", "fold", "mae", "dummy"]
    return pd.DataFrame(rows, columns=names)


def summarise(fits: pd.DataFrame, targets: pd.Series, folds: pd.DataFrame) -> str:
    """Return a table of the mean over folds, on the parts that all fits of a scheme have."""
    errors = fold_errors(with_mean(fits), targets, folds)
    schemes = list(dict.fromkeys(errors["scheme"]))
    columns = {}
    for scheme in schemes:
        part = errors[errors["scheme"] == scheme]
        table = part.pivot_table(index="fold", columns=["method", "features"], values="mae")
        everywhere = table.dropna()
        columns[scheme] = everywhere.mean()
        dummy = part[part["fold"].isin(everywhere.index)]["dummy"].mean()
        columns[scheme].loc[("training mean", "")] = dummy
        columns[scheme].loc[("folds", "")] = len(everywhere)
    table = pd.DataFrame(columns)
    table["geometric mean"] = gmean(table[schemes], axis=1)
    return table.to_markdown(floatfmt=".4f")


def main() -> None:
    """Run the fits, or print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["dielectric", "elasticity"])
    parser.add_argument("--out", type=Path, required=True, help="file of the fits")
    parser.add_argument("--rows", type=int, help="random rows of the table (default: all)")
    parser.add_argument("--schemes", default=",".join(PARTS))
    parser.add_argument("--parts", help="numbers of the parts (default: all)")
    parser.add_argument("--methods", default="ridge,svr,lightgbm,auto")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seed", type=int, default=0, help="seed of the fits")
    parser.add_argument("--summary", action="store_true", help="print the table only")
    options = parser.parse_args()
    folder = Path(os.environ["XTALSHIFT_DATA"])
    folds = pd.read_parquet(
        folder / "folds" / f"{options.table}.parquet", filters=[("part", "==", "test")]
    )
    path = folder / "structures" / f"{options.table}.parquet"
    if options.summary:
        targets = pd.read_parquet(path, columns=["id", "target"]).set_index("id")["target"]
        print(summarise(pd.read_json(options.out, lines=True, dtype=False), targets, folds))
        return
    data = xs.read_table(path, target="target", structure_col="cif", id_col="id")
    data = clean_table(data, duplicates="keep")
    if options.rows:
        draws = np.random.default_rng(0)
        data = data.take(np.sort(draws.choice(len(data), options.rows, replace=False)))
    ids = np.asarray(data.ids, dtype=str)
    transform = "log" if options.table == "dielectric" else "none"
    done = set()
    if options.out.exists():
        done = {
            (f["method"], f["features"], f["scheme"], f["part"], f.get("seed", 0))
            for f in map(json.loads, options.out.open())
        }
    features = {}
    todo = [
        (scheme, part, method, name)
        for method in options.methods.split(",")
        for scheme in options.schemes.split(",")
        for part in range(PARTS[scheme])
        for name in options.sets.split(",")
        if options.parts is None or str(part) in options.parts.split(",")
    ]
    for scheme, part, method, name in todo:
        if (method, name, scheme, part, options.seed) in done:
            continue
        of_scheme = folds[folds["scheme"] == scheme]
        tested = of_scheme[of_scheme["fold"] % PARTS[scheme] == part]["id"]
        test = np.flatnonzero(np.isin(ids, tested.to_numpy(dtype=str)))
        rest = np.setdiff1d(np.arange(len(data)), test)
        blocks = features_of(method, SETS[name])
        if blocks not in features:
            features[blocks] = CompositionFeatures(blocks).featurize(data.materials).values
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
            seed=options.seed,
        )
        predicted = model.predict_features(features[blocks][test])
        own = getattr(model.regressor, "out_of_fold_", None)
        known = np.concatenate([rows.train, rows.validation])
        line = {
            "method": method,
            "features": name,
            "scheme": scheme,
            "part": part,
            "of": PARTS[scheme],
            "seed": options.seed,
            "ids": ids[test].tolist(),
            "predicted": predicted.tolist(),
            "mean_of_training": float(data.y[known].mean()),
            "mae": float(np.abs(predicted - data.y[test]).mean()),
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
