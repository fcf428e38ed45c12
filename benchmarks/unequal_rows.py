"""What uncertainties and bounds of targets are worth: simulated tables, and a real one.

``python benchmarks/unequal_rows.py simulated METHODS [SEEDS]``: 600 materials, a straight line of
one feature. Noise has standard deviations from 0.1 to 1 (10 : 1, evenly spread logarithms), and
equal weights are compared with known noise by the error against the line. Of the same line with
errors of 0.5, the 30 % lowest values are written as below their limit: dropped, used, in the loss
of the methods that can (Tobit), and known.

``python benchmarks/unequal_rows.py noisy TABLE TARGET METHODS [SEEDS]``: each seed draws 600
materials, of which 400 train. Noise with standard deviations from 0.1 to 1 times that of the
targets is added to the training values, and equal weights are compared with known noise by the
error against the values as they are.

``python benchmarks/unequal_rows.py TABLE TARGET METHODS [SEEDS]``: each seed holds out a fifth of
the materials; the 30 % lowest training values are written as below their limit. The scale is
logarithmic; errors are of all held-out values, and of those below the limit.

Settings such as ``lightgbm.n_estimators=200`` may stand at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.model import fit
from xtalshift.uncertainty.settings import IntervalConfig

Values = NDArray[np.float64]
Case = tuple[str, Dataset, Dataset, Values, Values]
"""Name, training rows, test rows, their true values and what a measurement of them gives."""


def main(
    cases: list[tuple[int, Case]],
    methods: str,
    transform: str,
    features: str | None = None,
    settings: MethodSettings | None = None,
) -> None:
    """Print one line per method and way of treating the rows, with the error of each seed."""
    for method in methods.split(","):
        found: dict[str, list[tuple[float, ...]]] = {}
        for seed, (name, train, test, y, measured) in cases:
            if train.bounds_in_loss and not METHODS[method].bounds:
                continue
            model = fit(
                train, method, features=features, seed=seed,
                transform=transform, settings=settings,
                intervals=IntervalConfig(method="auto"), domain=False,
            )  # fmt: skip
            told = model.predict(test.materials)
            errors, low = np.abs(told.prediction - y), y < np.quantile(y, 0.3)
            ends = (told.lower, told.upper)
            if told.measured_lower is not None and told.measured_upper is not None:
                ends = (told.measured_lower, told.measured_upper)
            inside = (ends[0] <= measured) & (measured <= ends[1])
            row = (errors.mean(), errors[low].mean(), inside.mean(), inside[low].mean())
            found.setdefault(name, []).append(tuple(map(float, row)))
        for name, errors in found.items():
            whole, low, inside, inside_low = np.array(errors).T
            each = " ".join(f"{one:.4g}" for one in whole)
            print(
                f"{method:9} {name:22} all {whole.mean():.4g} ({each}), low {low.mean():.4g}; 90 % "
                f"intervals cover {inside.mean():.1%}, low {inside_low.mean():.1%}",
                flush=True,
            )


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
    yield "noise: equal weights", data, test, truth, test.y
    yield "noise: known", replace(data, noise=noise[:600]), test, truth, test.y
    same = replace(data, targets=2 * x[:600] + 0.5 * normal[:600])
    for name, rows in _bounded(same):
        yield name, rows, test, truth, truth + 0.5 * normal[600:]


def _noisy(data: Dataset, seed: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)
    data = data.take(rng.permutation(len(data))[:600])
    noise = 10 ** rng.uniform(-1, 0, 400) * data.y.std()
    train, test = data.take(np.arange(400)), data.take(np.arange(400, 600))
    train = replace(train, targets=train.y + noise * rng.normal(size=400))
    yield "noise: equal weights", train, test, test.y, test.y
    yield "noise: known", replace(train, noise=noise), test, test.y, test.y


def _held_out(data: Dataset, seed: int) -> Iterator[Case]:
    out = np.random.default_rng(seed).permutation(len(data)) < len(data) // 5
    test = data.take(out)
    for name, rows in _bounded(data.take(~out)):
        yield name, rows, test, test.y, test.y


def _bounded(train: Dataset) -> Iterator[tuple[str, Dataset]]:
    limit = np.quantile(train.y, 0.3)
    below = train.y < limit
    seen = np.where(below, limit, train.y)
    bounds = np.column_stack([np.where(below, -np.inf, seen), seen])
    yield "bounds: values known", train
    yield "bounds: rows dropped", train.take(~below)
    used = replace(train, targets=seen, bounds=bounds)
    yield "bounds: used", used
    yield "bounds: tobit", replace(used, bounds_in_loss=True)


if __name__ == "__main__":
    table, *rest = [one for one in sys.argv[1:] if "=" not in one]
    given: dict[str, dict[str, Any]] = {}
    for one in sys.argv[1:]:
        if "=" in one:
            name, _, value = one.partition("=")
            group, _, setting = name.partition(".")
            given.setdefault(group, {})[setting] = float(value) if "." in value else int(value)
    settings = MethodSettings.from_dict({"device": "cpu", "threads": 1, **given})
    if table == "simulated":
        methods, seeds = rest[0], int(rest[1]) if rest[1:] else 5
        cases = [(seed, case) for seed in range(seeds) for case in _simulated(seed)]
        main(cases, methods, "none", "fractions", settings)
    elif table == "noisy":
        table, target, methods = rest[:3]
        seeds = int(rest[3]) if rest[3:] else 3
        data = clean_table(read_table(table, target=target))
        cases = [(seed, case) for seed in range(seeds) for case in _noisy(data, seed)]
        main(cases, methods, "none", settings=settings)
    else:
        target, methods, seeds = rest[0], rest[1], int(rest[2]) if rest[2:] else 3
        data = clean_table(read_table(table, target=target))
        cases = [(seed, case) for seed in range(seeds) for case in _held_out(data, seed)]
        main(cases, methods, "log", settings=settings)
