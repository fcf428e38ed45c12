"""What each part of CAL does: one part changed at a time, on two tables and two shifts.

    python benchmarks/ablation.py [--tables ricci_seebeck mp_e_form] [--rows 10000] [--seeds 3]
        [--variants erm cal ...] [--out ablation.jsonl] [--jobs 2]

A table is a name of the catalogue, or of a file in the folder of tables that XTALSHIFT_DATA names.
Of each, a fixed random sample of reduced formulas is used. Splits: `covariate` (sparsest tenth of
the feature space) and `family` (all fluorides), each trained separately; a tenth of the remaining
rows is the ID test set and a tenth selects the epoch. Every result is one line of the output file;
what is there is not computed again. Then a table per split: mean absolute errors relative to the
constant's, mean over seeds and standard deviation; what the last epoch's attack did; seconds of CPU
time on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from xtalshift.data import Dataset
from xtalshift.data.settings import DataConfig
from xtalshift.estimators import CALRegressor, IRNetRegressor, LightGBMRegressor, RidgeRegressor
from xtalshift.featurize import CompositionFeaturizer, CompositionSource
from xtalshift.model.inputs import read_inputs
from xtalshift.seeding import derive_seed
from xtalshift.splits import CovariateSplit, FamilySplit, RandomSplit

NO_ATTACK = {"ball": "linf", "epsilon": 0.0}
PAPER = {"preset": "paper", "epochs": 40}
VARIANTS: dict[str, dict[str, Any]] = {
    "cal": {},
    "no attack (epsilon 0)": NO_ATTACK,
    "attack only (all rows, fixed weights)": {"partial_fraction": 1.0, "weight_rule": "fixed"},
    "fixed weights (Wasserstein DRO)": {"weight_rule": "fixed"},
    "no partial sampling": {"partial_fraction": 1.0},
    "partial sampling only": {"theta_steps": 0, "erm_rows": "hardest"},
    "outer gradient: first layer": {"outer_layers": "first"},
    "outer gradient: last layer": {"outer_layers": "last"},
    "environments: random": {"environments": "random"},
    "environments: families": {"environments": "families"},
    "ball: linf": {"ball": "linf"},
    "ball: weighted l2": {"ball": "weighted-l2"},
    "attack: adam": {"attack_method": "adam"},
    "epsilon 0.05": {"epsilon": 0.05, "attack_step_size": 0.05},
    "epsilon 0.3": {"epsilon": 0.3, "attack_step_size": 0.3},
    "epsilon 1": {"epsilon": 1.0, "attack_step_size": 1.0},
    "attack on fractions": {
        "attack": "composition",
        "attack_step_size": 0.02,
        "ball": "none",
    },
    "attack on fractions and elements": {
        "attack": "composition",
        "attack_step_size": 0.02,
        "substitutions": 1,
        "ball": "none",
    },
    "paper": PAPER,
    "paper, no attack": {**PAPER, **NO_ATTACK},
    "paper, no partial sampling": {**PAPER, "partial_batches": 0},
    "paper, fixed weights": {**PAPER, "weight_rule": "fixed"},
}
CONTROLS = ("ridge", "lightgbm", "erm", "erm ema")


def build(variant: str, seed: int, changes: dict[str, Any]) -> Any:
    """Return the unfitted regressor of a variant."""
    network = {"architecture": "irnet-cpu", "device": "cpu", "random_state": seed}
    if variant == "ridge":
        return RidgeRegressor(random_state=seed)
    if variant == "lightgbm":
        return LightGBMRegressor(random_state=seed)
    if variant.startswith("erm"):
        return IRNetRegressor(weights="ema" if "ema" in variant else "best", **network)
    return CALRegressor(settings={**VARIANTS.get(variant, {}), **changes}, **network)


def read_table(table: str) -> tuple[Dataset, NDArray[np.float64]]:
    """Return all clean rows of a table and their features."""
    folder = os.environ.get("XTALSHIFT_DATA")
    path = Path(folder or "", "composition", f"{table}.parquet")
    data = DataConfig(dataset=str(path) if folder and path.exists() else table)
    inputs = read_inputs(data)
    return inputs.data, inputs.X


def load(table: str, rows: int) -> dict[str, Any]:
    """Return a fixed sample of a table with its features and held-out sets."""
    materials, X = read_table(table)
    chosen = np.random.default_rng(0).permutation(len(X))[:rows]
    materials, X = materials.take(chosen), X[chosen]
    y, groups = materials.y, materials.groups
    return {
        "X": X,
        "y": y,
        "groups": groups,
        "origin": CompositionSource(materials.materials.compositions, CompositionFeaturizer()),
        "covariate": CovariateSplit(0.1).held_out(X, y, groups),
        "family": FamilySplit("F").held_out(X, y, groups),
    }


TABLES: dict[tuple[str, int], dict[str, Any]] = {}


def run(
    table: str, n: int, split: str, variant: str, seed: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """Train one variant and return its record."""
    torch.set_num_threads(1)
    if (table, n) not in TABLES:
        TABLES[table, n] = load(table, n)
    data = TABLES[table, n]
    X, y, groups, ood = data["X"], data["y"], data["groups"], data[split]
    rest = np.flatnonzero(~ood)
    parts = []
    for purpose in ("test", "validation"):
        held = RandomSplit(0.1, derive_seed(seed, purpose)).held_out(rest, None, groups[rest])
        parts.append(rest[held])
        rest = rest[~held]
    test, validation = parts
    model = build(variant, derive_seed(seed, "method"), changes)
    extra = {"origin": data["origin"].take(rest)} if "origin" in model.uses else {}
    begin = time.process_time()
    model.fit(X[rest], y[rest], X_val=X[validation], y_val=y[validation], **extra)
    seconds = time.process_time() - begin
    mean = y[rest].mean()

    def error(rows: Any) -> float:
        return float(np.abs(model.predict(X[rows]) - y[rows]).mean())

    last = (getattr(model, "history_", None) or [{}])[-1]
    return {
        "table": table,
        "rows": n,
        "split": split,
        "variant": variant,
        "seed": seed,
        "changes": changes,
        "val": error(validation),
        "id": error(test),
        "ood": error(ood),
        "id_dummy": float(np.abs(mean - y[test]).mean()),
        "ood_dummy": float(np.abs(mean - y[ood]).mean()),
        "seconds": seconds,
        "displacement_rms": last.get("displacement_rms"),
        "attack_loss_gain": last.get("attack_loss_gain"),
        "weight_min": last.get("weight_min"),
        "weight_max": last.get("weight_max"),
    }


def summarise(path: Path) -> None:
    """Print mean and standard deviation over seeds."""
    frame = pd.read_json(path, lines=True)
    frame["ID"] = frame["id"] / frame["id_dummy"]
    frame["OOD"] = frame["ood"] / frame["ood_dummy"]
    for (table, split), group in frame.groupby(["table", "split"], sort=False):
        print(f"\n{table}, {split}: error relative to the constant's")
        print(f"{'variant':40s} {'ID':>15s} {'OOD':>15s} {'moved sd':>9s} {'gain':>7s} {'s':>5s}")
        for variant, runs in group.groupby("variant", sort=False):
            cells = [f"{runs[c].mean():.3f} +- {runs[c].std(ddof=1):.3f}" for c in ("ID", "OOD")]
            moved, gain = runs["displacement_rms"].mean(), runs["attack_loss_gain"].mean()
            print(
                f"{variant:40s} {cells[0]:>15s} {cells[1]:>15s} {moved:9.4f} {gain:7.4f} "
                f"{runs['seconds'].mean():5.0f}"
            )


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=["ricci_seebeck", "mp_e_form"])
    parser.add_argument("--splits", nargs="+", default=["covariate", "family"])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=[*CONTROLS, *VARIANTS])
    parser.add_argument("--set", nargs="*", default=[], help="further CAL settings, name=json")
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    changes = {name: json.loads(text) for name, _, text in (s.partition("=") for s in options.set)}
    key = ("table", "rows", "split", "variant", "seed")
    done = set()
    if options.out.exists():
        lines = options.out.read_text(encoding="utf-8").splitlines()
        done = {tuple(json.loads(line)[name] for name in key) for line in lines}
    wanted = [
        (table, options.rows, split, variant, seed)
        for seed in range(options.seeds)
        for variant in options.variants
        for table in options.tables
        for split in options.splits
    ]
    missing = [task for task in wanted if task not in done]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} trainings are there", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        for future in as_completed([pool.submit(run, *task, changes) for task in missing]):
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(future.result()) + "\n")
    summarise(options.out)


if __name__ == "__main__":
    main()
