"""From computed to measured values with few labels: targeted CAL and its controls.

    python benchmarks/adaptation.py [--source mp_gap] [--target expt_gap] [--labels 64 256]
        [--source-rows 30000] [--seeds 3] [--out adaptation.jsonl]

A table is a name of the catalogue, or of a file in the folder of tables that XTALSHIFT_DATA names.
Half of the reduced formulas of the target table are test rows, the same in all runs. Per seed a
network is trained on a sample of the source, then adapted to the first 64, 256 ... formulas of a
random order of the other half (smaller sets are part of larger ones); a fifth of the labels selects
the parameters ("best"). All methods take as many steps on target rows. Printed: mean absolute error
on the test rows and, for what was forgotten, on held-out source rows; mean over seeds and standard
deviation. Every result is one line of the output file; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ablation import read_table
from xtalshift.estimators import IRNetRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.estimators.adaptation import TargetedCALRegressor
from xtalshift.seeding import derive_seed

LABELLED = (
    "fine-tune",
    "l2-sp",
    "head-only",
    "joint",
    "targeted-cal-eps0",
    "targeted-cal",
)
UNLABELLED = ("unlabelled-cal-eps0", "unlabelled-cal")


class Rows:
    """Features, targets and reduced formulas of a table or a part of it."""

    def __init__(self, X: Any, y: Any, groups: Any) -> None:
        self.X, self.y, self.groups = X, y, groups

    def take(self, rows: Any) -> Rows:
        """Return some rows."""
        return Rows(self.X[rows], self.y[rows], self.groups[rows])


def load(table: str) -> Rows:
    """Return all clean rows of a table."""
    materials, X = read_table(table)
    return Rows(X, materials.y, materials.groups)


def run_seed(source: Rows, target: Rows, seed: int, options: argparse.Namespace) -> list[dict]:
    """Return the records of all methods for one seed."""
    order = np.random.default_rng(derive_seed(seed, "source")).permutation(len(source.y))
    train, held_out = np.split(order[: options.source_rows + 2000], [options.source_rows])
    train_rows, source_test = source.take(train), source.take(held_out)
    half = np.random.default_rng(0).permutation(len(target.y))
    test = target.take(half[: len(half) // 2])
    pool = half[len(half) // 2 :]
    pool = target.take(np.random.default_rng(derive_seed(seed, "labels")).permutation(pool))
    begin = time.process_time()
    model = IRNetRegressor(
        architecture="irnet-cpu", device="cpu", random_state=derive_seed(seed, "method")
    ).fit(train_rows.X, train_rows.y, groups=train_rows.groups)
    print(f"seed {seed}: source model, {time.process_time() - begin:.0f} s", flush=True)
    records: list[dict] = []

    def note(method: str, labels: int, predictions: dict, begin: float, **extra: float) -> None:
        seconds = time.process_time() - begin
        for weights, (on_test, on_source) in predictions.items():
            records.append(
                {
                    "source": options.source,
                    "target": options.target,
                    "method": method,
                    "labels": labels,
                    "seed": seed,
                    "weights": weights,
                    "mae": float(np.abs(on_test - test.y).mean()),
                    "source_mae": float(np.abs(on_source - source_test.y).mean()),
                    "seconds": seconds,
                    **extra,
                }
            )

    def both(fitted: Any) -> dict:
        pairs = [fitted.predict_variants(rows.X) for rows in (test, source_test)]
        return {name or "best": (pairs[0][name], pairs[1][name]) for name in pairs[0]}

    note("source model", 0, both(model), time.process_time())
    for method in UNLABELLED:
        begin = time.process_time()
        adapted = TargetedCALRegressor(method, random_state=derive_seed(seed, method), device="cpu")
        adapted.adapt(model, pool.X, None, train_rows.X, train_rows.y)
        note(method, 0, both(adapted), begin)
    for n in options.labels:
        labels = pool.take(slice(0, n))
        mean = labels.y.mean()
        constant = (np.full(len(test.y), mean), np.full(len(source_test.y), mean))
        note("constant", n, {"": constant}, time.process_time())
        for name, alone in (("ridge", RidgeRegressor()), ("lightgbm", LightGBMRegressor())):
            begin = time.process_time()
            alone.set_params(random_state=derive_seed(seed, name))
            alone.fit(labels.X, labels.y, groups=labels.groups)
            found = (alone.predict(test.X), alone.predict(source_test.X))
            note(f"{name}, labels only", n, {"": found}, begin)
        for method in LABELLED:
            begin = time.process_time()
            # one seed for all methods: the same validation labels
            adapted = TargetedCALRegressor(
                method, random_state=derive_seed(seed, "adapt"), device="cpu"
            )
            adapted.adapt(
                model, labels.X, labels.y, train_rows.X, train_rows.y, groups=labels.groups
            )
            last = adapted.history_[-1]
            extra = {k: last[k] for k in ("displacement_rms", "attack_loss_gain") if k in last}
            note(method, n, both(adapted), begin, **extra)
    return records


def summarise(frame: pd.DataFrame) -> None:
    """Print mean and standard deviation over seeds."""
    print(f"\n{'method':24s} {'weights':8s} {'labels':>6s} {'test MAE':>16s} {'source MAE':>16s}")
    for (labels, method, weights), runs in frame.groupby(
        ["labels", "method", "weights"], sort=False
    ):
        cells = [
            f"{runs[c].mean():.3f} +- {runs[c].std(ddof=1):.3f}" for c in ("mae", "source_mae")
        ]
        print(f"{method:24s} {weights:8s} {labels:6d} {cells[0]:>16s} {cells[1]:>16s}")


def main() -> None:
    """Run the seeds that are missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="mp_gap")
    parser.add_argument("--target", default="expt_gap")
    parser.add_argument("--labels", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--source-rows", type=int, default=30_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("adaptation.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if options.out.exists():
        lines = options.out.read_text(encoding="utf-8").splitlines()
        done = {json.loads(line)["seed"] for line in lines}
    missing = [seed for seed in range(options.seeds) if seed not in done]
    if missing:
        source, target = load(options.source), load(options.target)
    for seed in missing:
        records = run_seed(source, target, seed, options)
        with options.out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    summarise(pd.read_json(options.out, lines=True))


if __name__ == "__main__":
    main()
