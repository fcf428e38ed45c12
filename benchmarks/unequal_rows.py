"""What uncertainties and bounds of targets are worth: a simulation, and a real table.

Usage: ``python benchmarks/unequal_rows.py TABLE TARGET TRANSFORM METHODS [SEEDS]``. Each seed holds out a fifth
of the materials. Bounds: 30 % of the training values, the lowest, are written as "below the 30 %
quantile"; rows dropped and bounds used are compared by the error on all held-out values. Noise:
normal errors with standard deviations from 0.1 to 1 standard deviations of the targets (evenly
spread logarithms) are added to the training values; equal and known-noise weights are compared.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.model import fit
from xtalshift.uncertainty.settings import IntervalConfig

NONE = IntervalConfig(method="none")


def main(table: str, target: str, transform: str, methods: str, seeds: int = 3) -> None:
    """Print one line per method and way of treating the rows."""
    data = clean_table(read_table(table, target=target))
    for method in methods.split(","):
        found: dict[str, list[float]] = {}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            out = rng.permutation(len(data)) < len(data) // 5
            train, test = data.take(~out), data.take(out)
            for name, rows in {
                **_bounded(train),
                **({} if transform == "log" else _noisy(train, rng)),
            }.items():
                model = fit(
                    rows, method, intervals=NONE, transform=transform, domain=False, seed=seed
                )
                errors = np.abs(model.predict(test.materials).prediction - test.y)
                found.setdefault(name, []).append(float(errors.mean()))
        for name, errors in found.items():
            print(
                f"{method:10} {name:28} {np.mean(errors):.4g}  {np.round(errors, 4).tolist()}",
                flush=True,
            )


def _bounded(train: Dataset) -> dict[str, Dataset]:
    limit = np.quantile(train.y, 0.3)
    below = train.y < limit
    seen = np.where(below, limit, train.y)
    bounds = np.column_stack([np.where(below, -np.inf, seen), seen])
    return {
        "all values": train,
        "30 % below a limit: dropped": train.take(~below),
        "30 % below a limit: used": replace(train, targets=seen, bounds=bounds),
    }


def _noisy(train: Dataset, rng: np.random.Generator) -> dict[str, Dataset]:
    noise = float(train.y.std()) * 10 ** rng.uniform(-1, 0, len(train))
    seen = replace(train, targets=train.y + noise * rng.normal(size=len(train)))
    return {"noise: equal weights": seen, "noise: known": replace(seen, noise=noise)}


if __name__ == "__main__":
    table, target, transform, methods, *seeds = sys.argv[1:]
    main(table, target, transform, methods, *map(int, seeds))
