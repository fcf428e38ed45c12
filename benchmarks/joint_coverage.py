"""Measure how often intervals of several targets hold all values of a material.

    python benchmarks/joint_coverage.py NAME=FILE,NAME=FILE... [METHOD] [SEEDS]

Tables of one target each (columns ``formula``, ``target``) are joined by formula. Each seed draws
1,000 materials to fit; half of their values of the last target are removed. Judged are all others:
a random set, and the tenth of them that is farthest from the 1,000. Prints the shares of materials
whose values lie in the 90 % intervals: of each target, of all targets at once by these, and by the
joint ones.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from xtalshift.data import Dataset, clean_table
from xtalshift.model import fit_several
from xtalshift.uncertainty.settings import IntervalConfig

FITTED = 1000


def joined(tables: list[str]) -> dict[str, Dataset]:
    """Return a clean data set of each target; all have the same rows."""
    columns = {}
    for text in tables:
        name, _, path = text.partition("=")
        columns[name] = pd.read_parquet(path).groupby("formula")["target"].mean()
    frame = pd.DataFrame(columns).dropna().reset_index()
    whole = {
        name: clean_table(Dataset.of(frame["formula"].tolist(), frame[name], target_name=name))
        for name in columns
    }
    assert len({tuple(one.groups) for one in whole.values()}) == 1
    return whole


def main(tables: str, method: str = "ridge", seeds: str = "5") -> None:
    """Print one line for each set of rows."""
    whole = joined(tables.split(","))
    names, first = list(whole), next(iter(whole.values()))
    found: dict[str, list[list[float]]] = {"random": [], "farthest tenth": []}
    for seed in range(int(seeds)):
        order = np.random.default_rng(seed).permutation(len(first))
        train, test = order[:FITTED], order[FITTED:]
        rows = {name: one.take(train) for name, one in whole.items()}
        rows[names[-1]] = whole[names[-1]].take(train[: FITTED // 2])
        models = fit_several(rows, method, intervals=IntervalConfig(method="cross"), seed=seed)
        predicted = models.predict(first.materials.take(test))
        truth = np.array([whole[name].y[test] for name in names])
        plain, joint = [], []
        for name, y in zip(names, truth, strict=True):
            part, (low, high) = predicted[name], predicted.joint[name]
            plain.append((part.lower <= y) & (y <= part.upper))
            joint.append((low <= y) & (y <= high))
        distance = predicted[names[0]].nearest_distance
        far = distance >= np.quantile(distance, 0.9)
        for label, chosen in (("random", np.ones(len(test), dtype=bool)), ("farthest tenth", far)):
            each = [held[chosen].mean() for held in plain]
            all_at_once = [np.all(held, axis=0)[chosen].mean() for held in (plain, joint)]
            found[label].append([*each, *all_at_once])
    print("| rows | " + " | ".join(names) + " | all, by these | all, joint |")
    print("|---" * (len(names) + 3) + "|")
    for label, shares in found.items():
        means, spreads = np.mean(shares, axis=0), np.std(shares, axis=0, ddof=1)
        cells = [f"{a:.1%} ± {b:.1%}" for a, b in zip(means, spreads, strict=True)]
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
