"""CAL with an attack on crystals, on crystals unlike those of the training.

    python benchmarks/cal_crystals.py --out RUNS.jsonl [--seeds 2] [--set attack_steps=2]
    python benchmarks/cal_crystals.py --rate

Needs the folder of tables named by XTALSHIFT_DATA, and CHGNet: 300 random crystals of `dielectric`
with at most 8 atoms, target the logarithm of the refractive index. Three folds: the 50 clusters of
the published LOCO folds are dealt to them, so that a test fold has whole clusters that the training
never sees (OOD). Of the other rows a fifth is held out too (ID), a tenth of the rest selects the
epoch. All methods have their default settings, the same rows, features (`magpie+chgnet`) and first
parameters. A line is written for each fit when it is done; a file that has it already is continued.
`--rate` measures how many crystals are attacked per second.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from xtalshift.cal.row_ascent import within_ball
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.structure_attack import build_structure_attack
from xtalshift.config import parse_assignment
from xtalshift.data.materials import Materials
from xtalshift.featurize import CompositionFeaturizer, CompositionSource
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.methods import METHODS as REGISTERED
from xtalshift.methods import MethodSettings, build_method
from xtalshift.nn.crystal_rows import CrystalRows
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows
from xtalshift.structure import Structures
from xtalshift.structure.reading import read_structures

CRYSTALS, MOST_ATOMS, FOLDS = 300, 8, 3
FEATURES = "magpie+chgnet"
METHODS = ("dummy", "erm", "cal-eps0", "cal", "cal-crystal-eps0", "cal-crystal")


def read() -> tuple[Structures, NDArray[np.float64], NDArray[np.int64]]:
    """Return crystals, logarithms of the refractive index, and folds."""
    folder = Path(os.environ["XTALSHIFT_DATA"])
    table = pd.read_parquet(folder / "structures" / "dielectric.parquet")
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(table))[: 4 * CRYSTALS]
    structures = read_structures(table["cif"].iloc[drawn]).structures
    small = np.flatnonzero(structures.sizes <= MOST_ATOMS)[:CRYSTALS]
    table = table.iloc[drawn[small]]
    parts = pd.read_parquet(folder / "folds" / "dielectric.parquet")
    parts = parts[(parts["scheme"] == "LOCO") & (parts["part"] == "test")]
    cluster = table["id"].map(parts.set_index("id")["fold"]).to_numpy(dtype=np.int64)
    dealt = rng.permutation(np.arange(cluster.max() + 1) % FOLDS)
    return structures.take(small), np.log(table["target"].to_numpy()), dealt[cluster]


def materials_of(structures: Structures) -> Materials:
    """Return materials with structures and their formulas."""
    formulas = structures.compositions().reduced_formulas()
    return Materials.parse(formulas.tolist(), structures=structures)


def fit_one(
    method: str,
    seed: int,
    rows: dict[str, NDArray[np.int64]],
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    origin: CompositionSource,
    cal: dict[str, Any],
) -> dict[str, Any]:
    """Return errors and cost of one fit."""
    settings = MethodSettings.from_dict({"device": "cpu", "threads": 1, "cal": cal})
    model = build_method(method, settings, seed=seed)
    groups = origin.compositions.reduced_formulas()
    train = rows["train"]
    given = {"origin": origin.take(train)} if model.needs_origin else {}
    begin = time.perf_counter(), time.process_time()
    model.fit(X[train], y[train], groups=groups[train], **given)
    wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    record: dict[str, Any] = {"method": method, "seed": seed, "seconds": wall, "cpu": cpu}
    for part in ("id", "ood"):
        record[part] = float(np.abs(model.predict(X[rows[part]]) - y[rows[part]]).mean())
    last = getattr(model, "history_", [{}])[-1]
    for name in ("displacement_rms", "attack_loss_gain"):
        record[name] = last.get(name)
    return record


def summarise(records: pd.DataFrame) -> str:
    """Return the table of methods."""
    records = records.set_index(["fold", "seed"])
    lines = [
        "| method | ID | OOD | OOD over dummy | OOD over control | better | moved, sd | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    of = dict(list(records.groupby("method")))
    for name in METHODS:
        if name not in of:
            continue
        mine = of[name]
        cells = [f"{mine[part].mean():.4f} ± {mine[part].std():.4f}" for part in ("id", "ood")]
        dummy = of["dummy"].loc[mine.index]["ood"]
        cells.append(f"{np.exp(np.log(mine['ood'] / dummy).mean()):.3f}")
        control = REGISTERED[name].control
        if control in of and control != "dummy":
            other = of[control].loc[mine.index]["ood"]
            ratios = np.log(mine["ood"] / other)
            spread = np.exp([ratios.mean(), ratios.min(), ratios.max()])
            cells.append("{:.3f} ({:.3f} to {:.3f})".format(*spread))
            cells.append(f"{int((ratios < 0).sum())} of {len(ratios)}")
        else:
            cells += ["", ""]
        moves = mine["displacement_rms"].astype(float).mean()
        cells += ["" if np.isnan(moves) else f"{moves:.3f}", f"{mine['cpu'].mean():.1f}"]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure_rate() -> None:
    """Print crystals per processor second of an attack, with one thread."""
    structures, y, _ = read()
    structures, y = structures.take(slice(0, 60)), y[:60]
    featurizer = CompositionFeaturizer(FEATURES)
    values = featurizer.transform(materials_of(structures))
    scaler = FeatureScaler().fit(values)
    x = torch.from_numpy(scaler.transform(values)).float()
    model = IRNet(x.shape[1], (64, 32), 0.0, torch.Generator().manual_seed(0))
    numbers = torch.arange(len(y))
    target = torch.from_numpy((y - y.mean()) / y.std()).float()
    rows = Rows(x, target, crystals=CrystalRows(structures, numbers))
    config = CALConfig.from_dict({"preset": "cal-crystal"})
    mover = build_structure_attack(featurizer, scaler, config)
    weights = torch.ones(x.shape[1])
    for name in ("first, with the search for bonds", "again"):
        begin = time.process_time()
        mover(model, rows, weights, config.gamma_init, within_ball(config, weights))
        seconds = time.process_time() - begin
        print(
            f"{name}: {len(y) / seconds:.2f} crystals of {structures.sizes.mean():.1f} atoms "
            f"attacked per processor second ({config.attack_steps} steps)"
        )


def main() -> None:
    """Run the folds, or measure the rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the errors of each fit")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of the CAL settings")
    parser.add_argument("--rate", action="store_true", help="measure the rate only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rate:
        measure_rate()
        return
    structures, y, fold = read()
    materials = materials_of(structures)
    featurizer = CompositionFeaturizer(FEATURES)
    X = featurizer.transform(materials)
    origin = CompositionSource(materials.compositions, featurizer, structures)
    cal = {path[0]: value for path, value in map(parse_assignment, options.set)}
    known = set()
    if options.out.exists():
        lines = map(json.loads, options.out.read_text().splitlines())
        known = {(one["method"], one["fold"], one["seed"]) for one in lines}
    for seed in range(options.seeds):
        for number in range(FOLDS):
            others = np.random.default_rng(number).permutation(np.flatnonzero(fold != number))
            held = len(others) // 5
            parts = {
                "ood": np.flatnonzero(fold == number),
                "id": others[:held],
                "train": np.sort(others[held:]),
            }
            for method in options.methods.split(","):
                if (method, number, seed) in known:
                    continue
                record = fit_one(method, seed, parts, X, y, origin, cal)
                sizes = {f"n_{name}": len(rows) for name, rows in parts.items()}
                with options.out.open("a") as file:
                    file.write(json.dumps({"fold": number, **record, **sizes}) + "\n")
                print(number, seed, method, json.dumps(record), flush=True)
    print(summarise(pd.read_json(options.out, lines=True)))


if __name__ == "__main__":
    main()
