"""Rate of `xtalshift featurize`, of its parts and of matminer, in one run.

    python benchmarks/featurize.py [--limit 100000] [--sample 1000] [--repeats 5]

The formulas are distinct: those of Ricci et al. and, if the environment variable XTALSHIFT_DATA
names a folder of tables, of mp_e_form. The whole command is a new process that reads a CSV and
writes Parquet, start-up included; Python keeps compiled files, as in an installation. matminer
computes an evenly spaced sample on one core, in a process that has started. Nothing else is cached.
All figures are the least of the repeats, in which the jobs take turns. On a busy machine compare
CPU seconds: they count all threads, so that on an idle one the command takes less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.data import load_dataset
from xtalshift.data.formula_texts import iter_formulas
from xtalshift.data.settings import BY_DEFAULT
from xtalshift.data.writers import write_frame
from xtalshift.featurize.composition import composition_features

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference.matminer_features import matminer_features

COMMAND = "from xtalshift.cli.main import main; main()"
Seconds = NDArray[np.float64]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
LIBRARIES = "import numpy, pyarrow.parquet, typer"  # the least that the command needs


def load_formulas(limit: int) -> list[str]:
    """Return up to `limit` distinct formulas in a fixed random order."""
    formulas = load_dataset("ricci_seebeck").formulas.tolist()
    if folder := os.environ.get("XTALSHIFT_DATA"):
        table = pd.read_parquet(Path(folder) / "composition" / "mp_e_form.parquet")
        formulas += table["formula"].tolist()
    distinct = list(dict.fromkeys(formulas))[:limit]  # the formulas with brackets come first
    return [distinct[i] for i in np.random.default_rng(0).permutation(len(distinct))]


def python(code: str, *arguments: object) -> None:
    """Run a statement in a new process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)


def time_all(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, Seconds]:
    """Return the least wall and CPU seconds of each job; the jobs take turns."""
    seconds = {name: np.full(2, np.inf) for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            begin = np.array([time.perf_counter(), sum(os.times()[:4])])
            job()
            end = np.array([time.perf_counter(), sum(os.times()[:4])])
            seconds[name] = np.minimum(seconds[name], end - begin)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=100_000, help="most formulas to featurize")
    parser.add_argument("--sample", type=int, default=1000, help="formulas for matminer")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    formulas = load_formulas(options.limit)
    rows = np.arange(0, len(formulas), max(1, len(formulas) // options.sample))[: options.sample]
    sample = [formulas[row] for row in rows]
    brackets = sum("(" in formula for formula in formulas)
    print(f"{len(formulas):,} distinct formulas, {brackets:,} with brackets")

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "formulas.csv"), Path(folder, "features.parquet")
        pd.DataFrame({"formula": formulas}).to_csv(source, index=False)
        python(COMMAND, "featurize", source, "-o", out)
        table = pq.read_table(out)
        actual = np.column_stack([table[name] for name in table.column_names[1:-2]])[rows]
        if not np.allclose(matminer_features(sample, impute_nan=True), actual, 1e-9, 1e-10):
            raise SystemExit("the features differ from matminer's; the rates mean nothing")
        compositions, _, _ = parse_formulas(formulas)
        seconds = time_all(
            {
                "matminer": lambda: matminer_features(sample, impute_nan=True),
                "whole command": lambda: python(COMMAND, "featurize", source, "-o", out),
                "start bare Python": lambda: python("pass"),
                "start with numpy, pyarrow, typer": lambda: python(LIBRARIES),
                "read the CSV": lambda: list(iter_formulas(source, 20_000, BY_DEFAULT)),
                "parse": lambda: parse_formulas(formulas),
                "features": lambda: composition_features(compositions, order="F"),
                "write the Parquet": lambda: write_frame(table, out),
            },
            options.repeats,
        )
    seconds["matminer"] *= len(formulas) / len(sample)
    print(f"\n{'seconds for all formulas':35}{'wall':>10}{'CPU':>10}")
    for name, (wall, cpu) in seconds.items():
        print(f"{name:35}{wall:10.3f}{cpu:10.3f}")
    wall, cpu = len(formulas) / seconds["whole command"]
    print(f"\nwhole command: {wall:,.0f} formulas per second, {cpu:,.0f} per CPU second")
    wall, cpu = seconds["matminer"] / seconds["whole command"]
    print(f"the rate of matminer times {wall:.0f} (wall), {cpu:.0f} (CPU)")


if __name__ == "__main__":
    main()
