"""What uncertainties and bounds of targets are worth: simulated tables, and a real one.

``python benchmarks/unequal_rows.py simulated METHODS [SEEDS]``: 600 materials, a straight line of
one feature. Noise has standard deviations from 0.1 to 1 (10 : 1, evenly spread logarithms), and
equal weights are compared with known noise by the error against the line. Of the same line with
errors of 0.5, the 30 % lowest values are written as below their limit: dropped, used, and known.

``python benchmarks/unequal_rows.py TABLE TARGET METHODS [SEEDS]``: each seed holds out a fifth of
the materials; the 30 % lowest training values are written as below their limit. The scale is
logarithmic; errors are of all held-out values, and of those below the limit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.model import fit
from xtalshift.uncertainty.settings import IntervalConfig

Case = tuple[str, Dataset, Dataset, NDArray[np.float64]]
"""Name, training rows, test rows and their targets."""


def main(cases: list[tuple[int, Case]], methods: str, transform: str) -> None:
    """Print one line per method and way of treating the rows, with the error of each seed."""
    for method in methods.split(","):
        found: dict[str, list[tuple[float, float]]] = {}
        for seed, (name, train, test, y) in cases:
            model = fit(
                train, method, features=None if transform == "log" else "fractions", seed=seed,
                transform=transform, intervals=IntervalConfig(method="none"), domain=False,
            )  # fmt: skip
            errors = np.abs(model.predict(test.materials).prediction - y)
            low = y < np.quantile(y, 0.3)
            found.setdefault(name, []).append((float(errors.mean()), float(errors[low].mean())))
        for name, errors in found.items():
            whole, low = np.array(errors).T
            each = " ".join(f"{one:.4g}" for one in whole)
            print(f"{method:9} {name:22} all {whole.mean():.4g} ({each}), low {low.mean():.4g}")


def _simulated(seed: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, 1200)
    numbers = [n for n in range(11, 99) if n % 10][:40]
    names = [f"Li{numbers[i // 40]}Na{numbers[i % 40]}S97" for i in range(1200)]
    noise = 10 ** rng.uniform(-1, 0, 1200)
    normal = rng.normal(size=1200)
    data, test = (
        clean_table(Dataset.of(names, 2 * x + noise * normal, extra=x[:, None])).take(part)
        for part in (slice(600), slice(600, None))
    )
    truth = 2 * test.materials.extra[:, 0]
    yield "noise: equal weights", data, test, truth
    yield "noise: known", replace(data, noise=noise[:600]), test, truth
    same = replace(data, targets=2 * x[:600] + 0.5 * normal[:600])
    for name, rows in _bounded(same):
        yield name, rows, test, truth


def _held_out(data: Dataset, seed: int) -> Iterator[Case]:
    out = np.random.default_rng(seed).permutation(len(data)) < len(data) // 5
    test = data.take(out)
    for name, rows in _bounded(data.take(~out)):
        yield name, rows, test, test.y


def _bounded(train: Dataset) -> Iterator[tuple[str, Dataset]]:
    limit = np.quantile(train.y, 0.3)
    below = train.y < limit
    seen = np.where(below, limit, train.y)
    bounds = np.column_stack([np.where(below, -np.inf, seen), seen])
    yield "bounds: values known", train
    yield "bounds: rows dropped", train.take(~below)
    yield "bounds: used", replace(train, targets=seen, bounds=bounds)


if __name__ == "__main__":
    table, *rest = sys.argv[1:]
    if table == "simulated":
        methods, seeds = rest[0], int(rest[1]) if rest[1:] else 5
        cases = [(seed, case) for seed in range(seeds) for case in _simulated(seed)]
        main(cases, methods, "none")
    else:
        target, methods, seeds = rest[0], rest[1], int(rest[2]) if rest[2:] else 3
        data = clean_table(read_table(table, target=target))
        cases = [(seed, case) for seed in range(seeds) for case in _held_out(data, seed)]
        main(cases, methods, "log")
