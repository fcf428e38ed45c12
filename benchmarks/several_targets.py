"""Compare one network of several targets with one for each.

    python benchmarks/several_targets.py NAME=FILE,NAME=FILE... [--missing NAME]
        [--rows N] [--splits random,sparse,loco] --out FILE.jsonl

Tables of one target each (columns ``formula``, ``target``) are joined by formula; materials with
all targets are kept (N of them, drawn at random). Splits: random fifth, clusters left out (LOCO,
5), the sparsest tenth of feature space (covariate). Of the training rows, a share of the values of
one target is removed at random: 0, 50 and 80 %. Each method is then fitted to what is left of all
targets, with the same epochs and settings, and judged on all values of the test rows. A line of the
output is one fit; those that are there are not repeated. Prints a Markdown table: errors over that
of the training mean, and the ratio of the network of all targets to those of one each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.data import Dataset, clean_table
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.methods import MethodSettings
from xtalshift.metrics.stats import paired_test
from xtalshift.model import fit_several
from xtalshift.splits import CovariateSplit, LOCOSplit, RandomSplit
from xtalshift.uncertainty.settings import IntervalConfig

SHARES = (0.0, 0.5, 0.8)
METHODS = ("multi-task", "erm", "ridge")
NO_INTERVALS = IntervalConfig(method="none")


def joined(tables: list[str], most: int | None) -> dict[str, Dataset]:
    """Return a clean data set of each target; all have the same rows."""
    columns = {}
    for text in tables:
        name, _, path = text.partition("=")
        columns[name] = pd.read_parquet(path).groupby("formula")["target"].mean()
    frame = pd.DataFrame(columns).dropna().reset_index()
    if most is not None:
        frame = frame.sample(most, random_state=0)
    whole = {
        name: clean_table(Dataset.of(frame["formula"].tolist(), frame[name], target_name=name))
        for name in columns
    }
    assert len({tuple(one.groups) for one in whole.values()}) == 1
    return whole


def folds(
    X: NDArray[np.float64], groups: NDArray[Any], seed: int
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the name of a split, its training and its test rows."""
    for train, test in RandomSplit(0.2, seed).split(X, None, groups):
        yield "random", train, test
    if seed == 0:  # the same for all seeds
        for train, test in CovariateSplit(random_state=0).split(X, None, groups):
            yield "sparse", train, test
        for number, (train, test) in enumerate(
            LOCOSplit(n_clusters=5, random_state=0).split(X, None, groups)
        ):
            yield f"loco-{number}", train, test


def fits(
    whole: dict[str, Dataset],
    missing: str,
    seeds: int,
    done: set[tuple[Any, ...]],
    chosen: set[str] | None,
) -> Iterator[dict[str, Any]]:
    """Yield a record of each fit that is not done."""
    first = next(iter(whole.values()))
    X = CompositionFeaturizer().transform(first.materials)
    settings = MethodSettings.from_dict({"device": "cpu", "threads": 1})
    fixed = [one for one in folds(X, first.groups, 0) if one[0] != "random"]
    for seed in range(seeds):
        for split, train, test in [*folds(X, first.groups, seed)][:1] + fixed:
            if chosen is not None and split.partition("-")[0] not in chosen:
                continue
            rng = np.random.default_rng([seed, len(train)])
            order = rng.permutation(train)
            for share, method in product(SHARES, METHODS):
                if (split, seed, share, method) in done:
                    continue
                kept = np.sort(order[round(share * len(train)) :])
                tables = {
                    name: one.take(kept if name == missing else train)
                    for name, one in whole.items()
                }
                if share and method != "multi-task":  # the others are those of share 0
                    tables = {missing: tables[missing]}
                begun = time.monotonic()
                models = fit_several(
                    tables, method, settings=settings, intervals=NO_INTERVALS, seed=seed
                )
                seconds = time.monotonic() - begun
                found = models.predict(first.materials.take(test))
                errors = {
                    name: float(np.abs(found[name].prediction - whole[name].y[test]).mean())
                    for name in tables
                }
                dummy = {
                    name: float(np.abs(one.y[train].mean() - one.y[test]).mean())
                    for name, one in whole.items()
                }
                yield {
                    "split": split, "seed": seed, "share": share, "method": method,
                    "n_train": len(train), "n_test": len(test), "seconds": seconds,
                    "mae": errors, "dummy": dummy,
                }  # fmt: skip


def report(records: list[dict[str, Any]], missing: str) -> None:
    """Print errors over the dummy, means over folds and seeds, and paired tests."""
    rows = pd.DataFrame(
        {**one, "name": name, "error": mae / one["dummy"][name]}
        for one in records
        for name, mae in one["mae"].items()
    )
    rows["family"] = rows["split"].str.partition("-")[0]
    others = rows[(rows["share"] == 0) & (rows["name"] != missing)]
    alone = others[others["method"] != "multi-task"]  # what lacks nothing is fitted alone once
    rows = pd.concat([rows, *(alone.assign(share=share) for share in SHARES[1:])])
    key = ["name", "family", "share", "split", "seed"]
    wide = rows.pivot_table(index=key, columns="method", values="error")
    print("| target | split | removed | n |", " | ".join(METHODS), "| ratio | p |")
    print("|---|---|---|---|", "---|" * (len(METHODS) + 2), sep="")
    for (name, family, share), part in wide.groupby(level=[0, 1, 2]):
        joint, alone = part["multi-task"].to_numpy(), part["erm"].to_numpy()
        p = paired_test(joint, alone).wilcoxon_p
        means = " | ".join(f"{part[method].mean():.3f}" for method in METHODS)
        removed = f"{share:.0%}" if name == missing else f"({share:.0%})"
        print(
            f"| {name} | {family} | {removed} | {len(part)} | {means} "
            f"| {np.exp(np.log(joint / alone).mean()):.3f} | {p:.3f} |"
        )
    seconds = rows.groupby("method")["seconds"].mean()
    print("\nSeconds of a fit:", seconds.round(1).to_dict())


def main() -> None:
    """Fit what is not done, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables")
    parser.add_argument("--missing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--splits", help="names such as random,sparse,loco (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    whole = joined(given.tables.split(","), given.rows)
    missing = given.missing or next(iter(whole))
    records = []
    if given.out.exists():
        records = [json.loads(line) for line in given.out.read_text().splitlines()]
    done = {(one["split"], one["seed"], one["share"], one["method"]) for one in records}
    with given.out.open("a") as file:
        chosen = set(given.splits.split(",")) if given.splits else None
        for record in fits(whole, missing, given.seeds, done, chosen):
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
    report(records, missing)


if __name__ == "__main__":
    main()
