"""Rate of the 145 composition features, of matminer and of this package, in one run.

    python benchmarks/featurize.py [--limit 100000] [--sample 1000] [--repeats 3]

Distinct formulas only: those of `ricci_seebeck` and, where the environment variable
XTALSHIFT_DATA names a folder of tables, of mp_e_form. Parsing is included and nothing is cached by
either side. Rates are in formulas per second, the best of the repeats; matminer runs on an evenly
spaced sample on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from xtalshift.data import load_dataset
from xtalshift.featurize import CompositionFeaturizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference.matminer_features import matminer_features


def load_formulas(limit: int) -> list[str]:
    """Return up to `limit` distinct formulas in a fixed random order."""
    formulas = load_dataset("ricci_seebeck").formulas.tolist()
    if folder := os.environ.get("XTALSHIFT_DATA"):
        table = pd.read_parquet(Path(folder) / "composition" / "mp_e_form.parquet")
        formulas += table["formula"].tolist()
    distinct = list(dict.fromkeys(formulas))[:limit]  # the formulas with brackets come first
    return [distinct[i] for i in np.random.default_rng(0).permutation(len(distinct))]


def best_seconds(job: Callable[[], object], repeats: int) -> float:
    """Return the least wall time of some runs of `job`."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=100_000, help="most formulas to featurize")
    parser.add_argument("--sample", type=int, default=1000, help="formulas for matminer")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    formulas = load_formulas(options.limit)
    sample = formulas[:: max(1, len(formulas) // options.sample)][: options.sample]
    brackets = sum("(" in formula for formula in formulas)
    print(f"{len(formulas):,} distinct formulas, {brackets:,} with brackets")

    expected = matminer_features(sample, impute_nan=True)  # the first call also warms up
    actual = CompositionFeaturizer().transform(sample)
    if not np.allclose(actual, expected, rtol=1e-9, atol=1e-10, equal_nan=True):
        raise SystemExit("the features differ from matminer's; the rates mean nothing")
    seconds = best_seconds(lambda: matminer_features(sample, impute_nan=True), options.repeats)
    matminer_rate = len(sample) / seconds
    print(f"matminer, sample of {len(sample):,}: {matminer_rate:12,.0f} /s")
    seconds = best_seconds(lambda: CompositionFeaturizer().transform(formulas), options.repeats)
    rate = len(formulas) / seconds
    print(f"xtalshift, one core:       {rate:12,.0f} /s  = {rate / matminer_rate:6.0f} x matminer")


if __name__ == "__main__":
    main()
